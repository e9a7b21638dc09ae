"""When to try again: a fixed timetable per family, never longer than a quarter of the life that is left.

A retry is a decision, not a loop: the time is computed once, when the failure happens, and stored in the record, so it
survives a restart (cert-manager lists "all failing certificates retry at once after a restart" as a must-not).
"""

from __future__ import annotations

from datetime import datetime, timedelta

from rotator.core.due import fixed_share, remaining
from rotator.core.errors import Family
from rotator.core.model import Action, Failure, Record

_TIMETABLE: dict[Family, tuple[int, ...]] = {
    Family.UNAVAILABLE: (1, 2, 5, 10, 20, 30, 60, 120, 300),
    Family.CONFLICT: (1, 1, 2, 5, 10, 30, 60),
    Family.REJECTED: (5, 15, 30, 60, 120, 300, 600),
    Family.DENIED: (5, 10, 30, 60, 120, 300, 600),
    Family.BUG: (30, 120, 300, 900),
}
LEAST = timedelta(seconds=1)
JITTER = 0.2


def held_action(action: Action, family: Family) -> Action:
    """The action that a failure holds back: rejected material is given up, so it is the next intent that waits.

    A retirement gives nothing up: whatever refuses it, it is the retirement itself that waits.
    """
    return Action.INTEND if family is Family.REJECTED and action is not Action.RETIRE else action


def last_failure(record: Record, action: Action) -> Failure | None:
    """The failure that still holds this action back, if its last try failed."""
    failure = record.retire_failure if action is Action.RETIRE else record.failure
    return failure if failure is not None and failure.action is action else None


def failures_so_far(record: Record, action: Action) -> int:
    """How often this action has failed in a row."""
    failure = last_failure(record, action)
    return failure.count if failure else 0


def retry_at(record: Record, action: Action, family: Family, now: datetime) -> datetime:
    """The time of the next try after one more failure of `action` at `now`; at least one second away."""
    table = _TIMETABLE[family]
    count = failures_so_far(record, held_action(action, family))
    delay = timedelta(seconds=table[min(count, len(table) - 1)])
    delay *= 1 + JITTER * fixed_share(record.id, count)
    left = remaining(record, now)
    if left:
        delay = min(delay, left / 4)
    return now + max(delay, LEAST)
