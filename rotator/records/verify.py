"""Does an audit chain still say what was written? Streams, so its memory does not grow with the number of lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from rotator.core.events import FleetEventName
from rotator.records import chain
from rotator.records.chain import Anchor, Head
from rotator.records.open_intents import Intents, OpenIntent


class Verdict(IntEnum):
    """Also the exit code of `rotator audit verify`. 4 is kept for signed anchors; no check answers it yet."""

    GOOD = 0
    BROKEN = 1  # a bad hash, a wrong order, a gap, a foreign line, or (strict) a broken rule of intents
    ANCHOR = 2  # an anchor does not match, or lines that an anchor proves are missing at the end
    TORN = 3  # nothing but a half-written last line: the writer died, and will repair it at its next start
    KEY = 4


@dataclass(frozen=True, slots=True)
class Source:
    """One file: its name for messages, and its lines with their newlines, in bounded pieces."""

    name: str
    lines: Iterable[bytes]


@dataclass(frozen=True, slots=True)
class Checks:
    """anchors: (seq, hash) pairs known from elsewhere. strict: also one outcome per intent, no effect without intent.

    partial: the first line may continue a file that is not given.
    """

    anchors: Sequence[Anchor] = ()
    strict: bool = False
    partial: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """The first thing that is wrong, with file, line (from 1) and seq (0: unknown); `head` is the last good line."""

    verdict: Verdict
    text: str
    file: str = ""
    line: int = 0
    seq: int = 0
    head: Head | None = None
    lines: int = 0
    open_intents: tuple[OpenIntent, ...] = ()


class _Finding(Exception):
    def __init__(self, verdict: Verdict, text: str) -> None:
        super().__init__(text)
        self.verdict = verdict
        self.text = text


@dataclass(slots=True)
class _Walk:
    """Where the check stands."""

    checks: Checks
    head: Head | None = None
    file: str = ""
    line: int = 0
    seq: int = 0
    lines: int = 0
    torn: tuple[str, int] | None = None
    intents: Intents = field(default_factory=Intents)
    anchors: dict[int, set[str]] = field(default_factory=dict)


def verify(sources: Iterable[Source], checks: Checks = Checks()) -> Result:
    """Checks the files of one chain in the given order and stops at the first thing that is wrong.

    A torn last line is reported only when nothing worse is found. Raises what reading the lines raises, nothing else.
    """
    walk = _Walk(checks)
    for anchor in checks.anchors:
        walk.anchors.setdefault(anchor.seq, set()).add(anchor.hash)
    try:
        for name, number, line in _numbered(sources):
            walk.file, walk.line = name, number
            _step(walk, line)
        _end(walk)
    except _Finding as found:
        return _result(walk, found.verdict, found.text)
    if walk.torn is not None:
        walk.file, walk.line = walk.torn
        walk.seq = walk.head.seq + 1 if walk.head else 1
        return _result(walk, Verdict.TORN, "the last line is half written")
    return _result(walk, Verdict.GOOD, f"{walk.lines} lines verify")


def _numbered(sources: Iterable[Source]) -> Iterator[tuple[str, int, bytes]]:
    for source in sources:
        for number, line in enumerate(source.lines, 1):
            yield source.name, number, line


def _step(walk: _Walk, line: bytes) -> None:
    expected = walk.head.seq + 1 if walk.head else 1
    walk.seq = expected
    if walk.torn is not None:
        walk.file, walk.line = walk.torn
        raise _Finding(Verdict.BROKEN, "a line is damaged: it has no end")
    if not line.endswith(b"\n"):
        walk.torn = (walk.file, walk.line)
        return
    record = chain.read(line[:-1])
    if record is None:
        raise _Finding(Verdict.BROKEN, "the line was changed: its hash does not fit its content")
    walk.head = _linked(walk, record)
    walk.lines += 1
    _anchored(walk, walk.head)
    wrong = walk.intents.feed(record) if walk.checks.strict else ""
    if wrong:
        raise _Finding(Verdict.BROKEN, wrong)


def _linked(walk: _Walk, record: chain.Json) -> Head:
    """The head after this record. Finds gaps, swaps, duplicates, insertions and lines of other chains."""
    head, here = walk.head, chain.head_of(record)
    walk.seq = here.seq
    if head is None:
        _first(walk.checks, record)
        return here
    if here.chain != head.chain:
        raise _Finding(Verdict.BROKEN, f"a line of another chain ({here.chain}) follows seq {head.seq}")
    if here.seq != head.seq + 1:
        raise _Finding(Verdict.BROKEN, f"seq {here.seq} follows seq {head.seq}: lines are missing or out of order")
    if record["prev"] != head.hash:
        raise _Finding(Verdict.BROKEN, f"the line does not follow the line before it (seq {head.seq})")
    return here


def _first(checks: Checks, record: chain.Json) -> None:
    begins = record["event"] == FleetEventName.CHAIN_STARTED.value
    if begins and record["seq"] == 1 and record["prev"] == chain.ZERO:
        return
    if not checks.partial:
        text = f"the first line is seq {record['seq']} and not the start of a chain: earlier lines or files are missing"
        raise _Finding(Verdict.BROKEN, text)


def _anchored(walk: _Walk, head: Head) -> None:
    known = walk.anchors.pop(head.seq, None)
    if known is not None and known != {head.hash}:
        raise _Finding(Verdict.ANCHOR, f"seq {head.seq} is not the line that was anchored: the chain was rewritten")


def _end(walk: _Walk) -> None:
    if walk.head is None:
        walk.seq = 1
        if any(seq > 0 for seq in walk.anchors):
            raise _Finding(Verdict.ANCHOR, "there is no line, but an anchor proves that there were some")
        if walk.torn is None:
            raise _Finding(Verdict.BROKEN, "there is no line")
        return
    missing = [seq for seq in walk.anchors if seq > walk.head.seq]
    if missing:
        walk.seq = walk.head.seq + 1
        raise _Finding(
            Verdict.ANCHOR,
            f"the chain ends at seq {walk.head.seq}, but seq {max(missing)} was anchored: lines are cut off",
        )


def _result(walk: _Walk, verdict: Verdict, text: str) -> Result:
    good = verdict is Verdict.GOOD
    file, line, seq = ("", 0, 0) if good else (walk.file, walk.line, walk.seq)
    left = walk.intents.left() if walk.checks.strict else ()
    return Result(verdict, text, file, line, seq, walk.head, walk.lines, left)
