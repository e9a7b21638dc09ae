"""The invariants of the design, held against random lives: faults, crashes, take-overs, pauses, requests, lazy nodes.

Trouble never lasts longer than the outage budget; within that, nobody may ever be without a valid credential.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from rotator.core import events
from rotator.core.model import Request
from rotator.core.reasons import Actor, ActorKind, Cause, Reason
from rotator.core.spec import Suspension

from .samples import MINUTE, TARGET
from .street_world import NODES, Instance, Trouble, World

LAZINESS = 20 * MINUTE
# What goes wrong, at which action of a tick, and whether with the leader or with one that was deposed.
TROUBLE = st.tuples(st.sampled_from(Trouble), st.integers(0, 3), st.sampled_from([True, True, True, False]))
# How many minutes pass, and who does not follow.
MOMENT = st.tuples(st.sampled_from([1, 5, 5, 10]), st.sampled_from(["", "", *NODES]))


class Street(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.a, self.b = Instance("a"), Instance("b")
        self.healthy_at = self.world.now
        self.synced_at = dict.fromkeys(NODES, self.world.now)
        self.asked = 0
        self.troubles: list[tuple[Trouble, int, bool]] = []

    @initialize()
    def begin(self) -> None:
        self.world.take_over(self.a)

    @rule(troubles=st.lists(TROUBLE, min_size=1, max_size=8))
    def arm(self, troubles: list[tuple[Trouble, int, bool]]) -> None:
        """Trouble waits for the next actions: most ticks have none to spoil."""
        self.troubles = troubles

    @rule(moments=st.lists(MOMENT, min_size=4, max_size=24))
    def live(self, moments: list[tuple[int, str]]) -> None:
        """Time passes in ticks."""
        for minutes, lazy in moments:
            self._moment(timedelta(minutes=minutes), lazy)

    @rule(hours=st.integers(1, 9))
    def hours_pass(self, hours: int) -> None:
        """A longer time, so that renewals come."""
        for _ in range(hours * 6):
            self._moment(10 * MINUTE)

    @rule()
    def take_over(self) -> None:
        """The standby gets the lock; the old leader has not noticed and goes on."""
        leader, standby = (self.a, self.b) if self.a.epoch == self.world.epoch else (self.b, self.a)
        assert leader.epoch == self.world.epoch or leader.epoch == 0
        self.world.take_over(standby)

    @rule(compromise=st.booleans(), own_hook=st.booleans())
    def ask(self, compromise: bool, own_hook: bool) -> None:
        """A person or CI asks; the leader writes it down."""
        self.asked += 1
        actor = Actor(ActorKind.HOOK if own_hook else ActorKind.OPERATOR, "ann")
        request = Request(f"r{self.asked}", "wanted", actor, self.world.now, compromise)
        event = events.Requested(self.world.now, TARGET, Cause(Reason.OPERATOR, actor=actor), request)
        leader = self._leader()
        if leader is not None:
            self.world._journal(leader, self.world.record, self.world.index, (event,), None)

    @rule()
    def change_spec(self) -> None:
        """The configuration asks for something else."""
        self.world.spec = replace(self.world.spec, digest=f"{len(self.world.audit):064x}")

    @rule(paused=st.booleans())
    def pause_everything(self, paused: bool) -> None:
        """Somebody pauses all rotations: the safety floor must break through."""
        pause = Suspension(own=False, reason="freeze", actor="bob", at=self.world.now) if paused else None
        self.world.spec = replace(self.world.spec, suspension=pause)

    @rule()
    def faults_clear(self) -> None:
        """After two quiet hours everything is as if nothing had ever gone wrong (invariant 8)."""
        self.pause_everything(paused=False)
        self.troubles = []
        for _ in range(24):
            self._moment(5 * MINUTE)
        # The last of these moments may have begun the next renewal, which is given the time it needs.
        for _ in range(3):
            if self.world.record.pending is not None or self.world.record.adopted_at is None:
                self._moment(MINUTE)
        self.world.check_settled()

    @invariant()
    def all_invariants(self) -> None:
        self.world.check()

    def _leader(self) -> Instance | None:
        return next((one for one in (self.a, self.b) if one.epoch == self.world.epoch), None)

    def _moment(self, by: timedelta, lazy: str = "") -> None:
        world = self.world
        world.now += by
        if self._leader() is None:
            world.take_over(self.b)
        met = [self._tick(instance) for instance in (self.a, self.b) if instance.epoch]
        if not any(met) and world.record.failure is None:
            self.healthy_at = world.now
        for node in NODES:
            if node != lazy or world.now - self.synced_at[node] > LAZINESS:
                world.sync(node)
                self.synced_at[node] = world.now
        world.check()

    def _tick(self, instance: Instance) -> bool:
        world = self.world
        # A pause leaves only the floor as margin: an outage on top of it is more than the design promises.
        outlasted = world.now - self.healthy_at > world.spec.policy.outage_budget or world.spec.suspension is not None
        trouble, at_action, of_leader = self.troubles[0] if self.troubles else (None, 0, True)
        if outlasted or (instance.epoch == world.epoch) is not of_leader:
            trouble = None
        met = world.tick(instance, trouble, at_action)
        if met:
            self.troubles = self.troubles[1:]
        return met


Street.TestCase.settings = settings(settings.get_profile("ci"), max_examples=400, stateful_step_count=40)
TestStreet = Street.TestCase
