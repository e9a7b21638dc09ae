"""Every intent gets exactly one outcome (invariant 5): what the strict check accepts, and what it finds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from rotator.core import events
from rotator.core.events import Event, FleetEvent, FleetEventName
from rotator.core.reasons import Cause, Reason
from rotator.records.open_intents import OpenIntent, open_intents
from rotator.records.verify import Checks, Result, Verdict
from tests.core.samples import NOW, TARGET, make_facts
from tests.records.writing import check, open_chain

DUE, MOVED = Cause(Reason.DUE), Cause(Reason.ADOPTED)
ONE, TWO, THREE = make_facts(1), make_facts(2), make_facts(3)
INTENDED_1 = events.Intended(NOW, TARGET, DUE, 1, ONE.rotation_id)
INTENDED_2 = events.Intended(NOW, TARGET, DUE, 2, TWO.rotation_id)
ISSUED_1 = events.Issued(NOW, TARGET, DUE, ONE)
PUBLISHED_1 = events.Published(NOW, TARGET, DUE, ONE)
PUBLISHED_2 = events.Published(NOW, TARGET, DUE, TWO, ONE)
ABANDONED_1 = events.Abandoned(NOW, TARGET, DUE, ONE.rotation_id, 1)
ADOPTED_2 = events.Adopted(NOW, TARGET, MOVED, TWO)
RETIRED_1 = events.Retired(NOW, TARGET, MOVED, ONE)
FACTS = (("version", "4"), ("digest", "d"))


def document(name: FleetEventName, after: tuple[tuple[str, str], ...] = FACTS) -> FleetEvent:
    return FleetEvent(NOW, name, "proxy/edge", DUE, (), after)


DOCUMENT = document(FleetEventName.DOCUMENT_INTENDED)
SERVED = document(FleetEventName.DOCUMENT_PUBLISHED)
REFUSED = document(FleetEventName.DOCUMENT_FAILED, ())


def judge(path: Path, *reigns: Sequence[Event]) -> Result:
    """Each reign under the next epoch, beginning with 1."""
    audit = open_chain(path)
    for epoch, listed in enumerate(reigns, 1):
        audit.set_epoch(epoch)
        audit.append(listed)
    return check(path, checks=Checks(strict=True))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


@pytest.mark.parametrize(
    "reigns",
    [
        [[INTENDED_1, ISSUED_1, PUBLISHED_1, INTENDED_2, PUBLISHED_2, ADOPTED_2, RETIRED_1]],
        [[INTENDED_1, ABANDONED_1, INTENDED_2, PUBLISHED_2]],
        [[DOCUMENT, SERVED, DOCUMENT, REFUSED]],
        [[INTENDED_1, PUBLISHED_1], [PUBLISHED_1, INTENDED_2]],
        [[INTENDED_1], [INTENDED_2]],
        [[], [ISSUED_1, PUBLISHED_1, INTENDED_2, PUBLISHED_2]],
        [[INTENDED_1, PUBLISHED_1], [RETIRED_1]],
        [[replace(RETIRED_1, cause=Cause(Reason.OVERLAP_EXPIRED))]],
    ],
    ids=[
        "whole life",
        "given up",
        "documents",
        "told again",
        "closed elsewhere",
        "taken over",
        "evidence elsewhere",
        "expired",
    ],
)
def test_what_a_sound_service_writes_is_accepted(path: Path, reigns: Sequence[Sequence[Event]]) -> None:
    """A false alarm in the log that proves honesty would teach people to ignore it."""
    result = judge(path, *reigns)
    assert (result.verdict, result.text) == (Verdict.GOOD, result.text)


@pytest.mark.parametrize(
    ("reigns", "words"),
    [
        ([[PUBLISHED_1]], "published without an intent"),
        ([[ISSUED_1]], "issued without an intent"),
        ([[INTENDED_1, INTENDED_2]], "a second intent"),
        ([[INTENDED_1, PUBLISHED_1, ABANDONED_1]], "a second outcome"),
        ([[INTENDED_1, ABANDONED_1, PUBLISHED_1]], "a second outcome"),
        ([[INTENDED_1, PUBLISHED_1, INTENDED_2, PUBLISHED_2, RETIRED_1]], "retired without evidence"),
        ([[SERVED]], "document_published without an intent"),
        ([[DOCUMENT, DOCUMENT]], "a second document intent"),
        ([[DOCUMENT, SERVED, REFUSED]], "document_failed without an intent"),
        ([[], [PUBLISHED_1, PUBLISHED_2]], "published without an intent"),
    ],
)
def test_broken_rules_are_named_with_their_line(path: Path, reigns: Sequence[Sequence[Event]], words: str) -> None:
    """Good hashes prove that nothing was changed, not that the service did right."""
    result = judge(path, *reigns)
    assert result.verdict is Verdict.BROKEN
    assert words in result.text
    assert result.line == 1 + sum(map(len, reigns)), "the last line is the bad one"


def test_open_intents_are_listed_and_no_fault(path: Path) -> None:
    """A rotation in flight is what a running service has."""
    result = judge(path, [INTENDED_1, PUBLISHED_1, INTENDED_2, DOCUMENT])
    assert result.verdict is Verdict.GOOD
    expected = (
        OpenIntent(str(TARGET), 2, TWO.rotation_id, seq=4),
        OpenIntent("proxy/edge", 4, digest="d", document=True, seq=5),
    )
    assert result.open_intents == expected
    assert open_intents(path.read_bytes().splitlines(keepends=True)) == expected


def test_a_damaged_line_does_not_stop_a_starting_service(path: Path) -> None:
    """What the chain itself tells about at its start is passed over here."""
    judge(path, [INTENDED_1])
    lines = [b'{"event":"intended"}\n', *path.read_bytes().splitlines(), b'{"event":"published"']
    assert [intent.version for intent in open_intents(lines)] == [1]
