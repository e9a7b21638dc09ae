"""Counts what happens: events of the street, calls to Vault and Consul, ticks.

An observer may fail, the street may not: whatever goes wrong here is counted and swallowed at this border.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import wraps
from typing import Concatenate, ParamSpec

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from rotator.core import events
from rotator.core.errors import Family
from rotator.core.events import Event, FleetEvent, FleetEventName
from rotator.core.model import Action
from rotator.core.reasons import Reason
from rotator.telemetry import names
from rotator.telemetry.board import Board
from rotator.telemetry.names import Metric

P = ParamSpec("P")

# The reasons for which a rotation can start (`core/decide.py`), and the one that is used when the start is unknown.
STARTS = (
    Reason.MISSING,
    Reason.COMPROMISE,
    Reason.OPERATOR,
    Reason.HOOK,
    Reason.EXPIRED,
    Reason.NEAR_EXPIRY,
    Reason.SPEC_CHANGED,
    Reason.CA_CHANGED,
    Reason.DUE,
    Reason.RECOVERED,
)
PUBLISHED, ABANDONED, FAILED, DONE = "published", "abandoned", "failed", "done"
TRIED = (Action.ISSUE, Action.VERIFY, Action.PUBLISH, Action.RETIRE)
_CALLS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
_ROTATIONS = (0.05, 0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600)
_LIMIT = 200_000  # starts that are remembered for a duration; beyond it durations are not measured


@dataclass(frozen=True, slots=True)
class _Start:
    at: datetime
    reason: Reason


def _quietly(
    observer: Callable[Concatenate[Counters, P], None],
) -> Callable[Concatenate[Counters, P], None]:
    @wraps(observer)
    def guarded(self: Counters, /, *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            observer(self, *args, **kwargs)
        except Exception:  # noqa: BLE001 - the border of this room: counting must never stop a rotation
            self.problems.inc()

    return guarded


class Counters:
    """All counters and histograms, in a registry of their own; label sets that are known begin at 0.

    Thread-safe as far as prometheus_client is; `observe` belongs to the thread of the cycle.
    """

    def __init__(self, board: Board, registry: CollectorRegistry) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # else every counter has a second series with the time of its birth
        self._board = board
        self._starts: dict[str, _Start] = {}
        self._published: dict[str, datetime] = {}
        self.refreshes = _counter(names.REFRESHES, registry)
        self.attempts = _counter(names.ATTEMPTS, registry)
        self.duration = _histogram(names.DURATION, registry, _ROTATIONS)
        self.propagation = _histogram(names.PROPAGATION, registry, _ROTATIONS)
        self.publishes = _counter(names.PUBLISHES, registry)
        self.vault_requests = _counter(names.VAULT_REQUESTS, registry)
        self.vault_duration = _histogram(names.VAULT_DURATION, registry, _CALLS)
        self.consul_requests = _counter(names.CONSUL_REQUESTS, registry)
        self.consul_duration = _histogram(names.CONSUL_DURATION, registry, _CALLS)
        self.lag = Gauge(names.SCHEDULER_LAG.name, names.SCHEDULER_LAG.help, registry=registry)
        self.tick = Gauge(names.SCHEDULER_TICK.name, names.SCHEDULER_TICK.help, registry=registry)
        self.misses = _counter(names.SCHEDULER_MISSES, registry)
        self.audit_records = _counter(names.AUDIT_RECORDS, registry)
        self.audit_errors = _counter(names.AUDIT_ERRORS, registry)
        self.fleet = _counter(names.FLEET_EVENTS, registry)
        self.problems = _counter(names.OBSERVER_ERRORS, registry)
        for name in FleetEventName:
            self.fleet.labels(name.value)
        for what in ("credential", "document"):
            self.propagation.labels(what)

    @_quietly
    def expect(self, kinds: Sequence[str], proxies: Sequence[str]) -> None:
        """Begins the series of these kinds and proxies at 0, so that a first failure is an increase."""
        for kind in kinds:
            for reason in STARTS:
                self.refreshes.labels(kind, reason.value, PUBLISHED)
                self.refreshes.labels(kind, reason.value, ABANDONED)
            for action in TRIED:
                for outcome in (DONE, *(family.value for family in Family)):
                    self.attempts.labels(kind, action.value, outcome)
            self.duration.labels(kind)
        for proxy in proxies:
            self.publishes.labels(proxy, PUBLISHED)
            self.publishes.labels(proxy, FAILED)

    @_quietly
    def observe(self, happened: Sequence[Event]) -> None:
        """Counts events that are durable: called after the journal has written them."""
        self.audit_records.inc(len(happened))
        for event in happened:
            if isinstance(event, FleetEvent):
                self._fleet_event(event)
            else:
                self._credential_event(event)

    @_quietly
    def on_vault_call(self, operation: str, code: str, seconds: float) -> None:
        """One call to Vault. `code`: HTTP status or the word of a transport failure; never a path or a text."""
        self.vault_requests.labels(operation, code).inc()
        self.vault_duration.labels(operation).observe(seconds)

    @_quietly
    def on_consul_call(self, operation: str, code: str, seconds: float) -> None:
        """One call to Consul, as `on_vault_call`."""
        self.consul_requests.labels(operation, code).inc()
        self.consul_duration.labels(operation).observe(seconds)

    @_quietly
    def on_tick(self, ended: datetime, lag_seconds: float) -> None:
        """A tick of the scheduler ended at `ended`; it had begun `lag_seconds` late."""
        self.tick.set(ended.timestamp())
        self.lag.set(lag_seconds)

    @_quietly
    def on_missed_tick(self) -> None:
        self.misses.inc()

    @_quietly
    def on_audit_error(self) -> None:
        self.audit_errors.inc()

    def _fleet_event(self, event: FleetEvent) -> None:
        self.fleet.labels(event.name.value).inc()
        proxy = event.target.removeprefix("proxy/")
        match event.name:
            case FleetEventName.DOCUMENT_PUBLISHED:
                self.publishes.labels(proxy, PUBLISHED).inc()
                self._published[event.target] = event.at
            case FleetEventName.DOCUMENT_FAILED:
                self.publishes.labels(proxy, FAILED).inc()
            case FleetEventName.DOCUMENT_ADOPTED:
                self._propagated(event.target, "document", event.at)

    def _credential_event(self, event: events.CredentialEvent) -> None:
        target = str(event.target)
        spec = self._board.snapshot().specs.get(target)
        kind = "unknown" if spec is None else spec.kind
        tried = _tried(event)
        if tried is not None:
            self.attempts.labels(kind, *tried).inc()
        match event:
            case events.Intended() if len(self._starts) < _LIMIT:
                self._starts[target] = _Start(event.at, event.cause.reason)
            case events.Published():
                self._ended(target, kind, PUBLISHED, event.at)
                self._published[target] = event.at
            case events.Abandoned():
                self._ended(target, kind, ABANDONED, event.at)
            case events.Adopted():
                self._propagated(target, "credential", event.at)

    def _ended(self, target: str, kind: str, outcome: str, at: datetime) -> None:
        """A rotation that another process began has no start here: it counts as recovered and without a duration."""
        start = self._starts.pop(target, None)
        reason = Reason.RECOVERED if start is None else start.reason
        self.refreshes.labels(kind, reason.value, outcome).inc()
        if start is not None and outcome == PUBLISHED:
            self.duration.labels(kind).observe((at - start.at).total_seconds())

    def _propagated(self, target: str, what: str, at: datetime) -> None:
        since = self._published.pop(target, None)
        if since is not None:
            self.propagation.labels(what).observe((at - since).total_seconds())


_SUCCESSES = {
    events.Issued: Action.ISSUE,
    events.Verified: Action.VERIFY,
    events.Published: Action.PUBLISH,
    events.Retired: Action.RETIRE,
}


def _tried(event: events.CredentialEvent) -> tuple[str, str] | None:
    """(action, outcome) of an event that ends a try of one step."""
    if isinstance(event, events.Failed):
        return event.action.value, event.family.value
    action = _SUCCESSES.get(type(event))
    return None if action is None else (action.value, DONE)


def _counter(metric: Metric, registry: CollectorRegistry) -> Counter:
    return Counter(metric.name, metric.help, metric.labels, registry=registry)


def _histogram(metric: Metric, registry: CollectorRegistry, buckets: tuple[float, ...]) -> Histogram:
    return Histogram(metric.name, metric.help, metric.labels, registry=registry, buckets=buckets)
