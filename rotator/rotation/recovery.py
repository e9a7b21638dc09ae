"""Gives every open intent of our own audit chain its outcome after a crash, before anything new is intended.

Audit before record means: a line may stand in the chain whose record was never written, or a document may be in force
whose outcome line was never written. Both are settled once, at the first take-over of a new process, from what Consul
says. Intents that other instances left are settled by them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from rotator.core.errors import Denied, Rejected
from rotator.core.events import Abandoned, Event, FleetEvent, FleetEventName
from rotator.core.identity import CredentialId
from rotator.core.model import Record
from rotator.core.reasons import Cause, Reason
from rotator.ports import Stored
from rotator.records.open_intents import OpenIntent
from rotator.rotation.shelf import Shelf


def outcomes(
    intents: Iterable[OpenIntent], stored: Mapping[CredentialId, Stored], shelf: Shelf, now: datetime
) -> tuple[Event, ...]:
    """The lines that close what is open. Empty when every open intent is still in flight. May raise Fault."""
    events = []
    for intent in intents:
        if intent.document:
            events.append(_document_outcome(intent, shelf, now))
        elif (closed := _credential_outcome(intent, stored, now)) is not None:
            events.append(closed)
    return tuple(events)


def _credential_outcome(intent: OpenIntent, stored: Mapping[CredentialId, Stored], now: datetime) -> Event | None:
    """Abandoned when the record never knew the intent: Vault is touched only after the record is written.

    A record that has passed this version knew the intent, or another instance used the number meanwhile. Where it names
    neither any more (retired, given up), nothing is said: the outcome may stand in that instance's chain.
    """
    target = CredentialId.parse(intent.target)
    known = stored.get(target)
    if known is not None and known.record.last_version >= intent.version:
        marks = _marks(known.record, intent.version)
        if not marks or intent.rotation_id in marks:
            return None
    cause = Cause(Reason.RECOVERED, "the process ended after the intent was audited and before it was recorded")
    return Abandoned(now, target, cause, intent.rotation_id, intent.version)


def _marks(record: Record, version: int) -> frozenset[str]:
    """The rotation that the record knows under this version number: one, or none any more."""
    facts = [record.current, *(old.facts for old in record.retiring)]
    found = {known.rotation_id for known in facts if known is not None and known.version == version}
    if record.pending is not None and record.pending.version == version:
        found.add(record.pending.rotation_id)
    return frozenset(found)


def _document_outcome(intent: OpenIntent, shelf: Shelf, now: datetime) -> Event:
    """Published when the version stands in Consul with the digest of the intent, else failed."""
    proxy = intent.target.removeprefix("proxy/")
    facts = (("version", str(intent.version)), ("digest", intent.digest))
    try:
        stands = shelf.manifest(proxy, intent.version).digest == intent.digest
    except (Denied, Rejected):
        stands = False
    if stands:
        cause = Cause(Reason.RECOVERED, "the process ended before it could write down that this was published")
        return FleetEvent(now, FleetEventName.DOCUMENT_PUBLISHED, intent.target, cause, (), facts)
    cause = Cause(Reason.RECOVERED, "the process ended before this was published")
    return FleetEvent(now, FleetEventName.DOCUMENT_FAILED, intent.target, cause, (), facts, "interrupted")
