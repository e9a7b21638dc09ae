"""Maintenance windows: weekly intervals in a named time zone. Pure calendar arithmetic; `now` is an argument."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True)
class Window:
    """Open on `days` (Monday is 0) from `start` to `end` local time; `end <= start` means past midnight."""

    days: frozenset[int]
    start: time
    end: time
    timezone: str = "UTC"

    def span(self, day: datetime) -> tuple[datetime, datetime]:
        """Opening and closing instant, in UTC, of the window that starts on the local date of `day` (zone-aware).

        In UTC because two times of one zone compare by the clock on the wall, which goes back once a year. Where the
        clock jumps over the window in spring it closes before it opens: it is not open that day.
        """
        zone = ZoneInfo(self.timezone)
        opens = datetime.combine(day.date(), self.start, tzinfo=zone)
        last = day.date() if self.end > self.start else day.date() + timedelta(days=1)
        closes = datetime.combine(last, self.end, tzinfo=zone)
        return opens.astimezone(UTC), closes.astimezone(UTC)


def is_open(windows: Iterable[Window], now: datetime) -> bool:
    """True inside any window, and always when there is none."""
    listed = tuple(windows)
    return not listed or any(_contains(window, now) for window in listed)


def next_opening(windows: Iterable[Window], now: datetime) -> datetime | None:
    """The earliest instant at or after `now` at which a window is open; None if no window ever opens."""
    listed = tuple(windows)
    if is_open(listed, now):
        return now
    openings = [opening for window in listed if (opening := _next(window, now)) is not None]
    return min(openings, default=None)


def _contains(window: Window, now: datetime) -> bool:
    local = now.astimezone(ZoneInfo(window.timezone))
    for day in (local, local - timedelta(days=1)):
        if day.weekday() in window.days:
            opens, closes = window.span(day)
            if opens <= now < closes:
                return True
    return False


def _next(window: Window, now: datetime) -> datetime | None:
    local = now.astimezone(ZoneInfo(window.timezone))
    for ahead in range(15):  # two weeks, because one opening may fall into the hour that is skipped in spring
        day = local + timedelta(days=ahead)
        opens, closes = window.span(day)
        if day.weekday() in window.days and now <= opens < closes:
            return opens.astimezone(now.tzinfo)
    return None
