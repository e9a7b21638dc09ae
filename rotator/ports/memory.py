"""Memory of the street: the audit first, the records second."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from rotator.core.events import Event
from rotator.core.model import Record
from rotator.ports.consul import Fence


@dataclass(frozen=True, slots=True)
class Stored:
    """A record with the ModifyIndex under which it was read (0: not stored yet)."""

    record: Record
    index: int = 0


@dataclass(frozen=True, slots=True)
class Written:
    """Outcome of one journal write. `lost`: records that somebody else changed; load them again."""

    stored: tuple[Stored, ...]
    lost: tuple[Record, ...] = field(default=())


class Audit(Protocol):
    """The witness. If it cannot write, nothing may be changed (Denied with code AUDIT_BLOCKED is raised)."""

    def append(self, events: Sequence[Event]) -> None:
        """Appends one line per event and makes them durable with one fsync."""
        ...

    def set_epoch(self, epoch: int) -> None:
        """The epoch of the leadership under which the next lines are written."""
        ...


class Journal(Protocol):
    """Memory of the street: audit line first, record second, for many credentials at once."""

    def load(self) -> Mapping[str, Stored]:
        """All records by target, from a consistent read."""
        ...

    def write(self, steps: Sequence[tuple[Stored, tuple[Event, ...]]], fence: Fence) -> Written:
        """Appends all events with one fsync, folds each record's events into it, and stores the records by CAS."""
        ...
