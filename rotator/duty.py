"""What the daemon drives: one tick is one cycle, shown to the metrics, with the clock watched and the watchdog fed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from rotator.clients.systemd import Notifier
from rotator.core.errors import Code, Fault
from rotator.core.events import Event, FleetEvent, FleetEventName, Intended, Issued, Verified, event_name
from rotator.core.reasons import Cause, Reason
from rotator.ports import Audit, Clock, Lock
from rotator.rotation.cycle import Cycle, Report
from rotator.telemetry.board import Board
from rotator.telemetry.counters import Counters
from rotator.telemetry.health import Check, DependencyState, Limits, Live, Ready, Signs, live, ready
from rotator.telemetry.snapshot import Snapshot

# A wall clock that moved this much more or less than the monotonic one has jumped (TIM-3).
JUMP = timedelta(seconds=30)
# A difference to Vault's clock above this makes every expiry doubtful.
SKEW = timedelta(seconds=60)
_STEPS = (Intended, Issued, Verified)

log = structlog.get_logger("rotator")


# What a status means, so that /readyz names what the runbook explains.
_IN_THE_RUNBOOK = {
    (Check.VAULT, "500"): Code.VAULT_ERROR.value,
    (Check.VAULT, "503"): Code.VAULT_SEALED.value,
    (Check.CONSUL, "500"): Code.CONSUL_ERROR.value,
}


class Pulse:
    """What the last real call to each dependency said; fed by the clients from any thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._states: dict[Check, DependencyState] = {}

    def called(self, check: Check, code: str) -> None:
        """`code`: an HTTP status or an error code. A refusal by a rule of ours is still an answer."""
        answered = code.isdigit() and int(code) < 500
        self.tell(check, "" if answered else _IN_THE_RUNBOOK.get((check, code), code))

    def tell(self, check: Check, code: str) -> None:
        """`code` empty: it works."""
        with self._lock:
            known = self._states.get(check, DependencyState())
            at = known.ok_at if code else self._clock.now()
            self._states[check] = DependencyState(at, code)

    def states(self) -> Mapping[Check, DependencyState]:
        with self._lock:
            return dict(self._states)


class Vault(Protocol):
    """The parts of the Vault client that are not rotations."""

    def ready(self) -> None:
        """A real call; raises Fault."""

    def clock_skew(self) -> timedelta | None:
        """This machine's clock less Vault's, measured at the last reply; None before one."""


@dataclass(frozen=True, slots=True)
class Parts:
    """`picture` makes the snapshot of now; `reload` returns what changes; `close` ends what was opened."""

    cycle: Cycle
    lock: Lock
    audit: Audit
    anchor: Callable[[], None]
    vault: Vault
    upkeep: Callable[[], None]
    board: Board
    counters: Counters
    pulse: Pulse
    clock: Clock
    notifier: Notifier
    picture: Callable[[Cycle], Snapshot]
    reload: Callable[[Cycle], FleetEvent]
    open_web: Callable[[], None]
    close: Callable[[], None]


class Duty:
    """Fills `daemon.Works`."""

    def __init__(self, parts: Parts, tick: timedelta) -> None:
        self._parts = parts
        self._tick = tick
        self._limits = Limits(tick_fresh=max(tick * 6, timedelta(seconds=30)))
        self._started_at = parts.clock.now()
        self._last: tuple[datetime, float] | None = None
        self._ticked_at: datetime | None = None
        self._told_ready = False
        self._known_faults: dict[str, str] = {}
        self._failing_jobs: dict[str, str] = {}

    def start(self) -> None:
        """The audit must be writable before anything else; Vault and Consul may come later (any start order)."""
        self._tell(FleetEventName.STARTED, "the service starts")
        self._parts.pulse.tell(Check.AUDIT, "")
        self._parts.open_web()

    def tick(self) -> bool:
        parts = self._parts
        self._watch_clock()
        began = parts.clock.now()
        report = parts.cycle.run()
        self._note(report)
        ended = parts.clock.now()
        self._ticked_at = ended
        parts.counters.on_tick(ended, max((ended - began - self._tick).total_seconds(), 0.0))
        parts.board.show(parts.picture(parts.cycle))
        self._feed_systemd(report)
        return report.next_at is not None and report.next_at <= ended and not report.faults

    def renew(self) -> None:
        """The lock's own job, so that a long walk does not cost the leadership."""
        if self._parts.lock.fence() is None:
            return
        self._quietly("lock", self._parts.lock.renew)

    def keep_vault(self) -> None:
        """Token life, and a real call, so that readiness knows more than an old success."""
        self._quietly("vault_upkeep", self._parts.upkeep)
        self._quietly("vault", self._parts.vault.ready)

    def keep_anchor(self) -> None:
        """Puts the head of the audit chain where its own disk cannot cut it."""
        self._quietly("anchor", self._parts.anchor)

    def reload(self) -> None:
        self._parts.notifier.reloading(self._parts.clock.monotonic())
        event = self._parts.reload(self._parts.cycle)
        self._quietly("audit", lambda: self._parts.audit.append([event]))
        self._observe([event])
        self._parts.notifier.ready("configuration loaded" if not event.error else "configuration refused")

    def missed(self, job: str) -> None:
        self._parts.counters.on_missed_tick()

    def stop(self) -> None:
        self._parts.notifier.stopping("stopping")
        self._quietly("lock", self._parts.cycle.resign)
        self._quietly("audit", lambda: self._tell(FleetEventName.STOPPED, "the service stops"))
        self._parts.close()

    def live(self) -> Live:
        return live(self._signs(), self._parts.clock.now(), self._limits)

    def ready(self) -> Ready:
        return ready(self._parts.board.snapshot(), self._signs(), self._parts.clock.now(), self._limits)

    def _signs(self) -> Signs:
        suspect = self._parts.cycle.paused is not None
        return Signs(self._started_at, self._ticked_at, self._parts.pulse.states(), suspect)

    def _note(self, report: Report) -> None:
        """Counters and log lines; a fault is told when it is new, not at every tick."""
        self._observe(report.events)
        faults = {part: fault for part, fault in report.faults}
        blocked = next((fault.code.value for fault in faults.values() if fault.code is Code.AUDIT_BLOCKED), "")
        self._parts.pulse.tell(Check.AUDIT, blocked)
        if blocked:
            self._parts.counters.on_audit_error()
        for part, fault in faults.items():
            if self._known_faults.get(part) != fault.code.value:
                log.warning("a part of the cycle failed", part=part, code=fault.code.value, text=fault.text)
        for part in self._known_faults.keys() - faults.keys():
            log.info("a part of the cycle works again", part=part)
        self._known_faults = {part: fault.code.value for part, fault in faults.items()}

    def _observe(self, events: list[Event] | tuple[Event, ...]) -> None:
        self._parts.counters.observe(events)
        for event in events:
            cause = event.cause
            failed = getattr(event, "code", "") or getattr(event, "error", "")
            # The steps between intent and publication stand in the audit; here they would be most of all lines.
            told = log.warning if failed else log.debug if isinstance(event, _STEPS) else log.info
            told(event_name(event), target=str(event.target), reason=cause.reason.value, text=cause.text, code=failed)

    def _watch_clock(self) -> None:
        """A jump, or a difference to Vault's clock, pauses everything that depends on expiry until it is gone."""
        parts = self._parts
        wall, steady = parts.clock.now(), parts.clock.monotonic()
        jumped = False
        if self._last is not None:
            gap = (wall - self._last[0]) - timedelta(seconds=steady - self._last[1])
            jumped = abs(gap) > JUMP
            if jumped:
                self._quietly("audit", lambda: self._tell(FleetEventName.CLOCK_JUMPED, f"the wall clock moved {gap}"))
        self._last = (wall, steady)
        skew = parts.cycle.clock_skew = parts.vault.clock_skew()
        suspect = skew is not None and abs(skew) > SKEW
        if suspect or (jumped and skew is None):
            parts.cycle.paused = Cause(Reason.CLOCK_SUSPECT, "the clock differs from Vault's, or jumped")
        elif not jumped:
            parts.cycle.paused = None

    def _feed_systemd(self, report: Report) -> None:
        notifier = self._parts.notifier
        if not self._told_ready and not report.faults:
            notifier.ready("leading" if report.leading else "standing by")
            self._told_ready = True
        notifier.watchdog()

    def _tell(self, name: FleetEventName, text: str) -> None:
        event = FleetEvent(self._parts.clock.now(), name, "service", Cause(Reason.IN_PROGRESS, text))
        self._parts.audit.append([event])
        self._observe([event])

    def _quietly(self, what: str, act: Callable[[], object]) -> None:
        """A recurring job's failure is logged when it is new; the next run looks again."""
        try:
            act()
        except Fault as fault:
            known, self._failing_jobs[what] = self._failing_jobs.get(what), fault.code.value
            if known != fault.code.value:
                log.warning("a job failed", job=what, code=fault.code.value, text=fault.text)
            return
        if self._failing_jobs.pop(what, None):
            log.info("a job works again", job=what)
