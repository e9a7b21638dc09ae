"""Everything that hangs on one leadership: built at take-over, forgotten as a whole when leadership ends (LCK-4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from rotator.core.decide import decide
from rotator.core.events import Event, FleetEvent, FleetEventName, Requested
from rotator.core.fleet import Fleet, Proxy
from rotator.core.identity import CredentialId, Owner, OwnerKind
from rotator.core.model import Facts, Record
from rotator.core.plan import Row, by_urgency
from rotator.core.reasons import Cause, Reason
from rotator.core.spec import Spec, Suspension
from rotator.ports import Fence, Keys, Pki, Stored
from rotator.publish import document as documents
from rotator.publish.document import Denied, Document, SignerKeys, Trust
from rotator.publish.layout import Layout
from rotator.records import requests
from rotator.rotation import denials
from rotator.rotation.advance import Advance, Crew, Memory, wake_at
from rotator.rotation.agenda import Agenda
from rotator.rotation.agents import facts_to_publish
from rotator.rotation.denials import CRL_LIFE_LEFT, Revocations
from rotator.rotation.documents import Publication, Tools
from rotator.rotation.observe import Observed, Observer
from rotator.rotation.shelf import Shelf
from rotator.rotation.standing import Standing, keys_of, unverifiable

# Waves that one cycle walks before it looks at requests and reports again.
WAVES_PER_CYCLE = 8
FACTS_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Realm:
    """What does not change with leadership: the configuration and the clients. standing: as the kinds know it."""

    fleet: Fleet
    keys: Keys
    layout: Layout
    crew: Crew
    tools: Tools
    observer: Observer
    standing: Standing = field(default_factory=Standing)
    pki: Pki | None = None

    @property
    def shelf(self) -> Shelf:
        return self.tools.shelf


class Reign:
    """The state of one leadership. Every method may raise Fault; LeadershipLost ends the reign."""

    def __init__(self, realm: Realm, fence: Fence) -> None:
        self.realm = realm
        self.fence = fence
        loaded = {CredentialId.parse(target): stored for target, stored in realm.crew.journal.load().items()}
        self.memory = Memory({spec.id: spec for spec in realm.fleet.specs()}, loaded)
        realm.standing.serve(lambda signer: self.memory.get(signer).record)
        self.advance = Advance(realm.crew, self.memory)
        self.publication = Publication(realm.tools, realm.fleet)
        self.agenda = Agenda()
        self._revocations = Revocations()
        self.observed = Observed({})
        self._suspensions: Mapping[str, requests.SuspensionEntry] = {}
        self._facts_looked_at: datetime | None = None
        self._told_adopted: dict[str, int] = {}
        now = realm.crew.clock.now()
        for target in self.memory.specs:
            self.agenda.set(target, now)

    def touch(self, targets: Iterable[CredentialId]) -> None:
        """Looks at these credentials in this cycle."""
        now = self.realm.crew.clock.now()
        for target in targets:
            if target in self.memory.specs:
                self.agenda.set(target, now)

    def apply_suspensions(self, entries: Mapping[str, requests.SuspensionEntry]) -> None:
        """Puts pauses on the specs; what was paused or released is looked at again."""
        if entries == self._suspensions:
            return
        self._suspensions = entries
        for target, spec in list(self.memory.specs.items()):
            pause = suspension_of(target, entries)
            if pause != spec.suspension:
                self.memory.specs[target] = replace(spec, suspension=pause)
                self.touch([target])

    def observe(self) -> tuple[Event, ...]:
        """Reads node reports where evidence is awaited, always of proxies, and folds complete evidence."""
        awaiting = [one.record for one in self.memory.stored.values() if one.record.adopted_at is None]
        owners = {record.id.owner for record in awaiting if record.current is not None}
        owners.update(Owner(OwnerKind.PROXY, proxy.name) for proxy in self.realm.fleet.proxies)
        observed = self.realm.observer.look(owners)
        self.observed = Observed({**self.observed.reports, **observed.reports})
        events = self.realm.observer.adopted(awaiting, observed, self.realm.crew.clock.now())
        self.advance.write({target: (event,) for target, event in events.items()}, self.fence)
        self.touch(events)
        return (*events.values(), *self._documents_adopted())

    def repair_facts(self) -> tuple[Event, ...]:
        """Once a minute, one read: puts back what somebody else did to the facts of agents."""
        now = self.realm.crew.clock.now()
        if self._facts_looked_at is not None and now - self._facts_looked_at < FACTS_EVERY:
            return ()
        agents = self.advance.agents_at_rest()
        drifted = self.realm.crew.agents.drifted(agents)
        self._facts_looked_at = now
        if not drifted:
            return ()
        cause = Cause(Reason.DRIFT, "the agent's facts are not what was published by this service")
        events = tuple(FleetEvent(now, FleetEventName.DRIFT_FOUND, str(owner), cause) for owner in drifted)
        self.realm.tools.audit.append(events)
        self.realm.crew.agents.publish({owner: agents[owner] for owner in drifted}, self.fence)
        return events

    def walk(self) -> tuple[Event, ...]:
        """Moves what is due, most urgent first; what exceeds this cycle's share stays due."""
        now = self.realm.crew.clock.now()
        due = self.agenda.take_due(now)
        ordered = [row.spec.id for row in by_urgency(self._rows(due), now)]
        share = self.realm.crew.wave * WAVES_PER_CYCLE
        now_turn, later = ordered[:share], ordered[share:]
        try:
            return self.advance.walk(now_turn, self.fence)
        finally:
            self._schedule(now_turn)
            self.touch(later)

    def reload_lost(self) -> None:
        """Loads again what somebody else changed, so that the next decision knows it."""
        if not self.advance.lost:
            return
        lost = set(self.advance.lost)
        loaded = {CredentialId.parse(target): stored for target, stored in self.realm.crew.journal.load().items()}
        # One that somebody deleted is written again from what is known here: its version numbers must not start anew.
        self.memory.keep(loaded.get(target) or Stored(self.memory.get(target).record) for target in lost)
        self.advance.lost.clear()
        self.touch(lost)

    def replace_unverifiable(self) -> tuple[Event, ...]:
        """Asks for new tokens where the key of the old ones was reported as compromised."""
        now, events = self.realm.crew.clock.now(), {}
        denied = any(self.memory.get(spec.id).record.denied for spec in self.realm.fleet.signers)
        specs = self.memory.specs.values() if denied else ()
        for target, request in unverifiable(specs, lambda known: self.memory.get(known).record):
            cause = Cause(Reason.COMPROMISE, request.reason, (), request.actor, request.id)
            events[target] = (Requested(now, target, cause, request),)
        self.advance.write(events, self.fence)
        self.touch(events)
        return tuple(event for listed in events.values() for event in listed)

    def next_at(self) -> datetime | None:
        return self.agenda.next_at()

    def certificates(self, proxy: Proxy) -> Mapping[str, tuple[Spec, Facts]]:
        """What the proxy's document should name: for each of its credentials the version consumers shall use."""
        known = ((spec, facts_to_publish(self.memory.get(spec.id).record)) for spec in proxy.credentials)
        return {spec.id.name: (spec, facts) for spec, facts in known if facts is not None}

    def publish_document(self, proxy: Proxy, bundle: tuple[str, ...]) -> tuple[Event, ...]:
        """Brings the document of one proxy up to date and closes the intents of its certificates."""
        targets = [spec.id for spec in proxy.credentials]
        trust = Trust(bundle, self.signers(), self.denied(proxy), self._crl_for(proxy, bundle))
        if not self.publication.reconcile(proxy, trust, self.certificates(proxy), self.fence):
            return ()
        events = self.advance.published(targets, None, self.fence)
        self._schedule(targets)
        return events

    def lacking_denials(self) -> tuple[Proxy, ...]:
        """The proxies whose documents lack a denial: a refusal waits neither for Vault nor for a walk."""
        return tuple(proxy for proxy in self.realm.fleet.proxies if self._is_to_deny(proxy))

    def denied(self, proxy: Proxy) -> tuple[Denied, ...]:
        """What the proxy must refuse now."""
        records = (stored.record for stored in self.memory.stored.values())
        return denials.at(self.realm.fleet, proxy, records, self.realm.crew.clock.now())

    def is_refused(self, target: CredentialId) -> bool:
        """Whether every document refuses what was reported as compromised of this credential."""
        for proxy in self.realm.fleet.proxies:
            left = [one for one in self.denied(proxy) if one.target == target]
            document = self._document(proxy)
            if left and (document is None or not all(documents.denies(document, one) for one in left)):
                return False
        return True

    def refresh_revocations(self) -> tuple[Event, ...]:
        """Fetches the CRL while something revoked has not run out yet. Raises Fault; the denials stand without it."""
        now = self.realm.crew.clock.now()
        for mount in sorted(denials.mounts(self.realm.fleet, self._record, now))[:1]:
            if self.realm.pki is not None:
                self._revocations.refresh(self.realm.pki, mount, now)
            return ()
        self._revocations = Revocations()
        return ()

    def _is_to_deny(self, proxy: Proxy) -> bool:
        document = self._document(proxy)
        return any(document is None or not documents.denies(document, one) for one in self.denied(proxy))

    def _crl_for(self, proxy: Proxy, bundle: tuple[str, ...]) -> str:
        ends = (facts.not_after for _, facts in self.certificates(proxy).values())
        until = max([self.realm.crew.clock.now() + CRL_LIFE_LEFT, *ends])
        return self._revocations.usable(bundle, denials.issuers(self.realm.fleet, self._record), until)

    def _record(self, target: CredentialId) -> Record:
        return self.memory.get(target).record

    def _document(self, proxy: Proxy) -> Document | None:
        known = self.publication.known(proxy.name)
        return None if known is None else known.document

    def signers(self) -> tuple[SignerKeys, ...]:
        """What every proxy's document should say of the keys that sign tokens."""
        return tuple(keys_of(spec.id, self.memory.get(spec.id).record) for spec in self.realm.fleet.signers)

    def publish_signers(self) -> tuple[Event, ...]:
        """Closes the intents of signing keys whose new verify key is in the documents of all proxies."""
        targets = [one.signer for one in self.signers() if one.keys and self._in_every_document(one)]
        events = self.advance.published([CredentialId.parse(target) for target in targets], None, self.fence)
        self._schedule(CredentialId.parse(target) for target in targets)
        return events

    def _in_every_document(self, keys: SignerKeys) -> bool:
        """A proxy whose document is not known, or cannot be published, holds the key back: it could not verify."""
        newest = keys.keys[0].serial
        known = [self.publication.known(proxy.name) for proxy in self.realm.fleet.proxies]
        found = [one.document if one is not None else None for one in known]
        return all(one is not None and one.signers().get(keys.signer, {}).get("serial") == newest for one in found)

    def _documents_adopted(self) -> tuple[Event, ...]:
        """Tells once per version that every node of a proxy runs it, with the time it took."""
        events = []
        for proxy in self.realm.fleet.proxies:
            known = self.publication.known(proxy.name)
            reports = self.observed.reports.get(Owner(OwnerKind.PROXY, proxy.name), ())
            if known is None or known.pointer is None or not reports:
                continue
            version = known.pointer.version
            behind = [report for report in reports if report.version < version]
            if behind or self._told_adopted.get(proxy.name) == version:
                continue
            self._told_adopted[proxy.name] = version
            now = self.realm.crew.clock.now()
            took = f"{(max(report.at for report in reports) - known.pointer.issued_at).total_seconds():.3f}"
            after = (("version", str(version)), ("seconds", took))
            cause = Cause(Reason.ADOPTED, "every node runs it", tuple((report.node, "applied") for report in reports))
            events.append(FleetEvent(now, FleetEventName.DOCUMENT_ADOPTED, f"proxy/{proxy.name}", cause, (), after))
        if events:
            self.realm.tools.audit.append(events)
        return tuple(events)

    def _rows(self, targets: Iterable[CredentialId]) -> list[Row]:
        now = self.realm.crew.clock.now()
        rows = []
        for target in targets:
            spec = self.memory.specs.get(target)
            if spec is not None:
                record = self.memory.get(target).record
                rows.append(Row(spec, record, decide(spec, record, now)))
        return rows

    def _schedule(self, targets: Iterable[CredentialId]) -> None:
        now = self.realm.crew.clock.now()
        for target in targets:
            spec = self.memory.specs.get(target)
            if spec is not None:
                self.agenda.set(target, wake_at(spec, self.memory.get(target).record, now))


def suspension_of(target: CredentialId, entries: Mapping[str, requests.SuspensionEntry]) -> Suspension | None:
    """The pause that holds for a credential: its own before its owner's before the one of everything."""
    for name, own in ((str(target), True), (str(target.owner), False), ("all", False)):
        entry = entries.get(name)
        if entry is not None:
            return Suspension(own, entry.reason, f"{entry.actor.kind.value}/{entry.actor.id}", entry.at)
    return None
