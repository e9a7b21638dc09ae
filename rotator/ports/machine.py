"""The machine: its clocks, the places where crash tests stop it, and files that only grow."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """Time. The only implementation that reads the machine's clocks is `clients/clock.py`."""

    def now(self) -> datetime:
        """Wall time, UTC, zone-aware."""
        ...

    def monotonic(self) -> float:
        """Seconds on a clock that never steps."""
        ...


class Failpoint(Protocol):
    """A place where the crash tests stop the process (reliability K0-K17). In service it does nothing."""

    def reach(self, point: str, target: str) -> None:
        """Dies, freezes or returns, as the environment of the test says."""
        ...


class AppendFile(Protocol):
    """A file that only grows, open in one process at a time. Raises Denied or Unavailable, never OSError."""

    @property
    def name(self) -> str:
        """Its path, for messages."""
        ...

    def begin(self) -> None:
        """Opens what stands at the path, or creates it, and locks it; lets go of what was open before."""
        ...

    def displaced(self) -> bool:
        """Whether the path no longer names the open file: removed, renamed or replaced."""
        ...

    def size(self) -> int:
        """Bytes in it now."""
        ...

    def read_tail(self, limit: int) -> bytes:
        """At most the last `limit` bytes."""
        ...

    def append(self, data: bytes, pause: Callable[[], None] | None = None) -> None:
        """One write and one sync. When it raises, what arrived is cut off again as far as that is possible.

        `pause` is called in the middle of the data: for crash tests only.
        """
        ...

    def truncate(self, size: int) -> None:
        """Cuts durably."""
        ...

    def set_aside(self, label: str) -> str:
        """Renames what stands at the path to `<path>.<label>`, numbered if taken; returns the new file name."""
        ...

    def newest_archive(self, limit: int) -> bytes | None:
        """The tail of the file that the last rotation set aside; None when there is none."""
        ...

    def close(self) -> None:
        """Safe to repeat."""
        ...
