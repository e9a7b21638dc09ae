"""The real service over all agents: from the first audited intent to the last audited publication."""

from __future__ import annotations

import getpass
import json
import sys
import time
import uuid
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks import adoption
from benchmarks.figures import Sample
from benchmarks.processes import Meter
from benchmarks.site import Site
from rotator import app
from rotator.clients.clock import SystemClock
from rotator.core.errors import Code, Unavailable
from rotator.core.reasons import Actor, ActorKind
from rotator.dev.servers.process import Child
from rotator.records.requests import RequestKind, RequestState
from rotator.rotation.view import View, new_request

SECONDS = 600.0
_PUBLISHED = b'"event":"published"'
_RETIRED = b'"event":"retired"'
_OPEN = (RequestState.QUEUED, RequestState.RUNNING)


class Service:
    """One `rotator run` for the whole benchmark. Each round rotates every agent once, asked for as an operator asks."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._child = Child(
            [sys.executable, "-m", "rotator", "run", "--config", str(site.config)], site.directory / "service.log", {}
        )
        self._view: View = app.open_view(app.load(str(site.config)))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._child.stop()

    @property
    def pid(self) -> int:
        return self._child.pid

    def enrol(self) -> None:
        """Waits until every agent and the proxy have their first certificate; that round is not counted."""
        self._await_lines(_PUBLISHED, 0, self._site.size.agents + 1)

    def round(self) -> Sample:
        """Rotates every agent; then, uncounted, all of them adopt it and the old versions are retired, so that each
        round begins with the same records."""
        offset = self._site.audit_file.stat().st_size
        meter = Meter({"ours": self.pid, **self._site.servers})
        request_id = self._ask()
        self._await_lines(_PUBLISHED, offset, self._site.size.agents)
        cpu = meter.read()
        self._await_answer(request_id)
        intended, published = _moments(self._site.audit_file, offset)
        adoption.report_all(self._site)
        self._await_lines(_RETIRED, offset, self._site.size.agents)
        return Sample(len(published), (max(published) - min(intended)).total_seconds(), cpu)

    def _ask(self) -> str:
        request_id = uuid.uuid4().hex
        targets = tuple(f"agent/{name}" for name in self._site.names)
        actor = Actor(ActorKind.OPERATOR, getpass.getuser())
        asked = new_request(request_id, RequestKind.ROTATE, targets, "benchmark", actor, SystemClock().now())
        self._view.ask(asked)
        return request_id

    def _await_lines(self, kind: bytes, offset: int, number: int) -> None:
        deadline, seen, at = time.monotonic() + SECONDS, 0, offset
        while seen < number:
            if not self._child.alive or time.monotonic() > deadline:
                text = f"{seen} of {number} lines with {kind.decode()} are in the service's audit"
                raise Unavailable(Code.REQUEST_TIMED_OUT, text, hint=f"see {self._child.log}")
            time.sleep(0.05)
            fresh = _read_from(self._site.audit_file, at)
            whole = fresh[: fresh.rfind(b"\n") + 1]
            seen, at = seen + whole.count(kind), at + len(whole)

    def _await_answer(self, request_id: str) -> None:
        """The next round must not meet a request that is still open."""
        deadline = time.monotonic() + SECONDS
        while (answer := self._view.answer_to(request_id)) is None or answer.state in _OPEN:
            if time.monotonic() > deadline:
                raise Unavailable(Code.REQUEST_TIMED_OUT, "the request was not answered", hint="see the service's log")
            time.sleep(0.1)


def _read_from(path: Path, offset: int) -> bytes:
    if not path.exists():
        return b""
    with path.open("rb") as stream:
        stream.seek(offset)
        return stream.read()


def _moments(audit: Path, offset: int) -> tuple[list[datetime], list[datetime]]:
    """When agents' certificates were intended, and when they were published."""
    found: dict[str, list[datetime]] = {"intended": [], "published": []}
    for line in _read_from(audit, offset).splitlines():
        record = json.loads(line)
        if record["event"] in found and record["target"].startswith("agent/"):
            found[record["event"]].append(datetime.fromisoformat(record["at"]))
    return found["intended"], found["published"]
