"""Readiness says yes only when a rotation could succeed now; liveness never depends on others."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from rotator.telemetry.health import Check, DependencyState, Limits, Ready, Signs, live, ready
from rotator.telemetry.snapshot import Role, Snapshot

from .samples import NOW

LIMITS = Limits()
OK = DependencyState(ok_at=NOW)
SNAPSHOT = Snapshot(at=NOW, leader=True, leader_instance="a", epoch=1, config_loaded_at=NOW)
SIGNS = Signs(NOW, NOW, {Check.VAULT: OK, Check.CONSUL: OK, Check.AUDIT: OK})


def with_dependency(check: Check, state: DependencyState | None) -> Signs:
    assert SIGNS.dependencies is not None
    left = {name: known for name, known in SIGNS.dependencies.items() if name is not check}
    return replace(SIGNS, dependencies=left if state is None else {**left, check: state})


def test_leader_with_everything_in_order_is_ready() -> None:
    """The one row of the table that says yes."""
    assert ready(SNAPSHOT, SIGNS, NOW, LIMITS) == Ready(True, Role.LEADER)


def test_standby_that_knows_its_leader_is_ready_with_its_role() -> None:
    """A standby that counts as broken makes every two-instance installation look half down."""
    state = ready(replace(SNAPSHOT, leader=False, leader_instance="b"), SIGNS, NOW, LIMITS)
    assert (state.ready, state.role) == (True, Role.STANDBY)


@pytest.mark.parametrize(
    ("check", "snapshot", "signs"),
    [
        (Check.CONFIG, replace(SNAPSHOT, config_loaded_at=None), SIGNS),
        (Check.LEADERSHIP, replace(SNAPSHOT, leader=False, leader_instance=""), SIGNS),
        (Check.VAULT, SNAPSHOT, with_dependency(Check.VAULT, None)),
        (Check.VAULT, SNAPSHOT, with_dependency(Check.VAULT, DependencyState())),
        (Check.VAULT, SNAPSHOT, with_dependency(Check.VAULT, DependencyState(NOW, "E2002"))),
        (Check.VAULT, SNAPSHOT, with_dependency(Check.VAULT, DependencyState(NOW - timedelta(minutes=3)))),
        (Check.CONSUL, SNAPSHOT, with_dependency(Check.CONSUL, DependencyState(NOW, "E3002"))),
        (Check.AUDIT, SNAPSHOT, with_dependency(Check.AUDIT, DependencyState(NOW, "E5001"))),
        (Check.AUDIT, SNAPSHOT, with_dependency(Check.AUDIT, None)),
        (Check.SCHEDULER, SNAPSHOT, replace(SIGNS, last_tick=None)),
        (Check.SCHEDULER, SNAPSHOT, replace(SIGNS, last_tick=NOW - timedelta(seconds=31))),
        (Check.CLOCK, SNAPSHOT, replace(SIGNS, clock_suspect=True)),
    ],
)
def test_each_obstacle_alone_makes_it_not_ready(check: Check, snapshot: Snapshot, signs: Signs) -> None:
    """A green light while a rotation would fail is how an outage goes unseen until expiry."""
    state = ready(snapshot, signs, NOW, LIMITS)
    assert not state.ready
    assert [why.check for why in state.reasons] == [check]


def test_all_obstacles_are_named_at_once() -> None:
    """Whoever repairs one thing at three in the morning wants to know of the other two."""
    state = ready(Snapshot(), Signs(NOW), NOW, LIMITS)
    expected = {Check.CONFIG, Check.VAULT, Check.CONSUL, Check.AUDIT, Check.SCHEDULER, Check.LEADERSHIP}
    assert {why.check for why in state.reasons} == expected


def test_refused_reload_keeps_it_ready() -> None:
    """The old configuration is in force and works; the metric alerts."""
    assert ready(replace(SNAPSHOT, config_ok=False), SIGNS, NOW, LIMITS).ready


def test_audit_that_was_not_needed_for_hours_is_no_obstacle() -> None:
    """The audit is written when something happens; silence is no failure."""
    old = with_dependency(Check.AUDIT, DependencyState(NOW - timedelta(hours=9)))
    assert ready(SNAPSHOT, old, NOW, LIMITS).ready


def test_process_lives_through_an_outage_and_dies_with_its_scheduler() -> None:
    """Restarting because Vault is down turns one outage into two."""
    down = with_dependency(Check.VAULT, DependencyState(None, "E2001"))
    assert live(down, NOW, LIMITS).alive
    assert live(Signs(NOW), NOW + timedelta(minutes=4), LIMITS).alive
    assert not live(SIGNS, NOW + timedelta(minutes=6), LIMITS).alive
