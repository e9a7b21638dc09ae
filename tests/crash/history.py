"""Reads the audits of all instances of one world together and says what no honest history can contain.

Offline, from the files alone: what an auditor would see. Each rule returns sentences; none means the history is good.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rotator.clients import append_file
from rotator.records import chain
from rotator.records.chain import LINE_LIMIT
from rotator.records.verify import Checks, Source, Verdict, verify

Line = Mapping[str, Any]
EFFECTS = frozenset({"intended", "issued", "verified", "published", "retired", "abandoned", "document_published"})
OUTCOMES = {"published": "published", "abandoned": "abandoned"}
DOCUMENT_OUTCOMES = {"document_published": "published", "document_failed": "failed"}
BUDGET = 20


@dataclass(frozen=True, slots=True)
class History:
    """`lines`: of all instances, by the time at which things happened; of one instance always in its own order."""

    lines: Sequence[Line]
    flaws: tuple[str, ...]

    def named(self, event: str, target: str = "") -> list[Line]:
        return [line for line in self.lines if line["event"] == event and target in ("", line["target"])]


def load(files: Iterable[Path]) -> History:
    """Every chain verified by the strict rules, then all lines in one order."""
    flaws: list[str] = []
    lines: list[Line] = []
    for file in files:
        listed = [*append_file.archives(file), file]
        result = verify([Source(one.name, append_file.read_lines(one, LINE_LIMIT)) for one in listed], Checks((), True))
        if result.verdict is not Verdict.GOOD:
            flaws.append(f"{file}: {result.text} (seq {result.seq})")
        for one in listed:
            read = (chain.parse(raw.rstrip(b"\n")) for raw in append_file.read_lines(one, LINE_LIMIT))
            lines.extend(line for line in read if line is not None)
    lines.sort(key=lambda line: (line["at"], line["instance"], line["seq"]))
    return History(lines, tuple(flaws))


def flaws(history: History, *, in_flight: frozenset[str] = frozenset()) -> list[str]:
    """All that is wrong. in_flight: rotations that the records still name as pending."""
    rules = (
        _epochs(history.lines),
        _effects_have_intents(history.lines),
        _one_outcome(history.lines, in_flight),
        _documents(history.lines),
        _retired_on_evidence(history.lines),
        _budget(history.lines),
    )
    return [*history.flaws, *(flaw for rule in rules for flaw in rule)]


def _epochs(lines: Sequence[Line]) -> Iterator[str]:
    """An epoch belongs to one instance, and has no effect once a later one has had one (I4)."""
    owners: dict[int, str] = {}
    highest = 0
    for line in lines:
        epoch, instance = line["epoch"], line["instance"]
        if line["event"] == "leadership_gained" and owners.setdefault(epoch, instance) != instance:
            yield f"epoch {epoch} belongs to {owners[epoch]} and {instance}"
        if line["event"] in EFFECTS and line["reason"] != "recovered":
            if epoch < highest:
                yield f"{line['event']} of {line['target']} in epoch {epoch} after epoch {highest} had begun to act"
            highest = max(highest, epoch)


def _effects_have_intents(lines: Sequence[Line]) -> Iterator[str]:
    known: set[str] = set()
    for line in lines:
        if line["event"] == "intended":
            known.add(line["rotation_id"])
        elif line["event"] in {"issued", "verified", "published"} and line["rotation_id"] not in known:
            yield f"{line['event']} of {line['target']} without an earlier intent"


def _one_outcome(lines: Sequence[Line], in_flight: frozenset[str]) -> Iterator[str]:
    """Over all chains together; the same outcome told twice is a replay after a lost record."""
    found: dict[str, set[str]] = {line["rotation_id"]: set() for line in lines if line["event"] == "intended"}
    for line in lines:
        if line["event"] in OUTCOMES:
            found.setdefault(line["rotation_id"], set()).add(OUTCOMES[line["event"]])
    for mark, outcomes in found.items():
        if len(outcomes) > 1:
            yield f"rotation {mark[:8]} has two outcomes"
        if not outcomes and mark not in in_flight:
            yield f"rotation {mark[:8]} has no outcome"
    versions: dict[tuple[str, int], set[str]] = defaultdict(set)
    for line in lines:
        if line["event"] == "published":
            versions[(line["target"], line["version"])].add(f"{line['rotation_id']} {line['after'].get('kv_version')}")
    yield from (f"{key[0]} version {key[1]} was published as two" for key, seen in versions.items() if len(seen) > 1)


def _documents(lines: Sequence[Line]) -> Iterator[str]:
    """A number names one content; every intent of a document ends (the last ones of all chains are settled)."""
    digests: dict[tuple[str, str], set[str]] = defaultdict(set)
    wanted: set[tuple[str, str, str]] = set()
    ended: set[tuple[str, str]] = set()
    newest = 0
    for line in lines:
        after = line["after"] or {}
        key = (line["target"], str(after.get("version", "")))
        if line["event"] == "document_intended":
            wanted.add((*key, line["instance"]))
        if line["event"] in DOCUMENT_OUTCOMES:
            ended.add((line["target"], line["instance"]))
        if line["event"] == "document_published":
            digests[key].add(str(after.get("digest", "")))
            if line["reason"] != "recovered" and int(key[1]) < newest:
                yield f"{key[0]} went back from version {newest} to {key[1]}"
            newest = max(newest, int(key[1]))
    yield from (f"{key[0]} version {key[1]} names two contents" for key, seen in digests.items() if len(seen) > 1)
    for target, version, instance in wanted:
        if (target, instance) not in ended:
            yield f"{instance} never said what became of {target} version {version}"


def _retired_on_evidence(lines: Sequence[Line]) -> Iterator[str]:
    """I2: earlier evidence for a successor, or its own expiry."""
    adopted: dict[str, int] = {}
    for line in lines:
        if line["event"] == "adopted":
            adopted[line["target"]] = max(adopted.get(line["target"], 0), line["version"])
        let_go = line["event"] == "retired" and line["reason"] != "overlap_expired"
        if let_go and adopted.get(line["target"], 0) <= line["version"]:
            yield f"{line['target']} version {line['version']} was retired without evidence"


def _budget(lines: Sequence[Line]) -> Iterator[str]:
    """I7, over restarts and instances. The worlds of these tests live for less than one attempt window."""
    attempts: dict[str, int] = defaultdict(int)
    for line in lines:
        again = line["event"] == "failed" and (line["evidence"] or {}).get("action") == "issue"
        if again or line["event"] == "intended":
            attempts[line["target"]] += 1
    yield from (f"{target} was tried {count} times" for target, count in attempts.items() if count > BUDGET)
