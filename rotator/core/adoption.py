"""Who must have moved before an old version may go, and whether they did. Pure; reports are plain values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from rotator.core.model import Facts, Record
from rotator.core.reasons import Actor, ActorKind, Cause, Reason

# A node that has not reported for this long no longer holds a retirement back: it gets the current pointer when it
# returns. Followers report at every change and at least every minute.
STALE_AFTER = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Seen:
    """What one node says it runs of one credential."""

    node: str
    at: datetime
    version: int
    serial: str


def evidence(facts: Facts, seen: Iterable[Seen], required: tuple[str, ...], now: datetime) -> Cause | None:
    """The cause of an Adopted event when every node that counts runs `facts`, else None.

    `required` names the nodes that must confirm; when empty, every node that reported lately must, and at least one.
    A node that runs a later version has moved as well.
    """
    lately = {one.node: one for one in seen if now - one.at <= STALE_AFTER}
    names = required or tuple(sorted(lately))
    if not names or not all(_runs(lately.get(name), facts) for name in names):
        return None
    proof = tuple((name, f"version {lately[name].version} serial {lately[name].serial}") for name in names)
    return Cause(Reason.ADOPTED, "every consumer runs it", proof, Actor(ActorKind.FOLLOWER, ",".join(names)))


def everywhere(found: Mapping[str, Cause | None]) -> Cause | None:
    """One cause of the evidence of several groups of consumers, by their names; None while any of them lacks it."""
    complete = {name: cause for name, cause in found.items() if cause is not None}
    if not found or len(complete) < len(found):
        return None
    proof = tuple((f"{name}/{node}", text) for name, cause in complete.items() for node, text in cause.evidence)
    actor = Actor(ActorKind.FOLLOWER, ",".join(node for node, _ in proof))
    return Cause(Reason.ADOPTED, "every consumer runs it", proof, actor)


def laggards(facts: Facts, seen: Iterable[Seen], required: tuple[str, ...], now: datetime) -> tuple[str, ...]:
    """The nodes that still hold `facts` back, in name order; a required node that never reported is one."""
    lately = {one.node: one for one in seen if now - one.at <= STALE_AFTER}
    return tuple(name for name in sorted(set(required) | set(lately)) if not _runs(lately.get(name), facts))


def awaited(record: Record) -> bool:
    """Whether anybody waits for evidence about the current version of this record."""
    return record.current is not None and record.adopted_at is None


def _runs(one: Seen | None, facts: Facts) -> bool:
    if one is None or one.version < facts.version:
        return False
    return one.version > facts.version or one.serial == facts.serial
