"""What to look at next: an ordered structure of wake-up times, one entry per credential.

APScheduler keeps one sorted list of jobs, drops what is late by more than its grace, and costs a job per agent; here
a tick takes what is due from a heap. An entry that was set anew leaves its old heap item behind as stale.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from datetime import datetime

from rotator.core.identity import CredentialId


class Agenda:
    """Not thread-safe: it belongs to the cycle."""

    def __init__(self) -> None:
        self._heap: list[tuple[datetime, CredentialId]] = []
        self._at: dict[CredentialId, datetime] = {}

    def __len__(self) -> int:
        return len(self._at)

    def set(self, target: CredentialId, at: datetime) -> None:
        """Looks at `target` at `at`, and no longer at the time that was set before."""
        if self._at.get(target) == at:
            return
        self._at[target] = at
        heapq.heappush(self._heap, (at, target))

    def drop(self, targets: Iterable[CredentialId]) -> None:
        for target in targets:
            self._at.pop(target, None)

    def take_due(self, now: datetime) -> tuple[CredentialId, ...]:
        """Removes and returns everything due at `now`, earliest first."""
        due = []
        while self._heap and self._heap[0][0] <= now:
            at, target = heapq.heappop(self._heap)
            if self._at.get(target) == at:
                del self._at[target]
                due.append(target)
        return tuple(due)

    def next_at(self) -> datetime | None:
        """The earliest time that is still valid."""
        while self._heap and self._at.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None
