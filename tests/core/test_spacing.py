"""Halves of a pair keep half a period between their turns, whoever asks: `Policy.spacing`."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rotator.core import due, events
from rotator.core.apply import apply
from rotator.core.decide import Do, Wait, decide
from rotator.core.model import Action, Record, Request
from rotator.core.reasons import Actor, ActorKind, Cause, Reason
from rotator.core.spec import Policy
from rotator.records import codec

from .samples import HOUR, NOW, SECOND, TARGET, make_facts, make_record, make_spec

LIFE = 12 * HOUR
SPACING = LIFE / 2
PAIR = make_spec(Policy(spacing=SPACING))
RECORD = make_record()
FREE = NOW + SPACING


def asked(kind: ActorKind, compromise: bool = False) -> Request:
    return Request("r1", "wanted", Actor(kind, "ann"), NOW, compromise)


def held(record: Record, at: datetime) -> Wait:
    answer = decide(PAIR, record, at)
    assert isinstance(answer, Wait)
    assert (answer.cause.reason, answer.until) == (Reason.PAIR_SPACING, FREE)
    return answer


WHO = {
    "operator": replace(RECORD, request=asked(ActorKind.OPERATOR)),
    "hook": replace(RECORD, request=asked(ActorKind.HOOK)),
    "changed configuration": replace(RECORD, current=make_facts(2, digest="old")),
    "schedule": replace(RECORD, current=make_facts(1), phase=0.1),
}


@pytest.mark.parametrize("record", WHO.values(), ids=WHO.keys())
def test_whoever_asks_waits_for_half_a_period(record: Record) -> None:
    """Slow consumers still use the half whose turn it would be."""
    held(record, FREE - SECOND)
    answer = decide(PAIR, record, FREE)
    assert isinstance(answer, Do)
    assert answer.action is Action.INTEND


@pytest.mark.parametrize("record", WHO.values(), ids=WHO.keys())
def test_a_restart_or_another_instance_changes_nothing(record: Record) -> None:
    """What spaces the halves is in the stored record, not in a process."""
    held(codec.decode_record(codec.encode_record(record)), FREE - SECOND)


def test_a_report_of_compromise_does_not_wait() -> None:
    """A known password in force is worse than a slow consumer that has to come back."""
    answer = decide(PAIR, replace(RECORD, request=asked(ActorKind.OPERATOR, compromise=True)), NOW + SECOND)
    assert isinstance(answer, Do)
    assert answer.cause.reason is Reason.COMPROMISE


def test_the_first_version_waits_for_nothing() -> None:
    """There is no half that anybody has left."""
    answer = decide(PAIR, Record(TARGET), NOW)
    assert isinstance(answer, Do)


def test_a_rotation_in_flight_goes_on() -> None:
    """Its half was chosen when the spacing was over; it is not judged again."""
    record = apply(RECORD, events.Intended(FREE, TARGET, Cause(Reason.DUE), 3, f"{3:032x}"))
    answer = decide(PAIR, replace(record, published_at=FREE), FREE + SECOND)
    assert isinstance(answer, Do)
    assert answer.action is Action.ISSUE


@given(floor=st.floats(0, 1), minimum=st.timedeltas(timedelta(0), 24 * HOUR))
def test_spacing_is_over_before_any_floor(floor: float, minimum: timedelta) -> None:
    """A floor lies in the last quarter of a life, half a period after its begin: they cannot meet."""
    spec = make_spec(Policy(spacing=SPACING, floor=floor, floor_minimum=minimum))
    assert due.floor_at(spec, make_facts(2)) >= NOW + LIFE * 3 / 4 > FREE


@pytest.mark.parametrize("at", [NOW + LIFE - SECOND, NOW + LIFE + HOUR], ids=["near expiry", "expired"])
def test_published_late_the_spacing_still_wins(at: datetime) -> None:
    """Consul was away between issue and publication. The password goes on being accepted after its `not_after`, so
    waiting costs nothing, and the other half was left only now."""
    late = replace(RECORD, published_at=NOW + LIFE * 3 / 4)
    answer = decide(PAIR, late, at)
    assert isinstance(answer, Wait)
    assert (answer.cause.reason, answer.until) == (Reason.PAIR_SPACING, NOW + LIFE * 5 / 4)


@given(
    waits=st.lists(st.timedeltas(timedelta(0), 4 * HOUR), min_size=6, max_size=6),
    delays=st.lists(st.timedeltas(timedelta(0), 4 * HOUR), min_size=6, max_size=6),
)
def test_a_half_changes_only_after_its_last_version_has_ended(waits: list[timedelta], delays: list[timedelta]) -> None:
    """Twice half a period is a whole life: with everybody asking all the time, and publication as late as it may be,
    nobody's password changes before the `not_after` that was told for it."""
    now, ends = NOW, []
    record = Record(TARGET, request=asked(ActorKind.OPERATOR))
    for version, (wait, delay) in enumerate(zip(waits, delays, strict=True), start=1):
        answer = decide(PAIR, record, now)
        if isinstance(answer, Wait):
            now = answer.until + wait
        if len(ends) >= 2:
            assert now >= ends[-2]
        facts = make_facts(version, now, LIFE)
        ends.append(facts.not_after)
        now += delay
        cause = Cause(Reason.OPERATOR, request="r0")
        record = apply(replace(record, last_version=version), events.Published(now, TARGET, cause, facts))
        record = replace(record, request=asked(ActorKind.OPERATOR), retiring=())
