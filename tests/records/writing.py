"""A chain on a real file, and the events that go into it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rotator.clients.append_file import DurableFile, read_lines
from rotator.core.events import Event, FleetEvent, FleetEventName
from rotator.core.reasons import Cause, Reason
from rotator.records import chain
from rotator.records.audit import AuditChain, AuditContext, AuditOptions
from rotator.records.verify import Checks, Result, Source, verify
from tests.core.samples import NOW
from tests.fakes.clock import FakeClock

PLAIN = AuditOptions()
HASHES_ONLY = Checks()


def open_chain(
    path: Path, options: AuditOptions = PLAIN, instance: str = "one", file: DurableFile | None = None
) -> AuditChain:
    return AuditChain(file or DurableFile(path), FakeClock(NOW), AuditContext(instance, "c" * 64), options)


def told(number: int = 0) -> Event:
    """Something that happened; the number makes it different from others."""
    return FleetEvent(NOW, FleetEventName.CONFIG_LOADED, "service", Cause(Reason.OPERATOR, f"number {number}"))


def write_chain(path: Path, events: Sequence[Event] | int) -> None:
    """Begins or continues the chain at `path` as one process would, and ends it."""
    listed = [told(number) for number in range(events)] if isinstance(events, int) else events
    audit = open_chain(path)
    audit.start()
    audit.append(listed)
    audit.close()


def check(*paths: Path, checks: Checks = HASHES_ONLY) -> Result:
    return verify([Source(path.name, read_lines(path, chain.LINE_LIMIT)) for path in paths], checks)
