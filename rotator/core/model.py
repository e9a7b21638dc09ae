"""Where a credential stands. No field here can hold a secret: that is how secrets stay out of Consul and the audit."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from rotator.core.errors import Family
from rotator.core.identity import CredentialId
from rotator.core.reasons import Actor, Cause

# How many attempt times a record carries; no attempt budget can be larger than what is remembered.
ATTEMPTS_KEPT = 64


class Stage(StrEnum):
    """How far the rotation in flight has come."""

    INTENDED = "intended"
    ISSUED = "issued"
    VERIFIED = "verified"


class Action(StrEnum):
    """What the shell can be asked to do. The event of its success has the past participle as its name."""

    INTEND = "intend"
    ISSUE = "issue"
    VERIFY = "verify"
    PUBLISH = "publish"
    ADOPT = "adopt"
    RETIRE = "retire"


@dataclass(frozen=True, slots=True)
class Facts:
    """Public truths about one version of a credential.

    version: ours, 1, 2, 3 …; kv_version: the KV v2 version that holds the material at `kv_path`.
    rotation_id: the mark that is stored with the material, by which an interrupted rotation knows its own work.
    serial: what names this version where it is accepted: a certificate's serial (upper-case hex without colons), the
    accessor of a secret-id, the `jti` of a token, else empty.
    fingerprint: SHA-256 hex of the DER certificate; of other kinds the keyed hash of `core.material.fingerprint`.
    issuer: SHA-256 hex of the issuing CA certificate. Times are UTC.
    details: public (name, value) pairs of one kind, for example the user name of a database account.
    """

    version: int
    rotation_id: str
    kv_path: str
    kv_version: int
    issued_at: datetime
    not_before: datetime
    not_after: datetime
    serial: str = ""
    fingerprint: str = ""
    issuer: str = ""
    spec_digest: str = ""
    details: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Pending:
    """The one rotation in flight. `facts` is there from stage `issued` on."""

    version: int
    rotation_id: str
    stage: Stage
    cause: Cause
    intended_at: datetime
    facts: Facts | None = None


@dataclass(frozen=True, slots=True)
class Retiring:
    """An old version in its overlap. `replaced_at` is when its successor was published; it is never restarted.

    adopted_at: when evidence was complete that all consumers moved (invariant 2); None while awaited.
    proven_at: since when, as the current version, it was proven to be in use by all; None when it never was.
    """

    facts: Facts
    replaced_at: datetime
    replaced_by: int
    adopted_at: datetime | None = None
    proven_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """The last failure of one action, with the time of the next try decided by the core when it happened."""

    action: Action
    family: Family
    code: str
    text: str
    at: datetime
    count: int
    retry_at: datetime


@dataclass(frozen=True, slots=True)
class Request:
    """Somebody asked for a rotation that has not started yet."""

    id: str
    reason: str
    actor: Actor
    at: datetime
    compromise: bool = False


@dataclass(frozen=True, slots=True)
class Denial:
    """A version that was reported as compromised: proxies refuse it from now until its own end (`facts.not_after`)."""

    facts: Facts
    at: datetime
    request: str


@dataclass(frozen=True, slots=True)
class Record:
    """Where one credential stands; stored in Consul at `rotator/records/<owner>/<credential>`.

    last_version: the highest version ever intended, so that a number is never used twice.
    phase: share of the first renewal span, assigned once at enrolment so that a fleet is flat in its first cycle.
    attempts: when the latest attempts were made, at most ATTEMPTS_KEPT of them.
    adopted_at: since when the current version is proven to be in use by all consumers.
    failure, retire_failure: of the rotation and of the retirement, apart: both can be going on at once, and in one
    place each would erase the other's backoff, so that an outage turned them into a loop without any pause.
    denied: versions reported as compromised that have not run out by themselves yet.
    """

    id: CredentialId
    last_version: int = 0
    phase: float | None = None
    current: Facts | None = None
    published_at: datetime | None = None
    adopted_at: datetime | None = None
    pending: Pending | None = None
    retiring: tuple[Retiring, ...] = ()
    failure: Failure | None = None
    request: Request | None = None
    attempts: tuple[datetime, ...] = field(default=())
    last_cause: Cause | None = None
    retire_failure: Failure | None = None
    denied: tuple[Denial, ...] = ()


def rotation_id(credential: CredentialId, version: int, intended_at: datetime) -> str:
    """The mark of one rotation: the same on every instance, new for every intent; 32 hex digits."""
    text = f"{credential}\n{version}\n{intended_at.isoformat()}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]
