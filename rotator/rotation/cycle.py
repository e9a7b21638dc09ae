"""One cycle: hold the lock, look, answer requests, walk what is due, publish. Called by the scheduler's tick.

A fault in one part does not stop the others: with Vault away, requests, suspensions, adoption and documents go on;
with Consul away nothing is changed anywhere. Only lost leadership ends the cycle at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from rotator.core.errors import Code, Fault, LeadershipLost, Unavailable
from rotator.core.events import Event, FleetEvent, FleetEventName
from rotator.core.fleet import Proxy
from rotator.core.reasons import Cause, Reason
from rotator.ports import Clock, Fence, Lock, Secrets
from rotator.publish import canonical
from rotator.records.open_intents import OpenIntent
from rotator.rotation import recovery
from rotator.rotation.inbox import Inbox
from rotator.rotation.reign import Realm, Reign

TRUST_FRESH = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Report:
    """What one cycle came to. `faults`: part of the cycle -> what stopped it. `next_at`: when something is due."""

    at: datetime
    leading: bool
    events: tuple[Event, ...] = ()
    faults: tuple[tuple[str, Fault], ...] = ()
    next_at: datetime | None = None


@dataclass(slots=True)
class _Run:
    """Collects what happens in one cycle."""

    events: list[Event] = field(default_factory=list)
    faults: list[tuple[str, Fault]] = field(default_factory=list)

    def part(self, name: str, act: Callable[[], tuple[Event, ...] | None]) -> Fault | None:
        """The fault that stopped this part, None when it went through."""
        try:
            self.events.extend(act() or ())
        except LeadershipLost:
            raise
        except Fault as fault:
            self.faults.append((name, fault))
            return fault
        return None


class Cycle:
    """The one caller of everything in this room. Not thread-safe; the scheduler runs one at a time."""

    def __init__(
        self, realm: Realm, lock: Lock, secrets: Secrets, pki_mount: str, left: tuple[OpenIntent, ...]
    ) -> None:
        """`left`: what the audit chain of this instance left open when the process before this one ended."""
        self._realm = realm
        self._lock = lock
        self._secrets = secrets
        self._inbox = Inbox(realm.keys, realm.layout)
        self._pki_mount = pki_mount
        self._left = left
        self._reign: Reign | None = None
        self._told: Fence | None = None  # the leadership that the audit knows of
        self._trust: tuple[str, ...] = ()
        self._trust_at: datetime | None = None
        self.clock_skew: timedelta | None = None
        self.leader_seen = ""  # who leads when we do not
        self.paused: Cause | None = None  # set when the clock is suspect: look, but change nothing

    @property
    def reign(self) -> Reign | None:
        return self._reign

    @property
    def trust(self) -> tuple[str, ...]:
        return self._trust

    def change_realm(self, realm: Realm) -> None:
        """A new configuration: the same leadership goes on with it from the next cycle."""
        self._realm = realm
        self._end_reign()

    def run(self) -> Report:
        """Never raises Fault: what went wrong stands in the report, and the next cycle looks again."""
        run, now = _Run(), self._clock.now()
        try:
            reign = self._lead(run)
            if reign is None:
                return Report(now, False, tuple(run.events), tuple(run.faults))
            self._parts(run, reign)
            # While paused, what is due stays due: naming it would make the caller look again at once, for ever.
            next_at = reign.next_at() if self.paused is None else None
            return Report(now, True, tuple(run.events), tuple(run.faults), next_at)
        except LeadershipLost as lost:
            run.faults.append(("lock", lost))
            self._forget(run, str(lost))
            run.part("lock", self._ask_about_the_lock)
            return Report(now, False, tuple(run.events), tuple(run.faults))

    def resign(self) -> None:
        """Orderly stop: the lock goes before the session, so that the next instance need not wait."""
        self._end_reign()
        self._lock.release()

    @property
    def _clock(self) -> Clock:
        return self._realm.crew.clock

    def _parts(self, run: _Run, reign: Reign) -> None:
        run.part("suspensions", lambda: reign.apply_suspensions(self._inbox.suspensions()))
        run.part("observe", reign.observe)
        run.part("inbox", lambda: self._inbox.answer(reign))
        self._publish_documents(run, reign, reign.lacking_denials())
        if self.paused is None:
            run.part("tokens", reign.replace_unverifiable)
            run.part("walk", reign.walk)
            run.part("facts", reign.repair_facts)
            run.part("trust", self._refresh_trust)
            run.part("revocations", reign.refresh_revocations)
            self._publish_documents(run, reign, reign.realm.fleet.proxies)
            run.part("signers", reign.publish_signers)
        run.part("reload", reign.reload_lost)

    def _publish_documents(self, run: _Run, reign: Reign, proxies: tuple[Proxy, ...]) -> None:
        """Each proxy is a part of its own: a damaged key of one must not keep the others from their certificates."""
        for proxy in proxies:
            fault = run.part(f"proxy/{proxy.name}", partial(reign.publish_document, proxy, self._trust))
            if isinstance(fault, Unavailable):
                return  # the next one would wait for Consul just as long

    def _lead(self, run: _Run) -> Reign | None:
        """The reign of the fence that holds now; a new one after a take-over, which reconciles before it plans."""
        try:
            fence = self._lock.fence() or self._lock.acquire()
        except LeadershipLost:
            raise
        except Fault as fault:
            run.faults.append(("lock", fault))
            fence = None
        if fence is None:
            if self._reign is not None:
                self._forget(run, "the lock is not held any more")
            run.part("leader", self._see_leader)
            return None
        if self._reign is None or self._reign.fence != fence:
            return self._take_over(run, fence)
        return self._reign

    def _ask_about_the_lock(self) -> None:
        """Consul has refused our fence, and the local deadline has not passed: without asking, the next cycle would
        take the same dead leadership for a new one, and touch Vault under it (invariant 4)."""
        self._lock.renew()

    def _see_leader(self) -> None:
        """Who leads instead of us: a standby is ready when somebody does."""
        entry = self._realm.keys.read(self._realm.layout.lock)
        held = entry is not None and entry.session
        self.leader_seen = str(canonical.decode(entry.value, "the lock").get("instance", "")) if entry and held else ""

    def _take_over(self, run: _Run, fence: Fence) -> Reign | None:
        try:
            if self._told != fence:
                self._realm.tools.audit.set_epoch(fence.epoch)
                self._tell(run, FleetEventName.LEADERSHIP_GAINED, f"epoch {fence.epoch}")
                self._told = fence
            self._end_reign()
            reign = Reign(self._realm, fence)
            self._close_what_was_left(run, reign)
            self._reign = reign
        except LeadershipLost:
            raise
        except Fault as fault:
            run.faults.append(("records", fault))
            self._reign = None
        return self._reign

    def _close_what_was_left(self, run: _Run, reign: Reign) -> None:
        """Before anything new is intended: every intent gets its outcome (invariant 5)."""
        if not self._left:
            return
        events = recovery.outcomes(self._left, reign.memory.stored, reign.realm.shelf, self._clock.now())
        if events:
            self._realm.tools.audit.append(events)
        self._left = ()
        run.events.extend(events)

    def _forget(self, run: _Run, why: str) -> None:
        """All work hangs on the leadership and goes with it."""
        self._end_reign()
        try:
            self._tell(run, FleetEventName.LEADERSHIP_LOST, why)
        except Fault as fault:
            run.faults.append(("audit", fault))

    def _end_reign(self) -> None:
        """What it leaves without an outcome is settled by the next one."""
        if self._reign is not None:
            self._left += self._reign.publication.doubtful()
        self._reign = None

    def _tell(self, run: _Run, name: FleetEventName, text: str) -> None:
        event = FleetEvent(self._clock.now(), name, "service", Cause(Reason.NO_LOCK, text))
        self._realm.tools.audit.append([event])
        run.events.append(event)

    def _refresh_trust(self) -> tuple[Event, ...]:
        """The CA bundle of the proxies; an empty answer is never believed while one is known (ENG-15)."""
        now = self._clock.now()
        if self._trust and self._trust_at is not None and now - self._trust_at < TRUST_FRESH:
            return ()
        chain = self._secrets.ca_chain(self._pki_mount)
        if not chain:
            raise Fault(Code.VAULT_NOT_CONFIGURED, f"{self._pki_mount} has no issuer", hint="run rotator bootstrap")
        self._trust, self._trust_at = chain, now
        return ()
