"""One call of `consul watch`, turned into passes: repeated, coalesced and late calls all end in the same state."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import timedelta

from rotator.core.errors import Fault
from rotator.follower.converge import Convergence, Outcome
from rotator.follower.state import Version
from rotator.ports import Clock, Entry


def handle(
    convergence: Convergence, payload: bytes, clock: Clock, pause: Callable[[float], object], retry_for: int
) -> Outcome:
    """Passes until the published state is in force or `retry_for` seconds are over; Consul will not call again.

    Raises Denied (STATE_DIR_LOCKED) when another follower is at work in the directory.
    """
    announced = announcement(convergence, payload)
    if announced is None and _is_null(payload):
        return Outcome(True, False, clock.now())  # nothing is published: the last good state stays
    applied = convergence.applied()
    if announced is not None and applied.version == announced and applied.confirmed_at and not applied.setbacks:
        return Outcome(True, False, clock.now(), version=announced.number)
    deadline = clock.monotonic() + retry_for
    while True:
        outcome = convergence.run()
        if outcome.settled or clock.monotonic() >= deadline:
            return outcome
        wait = (outcome.next_at - clock.now()) / timedelta(seconds=1)
        pause(max(0.2, min(wait, deadline - clock.monotonic())))


def announcement(convergence: Convergence, payload: bytes) -> Version | None:
    """The version that the call is about; None when it cannot be told, which is no error: a pass will read it."""
    try:
        item = json.loads(payload)
        value = base64.b64decode(item["Value"], validate=True)
        return convergence.subject.desired(Entry(str(item["Key"]), value, int(item["ModifyIndex"])))
    except (ValueError, KeyError, TypeError, Fault):
        return None


def _is_null(payload: bytes) -> bool:
    return payload.strip() == b"null"
