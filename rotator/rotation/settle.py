"""Brings Consul keys to wanted values by compare-and-set, and finds out what happened when the reply was lost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from rotator.core.errors import Conflict, Fault, LeadershipLost, Unavailable
from rotator.ports import TRANSACTION_BYTES, WRITES_PER_TRANSACTION, Entry, Fence, Keys, Put


class Settler:
    """Knows the last seen value and index of the keys it writes, so that a write costs one operation and no read."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._known: dict[str, Entry] = {}

    def learn(self, entries: Iterable[Entry]) -> None:
        """Takes what was read elsewhere (a prefix read at take-over) as known."""
        self._known.update((entry.key, entry) for entry in entries)

    def differing(self, prefix: str, wanted: Mapping[str, bytes]) -> tuple[str, ...]:
        """The wanted keys that do not hold their value now, from one read of their common prefix."""
        found = {entry.key: entry for entry in self._keys.read_below(prefix)}
        for key in wanted:
            self._known.pop(key, None)
        self.learn(entry for key, entry in found.items() if key in wanted)
        return tuple(key for key, value in wanted.items() if self._value(key) != value)

    def settle(self, wanted: Mapping[str, bytes], fence: Fence) -> Mapping[str, Fault]:
        """Writes what differs; returns a fault for each key that could not be settled. Raises LeadershipLost.

        A key that already holds its wanted value is not written: that is how a repeated publish knows its own work,
        and an equal value would wake no watch anyway.
        """
        faults: dict[str, Fault] = {}
        todo = {key: value for key, value in wanted.items() if self._value(key) != value}
        for chunk in chunks(todo):
            faults.update(self._write(chunk, fence, tries=2))
        return faults

    def _value(self, key: str) -> bytes | None:
        entry = self._known.get(key)
        return entry.value if entry else None

    def _write(self, chunk: Mapping[str, bytes], fence: Fence, tries: int) -> Mapping[str, Fault]:
        writes = [Put(key, value, self._index(key)) for key, value in chunk.items()]
        try:
            indexes = self._keys.commit(writes, fence)
        except LeadershipLost:
            raise
        except (Conflict, Unavailable) as fault:
            return self._look_again(chunk, fence, tries - 1, fault)
        except Fault as fault:
            return dict.fromkeys(chunk, fault)
        self.learn(Entry(key, value, indexes[key]) for key, value in chunk.items())
        return {}

    def _look_again(self, chunk: Mapping[str, bytes], fence: Fence, tries: int, fault: Fault) -> Mapping[str, Fault]:
        """Reads back: what is as wanted is done; the rest is tried once more with fresh indexes, then reported."""
        try:
            left = {key: value for key, value in chunk.items() if self._read(key) != value}
        except Fault as unreadable:
            return dict.fromkeys(chunk, unreadable)
        if not left:
            return {}
        if tries <= 0:
            return dict.fromkeys(left, fault)
        return self._write(left, fence, tries)

    def _read(self, key: str) -> bytes | None:
        entry = self._keys.read(key)
        if entry is None:
            self._known.pop(key, None)
            return None
        self._known[key] = entry
        return entry.value

    def _index(self, key: str) -> int:
        entry = self._known.get(key)
        return entry.modify_index if entry else 0


def chunks(wanted: Mapping[str, bytes]) -> Iterator[Mapping[str, bytes]]:
    """Slices that fit into one transaction, by number of operations and by bytes (base64 grows them by a third)."""
    chunk: dict[str, bytes] = {}
    size = 0
    for key, value in wanted.items():
        cost = len(value) * 4 // 3 + len(key) + 128
        if chunk and (len(chunk) >= WRITES_PER_TRANSACTION or size + cost > TRANSACTION_BYTES):
            yield chunk
            chunk, size = {}, 0
        chunk[key] = value
        size += cost
    if chunk:
        yield chunk
