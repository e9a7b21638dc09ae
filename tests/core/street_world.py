"""A small world for the core: Vault, Consul, consumers, two instances, and faults before and after each effect.

The model has the promises of the real servers and nothing more: KV versions with marks, compare-and-set with a fence,
replies that get lost. The instances do what the street does: decide, perform, write audit, store the record.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum, auto

from rotator.core import adoption, events, retry
from rotator.core.apply import apply
from rotator.core.decide import Do, decide
from rotator.core.errors import Family
from rotator.core.model import Action, Facts, Record, rotation_id
from rotator.core.reasons import Cause, Reason
from rotator.core.spec import Spec

from .samples import HOUR, MINUTE, NOW, TARGET, make_facts, make_spec

NODES = ("n1", "n2")


class Trouble(Enum):
    """What happens to one action, or to the writing of its outcome."""

    DOWN = auto()  # no effect, UNAVAILABLE
    LOST_REPLY = auto()  # effect, UNAVAILABLE
    CONFLICT = auto()
    REJECTED = auto()
    DENIED = auto()
    BUG = auto()
    CRASH_BEFORE = auto()  # no effect, nothing remembered
    CRASH_AFTER = auto()  # effect, nothing remembered
    CRASH_BETWEEN = auto()  # effect and audit line, no record
    RECORD_DOWN = auto()  # the record could not be stored
    RECORD_LOST = auto()  # it was stored, the reply got lost


_FAMILIES = {
    Trouble.DOWN: Family.UNAVAILABLE,
    Trouble.LOST_REPLY: Family.UNAVAILABLE,
    Trouble.CONFLICT: Family.CONFLICT,
    Trouble.REJECTED: Family.REJECTED,
    Trouble.DENIED: Family.DENIED,
    Trouble.BUG: Family.BUG,
}
_AFTER_EFFECT = {Trouble.LOST_REPLY, Trouble.CRASH_AFTER}
_CRASHES = {Trouble.CRASH_BEFORE, Trouble.CRASH_AFTER}


class Fenced(Exception):
    """Consul refused: this instance does not lead any more."""


class Failure(Exception):
    def __init__(self, family: Family) -> None:
        super().__init__(family.value)
        self.family = family


class Crash(Exception):
    pass


def _meet(trouble: Trouble | None, action: Action) -> None:
    if trouble in _CRASHES:
        raise Crash
    if trouble in _FAMILIES and action is not Action.INTEND:
        raise Failure(_FAMILIES[trouble])


@dataclass
class Instance:
    """One process: the epoch under which it believes to lead, and the record as it last saw it."""

    name: str
    epoch: int = 0
    seen: tuple[Record, int] | None = None


@dataclass
class World:
    now: datetime = NOW
    spec: Spec = field(default_factory=make_spec)
    # Consul
    epoch: int = 0
    record: Record = field(default_factory=lambda: Record(TARGET))
    index: int = 0
    pointer: Facts | None = None
    # Vault: KV versions, destroyed ones, and the marks that verification has passed
    stored: list[Facts] = field(default_factory=list)
    destroyed: set[str] = field(default_factory=set)
    # Marks that a report of compromise found out there: only these may go without evidence (invariant 2).
    denied: set[str] = field(default_factory=set)
    verified: set[str] = field(default_factory=set)
    # Consumers, the audit, and what the test counts
    held: dict[str, Facts] = field(default_factory=dict)
    audit: list[events.CredentialEvent] = field(default_factory=list)
    intents: set[str] = field(default_factory=set)
    outcomes: Counter[str] = field(default_factory=Counter)
    calls: list[datetime] = field(default_factory=list)
    retired: int = 0

    # --- what instances do ------------------------------------------------------------------------------------

    def take_over(self, instance: Instance) -> None:
        self.epoch += 1
        instance.epoch, instance.seen = self.epoch, None

    def tick(self, instance: Instance, trouble: Trouble | None, at_action: int) -> bool:
        """Acts until the core says wait; `trouble` meets the action with this number. Returns whether it did."""
        for number in range(12):
            met = trouble if number == at_action else None
            try:
                if not self._step(instance, met):
                    return trouble is not None and number > at_action
            except (Crash, Fenced) as end:
                instance.seen = None
                if isinstance(end, Fenced):
                    instance.epoch = 0
                return trouble is not None and number >= at_action
        raise AssertionError("the core never said wait: a loop without a pause")

    def _step(self, instance: Instance, trouble: Trouble | None) -> bool:
        record, index = instance.seen or (self.record, self.index)
        instance.seen = (record, index)
        happened = self._adopted(record)
        if happened is None:
            decision = decide(self.spec, record, self.now)
            if not isinstance(decision, Do):
                assert decision.until > self.now, decision
                return False
            happened = self._perform(instance, record, decision, trouble)
        self._journal(instance, record, index, happened, trouble)
        return True

    def _adopted(self, record: Record) -> tuple[events.CredentialEvent, ...] | None:
        if not adoption.awaited(record) or record.current is None:
            return None
        seen = [adoption.Seen(node, self.now, facts.version, facts.serial) for node, facts in self.held.items()]
        cause = adoption.evidence(record.current, seen, NODES, self.now)
        return None if cause is None else (events.Adopted(self.now, TARGET, cause, record.current),)

    def _perform(
        self, instance: Instance, record: Record, do: Do, trouble: Trouble | None
    ) -> tuple[events.CredentialEvent, ...]:
        try:
            if trouble in _AFTER_EFFECT:
                self._act(instance, record, do)
            _meet(trouble, do.action)
            return self._act(instance, record, do)
        except Failure as failure:
            return self._failed(record, do, failure.family)

    def _failed(self, record: Record, do: Do, family: Family) -> tuple[events.CredentialEvent, ...]:
        again = retry.retry_at(record, do.action, family, self.now)
        failed = events.Failed(self.now, TARGET, do.cause, do.action, family, "E", "x", again)
        pending = record.pending
        if family is not Family.REJECTED or pending is None or do.action is Action.RETIRE:
            return (failed,)
        cause = Cause(Reason.REJECTED)
        return failed, events.Abandoned(self.now, TARGET, cause, pending.rotation_id, pending.version, pending.facts)

    def _act(self, instance: Instance, record: Record, do: Do) -> tuple[events.CredentialEvent, ...]:
        match do.action:
            case Action.INTEND:
                version = record.last_version + 1
                mark = rotation_id(TARGET, version, self.now)
                phase = 0.618 if version == 1 else None
                return (events.Intended(self.now, TARGET, do.cause, version, mark, phase),)
            case Action.ISSUE:
                return (events.Issued(self.now, TARGET, do.cause, self._issue(record)),)
            case Action.VERIFY:
                assert do.facts is not None
                return (events.Verified(self.now, TARGET, do.cause, self._verify(do.facts)),)
            case Action.PUBLISH:
                assert do.facts is not None
                self._publish(instance, do.facts)
                return (events.Published(self.now, TARGET, do.cause, do.facts, record.current),)
            case Action.RETIRE:
                assert do.facts is not None
                self._retire(do.facts)
                return (events.Retired(self.now, TARGET, do.cause, do.facts),)
            case _:
                raise AssertionError(do.action)

    def _issue(self, record: Record) -> Facts:
        pending = record.pending
        assert pending is not None
        durable = {event.rotation_id for event in self.audit if isinstance(event, events.Intended)}
        assert pending.rotation_id in durable, "an effect without a durable intent"
        own = [facts for facts in self.stored if facts.rotation_id == pending.rotation_id]
        if own:
            return own[0]
        self.calls.append(self.now)
        facts = make_facts(pending.version, self.now, self.spec.ttl, self.spec.digest, pending.rotation_id)
        facts = replace(facts, kv_version=len(self.stored) + 1, serial=pending.rotation_id[:8])
        self.stored.append(facts)
        return facts

    def _verify(self, facts: Facts) -> Facts:
        if facts not in self.stored or facts.rotation_id in self.destroyed or self.now >= facts.not_after:
            raise Failure(Family.REJECTED)
        self.verified.add(facts.rotation_id)
        return facts

    def _publish(self, instance: Instance, facts: Facts) -> None:
        if instance.epoch != self.epoch:
            raise Fenced
        assert facts.rotation_id in self.verified, "published without verification"
        assert self.now < facts.not_after, "published an expired version"
        assert self.pointer is None or self.pointer.version <= facts.version, "the pointer went back"
        self.pointer = facts

    def _retire(self, facts: Facts) -> None:
        if facts.rotation_id in self.denied:
            self.destroyed.add(facts.rotation_id)
            self.retired += 1
            return
        using = [node for node, held in self.held.items() if held.rotation_id == facts.rotation_id]
        assert not using or self.now >= facts.not_after, f"retired while {using} use it"
        assert len(self.held) == len(NODES) or self.now >= facts.not_after, "retired without evidence of all"
        self.destroyed.add(facts.rotation_id)
        self.retired += 1

    def _journal(
        self,
        instance: Instance,
        record: Record,
        index: int,
        happened: tuple[events.CredentialEvent, ...],
        trouble: Trouble | None,
    ) -> None:
        """Audit first, record second, by compare-and-set under the fence."""
        self.audit.extend(happened)
        if trouble is Trouble.CRASH_BETWEEN:
            raise Crash
        if instance.epoch != self.epoch:
            raise Fenced
        if trouble is Trouble.RECORD_DOWN or index != self.index:
            instance.seen = None
            return
        after = record
        for event in happened:
            self._note_compromise(after, event)
            after = apply(after, event)
            assert apply(after, event) == after, f"{event} applied twice differs"
            self._count(event)
        self.record, self.index = after, self.index + 1
        instance.seen = None if trouble is Trouble.RECORD_LOST else (after, self.index)

    def _note_compromise(self, before: Record, event: events.CredentialEvent) -> None:
        if not isinstance(event, events.Requested) or not event.request.compromise:
            return
        pending = (before.pending.facts,) if before.pending else ()
        out_there = (before.current, *pending, *(old.facts for old in before.retiring))
        self.denied.update(facts.rotation_id for facts in out_there if facts is not None)

    def _count(self, event: events.CredentialEvent) -> None:
        match event:
            case events.Intended():
                assert not self.intents - set(self.outcomes), "a second rotation in flight"
                self.intents.add(event.rotation_id)
            case events.Published():
                self.outcomes[event.facts.rotation_id] += 1
            case events.Abandoned():
                self.outcomes[event.rotation_id] += 1

    # --- what consumers do ------------------------------------------------------------------------------------

    def sync(self, node: str) -> None:
        """Fetches what the pointer names, keeps the last good one otherwise."""
        wanted = self.pointer
        if wanted is not None and wanted.rotation_id not in self.destroyed and self.now < wanted.not_after:
            self.held[node] = wanted

    # --- what must hold ---------------------------------------------------------------------------------------

    def check(self, policy_window: timedelta = HOUR) -> None:
        for node, facts in self.held.items():
            gone = facts.rotation_id in self.destroyed - self.denied
            assert not gone, f"{node} holds a destroyed version that nobody reported as compromised"
            assert self.now < facts.not_after, f"{node} holds an expired version since {facts.not_after}"
        if self.pointer is not None:
            assert self.pointer.rotation_id in self.verified
            assert self.pointer.rotation_id not in self.destroyed
        assert all(count == 1 for count in self.outcomes.values()), "two outcomes of one intent"
        assert set(self.outcomes) <= self.intents, "an outcome without an intent"
        assert len(self.intents - set(self.outcomes)) <= 1, "two rotations in flight"
        lately = [at for at in self.calls if at > self.now - policy_window]
        assert len(lately) <= self.spec.policy.attempt_budget, "the attempt budget is exceeded"

    def check_settled(self) -> None:
        """As if nothing had ever gone wrong."""
        record = self.record
        assert record.pending is None
        assert record.current is not None
        assert record.current == self.pointer
        assert record.failure is None
        assert record.retire_failure is None
        assert record.request is None
        assert record.current.rotation_id not in self.denied, "a compromised version stays in force"
        assert all(old.facts.rotation_id not in self.denied for old in record.retiring), "a compromised version is kept"
        assert record.current.spec_digest == self.spec.digest
        assert self.intents == set(self.outcomes), "an intent without an outcome"
        assert all(held == self.pointer for held in self.held.values())
        assert record.adopted_at is not None
        assert self.now < record.current.not_after
        assert all(self.now < old.replaced_at + self.spec.policy.overlap + 10 * MINUTE for old in record.retiring)
