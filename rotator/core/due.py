"""When is it due: share of life, fixed spread per credential and version, safety floor. Pure; `now` is an argument."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

from rotator.core.identity import CredentialId
from rotator.core.model import Facts, Record
from rotator.core.spec import Spec

GOLDEN = 0.6180339887498949


def fixed_share(credential: CredentialId, version: int) -> float:
    """A number in [0, 1) that depends on credential and version alone.

    Drawn again at every check, jitter gathers at the early end of its band (measured on SPIRE's rule, where a day's
    band shrinks to minutes); drawn from a hash it is the same on every instance and after every restart.
    """
    digest = hashlib.sha256(f"{credential}#{version}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def assign_phase(ordinal: int) -> float:
    """The share of its first renewal span at which the `ordinal`-th enrolled credential renews, in (0, 1].

    Multiples of the golden ratio fill the circle evenly for any fleet size, so that a fleet that enrolled in one
    second is flat in its first cycle; a hash would leave the fullest second about 1.6 times the mean.
    """
    return 1.0 - ((ordinal + 1) * GOLDEN) % 1.0


def renewal_at(spec: Spec, record: Record) -> datetime | None:
    """When the current version should be renewed; None when there is none.

    The first version renews at its phase within the span (one early renewal is the price of a flat first cycle),
    later ones at `renew_at` less their fixed share of `spread`.
    """
    facts = record.current
    if facts is None:
        return None
    life = facts.not_after - facts.issued_at
    if facts.version == 1 and record.phase is not None:
        return facts.issued_at + life * spec.policy.renew_at * record.phase
    early = spec.policy.spread * fixed_share(spec.id, facts.version)
    return facts.issued_at + life * (spec.policy.renew_at - early)


def floor_at(spec: Spec, facts: Facts) -> datetime:
    """From here on no window and no pause of others holds a renewal back; backoff, budget and an own pause do."""
    life = facts.not_after - facts.issued_at
    margin = max(life * spec.policy.floor, spec.policy.floor_minimum)
    return facts.not_after - min(margin, life / 4)


def remaining(record: Record, now: datetime) -> timedelta | None:
    """Life left of the current version, never negative; None when there is none."""
    if record.current is None:
        return None
    return max(record.current.not_after - now, timedelta(0))
