"""Reads and writes the numbered documents of one proxy in Consul: manifests, parts, pointer, hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from rotator.core.errors import Code, Conflict, Denied, Rejected
from rotator.core.reasons import Cause
from rotator.ports import Delete, Entry, Fence, Keys, Put, Write
from rotator.publish import canonical, versions
from rotator.publish.document import Document
from rotator.publish.layout import Layout
from rotator.publish.versions import Manifest, Pointer


@dataclass(frozen=True, slots=True)
class Hold:
    """After a rollback: the configuration with `withdrawn` digest is not published; that of `version` stays."""

    withdrawn: str
    version: int


@dataclass(frozen=True, slots=True)
class Held:
    """A hold with the index of its key (0: none)."""

    hold: Hold | None
    index: int


@dataclass(frozen=True, slots=True)
class Issue:
    """One document version to be put in force. `hold`: the hold that is in force with it, None for none."""

    document: Document
    version: int
    cause: Cause
    at: datetime
    hold: Hold | None = None


class Shelf:
    """Every read is consistent; every write is fenced."""

    def __init__(self, keys: Keys, layout: Layout) -> None:
        self._keys = keys
        self._layout = layout

    def pointer(self, proxy: str) -> tuple[Pointer | None, int]:
        """The pointer and its index; (None, index) when it cannot be read as one (somebody edited it by hand)."""
        entry = self._keys.read(self._layout.proxy_current(proxy))
        if entry is None:
            return None, 0
        try:
            return versions.decode_pointer(entry.value), entry.modify_index
        except Rejected:
            return None, entry.modify_index

    def manifest(self, proxy: str, version: int) -> Manifest:
        """Raises Denied (TARGET_UNKNOWN) when there is no such version, Rejected when it is damaged."""
        entry = self._keys.read(self._layout.version(proxy, version))
        if entry is None:
            raise Denied(Code.TARGET_UNKNOWN, f"proxy/{proxy} has no version {version}", hint="see rotator history")
        return versions.decode_manifest(entry.value)

    def document(self, proxy: str, version: int) -> Document:
        """The whole document, joined and checked against its digest."""
        manifest = self.manifest(proxy, version)
        parts: list[bytes] = []
        for number in range(manifest.parts):
            entry = self._keys.read(self._layout.part(proxy, version, number))
            if entry is not None:
                parts.append(entry.value)
        return versions.join(manifest, parts)

    def numbers(self, proxy: str) -> tuple[int, ...]:
        """The version numbers that have a manifest, ascending."""
        prefix = self._layout.versions(proxy)
        names = (entry.key.removeprefix(prefix) for entry in self._keys.read_below(prefix))
        return tuple(sorted(int(name) for name in names if name.isdigit()))

    def hold(self, proxy: str) -> Held:
        entry = self._keys.read(self._layout.hold(proxy))
        if entry is None:
            return Held(None, 0)
        raw = canonical.decode(entry.value, "the hold")
        return Held(Hold(str(raw["withdrawn"]), int(raw["version"])), entry.modify_index)

    def put(self, issue: Issue, pointer_index: int, held: Held, fence: Fence) -> int:
        """Parts first, then manifest, hold and pointer in one transaction; returns the pointer's new index.

        A reader sees the old complete version or the new complete one (invariant 3). Parts that an interrupted try
        left behind belong to no manifest and are replaced.
        """
        proxy = issue.document.proxy
        for number, body in enumerate(versions.split(issue.document)):
            self._put_part(self._layout.part(proxy, issue.version, number), body, fence)
        current = self._layout.proxy_current(proxy)
        manifest = versions.encode_manifest(issue.document, issue.version, issue.cause, issue.at)
        pointer = versions.encode_pointer(issue.document, issue.version, issue.cause, issue.at)
        writes: list[Write] = [
            Put(self._layout.version(proxy, issue.version), manifest, 0),
            Put(current, pointer, pointer_index),
        ]
        if issue.hold is None and held.index > 0:
            writes.append(Delete(self._layout.hold(proxy), held.index))
        elif issue.hold is not None and issue.hold != held.hold:
            value = canonical.encode({"withdrawn": issue.hold.withdrawn, "version": issue.hold.version})
            writes.append(Put(self._layout.hold(proxy), value, held.index))
        return self._keys.commit(writes, fence)[current]

    def release(self, proxy: str, hold_index: int, fence: Fence) -> None:
        self._keys.commit([Delete(self._layout.hold(proxy), hold_index)], fence)

    def prune(self, proxy: str, keep: Sequence[int], fence: Fence) -> int:
        """Deletes manifests and parts of versions that are not in `keep`; returns how many keys went."""
        prefix = self._layout.versions(proxy)
        kept = set(keep)
        gone = [entry for entry in self._keys.read_below(prefix) if _number(entry, prefix) not in kept]
        for start in range(0, len(gone), 60):
            self._keys.commit([Delete(entry.key, entry.modify_index) for entry in gone[start : start + 60]], fence)
        return len(gone)

    def _put_part(self, key: str, body: bytes, fence: Fence) -> None:
        try:
            self._keys.commit([Put(key, body, 0)], fence)
        except Conflict:
            entry = self._keys.read(key)
            if entry is None:
                raise
            if entry.value != body:
                self._keys.commit([Put(key, body, entry.modify_index)], fence)


def summary(manifest: Manifest) -> Mapping[str, object]:
    """One version as a row of `rotator history`."""
    return {
        "version": manifest.version,
        "issued_at": manifest.issued_at,
        "reason": manifest.reason,
        "text": manifest.text,
        "actor": manifest.actor,
        "request": manifest.request,
        "digest": manifest.digest,
        "config_digest": manifest.config_digest,
        "size": manifest.size,
    }


def _number(entry: Entry, prefix: str) -> int:
    name = entry.key.removeprefix(prefix).partition("/")[0]
    return int(name) if name.isdigit() else -1
