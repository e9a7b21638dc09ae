"""record + event -> record. A state is never edited, only followed by a new one."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import assert_never

from rotator.core import events
from rotator.core.model import ATTEMPTS_KEPT, Action, Denial, Facts, Failure, Pending, Record, Request, Retiring, Stage
from rotator.core.retry import failures_so_far, held_action, last_failure


def apply(record: Record, event: events.CredentialEvent) -> Record:
    """The record after the event. Applying the same event twice gives the same record (a lost reply is replayed)."""
    after = _folded(record, event)
    left = tuple(one for one in after.denied if one.facts.not_after > event.at)
    return after if left == after.denied else replace(after, denied=left)


def _folded(record: Record, event: events.CredentialEvent) -> Record:
    match event:
        case events.Requested():
            return _requested(record, event)
        case events.Intended():
            return _intended(record, event)
        case events.Issued():
            return _staged(record, Stage.ISSUED, event.facts)
        case events.Verified():
            return _staged(record, Stage.VERIFIED, event.facts)
        case events.Published():
            return _published(record, event)
        case events.Adopted():
            return _adopted(record, event.facts.version, event.at)
        case events.Retired():
            return _retired(record, event)
        case events.Abandoned():
            return _abandoned(record, event)
        case events.Failed():
            return _failed(record, event)
        case _:
            assert_never(event)


def _requested(record: Record, event: events.Requested) -> Record:
    """A later request replaces a waiting one, but never takes the urgency out of a report of compromise.

    A report of compromise denies every version that is out there, before anything new exists.
    """
    request = event.request
    started = record.pending is not None and record.pending.cause.request == request.id
    finished = record.last_cause is not None and record.last_cause.request == request.id
    waiting = record.request
    if started or finished or (waiting is not None and waiting.compromise and not request.compromise):
        return record
    denied = _denied(record, request, event.at) if request.compromise else record.denied
    return replace(record, request=request, denied=denied)


def _denied(record: Record, request: Request, at: datetime) -> tuple[Denial, ...]:
    """What was denied, and every version that consumers may hold; those that have run out are left out by `apply`."""
    out_there = (
        record.current,
        record.pending.facts if record.pending else None,
        *(old.facts for old in record.retiring),
    )
    have = {one.facts.version for one in record.denied}
    new = (Denial(facts, at, request.id) for facts in out_there if facts and facts.version not in have)
    return (*record.denied, *new)


def _intended(record: Record, event: events.Intended) -> Record:
    """A number is used once: an intent for a version that was intended before is a replay.

    A request that came in after this intent was decided is not answered by it and goes on waiting.
    """
    if event.version <= record.last_version:
        return record
    answered = record.request is None or record.request.id == event.cause.request
    return replace(
        record,
        last_version=event.version,
        phase=record.phase if event.phase is None else event.phase,
        pending=Pending(event.version, event.rotation_id, Stage.INTENDED, event.cause, event.at),
        request=None if answered else record.request,
        attempts=(*record.attempts, event.at)[-ATTEMPTS_KEPT:],
    )


def _staged(record: Record, stage: Stage, facts: Facts) -> Record:
    pending = record.pending
    if pending is None or pending.rotation_id != facts.rotation_id:
        return record
    if stage is Stage.ISSUED and pending.stage is Stage.VERIFIED:
        return record
    done = Action.ISSUE if stage is Stage.ISSUED else Action.VERIFY
    failure = None if record.failure is not None and record.failure.action is done else record.failure
    return replace(record, pending=replace(pending, stage=stage, facts=facts), failure=failure)


def _published(record: Record, event: events.Published) -> Record:
    if record.current is not None and record.current.version >= event.facts.version:
        return record
    replaced = None
    if record.current is not None:
        replaced = Retiring(record.current, event.at, event.facts.version, proven_at=record.adopted_at)
    old = () if replaced is None else (replaced,)
    return replace(
        record,
        current=event.facts,
        published_at=event.at,
        adopted_at=None,
        pending=None,
        failure=None,
        retiring=(*record.retiring, *old),
        last_cause=event.cause,
    )


def _adopted(record: Record, version: int, at: datetime) -> Record:
    """Evidence for a version is evidence for everything that it replaced, directly or through others."""
    moved = tuple(
        replace(old, adopted_at=old.adopted_at or at) if old.replaced_by <= version else old for old in record.retiring
    )
    current = record.current is not None and record.current.version == version
    return replace(record, retiring=moved, adopted_at=(record.adopted_at or at) if current else record.adopted_at)


def _retired(record: Record, event: events.Retired) -> Record:
    left = tuple(old for old in record.retiring if old.facts.version != event.facts.version)
    return replace(record, retiring=left, retire_failure=None)


def _abandoned(record: Record, event: events.Abandoned) -> Record:
    """Only the rotation that is named is given up: a replay must not end the one that followed it."""
    if record.pending is None or record.pending.rotation_id != event.rotation_id:
        return record
    return replace(record, pending=None)


def _failed(record: Record, event: events.Failed) -> Record:
    """A rejected version is dropped by the Abandoned event that follows; its failure holds back the next intent."""
    action = held_action(event.action, event.family)
    known = last_failure(record, action)
    if known is not None and known.at == event.at and known.code == event.code:
        return record
    count = failures_so_far(record, action) + 1
    failure = Failure(action, event.family, event.code, event.text, event.at, count, event.retry_at)
    if action is Action.RETIRE:
        return replace(record, retire_failure=failure)
    attempts = record.attempts if event.action is not Action.ISSUE else (*record.attempts, event.at)[-ATTEMPTS_KEPT:]
    return replace(record, failure=failure, attempts=attempts)
