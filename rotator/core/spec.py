"""What the configuration wants for one credential: frozen, complete, already checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from rotator.core.identity import CredentialId
from rotator.core.kind_settings import KindSettings
from rotator.core.windows import Window


@dataclass(frozen=True, slots=True)
class Policy:
    """When to rotate and how patiently. Shares are of the credential's lifetime, counted from its issue.

    renew_at: share of the lifetime after which it is renewed (default 2/3).
    spread: largest share by which one renewal may be earlier than `renew_at`, drawn once per credential and version.
    floor: share of the lifetime before expiry in which windows and pauses of others no longer count. Backoff still
    does: it never exceeds a quarter of the life that is left.
    floor_minimum: the same as a duration (five ticks of the scheduler); the larger of the two holds.
    overlap: least time for which the old credential stays after the new one is published.
    outage_budget: how long Vault or Consul may be away without an expiry; checked against the TTL at load.
    attempt_budget: how many attempts within `attempt_window` (at most 64); `attempt_reserve` of them only below the
    floor.
    windows: rotation starts only inside one of them; empty means always.
    spacing: least time between a publication and the next intent, whoever asks, save a report of compromise. For
    pairs whose halves take turns: the half that consumers have just left must not change under the slow ones.
    overlap_from_adoption: the overlap is counted from the adoption of the new version, not from its publication. For
    signing keys: until then the old one signs.
    """

    renew_at: float = 2 / 3
    spread: float = 1 / 20
    floor: float = 1 / 20
    floor_minimum: timedelta = timedelta(seconds=25)
    overlap: timedelta = timedelta(seconds=30)
    outage_budget: timedelta = timedelta(hours=1)
    attempt_budget: int = 20
    attempt_reserve: int = 5
    attempt_window: timedelta = timedelta(hours=1)
    windows: tuple[Window, ...] = ()
    spacing: timedelta = timedelta(0)
    overlap_from_adoption: bool = False


@dataclass(frozen=True, slots=True)
class Suspension:
    """Somebody paused rotations. `own`: of exactly this credential, else of its owner or of everything.

    An own suspension is obeyed to the end; a pause of others is overridden at the safety floor (`core/decide.py`).
    """

    own: bool
    reason: str
    actor: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Spec:
    """One credential as wanted.

    kind: the file name in `kinds/` and the word in the configuration.
    kv_path: path below the KV v2 mount, for example `agents/billing/tls`.
    digest: SHA-256 hex over everything that makes an issued credential outdated when it changes (not the policy).
    """

    id: CredentialId
    kind: str
    ttl: timedelta
    kv_mount: str
    kv_path: str
    settings: KindSettings
    policy: Policy
    digest: str
    labels: tuple[tuple[str, str], ...] = field(default=())
    suspension: Suspension | None = None
