"""Which intents of one chain have no outcome yet, and which lines break the rule of one outcome per intent.

Lines that close an intent: `intended` is closed by exactly one of `published` and `abandoned`; `document_intended` by
exactly one of `document_published` and `document_failed`. `retired` needs an `adopted` of a later version before it, or
its own expiry (`overlap_expired`). The same outcome told twice is a replay (its record was not stored the first time),
not a second outcome. A chain is that of one instance: what another one began is taken over once per epoch and target.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from rotator.records import chain

# The core's word for "its own expiry let it go".
_EXPIRED = "overlap_expired"
_STEPS = frozenset({"issued", "verified", "failed"})
_OUTCOMES = frozenset({"published", "abandoned"})
_DOCUMENT_OUTCOMES = frozenset({"document_published", "document_failed"})
# A line without one of these changes nothing here; looking for them first spares the JSON of all others.
_WORDS = tuple(f'"event":"{name}"'.encode() for name in ("document_intended", "intended", *_OUTCOMES)) + tuple(
    f'"event":"{name}"'.encode() for name in _DOCUMENT_OUTCOMES
)


@dataclass(frozen=True, slots=True)
class OpenIntent:
    """One intent without outcome. `rotation_id` of a credential's, `digest` of a document's; seq: its line."""

    target: str
    version: int
    rotation_id: str = ""
    digest: str = ""
    document: bool = False
    seq: int = 0


@dataclass(slots=True)
class _Target:
    """What was seen of one credential or proxy."""

    epoch: int = -1  # of its last intent or its last take-over from another instance
    inherited: str = ""  # the rotation that was taken over in that epoch
    closed: tuple[str, str] = ("", "")  # the last closed rotation and its outcome
    published_epoch: int = -1
    adopted: int = 0  # the highest version that was adopted


@dataclass(slots=True)
class Intents:
    """Feed it the records of one chain in order. Memory grows with targets and open intents, not with lines."""

    _open: dict[str, OpenIntent] = field(default_factory=dict)
    _documents: dict[str, OpenIntent] = field(default_factory=dict)
    _targets: dict[str, _Target] = field(default_factory=dict)

    def feed(self, record: dict[str, Any]) -> str:
        """What is wrong with this line, or an empty text."""
        event = record["event"]
        if event == "intended":
            return self._intended(record)
        if event in _STEPS and record["rotation_id"]:
            return self._step(record)
        if event in _OUTCOMES:
            return self._outcome(record)
        if event == "adopted":
            seen = self._target(record)
            seen.adopted = max(seen.adopted, record["version"] or 0)
        if event == "retired":
            return self._retired(record)
        if event == "document_intended":
            return self._document_intended(record)
        return self._document_outcome(record) if event in _DOCUMENT_OUTCOMES else ""

    def left(self) -> tuple[OpenIntent, ...]:
        """The intents without outcome, oldest first."""
        return tuple(sorted((*self._open.values(), *self._documents.values()), key=lambda intent: intent.seq))

    def _target(self, record: dict[str, Any]) -> _Target:
        return self._targets.setdefault(record["target"], _Target())

    def _intended(self, record: dict[str, Any]) -> str:
        seen, epoch = self._target(record), record["epoch"]
        again = seen.epoch == epoch and self._is_open(record["target"])
        seen.epoch, seen.inherited = epoch, ""
        intent = OpenIntent(record["target"], record["version"], record["rotation_id"], seq=record["seq"])
        self._open[intent.rotation_id] = intent
        return "a second intent while the first one has no outcome" if again else ""

    def _is_open(self, target: str) -> bool:
        return any(intent.target == target for intent in self._open.values())

    def _step(self, record: dict[str, Any]) -> str:
        if record["rotation_id"] in self._open or self._target(record).closed[0] == record["rotation_id"]:
            return ""
        return "" if self._inherit(record) else f"{record['event']} without an intent"

    def _outcome(self, record: dict[str, Any]) -> str:
        seen, mark, event = self._target(record), record["rotation_id"], record["event"]
        known = self._open.pop(mark, None) is not None
        before, seen.closed = seen.closed, (mark, event)
        if event == "published":
            seen.published_epoch = record["epoch"]
        if known or before == (mark, event) or (before[0] != mark and self._inherit(record)):
            return ""
        return "a second outcome of one intent" if before[0] == mark else f"{event} without an intent"

    def _inherit(self, record: dict[str, Any]) -> bool:
        """Another instance began it, which can be only in a later epoch than the first, once per target and epoch."""
        seen, mark, epoch = self._target(record), record["rotation_id"], record["epoch"]
        if epoch <= 1 or (seen.epoch == epoch and seen.inherited != mark):
            return False
        seen.epoch, seen.inherited = epoch, mark
        return True

    def _retired(self, record: dict[str, Any]) -> str:
        seen = self._target(record)
        elsewhere = seen.published_epoch != record["epoch"] and record["epoch"] > 1
        if record["reason"] == _EXPIRED or seen.adopted > (record["version"] or 0) or elsewhere:
            return ""
        return "retired without evidence that its successor was adopted"

    def _document_intended(self, record: dict[str, Any]) -> str:
        target, seen = record["target"], self._target(record)
        again = target in self._documents and seen.epoch == record["epoch"]
        seen.epoch = record["epoch"]
        digest = str(record["after"].get("digest", ""))
        self._documents[target] = OpenIntent(target, record["version"] or 0, "", digest, True, record["seq"])
        return "a second document intent while the first one has no outcome" if again else ""

    def _document_outcome(self, record: dict[str, Any]) -> str:
        """A failed document names no version: it closes the only one that can be open."""
        if self._documents.pop(record["target"], None) is not None:
            return ""
        return f"{record['event']} without an intent"


def open_intents(lines: Iterable[bytes]) -> tuple[OpenIntent, ...]:
    """What the lines of a chain leave open, for a service that starts. Hashes are the verifier's business.

    Lines that cannot be read are passed over: the chain itself says at its start what became of them.
    """
    intents = Intents()
    for line in lines:
        if any(word in line for word in _WORDS):
            record = chain.parse(line.rstrip(b"\n"))
            if record is not None:
                intents.feed(record)
    return intents.left()
