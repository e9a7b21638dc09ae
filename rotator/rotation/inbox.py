"""Requests of people and CI: read from Consul, answered by the leader, kept as replay memory.

The only entrance to the street besides time: `rotator rotate`, `suspend`, `resume` and `rollback` (and the hook) put a
request in and read its state. A request is answered at most once: what it asks for is folded into records or keys
that the next pass sees, and repeating it changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from rotator.core.errors import Code, Conflict, Denied, Fault, LeadershipLost, Rejected
from rotator.core.events import Event, FleetEvent, FleetEventName, Requested
from rotator.core.fleet import Proxy
from rotator.core.identity import CredentialId
from rotator.core.model import Record, Request
from rotator.core.reasons import ActorKind, Cause, Reason
from rotator.ports import Delete, Entry, Keys, Put
from rotator.publish.document import Document
from rotator.publish.layout import Layout
from rotator.records import requests
from rotator.records.requests import InboxRequest, RequestKind, RequestState, SuspensionEntry
from rotator.rotation.reign import Reign

# Answered requests stay this long: they are what recognises a repeated trigger.
KEPT = timedelta(days=1)
_OPEN = frozenset({RequestState.QUEUED, RequestState.RUNNING})


class Inbox:
    """Looks at every open request once per cycle."""

    def __init__(self, keys: Keys, layout: Layout) -> None:
        self._keys = keys
        self._layout = layout

    def suspensions(self) -> Mapping[str, SuspensionEntry]:
        """Target -> pause."""
        entries = self._keys.read_below(self._layout.suspensions)
        decoded = (requests.decode_suspension(entry.value) for entry in entries)
        return {pause.target: pause for pause in decoded}

    def answer(self, reign: Reign) -> tuple[Event, ...]:
        """Takes up new requests and closes those that are done; forgets what was answered long ago."""
        happened: list[Event] = []
        now = reign.realm.crew.clock.now()
        for entry in self._keys.read_below(self._layout.requests):
            try:
                request = requests.decode_request(entry.value)
            except Fault:
                continue
            if request.state in _OPEN:
                happened.extend(self._answer_one(reign, entry, request, now))
            elif request.finished_at is not None and now - request.finished_at > KEPT:
                self._keys.commit([Delete(entry.key, entry.modify_index)], reign.fence)
        return tuple(happened)

    def _answer_one(self, reign: Reign, entry: Entry, request: InboxRequest, now: datetime) -> tuple[Event, ...]:
        act = self._acts()[request.kind]
        try:
            answered, events = act(reign, request, now)
        except LeadershipLost:
            raise
        except (Denied, Rejected) as fault:  # Rejected: it names something damaged, which must not block the others
            cause = _cause(request, Reason.OPERATOR)
            refused = FleetEvent(now, FleetEventName.REQUEST_REFUSED, "service", cause, error=str(fault))
            reign.realm.tools.audit.append([refused])
            answered, events = _finished(request, RequestState.REFUSED, (("all", str(fault)),), now), (refused,)
        if answered != request:
            self._store(reign, entry, answered)
        return events

    def _acts(
        self,
    ) -> Mapping[RequestKind, Callable[[Reign, InboxRequest, datetime], tuple[InboxRequest, tuple[Event, ...]]]]:
        return {
            RequestKind.ROTATE: self._rotate,
            RequestKind.COMPROMISE: self._rotate,
            RequestKind.SUSPEND: self._suspend,
            RequestKind.RESUME: self._resume,
            RequestKind.ROLLBACK: self._roll_back,
        }

    def _store(self, reign: Reign, entry: Entry, answered: InboxRequest) -> None:
        try:
            self._keys.commit([Put(entry.key, requests.encode_request(answered), entry.modify_index)], reign.fence)
        except LeadershipLost:
            raise
        except Conflict:
            return  # looked at again in the next cycle

    def _rotate(self, reign: Reign, request: InboxRequest, now: datetime) -> tuple[InboxRequest, tuple[Event, ...]]:
        targets = _known_targets(reign, request.targets)
        if request.state is RequestState.RUNNING:
            return _progress(reign, request, targets, now), ()
        compromise = request.kind is RequestKind.COMPROMISE
        asked = Request(request.id, request.reason, request.actor, request.at, compromise)
        reason = Reason.HOOK if request.actor.kind is ActorKind.HOOK else Reason.OPERATOR
        reason = Reason.COMPROMISE if compromise else reason
        events = {target: (Requested(now, target, _cause(request, reason), asked),) for target in targets}
        reign.advance.write(events, reign.fence)
        reign.touch(targets)
        if not reign.advance.lost.isdisjoint(targets):
            return request, ()  # somebody else changed a record under it: asked again when that is loaded
        return replace(request, state=RequestState.RUNNING), tuple(event for one in events.values() for event in one)

    def _suspend(self, reign: Reign, request: InboxRequest, now: datetime) -> tuple[InboxRequest, tuple[Event, ...]]:
        targets = _known_scopes(reign, request.targets)
        events = _told(reign, FleetEventName.SUSPENDED, request, targets, now)
        for target in targets:
            key = self._layout.suspension(target)
            entry = self._keys.read(key)
            value = requests.encode_suspension(SuspensionEntry(target, request.reason, request.actor, request.at))
            self._keys.commit([Put(key, value, entry.modify_index if entry else 0)], reign.fence)
        reign.apply_suspensions(self.suspensions())
        return _finished(request, RequestState.SUCCEEDED, tuple((t, "suspended") for t in targets), now), events

    def _resume(self, reign: Reign, request: InboxRequest, now: datetime) -> tuple[InboxRequest, tuple[Event, ...]]:
        targets = _known_scopes(reign, request.targets)
        events = _told(reign, FleetEventName.RESUMED, request, targets, now)
        outcome = []
        for target in targets:
            entry = self._keys.read(self._layout.suspension(target))
            outcome.append((target, "resumed" if entry else "was not suspended"))
            if entry is not None:
                self._keys.commit([Delete(entry.key, entry.modify_index)], reign.fence)
        reign.apply_suspensions(self.suspensions())
        return _finished(request, RequestState.SUCCEEDED, tuple(outcome), now), events

    def _roll_back(self, reign: Reign, request: InboxRequest, now: datetime) -> tuple[InboxRequest, tuple[Event, ...]]:
        proxy = _proxy(reign, request.targets)
        target = f"proxy/{proxy.name}"
        if request.to_version is None:
            events = _told(reign, FleetEventName.RESUMED, request, (target,), now)
            held = reign.publication.release(proxy.name, reign.fence)
            text = "the held configuration is released" if held else "no configuration was held"
            return _finished(request, RequestState.SUCCEEDED, ((target, text),), now), events
        refuse_unsafe(reign, proxy, reign.realm.shelf.document(proxy.name, request.to_version), now)
        cause = _cause(request, Reason.ROLLBACK)
        evidence = (("to_version", str(request.to_version)),)
        version = reign.publication.roll_back(proxy, request.to_version, replace(cause, evidence=evidence), reign.fence)
        text = f"the content of version {request.to_version} is published as version {version}"
        return _finished(request, RequestState.SUCCEEDED, ((target, text),), now), ()


def refuse_unsafe(reign: Reign, proxy: Proxy, old: Document, now: datetime) -> None:
    """Raises Denied when the old content names a credential that is expired, retired, compromised or foreign
    (invariant 9)."""
    usable: dict[str, set[str]] = {}
    for spec in proxy.credentials:
        record = reign.memory.get(spec.id).record
        listed = [record.current, *(retiring.facts for retiring in record.retiring)]
        denied = {one.facts.version for one in record.denied}
        usable[spec.id.name] = {
            facts.fingerprint for facts in listed if facts and facts.not_after > now and facts.version not in denied
        }
    for name, facts in old.certificates().items():
        if facts["fingerprint"] not in usable.get(name, set()):
            raise Denied(
                Code.ROLLBACK_REFUSED,
                f"that version names proxy/{proxy.name}/{name} version {facts['version']}, which is expired, retired"
                " or compromised",
                hint="roll back to a version that names a certificate still in force; see rotator history",
            )


def _progress(reign: Reign, request: InboxRequest, targets: tuple[CredentialId, ...], now: datetime) -> InboxRequest:
    """Closes the request when each of its targets has been published, or has failed for good."""
    look = _compromise_state if request.kind is RequestKind.COMPROMISE else _rotation_state
    states = {target: look(reign, target, request.id) for target in targets}
    if any(state is None for state in states.values()):
        return request
    outcome = tuple((str(target), state[1]) for target, state in states.items() if state)
    failed = any(state and not state[0] for state in states.values())
    return _finished(request, RequestState.FAILED if failed else RequestState.SUCCEEDED, outcome, now)


def _rotation_state(reign: Reign, target: CredentialId, request_id: str) -> tuple[bool, str] | None:
    return _state_of(reign.memory.get(target).record, request_id)


def _compromise_state(reign: Reign, target: CredentialId, request_id: str) -> tuple[bool, str] | None:
    """As `_state_of`, and every document refuses what was reported, and it is ended at its source, or that failed.

    A failure is told at once, because it may last for days; it is tried again all the same.
    """
    record = reign.memory.get(target).record
    state = _state_of(record, request_id)
    if state is None or not reign.is_refused(target):
        return None
    denied = {one.facts.version: one.at for one in record.denied}
    waiting = [old.facts.version for old in record.retiring if old.facts.version in denied]
    if not waiting:
        return state
    failure = record.retire_failure
    if failure is None or failure.at < min(denied[version] for version in waiting):
        return None
    names = ", ".join(str(version) for version in waiting)
    text = f"version {names} is refused by the proxies but not ended at its source: {failure.code}: {failure.text}"
    return False, f"{state[1]}; {text}"


def _state_of(record: Record, request_id: str) -> tuple[bool, str] | None:
    """(good, words) when this record has nothing more to do for the request, None while it is under way."""
    if record.request is not None and record.request.id == request_id:
        return None
    if record.pending is not None and record.pending.cause.request == request_id:
        return None
    if record.last_cause is not None and record.last_cause.request == request_id and record.current is not None:
        return True, f"version {record.current.version} is published"
    if record.failure is not None:
        return False, f"{record.failure.code}: {record.failure.text}"
    return True, "a later rotation has replaced it"


def _known_targets(reign: Reign, names: tuple[str, ...]) -> tuple[CredentialId, ...]:
    """Credentials by name, or all of an owner; raises Denied for a name that the configuration does not have."""
    known: dict[str, list[CredentialId]] = {}
    for target in reign.memory.specs:
        known.setdefault(str(target), []).append(target)
        known.setdefault(str(target.owner), []).append(target)
    found: list[CredentialId] = []
    for name in names:
        matching = known.get(name)
        if not matching:
            raise Denied(Code.TARGET_UNKNOWN, f"{name!r} is neither a credential nor an owner of this configuration")
        found.extend(matching)
    return tuple(dict.fromkeys(found))


def _known_scopes(reign: Reign, names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if name != "all":
            _known_targets(reign, (name,))
    return names


def _proxy(reign: Reign, names: tuple[str, ...]) -> Proxy:
    wanted = {name.removeprefix("proxy/") for name in names}
    found = [proxy for proxy in reign.realm.fleet.proxies if proxy.name in wanted]
    if len(found) != 1 or len(wanted) != 1:
        raise Denied(Code.TARGET_UNKNOWN, f"{', '.join(names)} is not one proxy of this configuration")
    return found[0]


def _cause(request: InboxRequest, reason: Reason) -> Cause:
    return Cause(reason, request.reason, (), request.actor, request.id)


def _told(
    reign: Reign, name: FleetEventName, request: InboxRequest, targets: tuple[str, ...], now: datetime
) -> tuple[Event, ...]:
    """Audit first."""
    cause = _cause(request, Reason.OPERATOR)
    events = tuple(FleetEvent(now, name, target, cause) for target in targets)
    reign.realm.tools.audit.append(events)
    return events


def _finished(
    request: InboxRequest, state: RequestState, outcome: tuple[tuple[str, str], ...], now: datetime
) -> InboxRequest:
    return replace(request, state=state, outcome=outcome, finished_at=now)
