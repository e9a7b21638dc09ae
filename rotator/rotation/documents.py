"""Keeps the published document of every proxy equal to what the configuration, the trust and the credentials ask for.

Level-triggered: each pass compares *wanted* with *published* and does nothing when they are equal, so a lost reply, a
take-over or somebody's hand in Consul all end the same way. After a rollback the withdrawn configuration is held back
until it changes; trust and credentials go on moving forward underneath.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from rotator.core.errors import Code, Conflict, Denied, Fault, Rejected, Unavailable
from rotator.core.events import FleetEvent, FleetEventName
from rotator.core.fleet import Fleet, Proxy
from rotator.core.model import Facts
from rotator.core.reasons import Cause, Reason
from rotator.core.spec import Spec
from rotator.ports import Audit, Clock, Failpoint, Fence
from rotator.publish import document as documents
from rotator.publish.document import Document, Trust
from rotator.publish.versions import Pointer
from rotator.records.open_intents import OpenIntent
from rotator.rotation.shelf import Held, Hold, Issue, Shelf

Certificates = Mapping[str, tuple[Spec, Facts]]


@dataclass(frozen=True, slots=True)
class Published:
    """The document in force, as this instance knows it."""

    pointer: Pointer | None
    index: int
    document: Document | None
    held: Held
    checked_at: datetime


@dataclass(frozen=True, slots=True)
class Tools:
    """What a publication needs."""

    shelf: Shelf
    audit: Audit
    clock: Clock
    failpoint: Failpoint
    versions_kept: int


class Publication:
    """One per leadership: forget it when leadership is lost."""

    def __init__(self, tools: Tools, fleet: Fleet) -> None:
        self._tools = tools
        self._fleet = fleet
        self._known: dict[str, Published] = {}
        self._config: dict[str, Mapping[str, Any]] = {}
        self._composed: dict[str, tuple[object, Document]] = {}
        # Audited intents of which it is not known whether Consul took them.
        self._doubtful: dict[str, Issue] = {}

    def doubtful(self) -> tuple[OpenIntent, ...]:
        """What nobody knows the outcome of yet; it must outlive this leadership."""
        listed = self._doubtful.items()
        return tuple(
            OpenIntent(f"proxy/{proxy}", issue.version, "", issue.document.digest, document=True)
            for proxy, issue in listed
        )

    def known(self, proxy: str) -> Published | None:
        return self._known.get(proxy)

    def reconcile(
        self,
        proxy: Proxy,
        trust: Trust,
        certificates: Certificates,
        fence: Fence,
    ) -> bool:
        """Publishes a new version when the wanted document is not the one in force; True when it is in force now.

        While a certificate of the proxy does not exist yet, or Vault has not told the CA, only a report of compromise
        is published (False): a partial document never is (ENG-15). Raises Fault; afterwards the next pass looks again.
        """
        complete = bool(trust.bundle) and len(certificates) >= len(proxy.credentials)
        if not complete and not trust.denied:
            return False
        before = self._known.get(proxy.name)
        found = self._look(proxy.name)
        self._settle(proxy.name)
        drifted = self._note_drift(proxy.name, before, found)
        wanted = self._wanted(proxy, trust, certificates, found) if complete else _denying(found.document, trust)
        if wanted is None:
            return False
        if found.document is None or found.document.digest != wanted.digest:
            self._publish(wanted, _why(found, wanted, drifted, trust), found, found.held.hold, fence)
        return complete

    def roll_back(self, proxy: Proxy, version: int, cause: Cause, fence: Fence) -> int:
        """Puts the content of an old version in force as a new version; returns the new number.

        The caller has checked that no credential of the old content is expired or retired (invariant 9). Asked again
        for a request whose answer was lost, it finds its own work. Back to what the configuration says ends the hold.
        """
        found = self._look(proxy.name)
        self._settle(proxy.name)
        if found.pointer is not None and cause.request and found.pointer.request == cause.request:
            return found.pointer.version
        old = self._tools.shelf.document(proxy.name, version)
        wanted = self._config_of(proxy)
        digest = documents.compose(proxy.name, wanted, Trust(()), {}).config_digest
        hold = Hold(digest, version) if digest != old.config_digest else None
        return self._publish(_trusting(old, found.document), cause, found, hold, fence)

    def release(self, proxy: str, fence: Fence) -> bool:
        """Ends a hold, so that the configuration is published again; False when there was none."""
        held = self._tools.shelf.hold(proxy)
        if held.index == 0:
            return False
        self._tools.shelf.release(proxy, held.index, fence)
        self._known.pop(proxy, None)
        return True

    def _look(self, proxy: str) -> Published:
        """The pointer is read at every pass, the document behind it when the pointer moved."""
        shelf, now = self._tools.shelf, self._tools.clock.now()
        pointer, index = shelf.pointer(proxy)
        known = self._known.get(proxy)
        if known is not None and known.index == index and known.document is not None:
            self._known[proxy] = replace(known, checked_at=now)
            return self._known[proxy]
        document = None
        if pointer is not None:
            try:
                document = shelf.document(proxy, pointer.version)
                if document.digest != pointer.digest:
                    document = None
            except Fault as fault:
                if isinstance(fault, Unavailable):
                    raise
        self._known[proxy] = Published(pointer, index, document, shelf.hold(proxy), now)
        return self._known[proxy]

    def _settle(self, proxy: str) -> None:
        """Gives an intent whose reply and read-back were both lost the outcome that is true."""
        issue = self._doubtful.get(proxy)
        if issue is None:
            return
        try:
            stands = self._tools.shelf.manifest(proxy, issue.version).digest == issue.document.digest
        except (Denied, Rejected):
            stands = False
        after = _facts(issue.version, issue.document.digest)
        if stands:
            self._tell(FleetEventName.DOCUMENT_PUBLISHED, issue, (), after)
        else:
            self._tell(FleetEventName.DOCUMENT_FAILED, issue, (), (), "Consul did not take it")
        del self._doubtful[proxy]

    def _note_drift(self, proxy: str, before: Published | None, found: Published) -> bool:
        """Somebody else's hand: the pointer moved without us, or what it names cannot be read."""
        damaged = found.index > 0 and found.document is None
        moved = before is not None and before.index != found.index
        if damaged or moved:
            now = self._tools.clock.now()
            text = "the pointer names nothing readable" if damaged else "the pointer was changed by somebody else"
            event = FleetEvent(now, FleetEventName.DRIFT_FOUND, f"proxy/{proxy}", Cause(Reason.DRIFT, text))
            self._tools.audit.append([event])
        return damaged or moved

    def _config_of(self, proxy: Proxy) -> Mapping[str, Any]:
        if proxy.name not in self._config:
            self._config[proxy.name] = documents.config_section(self._fleet, proxy)
        return self._config[proxy.name]

    def _wanted(
        self,
        proxy: Proxy,
        trust: Trust,
        certificates: Certificates,
        found: Published,
    ) -> Document:
        facts = {name: documents.credential_facts(spec, known) for name, (spec, known) in certificates.items()}
        hold = found.held.hold
        held_facts = tuple(sorted((name, f["fingerprint"], f["kv_version"]) for name, f in facts.items()))
        key = (trust, held_facts, hold)
        cached = self._composed.get(proxy.name)
        if cached is not None and cached[0] == key:
            return cached[1]
        wanted = documents.compose(proxy.name, self._config_of(proxy), trust, facts)
        if hold is not None and hold.withdrawn == wanted.config_digest:
            held = self._tools.shelf.document(proxy.name, hold.version)
            wanted = documents.compose(proxy.name, held.content["config"], trust, facts)
        self._composed[proxy.name] = (key, wanted)
        return wanted

    def _publish(self, document: Document, cause: Cause, found: Published, hold: Hold | None, fence: Fence) -> int:
        tools, proxy = self._tools, document.proxy
        highest = max(tools.shelf.numbers(proxy), default=0)
        version = max(highest, found.pointer.version if found.pointer else 0) + 1
        issue = Issue(document, version, cause, tools.clock.now(), hold)
        before = _facts(found.pointer.version, found.pointer.digest) if found.pointer else ()
        after = _facts(version, document.digest)
        self._tell(FleetEventName.DOCUMENT_INTENDED, issue, before, after)
        try:
            index = self._put(issue, found, fence)
        except Fault as fault:
            self._known.pop(proxy, None)
            if isinstance(fault, Unavailable):
                self._doubtful[proxy] = issue
            else:
                self._tell(FleetEventName.DOCUMENT_FAILED, issue, before, (), str(fault))
            raise
        self._tell(FleetEventName.DOCUMENT_PUBLISHED, issue, before, after)
        held = found.held if hold == found.held.hold else tools.shelf.hold(proxy)
        pointer = Pointer(version, document.digest, issue.at, cause.reason.value, cause.request)
        self._known[proxy] = Published(pointer, index, document, held, issue.at)
        self._prune(proxy, version, held, fence)
        return version

    def _put(self, issue: Issue, found: Published, fence: Fence) -> int:
        """A lost reply is not a failure: when the pointer already names our version and digest, it is done."""
        tools = self._tools
        target = f"proxy/{issue.document.proxy}"
        tools.failpoint.reach("K6", target)
        try:
            index = tools.shelf.put(issue, found.index, found.held, fence)
        except (Conflict, Unavailable):
            pointer, index = tools.shelf.pointer(issue.document.proxy)
            if pointer is None or (pointer.version, pointer.digest) != (issue.version, issue.document.digest):
                raise
        tools.failpoint.reach("K7", target)
        return index

    def _prune(self, proxy: str, version: int, held: Held, fence: Fence) -> None:
        """Keeps the newest versions and the one that a hold needs; old ones go only far past the limit, in bulk."""
        numbers, kept = self._tools.shelf.numbers(proxy), self._tools.versions_kept
        if len(numbers) <= kept + max(kept // 4, 4):
            return
        keep = {*numbers[-kept:], version, *([held.hold.version] if held.hold else [])}
        self._tools.shelf.prune(proxy, tuple(keep), fence)

    def _tell(
        self,
        name: FleetEventName,
        issue: Issue,
        before: tuple[tuple[str, str], ...],
        after: tuple[tuple[str, str], ...],
        error: str = "",
    ) -> None:
        target = f"proxy/{issue.document.proxy}"
        event = FleetEvent(self._tools.clock.now(), name, target, issue.cause, before, after, error)
        self._tools.audit.append([event])


def _facts(version: int, digest: str) -> tuple[tuple[str, str], ...]:
    return (("version", str(version)), ("digest", digest))


def _denying(in_force: Document | None, trust: Trust) -> Document | None:
    """What is in force, with the denials of now added; None when nothing is in force that could accept anything."""
    if in_force is None:
        return None
    known = in_force.content["trust"]
    return documents.with_trust(in_force, {**known, **documents.denied_section(trust.denied)})


def _why(found: Published, wanted: Document, drifted: bool, trust: Trust) -> Cause:
    """The reason of a publication: a report of compromise, else the first section that differs; all as evidence."""
    denied = [one for one in trust.denied if found.document is None or not documents.denies(found.document, one)]
    if denied:
        names = tuple(("denied", f"{one.target} version {one.denial.facts.version}") for one in denied)
        newest = max(denied, key=lambda one: one.denial.at)
        return Cause(Reason.COMPROMISE, "reported as compromised", names, request=newest.denial.request)
    if drifted:
        return Cause(Reason.DRIFT, "what is published is not what was published by this service")
    if found.document is None:
        return Cause(Reason.MISSING, "no document has been published yet")
    old, new = found.document.content, wanted.content
    sections = (
        ("config", Reason.CONFIG_CHANGED),
        ("trust", Reason.TRUST_CHANGED),
        ("certificates", Reason.CREDENTIAL_ROTATED),
    )
    changed = [(name, reason) for name, reason in sections if old.get(name) != new.get(name)]
    if not changed:
        raise Rejected(Code.DOCUMENT_CORRUPT, "two documents differ by digest and in no section")
    evidence = tuple(("section", name) for name, _ in changed)
    return Cause(changed[0][1], "the published document is not the wanted one", evidence)


def _trusting(old: Document, in_force: Document | None) -> Document:
    """The old content with the trust of now: it only moves forward, or a token of the new key would be refused."""
    return old if in_force is None else documents.with_trust(old, in_force.content["trust"])
