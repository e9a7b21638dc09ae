"""Alive and ready, from values alone. Ready means: a rotation could succeed now (invariant I10 of the requirements)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from rotator.telemetry.snapshot import Role, Snapshot


class Check(StrEnum):
    """What readiness consists of; the same words in the answer of `/readyz` and in the runbook."""

    CONFIG = "config"
    VAULT = "vault"
    CONSUL = "consul"
    AUDIT = "audit"
    SCHEDULER = "scheduler"
    CLOCK = "clock"
    LEADERSHIP = "leadership"


@dataclass(frozen=True, slots=True)
class DependencyState:
    """What the last real call said. `ok_at`: when one last succeeded; `code`: of the last failure, "" after success.

    A health endpoint of the other side is no evidence: with its audit device full, Vault answers 200 on `sys/health`
    and 500 on everything else.
    """

    ok_at: datetime | None = None
    code: str = ""


@dataclass(frozen=True, slots=True)
class Signs:
    """What the process knows about itself besides the snapshot.

    dependencies: of VAULT, CONSUL and AUDIT. last_tick: end of the last reconcile tick. started_at: of the process.
    clock_suspect: the wall clock jumped or differs too much from Vault's.
    """

    started_at: datetime
    last_tick: datetime | None = None
    dependencies: Mapping[Check, DependencyState] | None = None
    clock_suspect: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """tick_fresh: age of the last tick that is still fresh. call_fresh: the same for the last real call that
    succeeded. stuck: without a tick for this long the process is no longer alive and should be restarted."""

    tick_fresh: timedelta = timedelta(seconds=30)
    call_fresh: timedelta = timedelta(minutes=2)
    stuck: timedelta = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Why:
    """One reason against readiness. `text` is constant per case: no address, path or reply enters it."""

    check: Check
    text: str
    code: str = ""


@dataclass(frozen=True, slots=True)
class Live:
    alive: bool
    reasons: tuple[Why, ...] = ()


@dataclass(frozen=True, slots=True)
class Ready:
    ready: bool
    role: Role
    reasons: tuple[Why, ...] = ()


def live(signs: Signs, now: datetime, limits: Limits) -> Live:
    """Alive unless the scheduler is stuck: an outage of Vault or Consul is no reason to restart this process."""
    if now - (signs.last_tick or signs.started_at) <= limits.stuck:
        return Live(True)
    return Live(False, (Why(Check.SCHEDULER, "the scheduler is stuck"),))


def ready(snapshot: Snapshot, signs: Signs, now: datetime, limits: Limits) -> Ready:
    """Everything that stands against a successful rotation now, all of it rather than the first.

    A standby is ready when it could take over: it passes the same checks and knows who leads.
    """
    dependencies = signs.dependencies or {}
    found = [_config(snapshot)]
    found += [_dependency(check, dependencies.get(check), now, limits) for check in (Check.VAULT, Check.CONSUL)]
    found += [_audit(dependencies.get(Check.AUDIT)), _tick(signs, now, limits), _clock(signs), _leader(snapshot)]
    reasons = tuple(why for why in found if why is not None)
    return Ready(not reasons, snapshot.role, reasons)


def _config(snapshot: Snapshot) -> Why | None:
    """A refused reload leaves the old configuration in force: that alerts, but rotations still succeed."""
    return None if snapshot.config_loaded_at else Why(Check.CONFIG, "no configuration is loaded")


def _dependency(check: Check, state: DependencyState | None, now: datetime, limits: Limits) -> Why | None:
    if state is None or (state.ok_at is None and not state.code):
        return Why(check, "not called yet")
    if state.code:
        return Why(check, "the last call failed", state.code)
    if state.ok_at is None or now - state.ok_at > limits.call_fresh:
        return Why(check, "no call has succeeded lately")
    return None


def _audit(state: DependencyState | None) -> Why | None:
    """The audit is written only when something happens, so the age of its last success says nothing."""
    if state is None or (state.ok_at is None and not state.code):
        return Why(Check.AUDIT, "not written yet")
    return Why(Check.AUDIT, "the audit cannot be written", state.code) if state.code else None


def _tick(signs: Signs, now: datetime, limits: Limits) -> Why | None:
    if signs.last_tick is None:
        return Why(Check.SCHEDULER, "no tick has ended yet")
    if now - signs.last_tick > limits.tick_fresh:
        return Why(Check.SCHEDULER, "the last tick is too long ago")
    return None


def _clock(signs: Signs) -> Why | None:
    return Why(Check.CLOCK, "the clock is suspect") if signs.clock_suspect else None


def _leader(snapshot: Snapshot) -> Why | None:
    return Why(Check.LEADERSHIP, "no leader is known") if snapshot.role is Role.UNKNOWN else None
