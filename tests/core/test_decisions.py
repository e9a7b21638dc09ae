"""decide and apply, case by case."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from rotator.core import due, events, retry
from rotator.core.apply import apply
from rotator.core.decide import Do, Wait, decide, start_cause
from rotator.core.errors import Family
from rotator.core.model import ATTEMPTS_KEPT, Action, Pending, Record, Request, Retiring, Stage
from rotator.core.reasons import Actor, ActorKind, Cause, Reason
from rotator.core.spec import Policy, Suspension

from .samples import HOUR, MINUTE, NOW, SECOND, TARGET, make_facts, make_record, make_spec

SPEC = make_spec()
RECORD = make_record()
CURRENT = make_facts(2)
END = CURRENT.not_after
FLOOR = due.floor_at(SPEC, CURRENT)
DUE_AT = due.renewal_at(SPEC, RECORD) or NOW
CAUSE = Cause(Reason.DUE)


def request(kind: ActorKind = ActorKind.OPERATOR, compromise: bool = False, name: str = "r1") -> Request:
    return Request(name, "wanted", Actor(kind, "ann"), NOW, compromise)


def pending(stage: Stage, life: timedelta = 12 * HOUR) -> Record:
    facts = None if stage is Stage.INTENDED else make_facts(3, NOW + HOUR, life)
    return replace(RECORD, last_version=3, pending=Pending(3, f"{3:032x}", stage, CAUSE, NOW, facts))


def failed(record: Record, action: Action, family: Family = Family.UNAVAILABLE, at: timedelta = HOUR) -> Record:
    now = NOW + at
    again = retry.retry_at(record, action, family, now)
    return apply(record, events.Failed(now, TARGET, CAUSE, action, family, "E2001", "gone", again))


@pytest.mark.parametrize(
    ("record", "at", "reason"),
    [
        (Record(TARGET), NOW, Reason.MISSING),
        (RECORD, END, Reason.EXPIRED),
        (RECORD, FLOOR, Reason.NEAR_EXPIRY),
        (replace(RECORD, current=make_facts(2, digest="old")), NOW, Reason.SPEC_CHANGED),
        (RECORD, DUE_AT, Reason.DUE),
        (replace(RECORD, request=request()), END, Reason.OPERATOR),
        (replace(RECORD, request=request(ActorKind.HOOK)), NOW, Reason.HOOK),
        (replace(RECORD, request=request(compromise=True)), NOW, Reason.COMPROMISE),
    ],
)
def test_first_matching_reason_of_the_chain_wins(record: Record, at: datetime, reason: Reason) -> None:
    """One reason per rotation, always the same for the same state: audit, metric and page name it."""
    cause = start_cause(SPEC, record, at)
    assert cause is not None
    assert cause.reason is reason


def test_nothing_starts_before_its_time_and_the_wait_ends_at_it() -> None:
    """The scheduler looks again at `until` and not a second earlier."""
    assert start_cause(SPEC, RECORD, DUE_AT - SECOND) is None
    waits = decide(SPEC, RECORD, DUE_AT - SECOND)
    assert isinstance(waits, Wait)
    assert waits.until == DUE_AT


def test_wait_never_passes_the_floor_when_renewal_is_set_late() -> None:
    """With `renew_at` behind the floor, sleeping until the renewal time would sleep through the floor."""
    spec = make_spec(Policy(renew_at=0.99, spread=0.0, floor=0.2))
    waits = decide(spec, RECORD, NOW)
    assert isinstance(waits, Wait)
    assert waits.until == due.floor_at(spec, CURRENT)


@pytest.mark.parametrize("waiting", [None, request()])
def test_pause_of_others_yields_at_the_floor_even_while_a_request_waits(waiting: Request | None) -> None:
    """A waiting request names the rotation after the person; that must not hide how urgent it is."""
    spec = replace(SPEC, suspension=Suspension(own=False, reason="freeze", actor="bob", at=NOW))
    record = replace(RECORD, request=waiting)
    before = decide(spec, record, FLOOR - SECOND)
    assert isinstance(before, Wait)
    assert (before.until, before.cause.reason) == (FLOOR, Reason.SUSPENDED)
    assert isinstance(decide(spec, record, FLOOR), Do)


def test_own_pause_is_obeyed_to_the_end() -> None:
    """Who pauses exactly this credential means it."""
    spec = replace(SPEC, suspension=Suspension(own=True, reason="migration", actor="bob", at=NOW))
    for at in (FLOOR, END + HOUR):
        answer = decide(spec, RECORD, at)
        assert isinstance(answer, Wait)
        assert answer.cause.reason is Reason.SUSPENDED


@pytest.mark.parametrize(("at", "allowed"), [(DUE_AT, 15), (FLOOR, 20)])
def test_budget_keeps_a_reserve_for_the_floor(at: datetime, allowed: int) -> None:
    """An afternoon of failures must not use up the tries of the last hour."""
    tries = tuple(at - number * MINUTE for number in range(allowed))
    assert isinstance(decide(SPEC, replace(RECORD, attempts=tries[1:]), at), Do)
    held = decide(SPEC, replace(RECORD, attempts=tries), at)
    assert isinstance(held, Wait)
    assert (held.cause.reason, held.until) == (Reason.BUDGET_SPENT, tries[-1] + HOUR)


@pytest.mark.parametrize("policy", [Policy(attempt_budget=5, attempt_reserve=5), Policy(attempt_budget=500)])
def test_odd_budgets_have_an_answer(policy: Policy) -> None:
    """decide is total; and no budget is larger than the number of tries that a record remembers."""
    spec = make_spec(policy)
    assert isinstance(decide(spec, RECORD, DUE_AT), Do)
    full = tuple(DUE_AT - number * SECOND for number in range(ATTEMPTS_KEPT))
    assert isinstance(decide(spec, replace(RECORD, attempts=full), DUE_AT), Wait)


def test_failed_step_waits_for_its_retry_time() -> None:
    """When to try again was decided when it failed; asking again and again must not change that."""
    record = failed(pending(Stage.INTENDED), Action.ISSUE)
    assert record.failure is not None
    held = decide(SPEC, record, NOW + HOUR)
    assert isinstance(held, Wait)
    assert (held.cause.reason, held.until) == (Reason.BACKOFF, record.failure.retry_at)
    answer = decide(SPEC, record, record.failure.retry_at)
    assert isinstance(answer, Do)
    assert answer.action is Action.ISSUE


def test_failing_retirement_and_failing_renewal_keep_their_own_backoff() -> None:
    """In one place each would erase the other's wait: with Vault down both would be tried without a pause."""
    old = Retiring(make_facts(1), NOW, 2, adopted_at=NOW)
    record = failed(failed(replace(pending(Stage.INTENDED), retiring=(old,)), Action.ISSUE), Action.RETIRE)
    record = failed(record, Action.ISSUE, at=HOUR + SECOND)
    assert isinstance(decide(SPEC, record, NOW + HOUR), Wait)
    assert (retry.failures_so_far(record, Action.ISSUE), retry.failures_so_far(record, Action.RETIRE)) == (2, 1)


def test_refused_retirement_holds_back_the_retirement_alone() -> None:
    """It gives no rotation up, so it may not hold one back."""
    old = Retiring(make_facts(1), NOW, 2, adopted_at=NOW)
    record = failed(replace(RECORD, retiring=(old,)), Action.RETIRE, Family.REJECTED)
    assert isinstance(decide(SPEC, record, NOW + HOUR), Wait)
    starts = decide(SPEC, record, DUE_AT)
    assert isinstance(starts, Do)


def test_rejected_material_holds_back_the_next_intent() -> None:
    """The version is given up; minting the next one at once would be a loop that fills Vault."""
    record = failed(pending(Stage.ISSUED), Action.VERIFY, Family.REJECTED, at=DUE_AT - NOW)
    record = apply(record, events.Abandoned(DUE_AT, TARGET, Cause(Reason.REJECTED), f"{3:032x}", 3))
    held = decide(SPEC, record, DUE_AT)
    assert isinstance(held, Wait)
    assert held.cause.reason is Reason.BACKOFF


@pytest.mark.parametrize(
    ("stage", "action"),
    [(Stage.INTENDED, Action.ISSUE), (Stage.ISSUED, Action.VERIFY), (Stage.VERIFIED, Action.PUBLISH)],
)
def test_rotation_in_flight_goes_on_and_a_request_waits_for_its_end(stage: Stage, action: Action) -> None:
    """One rotation per credential is in flight, whatever is asked and whoever paused."""
    spec = replace(SPEC, suspension=Suspension(own=True, reason="freeze", actor="bob", at=NOW))
    record = apply(pending(stage), events.Requested(NOW, TARGET, CAUSE, request()))
    answer = decide(spec, record, NOW + 2 * HOUR)
    assert isinstance(answer, Do)
    assert answer.action is action
    done = apply(record, events.Published(NOW + 2 * HOUR, TARGET, CAUSE, make_facts(3)))
    again = decide(SPEC, done, NOW + 2 * HOUR)
    assert isinstance(again, Do)
    assert (again.action, again.cause.request) == (Action.INTEND, "r1")


@pytest.mark.parametrize("stage", [Stage.ISSUED, Stage.VERIFIED])
def test_version_that_expired_while_it_waited_is_not_published(stage: Stage) -> None:
    """Consul was away for longer than the credential lives: verification must see it again and refuse it."""
    answer = decide(SPEC, pending(stage, life=HOUR), NOW + 2 * HOUR)
    assert isinstance(answer, Do)
    assert answer.action is Action.VERIFY


@pytest.mark.parametrize(
    ("adopted", "at", "acts"),
    [
        (False, NOW + 11 * HOUR, False),
        (False, NOW + 12 * HOUR, True),
        (True, NOW + 29 * SECOND, False),
        (True, NOW + 30 * SECOND, True),
    ],
)
def test_old_version_goes_on_evidence_and_overlap_or_at_its_own_expiry(adopted: bool, at: datetime, acts: bool) -> None:
    """Invariant 2: nothing else lets an old version go, and the overlap counts from the publication."""
    old = Retiring(make_facts(1), NOW, 2, adopted_at=NOW if adopted else None)
    record = replace(make_record(issued=NOW + 6 * HOUR), retiring=(old,))
    answer = decide(SPEC, record, at)
    assert isinstance(answer, Do) is acts
    assert acts or (isinstance(answer, Wait) and answer.cause.reason is Reason.AWAITING_ADOPTION)


def test_evidence_covers_only_what_the_adopted_version_replaced() -> None:
    """Evidence for version 2 says nothing about version 2 itself, which version 3 replaced."""
    old = (Retiring(make_facts(1), NOW, 2), Retiring(make_facts(2), NOW, 3))
    record = replace(make_record(3), retiring=old, adopted_at=None)
    after = apply(record, events.Adopted(NOW, TARGET, CAUSE, make_facts(2)))
    assert [one.adopted_at for one in after.retiring] == [NOW, None]
    assert after.adopted_at is None
    assert apply(after, events.Adopted(NOW + HOUR, TARGET, CAUSE, make_facts(3))).adopted_at == NOW + HOUR


def test_replayed_events_change_nothing() -> None:
    """After a lost reply the same events are folded again, also when others followed."""
    intended = events.Intended(NOW, TARGET, CAUSE, 3, f"{3:032x}")
    issued = events.Issued(NOW, TARGET, CAUSE, make_facts(3))
    verified = events.Verified(NOW, TARGET, CAUSE, make_facts(3))
    published = events.Published(NOW, TARGET, CAUSE, make_facts(3))
    record = RECORD
    for event in (intended, issued, verified):
        record = apply(record, event)
    assert apply(apply(record, intended), issued) == record
    record = apply(record, published)
    for event in (intended, issued, verified, published):
        record = apply(record, event)
    assert (record.pending, len(record.retiring), len(record.attempts)) == (None, 1, 1)
    following = apply(record, events.Intended(NOW, TARGET, CAUSE, 4, f"{4:032x}"))
    assert apply(following, events.Abandoned(NOW, TARGET, CAUSE, f"{3:032x}", 3)) == following


def test_report_of_compromise_is_not_softened_by_a_later_request() -> None:
    """An ordinary request that replaces it would take away its right to the reserve."""
    record = apply(RECORD, events.Requested(NOW, TARGET, CAUSE, request(compromise=True)))
    record = apply(record, events.Requested(NOW, TARGET, CAUSE, request(name="r2")))
    assert record.request is not None
    assert record.request.compromise
