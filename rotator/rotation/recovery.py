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
from rotator.core.model import ATTEMPTS_KEPT, Record, rotation_id
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

    A record that has passed this version knew the intent, or another instance used the number meanwhile. What it knew
    is not closed here: it is in flight, or its outcome stands in that other instance's chain.
    """
    target = CredentialId.parse(intent.target)
    known = stored.get(target)
    if known is not None and known.record.last_version >= intent.version and _knew(known.record, intent):
        return None
    cause = Cause(Reason.RECOVERED, "the process ended after the intent was audited and before it was recorded")
    return Abandoned(now, target, cause, intent.rotation_id, intent.version)


def _knew(record: Record, intent: OpenIntent) -> bool:
    """Whether this very intent was recorded. Its mark is made of its version and of its time, which counts as an
    attempt; once more attempts have been made than a record keeps, it is taken for known."""
    made = (rotation_id(record.id, intent.version, at) for at in record.attempts)
    return len(record.attempts) >= ATTEMPTS_KEPT or intent.rotation_id in made


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
