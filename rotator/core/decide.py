"""One credential: spec + record + now -> Do(action, cause) or Wait(until, cause).

`plan`, `explain`, the scheduler and the tests all ask this one function. It knows no world: what the world says
(requests, adoption, suspensions) reaches it inside the record or the spec.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from rotator.core import due, windows
from rotator.core.model import ATTEMPTS_KEPT, Action, Denial, Facts, Pending, Record, Retiring, Stage
from rotator.core.reasons import ActorKind, Cause, Reason
from rotator.core.retry import last_failure
from rotator.core.spec import Spec

FOREVER = timedelta(days=36500)


@dataclass(frozen=True, slots=True)
class Do:
    """Do this now. `facts` names the old version for `retire` and the new one from `verify` on."""

    action: Action
    cause: Cause
    facts: Facts | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do before `until`, unless an event changes the record."""

    until: datetime
    cause: Cause


Decision = Do | Wait


def decide(spec: Spec, record: Record, now: datetime) -> Decision:
    """The next step of one credential. Total: every record has an answer, and answering changes nothing."""
    pending = record.pending
    going = _start(spec, record, now) if pending is None else _continue(spec, record, pending, now)
    if isinstance(going, Do):
        return going
    leaving = _retire(spec, record, now)
    if isinstance(leaving, Do):
        return leaving
    return going if leaving is None or going.until <= leaving.until else leaving


def start_cause(spec: Spec, record: Record, now: datetime) -> Cause | None:
    """Why a rotation should start now, the first matching reason of the closed chain; None if there is none."""
    request, facts = record.request, record.current
    # A request comes first so that its outcome can be told to the person who asked. It hides an urgent reason in
    # name only: what may be overridden depends on the state (`_urgent`), not on the name.
    if request is not None:
        asked = Reason.HOOK if request.actor.kind is ActorKind.HOOK else Reason.OPERATOR
        reason = Reason.COMPROMISE if request.compromise else asked
        return Cause(reason, request.reason, (("requested_at", _text(request.at)),), request.actor, request.id)
    if facts is None:
        return Cause(Reason.MISSING, "no version has been published yet")
    ends = (("not_after", _text(facts.not_after)),)
    denial = next((one for one in record.denied if one.facts.version == facts.version), None)
    if denial is not None:
        # The rotation that was asked for was given up: the proxies refuse what is in force, so another one follows.
        text = "the version in force was reported as compromised"
        return Cause(Reason.COMPROMISE, text, (("denied_at", _text(denial.at)), *ends), request=denial.request)
    if now >= facts.not_after:
        return Cause(Reason.EXPIRED, "the current version has expired", ends)
    if now >= due.floor_at(spec, facts):
        return Cause(Reason.NEAR_EXPIRY, "the safety floor before expiry is reached", ends)
    if facts.spec_digest != spec.digest:
        digests = (("issued_for", facts.spec_digest[:12]), ("wanted", spec.digest[:12]))
        return Cause(Reason.SPEC_CHANGED, "the configuration asks for something else", digests)
    renewal = due.renewal_at(spec, record)
    if renewal is not None and now >= renewal:
        return Cause(Reason.DUE, "the renewal time is reached", (("renewal_at", _text(renewal)), *ends))
    return None


_ASKED = frozenset({Reason.OPERATOR, Reason.HOOK, Reason.COMPROMISE})


def _start(spec: Spec, record: Record, now: datetime) -> Decision:
    cause = start_cause(spec, record, now)
    if cause is None:
        return _not_due(spec, record, now)
    held = _suspended(spec, record, cause, now) or _backoff(record, Action.INTEND, now)
    reserve = cause.reason is Reason.COMPROMISE or _urgent(spec, record, now)
    held = held or _spacing(spec, record, cause, now)
    held = held or _budget(spec, record, reserve, now) or _window(spec, record, cause, now)
    return held or Do(Action.INTEND, cause)


def _urgent(spec: Spec, record: Record, now: datetime) -> bool:
    """Nothing is in force, or what is in force has reached its safety floor."""
    return record.current is None or now >= due.floor_at(spec, record.current)


def _not_due(spec: Spec, record: Record, now: datetime) -> Wait:
    renewal = due.renewal_at(spec, record) or now + FOREVER
    if record.current is not None:
        renewal = min(renewal, due.floor_at(spec, record.current))
    evidence = (("renewal_at", _text(renewal)),)
    return Wait(renewal, Cause(Reason.NOT_DUE, "not due until its renewal time", evidence))


def _suspended(spec: Spec, record: Record, cause: Cause, now: datetime) -> Wait | None:
    """A report of compromise breaks every pause: whoever paused it did not know."""
    pause = spec.suspension
    if pause is None or cause.reason is Reason.COMPROMISE or (not pause.own and _urgent(spec, record, now)):
        return None
    whose = "this credential is" if pause.own else "its owner or everything is"
    evidence = (("suspended_by", pause.actor), ("suspended_at", _text(pause.at)), ("would_start", cause.reason.value))
    until = now + FOREVER
    if not pause.own and record.current is not None:
        until = due.floor_at(spec, record.current)
    return Wait(until, Cause(Reason.SUSPENDED, f"{whose} suspended: {pause.reason}", evidence))


def _backoff(record: Record, action: Action, now: datetime) -> Wait | None:
    failure = last_failure(record, action)
    if failure is None or now >= failure.retry_at:
        return None
    evidence = (("failed", str(failure.count)), ("code", failure.code), ("family", failure.family.value))
    return Wait(failure.retry_at, Cause(Reason.BACKOFF, failure.text, evidence))


def _spacing(spec: Spec, record: Record, cause: Cause, now: datetime) -> Wait | None:
    """Halves of a pair keep their distance whoever asks: the half that is next was left only at the last publication.

    Save after a compromise, where a known password in force is worse than a consumer that has to come back.
    """
    if cause.reason is Reason.COMPROMISE or record.published_at is None:
        return None
    until = record.published_at + spec.policy.spacing
    if now >= until:
        return None
    evidence = (("published_at", _text(record.published_at)), ("would_start", cause.reason.value))
    return Wait(until, Cause(Reason.PAIR_SPACING, "the other half was left less than half a period ago", evidence))


def _budget(spec: Spec, record: Record, reserve: bool, now: datetime) -> Wait | None:
    """Waits when the window's attempts are used up; `reserve`: those kept for urgent cases may be used too."""
    policy = spec.policy
    inside = [at for at in record.attempts if at > now - policy.attempt_window]
    budget = min(policy.attempt_budget, ATTEMPTS_KEPT)
    allowed = max(budget - (0 if reserve else policy.attempt_reserve), 1)
    if len(inside) < allowed:
        return None
    until = sorted(inside)[len(inside) - allowed] + policy.attempt_window
    evidence = (("attempts", str(len(inside))), ("allowed", str(allowed)))
    return Wait(until, Cause(Reason.BUDGET_SPENT, "the attempts of this window are used up", evidence))


def _window(spec: Spec, record: Record, cause: Cause, now: datetime) -> Wait | None:
    if cause.reason in _ASKED or _urgent(spec, record, now) or windows.is_open(spec.policy.windows, now):
        return None
    opening = windows.next_opening(spec.policy.windows, now) or now + FOREVER
    until = min(opening, due.floor_at(spec, record.current)) if record.current else opening
    evidence = (("opens", _text(opening)), ("would_start", cause.reason.value))
    return Wait(until, Cause(Reason.WINDOW_CLOSED, "outside every maintenance window", evidence))


_NEXT = {Stage.INTENDED: Action.ISSUE, Stage.ISSUED: Action.VERIFY, Stage.VERIFIED: Action.PUBLISH}


def _continue(spec: Spec, record: Record, pending: Pending, now: datetime) -> Decision:
    """A rotation in flight goes on whatever windows and pauses say: half a rotation helps nobody.

    What expired while it waited (Consul away for longer than its life) is verified again instead of published:
    verification refuses it, and a new rotation follows.
    """
    outlived = pending.facts is not None and now >= pending.facts.not_after
    action = Action.VERIFY if outlived else _NEXT[pending.stage]
    held = _backoff(record, action, now)
    if held is None and action is Action.ISSUE and last_failure(record, action) is not None:
        held = _budget(spec, record, _urgent(spec, record, now), now)
    return held or Do(action, pending.cause, pending.facts)


def _retire(spec: Spec, record: Record, now: datetime) -> Decision | None:
    """The first old version that may go, or the next moment at which one may; None when there is no old version."""
    denied = {one.facts.version: one for one in record.denied}
    answers = [_retire_one(spec, old, denied.get(old.facts.version), now) for old in record.retiring]
    ready = [answer for answer in answers if isinstance(answer, Do)]
    if ready:
        return _backoff(record, Action.RETIRE, now) or ready[0]
    waits = [answer for answer in answers if isinstance(answer, Wait)]
    return min(waits, key=lambda wait: wait.until, default=None)


def _retire_one(spec: Spec, old: Retiring, denial: Denial | None, now: datetime) -> Decision:
    """Evidence, its own expiry or an audited report of compromise, nothing else, lets an old version go (inv. 2)."""
    replaced = (("replaced_at", _text(old.replaced_at)), ("replaced_by", str(old.replaced_by)))
    if denial is not None:
        text = "the old version was reported as compromised"
        cause = Cause(Reason.COMPROMISE, text, (*replaced, ("denied_at", _text(denial.at))), request=denial.request)
        return Do(Action.RETIRE, cause, old.facts)
    if now >= old.facts.not_after:
        return Do(Action.RETIRE, Cause(Reason.OVERLAP_EXPIRED, "the old version has expired", replaced), old.facts)
    counted_from = old.adopted_at if spec.policy.overlap_from_adoption and old.adopted_at else old.replaced_at
    overlap_ends = counted_from + spec.policy.overlap
    if old.adopted_at is None:
        cause = Cause(Reason.AWAITING_ADOPTION, "no evidence yet that every consumer moved", replaced)
        return Wait(old.facts.not_after, cause)
    if now >= overlap_ends:
        evidence = (*replaced, ("adopted_at", _text(old.adopted_at)))
        return Do(
            Action.RETIRE, Cause(Reason.ADOPTED, "every consumer moved and the overlap is over", evidence), old.facts
        )
    return Wait(
        min(overlap_ends, old.facts.not_after), Cause(Reason.AWAITING_ADOPTION, "the overlap is not over", replaced)
    )


def _text(at: datetime) -> str:
    return at.isoformat(timespec="seconds")
