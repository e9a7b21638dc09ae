"""The closed list of reasons: why something is done, and why nothing is done yet (reliability requirement ENG-10)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Reason(StrEnum):
    """One word for log, audit, metric label and page."""

    # Why a rotation starts; `core/decide.py` asks in this order, the first match wins.
    COMPROMISE = "compromise"
    OPERATOR = "operator"
    HOOK = "hook"
    MISSING = "missing"
    EXPIRED = "expired"
    NEAR_EXPIRY = "near_expiry"
    SPEC_CHANGED = "spec_changed"
    CA_CHANGED = "ca_changed"
    DUE = "due"
    # Why a rotation goes on, or ends.
    IN_PROGRESS = "in_progress"
    RECOVERED = "recovered"
    ADOPTED = "adopted"
    OVERLAP_EXPIRED = "overlap_expired"
    REJECTED = "rejected"
    # Why a document is published.
    CONFIG_CHANGED = "config_changed"
    CREDENTIAL_ROTATED = "credential_rotated"
    TRUST_CHANGED = "trust_changed"
    DRIFT = "drift"
    ROLLBACK = "rollback"
    # Why nothing is done.
    NOT_DUE = "not_due"
    BACKOFF = "backoff"
    BUDGET_SPENT = "budget_spent"
    SUSPENDED = "suspended"
    WINDOW_CLOSED = "window_closed"
    PAIR_SPACING = "pair_spacing"
    AWAITING_ADOPTION = "awaiting_adoption"
    NO_LOCK = "no_lock"
    CLOCK_SUSPECT = "clock_suspect"
    AUDIT_BLOCKED = "audit_blocked"
    DEPENDENCY_DOWN = "dependency_down"


class ActorKind(StrEnum):
    SERVICE = "service"
    OPERATOR = "operator"
    HOOK = "hook"
    FOLLOWER = "follower"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asked: `service` by itself, or a person or CI job by id (a login name, never a token)."""

    kind: ActorKind
    id: str


SERVICE = Actor(ActorKind.SERVICE, "scheduler")


@dataclass(frozen=True, slots=True)
class Cause:
    """Why something is done or not: code, words of the person who asked, evidence (name, value), who, request id."""

    reason: Reason
    text: str = ""
    evidence: tuple[tuple[str, str], ...] = field(default=())
    actor: Actor = SERVICE
    request: str = ""
