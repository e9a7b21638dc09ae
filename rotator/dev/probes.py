"""Uses each credential as its consumer would, against the system that accepts it: one probe per kind.

The material is what the follower has put into the agent's directory, with the `current` link resolved once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rotator.clients.clock import SystemClock
from rotator.core.errors import Fault

Probe = Callable[[Path], str]  # the credential's folder -> what is wrong, empty when it was accepted


@dataclass(slots=True)
class Tally:
    """Of one credential. gap: the longest time in seconds between two acceptances. refusals: the first few."""

    tries: int = 0
    accepted: int = 0
    gap: float = 0.0
    refusals: list[str] = field(default_factory=list)


class Watch:
    """A thread per credential that probes every `pause` seconds until it is stopped."""

    def __init__(self, directory: Path, probes: Mapping[str, Probe], pause: float = 0.2) -> None:
        """directory: of the agent, as its follower keeps it."""
        self._directory, self._pause = directory, pause
        self._stopping = threading.Event()
        self._clock = SystemClock()
        self.tallies = {name: Tally() for name in probes}
        self._threads = [
            threading.Thread(target=self._go_on, args=(name, probe), name=f"probe-{name}", daemon=True)
            for name, probe in probes.items()
        ]

    def __enter__(self) -> Watch:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(30)

    def _go_on(self, name: str, probe: Probe) -> None:
        tally, last = self.tallies[name], self._clock.monotonic()
        while not self._stopping.wait(self._pause):
            wrong = _once(probe, self._directory, name)
            now = self._clock.monotonic()
            tally.tries += 1
            if wrong:
                if len(tally.refusals) < 20:
                    tally.refusals.append(wrong)
                continue
            tally.accepted += 1
            tally.gap, last = max(tally.gap, now - last), now


def _once(probe: Probe, directory: Path, name: str) -> str:
    try:
        return probe((directory / "current").resolve(strict=True) / name)
    except (OSError, Fault) as problem:
        return f"{type(problem).__name__}: {problem}"
