"""Event -> what the audit says about it. Pure, and an allow-list: what is not named here cannot reach the audit.

`docs/audit.md` explains every field and event; a test holds that page and this file equal.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

from rotator.core import events
from rotator.core.errors import Code, Family
from rotator.core.events import CredentialEvent, Event, FleetEvent, FleetEventName, event_name
from rotator.core.model import Facts
from rotator.core.reasons import Cause

# Filled by `entry`.
EVENT_FIELDS: Final = (
    "at",
    "event",
    "target",
    "rotation_id",
    "version",
    "reason",
    "text",
    "evidence",
    "actor",
    "request",
    "before",
    "after",
    "outcome",
    "error",
)
# Filled by the chain (`records/audit.py`).
CHAIN_FIELDS: Final = ("format", "chain", "seq", "epoch", "instance", "monotonic_ms", "config_hash", "prev", "hash")
# What may stand in `before` and `after`.
FACT_FIELDS: Final = (
    "version",
    "serial",
    "not_before",
    "not_after",
    "fingerprint",
    "issuer",
    "kv_path",
    "kv_version",
    "digest",
    "seconds",
)
CREDENTIAL_EVENTS: Final = (
    events.Requested,
    events.Intended,
    events.Issued,
    events.Verified,
    events.Published,
    events.Adopted,
    events.Retired,
    events.Abandoned,
    events.Failed,
)
EVENT_NAMES: Final = (*(one.__name__.lower() for one in CREDENTIAL_EVENTS), *(name.value for name in FleetEventName))

_TEXT_LIMIT = 2000
# Together they keep a line below `chain.LINE_LIMIT`, however many nodes give evidence.
_EVIDENCE_KEPT = 200
_EVIDENCE_LIMIT = 500
_WHOLE_FACTS = frozenset({"version", "kv_version"})
_OUTCOMES = {
    "published": "success",
    "retired": "success",
    "abandoned": "failure",
    FleetEventName.DOCUMENT_PUBLISHED.value: "success",
    FleetEventName.DOCUMENT_FAILED.value: "failure",
}


def entry(event: Event) -> dict[str, Any]:
    """The part of an audit line that the event decides, with every name of EVENT_FIELDS. No floats in it."""
    name = event_name(event)
    before, after = _changes(event)
    return {
        "at": rfc3339(event.at),
        "event": name,
        "target": clean(str(event.target)),
        "rotation_id": clean(_rotation_id(event)),
        "version": _version(event, after),
        "reason": event.cause.reason.value,
        "text": clean(event.cause.text),
        "evidence": _evidence((*event.cause.evidence, *_own_evidence(event))),
        "actor": {"kind": event.cause.actor.kind.value, "id": clean(event.cause.actor.id)},
        "request": clean(_request(event, event.cause)),
        "before": before,
        "after": after,
        "outcome": _OUTCOMES.get(name, "none"),
        "error": _error(event),
    }


def rfc3339(at: datetime) -> str:
    """UTC with milliseconds: `2026-11-24T11:53:00.000Z`."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def clean(text: str, limit: int = _TEXT_LIMIT) -> str:
    """Text that canonical JSON can carry (no lone surrogates), of bounded length."""
    text = text if len(text) <= limit else text[:limit] + "…"
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _evidence(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """A name that occurs twice keeps both values. Beyond the limit only the number of pairs left out is told."""
    found: dict[str, str] = {}
    left_out = 0
    for name, value in pairs:
        key = clean(name, _EVIDENCE_LIMIT)
        if key not in found and len(found) >= _EVIDENCE_KEPT:
            left_out += 1
            continue
        found[key] = clean(f"{found[key]}, {value}" if key in found else value, _EVIDENCE_LIMIT)
    return {**found, "left_out": str(left_out)} if left_out else found


def _own_evidence(event: Event) -> tuple[tuple[str, str], ...]:
    match event:
        case events.Requested(request=request) if request.compromise:
            return (("compromise", "true"),)
        case events.Issued(adopted=True):
            return (("found_in_vault", "true"),)
        case events.Failed():
            return (("action", event.action.value), ("retry_at", rfc3339(event.retry_at)))
        case _:
            return ()


def _rotation_id(event: Event) -> str:
    match event:
        case events.Intended() | events.Abandoned() | events.Failed():
            return event.rotation_id
        case events.Issued() | events.Verified() | events.Published() | events.Adopted() | events.Retired():
            return event.facts.rotation_id
        case _:
            return ""


def _version(event: Event, after: dict[str, Any]) -> int | None:
    match event:
        case events.Intended() | events.Abandoned():
            return event.version
        case events.Issued() | events.Verified() | events.Published() | events.Adopted() | events.Retired():
            return event.facts.version
        case FleetEvent():
            found = after.get("version")
            return found if isinstance(found, int) else None
        case _:
            return None


def _request(event: Event, cause: Cause) -> str:
    return event.request.id if isinstance(event, events.Requested) else cause.request


def _changes(event: Event) -> tuple[dict[str, Any], dict[str, Any]]:
    """before: what was in force or is given up. after: what is there now."""
    if isinstance(event, FleetEvent):
        return _listed(event.before), _listed(event.after)
    return _credential_changes(event)


def _credential_changes(event: CredentialEvent) -> tuple[dict[str, Any], dict[str, Any]]:
    match event:
        case events.Published():
            return _facts(event.before), _facts(event.facts)
        case events.Issued() | events.Verified() | events.Adopted():
            return {}, _facts(event.facts)
        case events.Retired() | events.Abandoned():
            return _facts(event.facts), {}
        case _:
            return {}, {}


def _facts(facts: Facts | None) -> dict[str, Any]:
    if facts is None:
        return {}
    return {
        "version": facts.version,
        "serial": clean(facts.serial),
        "not_before": rfc3339(facts.not_before),
        "not_after": rfc3339(facts.not_after),
        "fingerprint": clean(facts.fingerprint),
        "issuer": clean(facts.issuer),
        "kv_path": clean(facts.kv_path),
        "kv_version": facts.kv_version,
    }


def _listed(pairs: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    """Only names of the allow-list; numbers of versions as numbers."""
    known = ((name, value) for name, value in pairs if name in FACT_FIELDS)
    return {name: int(value) if name in _WHOLE_FACTS and _is_whole(value) else clean(value) for name, value in known}


def _is_whole(value: str) -> bool:
    """A whole number that canonical JSON can carry (below 2^53)."""
    return value.isascii() and value.isdecimal() and len(value) <= 15


def _error(event: Event) -> dict[str, str] | None:
    if isinstance(event, events.Failed):
        return _fault(event.family.value, event.code, event.text)
    if not isinstance(event, FleetEvent) or not event.error:
        return None
    code, _, text = event.error.partition(": ")
    if code not in _CODES:
        return _fault("", "", event.error)
    return _fault("", code, text)


def _fault(family: str, code: str, text: str) -> dict[str, str]:
    return {"family": family if family in _FAMILIES else "", "code": clean(code), "text": clean(text)}


_CODES = frozenset(code.value for code in Code)
_FAMILIES = frozenset(family.value for family in Family)
