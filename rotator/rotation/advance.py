"""Walks many credentials along the street together: one audit write and one Consul transaction per step of a wave.

Vault calls run in a small thread pool; nothing else is concurrent. Two waves are under way at a time: while Vault
answers one, the other is written down and published, so that neither side waits for the other. A wave ends when every
credential in it must wait; the number of rounds is bounded, because a damaged fold of the state must not mint versions
for ever.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime, timedelta

from rotator.core.decide import Do, Wait, decide
from rotator.core.errors import Code, Fault, LeadershipLost
from rotator.core.events import CredentialEvent, Event
from rotator.core.identity import CredentialId, Owner, OwnerKind
from rotator.core.model import Action, Record, Stage
from rotator.core.spec import Spec
from rotator.ports import Clock, Failpoint, Fence, Journal, Lock, Stored
from rotator.rotation.agents import AgentFacts
from rotator.rotation.perform import Performer, Step

# intend, issue, verify, publish, retire, and one more look.
ROUNDS = 6
# Waves under way at a time. More would only leave more intents open when leadership is lost.
LANES = 2
Happened = Mapping[CredentialId, Sequence[Event]]
# A proxy's certificate is published with its document, which every cycle looks at anyway. Due at once, one that waits
# for another certificate of its proxy would make cycles follow each other without a pause.
DOCUMENT_PASS = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Crew:
    """Everything a wave works with."""

    performer: Performer
    journal: Journal
    agents: AgentFacts
    lock: Lock
    clock: Clock
    failpoint: Failpoint
    pool: ThreadPoolExecutor
    wave: int


class Memory:
    """Specs and records of this leadership, and which intents this very process made and has not tried yet."""

    def __init__(self, specs: Mapping[CredentialId, Spec], stored: Mapping[CredentialId, Stored]) -> None:
        self.specs = dict(specs)
        self.stored = dict(stored)
        self.fresh: set[str] = set()
        self.enrolled = sum(1 for one in stored.values() if one.record.last_version > 0)

    def get(self, target: CredentialId) -> Stored:
        return self.stored.get(target) or Stored(Record(target))

    def keep(self, stored: Iterable[Stored]) -> None:
        self.stored.update((one.record.id, one) for one in stored)


class Advance:
    """One per leadership."""

    def __init__(self, crew: Crew, memory: Memory) -> None:
        self._crew = crew
        self._memory = memory
        self._owners: dict[Owner, list[CredentialId]] = {}
        for target in memory.specs:
            self._owners.setdefault(target.owner, []).append(target)
        self.lost: set[CredentialId] = set()

    def walk(self, targets: Sequence[CredentialId], fence: Fence) -> tuple[Event, ...]:
        """Moves these credentials as far as they go now; returns what happened. Raises Fault when memory fails.

        Credentials of proxies and signing keys stop at `verified`: their documents are published by `documents.py`,
        which calls back with `published`. Records that somebody else changed are left in `lost` for the cycle to load
        again.
        """
        happened: list[Event] = []
        lanes: deque[Generator[None, None, None]] = deque()
        try:
            for wave in _slices(targets, self._crew.wave):
                _go_on(lanes, self._wave(wave, fence, happened))
                while len(lanes) >= LANES:
                    _go_on(lanes, lanes.popleft())
            while lanes:
                _go_on(lanes, lanes.popleft())
        finally:
            for lane in lanes:
                lane.close()
        return tuple(happened)

    def agents_at_rest(self) -> Mapping[Owner, Sequence[tuple[Spec, Record]]]:
        """The credentials of each agent that has something published and no rotation in flight."""
        agents = {owner: self._credentials(owner) for owner in self._owners if owner.kind is OwnerKind.AGENT}
        return {
            owner: listed
            for owner, listed in agents.items()
            if any(record.current for _, record in listed) and not any(record.pending for _, record in listed)
        }

    def published(self, targets: Iterable[CredentialId], fault: Fault | None, fence: Fence) -> tuple[Event, ...]:
        """Closes the intents of verified credentials whose document is now in force, or was refused."""
        steps = [step for step in self._steps(targets) if step.do.action is Action.PUBLISH]
        events = {step.spec.id: self._outcome(step, fault) for step in steps}
        self.write(events, fence)
        return tuple(event for listed in events.values() for event in listed)

    def write(self, events: Happened, fence: Fence) -> None:
        """Audit, then records, for many credentials; remembers what is stored now."""
        steps = [(self._memory.get(target), tuple(listed)) for target, listed in events.items() if listed]
        if not steps:
            return
        self._still_leading(fence)
        written = self._crew.journal.write(steps, fence)
        self._memory.keep(written.stored)
        self.lost.update(record.id for record in written.lost)

    def _steps(self, targets: Iterable[CredentialId]) -> list[Step]:
        now = self._crew.clock.now()
        found = []
        for target in targets:
            spec = self._memory.specs.get(target)
            if spec is None or target in self.lost:
                continue
            record = self._memory.get(target).record
            decision = decide(spec, record, now)
            if isinstance(decision, Do):
                found.append(Step(spec, record, decision))
        return found

    def _wave(self, wave: Sequence[CredentialId], fence: Fence, happened: list[Event]) -> Generator[None, None, None]:
        """Yields while Vault works for this wave, so that another one can go on."""
        left = wave
        for _ in range(ROUNDS):
            steps = self._steps(left)
            if not steps:
                break
            events = yield from self._round(steps, fence)
            happened.extend(event for listed in events.values() for event in listed)
            left = [target for target in events if target not in self.lost]

    def _round(self, steps: Sequence[Step], fence: Fence) -> Generator[None, None, Happened]:
        """Each credential does its one action; then one write for all of them."""
        self._still_leading(fence)
        events: dict[CredentialId, Sequence[Event]] = {}
        events.update(self._intend([step for step in steps if step.do.action is Action.INTEND]))
        acting = (Action.ISSUE, Action.VERIFY, Action.RETIRE)
        events.update((yield from self._act([step for step in steps if step.do.action in acting], fence)))
        events.update(self._publish([step for step in steps if step.do.action is Action.PUBLISH], fence))
        self.write(events, fence)
        return events

    def _intend(self, steps: Sequence[Step]) -> Happened:
        events: dict[CredentialId, Sequence[Event]] = {}
        for step in steps:
            self._crew.failpoint.reach("K0", str(step.spec.id))
            intended = self._crew.performer.intend(step, self._memory.enrolled)
            self._memory.enrolled += 1 if step.record.last_version == 0 else 0
            self._memory.fresh.update(event.rotation_id for event in intended)
            events[step.spec.id] = intended
        return events

    def _act(self, steps: Sequence[Step], fence: Fence) -> Generator[None, None, Happened]:
        """In the pool: only here do several Vault calls run at once. None of them outlives this generator, or a later
        cycle could act on the same credential beside it."""
        if not steps:
            return {}
        calls = [self._crew.pool.submit(self._act_one, step, fence) for step in steps]
        try:
            yield
            return {step.spec.id: call.result() for step, call in zip(steps, calls, strict=True)}
        finally:
            wait([call for call in calls if not call.cancel()])

    def _act_one(self, step: Step, fence: Fence) -> Sequence[Event]:
        point = "K1" if step.do.action is Action.ISSUE else "K9" if step.do.action is Action.RETIRE else "K5V"
        self._crew.failpoint.reach(point, str(step.spec.id))
        self._still_leading(fence)
        mark = step.record.pending.rotation_id if step.record.pending else ""
        fresh = mark in self._memory.fresh
        self._memory.fresh.discard(mark)
        events = self._crew.performer.act(step, read_back=not fresh)
        self._crew.failpoint.reach("K12" if step.do.action is Action.RETIRE else "K5W", str(step.spec.id))
        return events

    def _publish(self, steps: Sequence[Step], fence: Fence) -> Happened:
        """Agents' facts, many agents in one transaction. Proxies and signing keys are published by document."""
        ready = [step for step in steps if step.spec.id.owner.kind is OwnerKind.AGENT]
        if not ready:
            return {}
        owners = {step.spec.id.owner: self._credentials(step.spec.id.owner) for step in ready}
        for step in ready:
            self._crew.failpoint.reach("K6", str(step.spec.id))
        faults = self._crew.agents.publish(owners, fence)
        for step in ready:
            self._crew.failpoint.reach("K7", str(step.spec.id))
        return {step.spec.id: self._outcome(step, faults[step.spec.id.owner]) for step in ready}

    def _outcome(self, step: Step, fault: Fault | None) -> tuple[CredentialEvent, ...]:
        facts = step.record.pending.facts if step.record.pending else None
        if fault is not None:
            return self._crew.performer.failed(step, fault)
        if facts is None or step.record.pending is None or step.record.pending.stage is not Stage.VERIFIED:
            return ()
        return (self._crew.performer.published(step, facts),)

    def _credentials(self, owner: Owner) -> Sequence[tuple[Spec, Record]]:
        return [(self._memory.specs[target], self._memory.get(target).record) for target in self._owners[owner]]

    def _still_leading(self, fence: Fence) -> None:
        """The local deadline, asked before every effect (LCK-1)."""
        if self._crew.lock.fence() != fence:
            raise LeadershipLost(Code.LEADERSHIP_LOST, "the local deadline of the leadership has passed")


def wake_at(spec: Spec, record: Record, now: datetime) -> datetime:
    """When the agenda should look at this credential again."""
    decision = decide(spec, record, now)
    if isinstance(decision, Wait):
        return decision.until
    by_document = decision.action is Action.PUBLISH and spec.id.owner.kind is not OwnerKind.AGENT
    return now + DOCUMENT_PASS if by_document else now


def _go_on(lanes: deque[Generator[None, None, None]], lane: Generator[None, None, None]) -> None:
    """Runs a wave until Vault works for it again, and keeps it if it has not ended."""
    try:
        next(lane)
    except StopIteration:
        return
    lanes.append(lane)


def _slices(targets: Sequence[CredentialId], size: int) -> Iterator[Sequence[CredentialId]]:
    for start in range(0, len(targets), size):
        yield targets[start : start + size]
