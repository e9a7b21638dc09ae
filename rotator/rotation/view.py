"""What operators look at: the same records and the same decisions as the leader's, read without any lock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from rotator.core.errors import Code, Denied, Fault, Rejected
from rotator.core.fleet import Fleet, Proxy
from rotator.core.identity import CredentialId, Owner, OwnerKind
from rotator.core.model import Record
from rotator.core.plan import Row, plan
from rotator.core.reasons import Actor
from rotator.core.spec import Spec
from rotator.ports import Journal, Keys, Put
from rotator.publish import canonical
from rotator.publish.document import Document
from rotator.publish.layout import Layout
from rotator.publish.report import Report
from rotator.publish.versions import Manifest, Pointer
from rotator.records import requests
from rotator.records.requests import InboxRequest, RequestKind, RequestState
from rotator.rotation.inbox import Inbox
from rotator.rotation.observe import Observer
from rotator.rotation.reign import suspension_of
from rotator.rotation.shelf import Shelf


@dataclass(frozen=True, slots=True)
class Leader:
    """Who leads, from the lock key. `instance` is empty when nobody does."""

    instance: str
    epoch: int


class View:
    """Reads only, but for `ask`, which puts a request into the inbox. Every read is consistent; may raise Fault."""

    def __init__(self, keys: Keys, journal: Journal, layout: Layout, fleet: Fleet) -> None:
        self._keys = keys
        self._journal = journal
        self._layout = layout
        self._fleet = fleet
        self._inbox = Inbox(keys, layout)
        self._observer = Observer(keys, layout, fleet)
        self.shelf = Shelf(keys, layout)

    def rows(self, now: datetime) -> tuple[Row, ...]:
        """One row per credential: what the leader would do now, or until when it waits, and why."""
        records = {CredentialId.parse(name): stored.record for name, stored in self._journal.load().items()}
        return plan(self.specs(), records, now)

    def specs(self) -> tuple[Spec, ...]:
        """The configured credentials with the pauses that hold for them."""
        pauses = self._inbox.suspensions()
        return tuple(replace(spec, suspension=suspension_of(spec.id, pauses)) for spec in self._fleet.specs())

    def row(self, target: CredentialId, now: datetime) -> Row:
        """Raises Denied (TARGET_UNKNOWN) for a credential that the configuration does not have."""
        found = [row for row in self.rows(now) if row.spec.id == target]
        if not found:
            raise unknown(str(target))
        return found[0]

    def record(self, target: CredentialId) -> Record | None:
        stored = self._journal.load().get(str(target))
        return stored.record if stored else None

    def proxy(self, name: str) -> Proxy:
        """By name, with or without `proxy/`. Raises Denied (TARGET_UNKNOWN)."""
        wanted = name.removeprefix("proxy/")
        for proxy in self._fleet.proxies:
            if proxy.name == wanted:
                return proxy
        raise unknown(name)

    def pointer(self, proxy: str) -> Pointer | None:
        return self.shelf.pointer(proxy)[0]

    def history(self, proxy: str) -> tuple[Manifest, ...]:
        """All kept versions, newest first; damaged ones are left out."""
        found = []
        for number in reversed(self.shelf.numbers(proxy)):
            try:
                found.append(self.shelf.manifest(proxy, number))
            except (Rejected, Denied):
                continue
        return tuple(found)

    def reports(self, owner: Owner) -> tuple[Report, ...]:
        return self._observer.look([owner]).reports.get(owner, ())

    def all_reports(self) -> Mapping[Owner, tuple[Report, ...]]:
        owners = [Owner(OwnerKind.PROXY, proxy.name) for proxy in self._fleet.proxies]
        owners += [Owner(OwnerKind.AGENT, agent.name) for agent in self._fleet.agents]
        return self._observer.look(owners).reports

    def in_force(self) -> tuple[tuple[str, int, Document, tuple[Report, ...]], ...]:
        """(proxy, version and document in force, what its nodes report) for each proxy that has a document."""
        found = []
        for proxy in self._fleet.proxies:
            pointer = self.pointer(proxy.name)
            if pointer is not None:
                document = self.shelf.document(proxy.name, pointer.version)
                reports = self.reports(Owner(OwnerKind.PROXY, proxy.name))
                found.append((proxy.name, pointer.version, document, reports))
        return tuple(found)

    def leader(self) -> Leader:
        entry = self._keys.read(self._layout.lock)
        if entry is None or not entry.session:
            return Leader("", 0)
        raw = canonical.decode(entry.value, "the lock")
        return Leader(str(raw.get("instance", "")), int(raw.get("epoch", 0)))

    def check_targets(self, kind: str, targets: tuple[str, ...]) -> None:
        """Raises Denied (TARGET_UNKNOWN) for a name that the leader would refuse, before anything is asked of it."""
        known = {str(spec.id) for spec in self._fleet.specs()} | {str(owner) for owner in self._fleet.owners()}
        if kind in (RequestKind.SUSPEND, RequestKind.RESUME):
            known.add("all")
        for target in targets:
            if target not in known:
                raise unknown(target)

    def ask(self, request: InboxRequest) -> None:
        """Puts a request in; the same id again is the same request and changes nothing."""
        key = self._layout.request(request.id)
        try:
            self._keys.commit([Put(key, requests.encode_request(request), 0)], None)
        except Fault:
            if self._keys.read(key) is None:
                raise

    def answer_to(self, request_id: str) -> InboxRequest | None:
        entry = self._keys.read(self._layout.request(request_id))
        return requests.decode_request(entry.value) if entry else None


def new_request(
    request_id: str, kind: RequestKind, targets: tuple[str, ...], reason: str, actor: Actor, at: datetime
) -> InboxRequest:
    """A queued request. Raises Denied (REASON_MISSING) without a reason: every rotation is logged with why."""
    if not reason.strip():
        raise Denied(Code.REASON_MISSING, "a reason is required", hint='add --reason "why this is done"')
    return InboxRequest(
        id=request_id,
        kind=kind,
        targets=targets,
        reason=reason.strip(),
        actor=actor,
        at=at,
        to_version=None,
        state=RequestState.QUEUED,
        outcome=(),
        finished_at=None,
    )


def unknown(name: str) -> Denied:
    return Denied(
        Code.TARGET_UNKNOWN,
        f"{name!r} is not in this configuration",
        hint="rotator status lists every target; names look like agent/billing/tls",
    )
