"""Memory of the street over Consul: audit line first, record second, for many credentials at once.

Where this process dies between the two, the audit knows more than the record; the next process closes such intents
(`records/open_intents.py`). Where only the write failed, this journal closes them itself, before it writes anything
else about the same credential.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rotator.core.apply import apply
from rotator.core.errors import Conflict, Denied, LeadershipLost, Rejected, Unavailable
from rotator.core.events import Abandoned, Event, FleetEvent, Intended
from rotator.core.model import Record
from rotator.core.reasons import Cause, Reason
from rotator.ports import (
    TRANSACTION_BYTES,
    WRITES_PER_TRANSACTION,
    Audit,
    Clock,
    Entry,
    Failpoint,
    Fence,
    Keys,
    Put,
    Stored,
    Written,
)
from rotator.publish.layout import Layout
from rotator.records import codec

Steps = Sequence[tuple[Stored, tuple[Event, ...]]]


@dataclass(frozen=True, slots=True)
class JournalPorts:
    """The sockets that the journal is built on."""

    keys: Keys
    audit: Audit
    clock: Clock
    failpoint: Failpoint


@dataclass(frozen=True, slots=True)
class _Change:
    """One record on its way: what it was read as, and what it shall be."""

    before: Stored
    after: Record
    value: bytes
    events: tuple[Event, ...]


class ConsulJournal:
    """`ports.Journal`. Not thread-safe: the cycle is its one writer; `load` alone may be called from anywhere."""

    def __init__(self, ports: JournalPorts, layout: Layout) -> None:
        self._ports = ports
        self._layout = layout
        # Audited intents of which it is not known, or known not, that their record was written; by record key.
        self._unsettled: dict[str, Intended] = {}

    def load(self) -> Mapping[str, Stored]:
        """See the port. Raises Rejected or Denied, naming the key, when one record cannot be read: going on without
        it would begin that credential anew."""
        entries = self._ports.keys.read_below(self._layout.records)
        return {entry.key.removeprefix(self._layout.records): self._decode(entry) for entry in entries}

    def write(self, steps: Steps, fence: Fence) -> Written:
        """See the port. Raises Denied (AUDIT_BLOCKED) before anything is changed, LeadershipLost, or Unavailable when
        a lost reply cannot be cleared up by reading back; records of earlier transactions are then stored already.
        """
        changes, lost, closing = self._settle(self._fold(steps))
        events = [event for change in changes.values() for event in change.events]
        if closing or events:
            self._ports.audit.append([*closing, *events])
        for key in [key for key in self._unsettled if key in changes]:
            del self._unsettled[key]
        self._unsettled.update(_intents(changes))
        self._reach("J1", changes)
        stored: list[Stored] = []
        for chunk in _chunks(changes):
            found, missed = self._store(chunk, fence)
            stored.extend(found)
            lost.extend(missed)
        self._reach("J2", changes)
        return Written(tuple(stored), tuple(lost))

    def _fold(self, steps: Steps) -> dict[str, _Change]:
        """A credential that is named twice is written once, with all its events in order."""
        changes: dict[str, _Change] = {}
        for stored, events in steps:
            key = self._layout.record(stored.record.id)
            known = changes.get(key)
            before = known.before if known else stored
            record = known.after if known else stored.record
            for event in events:
                if not isinstance(event, FleetEvent):  # for the audit alone
                    record = apply(record, event)
            listed = (*(known.events if known else ()), *events)
            changes[key] = _Change(before, record, codec.encode_record(record), listed)
        return changes

    def _settle(self, changes: dict[str, _Change]) -> tuple[dict[str, _Change], list[Record], list[Event]]:
        """Clears up intents whose record write failed before; returns what may be written, what is lost, and the lines
        that close them.

        Where the caller has not seen what Consul holds, its change rests on an old record and is lost.
        """
        lost: list[Record] = []
        closing: list[Event] = []
        for key in [key for key in self._unsettled if key in changes]:
            intended, change = self._unsettled[key], changes[key]
            entry = self._ports.keys.read(key)
            if (entry.modify_index if entry else 0) != change.before.index:
                lost.append(changes.pop(key).before.record)
            elif change.before.record.last_version < intended.version:
                cause = Cause(Reason.RECOVERED, "the intent was audited, but its record could not be written")
                now = self._ports.clock.now()
                closing.append(Abandoned(now, intended.target, cause, intended.rotation_id, intended.version))
        return changes, lost, closing

    def _store(self, chunk: Mapping[str, _Change], fence: Fence) -> tuple[list[Stored], list[Record]]:
        """One transaction; without the records that somebody else changed, if there are any."""
        stored = [change.before for change in chunk.values() if _unchanged(change)]
        left = {key: change for key, change in chunk.items() if not _unchanged(change)}
        lost: list[Record] = []
        while left:
            try:
                indexes = self._commit(left, fence)
            except LeadershipLost:
                raise
            except Conflict as conflict:
                gone = [key for key in conflict.keys if key in left] or self._moved(left)
                if not gone:
                    raise
                lost.extend(left.pop(key).before.record for key in gone)
                continue
            stored.extend(Stored(change.after, indexes[key]) for key, change in left.items())
            for key in left:
                self._unsettled.pop(key, None)
            break
        return stored, lost

    def _commit(self, changes: Mapping[str, _Change], fence: Fence) -> Mapping[str, int]:
        """A lost reply is not a failure: when Consul holds what was to be written, it is written."""
        writes = [Put(key, change.value, change.before.index) for key, change in changes.items()]
        try:
            return self._ports.keys.commit(writes, fence)
        except Unavailable:
            found = {key: self._ports.keys.read(key) for key in changes}
            indexes = {
                key: entry.modify_index for key, entry in found.items() if entry and entry.value == changes[key].value
            }
            if indexes.keys() != changes.keys():
                raise
            return indexes

    def _moved(self, changes: Mapping[str, _Change]) -> list[str]:
        """The keys that hold something else than we read, for a conflict that names none of ours."""
        entries = {key: self._ports.keys.read(key) for key in changes}
        return [
            key for key, entry in entries.items() if (entry.modify_index if entry else 0) != changes[key].before.index
        ]

    def _decode(self, entry: Entry) -> Stored:
        try:
            return Stored(codec.decode_record(entry.value), entry.modify_index)
        except (Denied, Rejected) as fault:
            raise type(fault)(fault.code, f"{entry.key}: {fault.text}", hint=fault.hint) from None

    def _reach(self, point: str, changes: Mapping[str, _Change]) -> None:
        for change in changes.values():
            self._ports.failpoint.reach(point, str(change.before.record.id))


def _unchanged(change: _Change) -> bool:
    """A replay: what it says is in the record already."""
    return change.after == change.before.record and change.before.index > 0


def _intents(changes: Mapping[str, _Change]) -> dict[str, Intended]:
    found = {}
    for key, change in changes.items():
        for event in change.events:
            if isinstance(event, Intended):
                found[key] = event
    return found


def _chunks(changes: Mapping[str, _Change]) -> Iterator[Mapping[str, _Change]]:
    """Slices that fit into one transaction: base64 grows a value by a third, each operation adds its JSON."""
    chunk: dict[str, _Change] = {}
    size = 1024  # the fence
    for key, change in changes.items():
        cost = len(change.value) * 4 // 3 + len(key) + 128
        if chunk and (len(chunk) >= WRITES_PER_TRANSACTION or size + cost > TRANSACTION_BYTES):
            yield chunk
            chunk, size = {}, 1024
        chunk[key] = change
        size += cost
    if chunk:
        yield chunk
