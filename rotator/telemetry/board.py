"""The latest snapshot, shown by the cycle and read by the web threads."""

from __future__ import annotations

from rotator.telemetry.snapshot import Snapshot


class Board:
    """Thread-safe without a lock: one reference is swapped, and what it points to never changes."""

    def __init__(self) -> None:
        self._latest = Snapshot()

    def show(self, snapshot: Snapshot) -> None:
        """Replaces the picture; a reader sees the old or the new one, never a mixture."""
        self._latest = snapshot

    def snapshot(self) -> Snapshot:
        return self._latest
