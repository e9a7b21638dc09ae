"""A clock that stands still until it is moved."""

from __future__ import annotations

from datetime import datetime, timedelta


class FakeClock:
    """`ports.Clock`. Wall and monotonic time move together; `step` moves the wall alone, as an operator would."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._monotonic = 0.0

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, by: timedelta) -> None:
        self._now += by
        self._monotonic += by.total_seconds()

    def step(self, by: timedelta) -> None:
        self._now += by
