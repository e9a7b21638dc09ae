"""Memory without disk: a witness that keeps events, and the real journal over Consul in memory."""

from __future__ import annotations

from collections.abc import Sequence

from rotator.core.errors import Code, Denied
from rotator.core.events import Event
from rotator.ports import Audit, Clock, Keys
from rotator.publish.layout import Layout
from rotator.records.journal import ConsulJournal, JournalPorts


class MemoryAudit:
    """`ports.Audit`. `blocked`: the disk is full."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.batches: list[tuple[Event, ...]] = []
        self.blocked = False
        self.epoch = 0

    def append(self, events: Sequence[Event]) -> None:
        if self.blocked:
            raise Denied(Code.AUDIT_BLOCKED, "the audit log cannot be written, so nothing is changed")
        self.batches.append(tuple(events))
        self.events.extend(events)

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch


class NoFailpoint:
    """`ports.Failpoint` that remembers where it was."""

    def __init__(self) -> None:
        self.reached: list[tuple[str, str]] = []

    def reach(self, point: str, target: str) -> None:
        self.reached.append((point, target))


def memory_journal(keys: Keys, clock: Clock, audit: Audit | None = None, layout: Layout | None = None) -> ConsulJournal:
    """The real journal; give it `FakeKeys`."""
    return ConsulJournal(JournalPorts(keys, audit or MemoryAudit(), clock, NoFailpoint()), layout or Layout())
