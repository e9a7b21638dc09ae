"""Everything that can have happened. An event is written to the audit first and folded into the record second."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from rotator.core.errors import Family
from rotator.core.identity import CredentialId
from rotator.core.model import Action, Facts, Request
from rotator.core.reasons import Cause


@dataclass(frozen=True, slots=True)
class Requested:
    """A person or CI asked for a rotation."""

    at: datetime
    target: CredentialId
    cause: Cause
    request: Request


@dataclass(frozen=True, slots=True)
class Intended:
    """A rotation starts: durable before Vault is touched. `phase` is set for the first version only."""

    at: datetime
    target: CredentialId
    cause: Cause
    version: int
    rotation_id: str
    phase: float | None = None


@dataclass(frozen=True, slots=True)
class Issued:
    """Material of the new version is in Vault. `adopted`: found there from an interrupted try, not made again."""

    at: datetime
    target: CredentialId
    cause: Cause
    facts: Facts
    adopted: bool = False


@dataclass(frozen=True, slots=True)
class Verified:
    """What is in Vault is what was asked for."""

    at: datetime
    target: CredentialId
    cause: Cause
    facts: Facts


@dataclass(frozen=True, slots=True)
class Published:
    """Consumers are told: this closes the intent with success. `before` is the version it replaces."""

    at: datetime
    target: CredentialId
    cause: Cause
    facts: Facts
    before: Facts | None = None


@dataclass(frozen=True, slots=True)
class Adopted:
    """Every consumer runs the current version. `evidence` in the cause names them; intent of the retirement."""

    at: datetime
    target: CredentialId
    cause: Cause
    facts: Facts


@dataclass(frozen=True, slots=True)
class Retired:
    """An old version is gone. Its cause says on what evidence."""

    at: datetime
    target: CredentialId
    cause: Cause
    facts: Facts


@dataclass(frozen=True, slots=True)
class Abandoned:
    """The rotation in flight is given up: this closes the intent with failure. The current version stays in force."""

    at: datetime
    target: CredentialId
    cause: Cause
    rotation_id: str
    version: int
    facts: Facts | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """One action did not succeed. When to try again is decided here, once, and stored."""

    at: datetime
    target: CredentialId
    cause: Cause
    action: Action
    family: Family
    code: str
    text: str
    retry_at: datetime
    rotation_id: str = ""


CredentialEvent = Requested | Intended | Issued | Verified | Published | Adopted | Retired | Abandoned | Failed


class FleetEventName(StrEnum):
    """What happens to the service, to a document or to the fleet rather than to one credential."""

    STARTED = "started"
    STOPPED = "stopped"
    LEADERSHIP_GAINED = "leadership_gained"
    LEADERSHIP_LOST = "leadership_lost"
    CONFIG_LOADED = "config_loaded"
    CONFIG_REFUSED = "config_refused"
    CLOCK_JUMPED = "clock_jumped"
    REQUEST_REFUSED = "request_refused"
    SUSPENDED = "suspended"
    RESUMED = "resumed"
    DOCUMENT_INTENDED = "document_intended"
    DOCUMENT_PUBLISHED = "document_published"
    DOCUMENT_FAILED = "document_failed"
    DOCUMENT_ADOPTED = "document_adopted"
    DRIFT_FOUND = "drift_found"
    ROLLBACK_REFUSED = "rollback_refused"
    ORPHAN_FOUND = "orphan_found"
    AUDIT_REPAIRED = "audit_repaired"
    CHAIN_STARTED = "chain_started"
    CHAIN_CONTINUED = "chain_continued"


@dataclass(frozen=True, slots=True)
class FleetEvent:
    """`target` is an owner (`proxy/edge`), a credential, or `service`. `before` and `after` are public facts."""

    at: datetime
    name: FleetEventName
    target: str
    cause: Cause
    before: tuple[tuple[str, str], ...] = ()
    after: tuple[tuple[str, str], ...] = ()
    error: str = ""


Event = CredentialEvent | FleetEvent


def event_name(event: Event) -> str:
    """The audit's word for an event: the class name in lower case, or the fleet event's own name."""
    return event.name.value if isinstance(event, FleetEvent) else type(event).__name__.lower()
