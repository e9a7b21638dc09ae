"""Sockets: the small protocols that the inner rooms call and `clients/` and `records/` fill.

Every promise stands here: what "absent" looks like, which families of `Fault` may be raised, what is safe to repeat.
Fakes in `tests/fakes/` and the real clients pass one contract suite in `tests/clients/`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from rotator.core.events import Event
from rotator.core.model import Record
from rotator.core.secret import Secret


class Clock(Protocol):
    """Time. The only implementation that reads the machine's clocks is `clients/clock.py`."""

    def now(self) -> datetime:
        """Wall time, UTC, zone-aware."""
        ...

    def monotonic(self) -> float:
        """Seconds on a clock that never steps."""
        ...


class Failpoint(Protocol):
    """A place where the crash tests stop the process (reliability K0-K17). In service it does nothing."""

    def reach(self, point: str, target: str) -> None:
        """Dies, freezes or returns, as the environment of the test says."""
        ...


# --- Vault -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CertificateRequest:
    """Body of `<mount>/issue/<role>`. Names are exact; `ttl` is asked for as whole seconds."""

    mount: str
    role: str
    common_name: str
    uri_sans: tuple[str, ...]
    dns_sans: tuple[str, ...]
    ip_sans: tuple[str, ...]
    ttl: timedelta


@dataclass(frozen=True, slots=True)
class CertificateMaterial:
    """Reply of `issue`: PEM texts. `chain` is issuing CA first, without the leaf. Nothing in it is trusted yet."""

    certificate: str
    chain: tuple[str, ...]
    private_key: Secret


@dataclass(frozen=True, slots=True)
class KvVersion:
    """One version of one KV v2 key. `fields` are the stored key/value pairs; every value is kept as a Secret."""

    version: int
    created_at: datetime
    fields: Mapping[str, Secret]


@dataclass(frozen=True, slots=True)
class KvState:
    """What KV v2 says about a key without its material. `gone`: versions deleted or destroyed."""

    current_version: int
    versions: tuple[int, ...]
    gone: tuple[int, ...]


class Secrets(Protocol):
    """Vault or OpenBao, as the kinds need it. Raises only Fault families; 'denied' comes after one fresh login."""

    def issue_certificate(self, request: CertificateRequest) -> CertificateMaterial:
        """Asks the PKI for a certificate. Not idempotent: a lost reply leaves an unused certificate behind."""
        ...

    def kv_read(self, mount: str, path: str, version: int | None = None) -> KvVersion | None:
        """The newest (or the given) version; None when the key or that version is absent, deleted or destroyed."""
        ...

    def kv_state(self, mount: str, path: str) -> KvState | None:
        """Version numbers without material (KV v2 metadata); None when the key was never written."""
        ...

    def kv_write(self, mount: str, path: str, fields: Mapping[str, Secret], cas: int) -> int:
        """Writes a new version if the current one is `cas` (0: no key yet) and returns its number.

        Raises Conflict when the current version is another one: the caller reads back and looks for its own mark.
        """
        ...

    def kv_destroy(self, mount: str, path: str, versions: Sequence[int]) -> None:
        """Destroys the material of these versions for good. Safe to repeat; absent versions are no error."""
        ...

    def ca_chain(self, mount: str) -> tuple[str, ...]:
        """The PEM certificates of the mount's default issuer, issuing CA first, root last if Vault knows it."""
        ...


# --- Consul ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Entry:
    """One key as read. `session` is the lock holder, empty when unlocked."""

    key: str
    value: bytes
    modify_index: int
    session: str = ""


@dataclass(frozen=True, slots=True)
class Put:
    """Writes `value` if the key's ModifyIndex is still `cas`; `cas=0` means: only if the key does not exist."""

    key: str
    value: bytes
    cas: int


@dataclass(frozen=True, slots=True)
class Delete:
    """Deletes the key if its ModifyIndex is still `cas`."""

    key: str
    cas: int


Write = Put | Delete


@dataclass(frozen=True, slots=True)
class Fence:
    """Proof of leadership that goes into every transaction: `check-session` on `key` with `session` (LCK-2)."""

    key: str
    session: str
    epoch: int
    instance: str


# Consul before 1.14 refuses more than 64 operations in a transaction; one of them is the fence.
WRITES_PER_TRANSACTION = 63
# Values above 512 KiB are refused by Consul (413); parts leave room for the transaction's base64 and JSON.
VALUE_LIMIT = 512 * 1024
TRANSACTION_BYTES = 480 * 1024


class Keys(Protocol):
    """Consul KV. Reads for decisions are consistent (CON-3). Raises only Fault families."""

    def read(self, key: str) -> Entry | None:
        """One key, consistent; None when it does not exist."""
        ...

    def read_below(self, prefix: str) -> tuple[Entry, ...]:
        """All keys below a prefix, consistent, in key order; empty when there is none."""
        ...

    def commit(self, writes: Sequence[Write], fence: Fence | None) -> Mapping[str, int]:
        """All writes or none, in one transaction of at most WRITES_PER_TRANSACTION; returns key -> new ModifyIndex.

        Raises LeadershipLost when the fence does not hold, Conflict (with `.keys`) when a `cas` did not match.
        With `fence=None` the writes are made without leadership: requests and node reports only.
        """
        ...

    def wait_for(self, key: str, index: int, wait: timedelta) -> tuple[Entry | None, int]:
        """Blocking query on one key: returns when it may have changed or after `wait`, with the next index to pass.

        A return is no proof of change. The index is reset to 0 when it went backwards (CON-2); 0 answers at once.
        """
        ...


class Lock(Protocol):
    """Leadership: a session lock in Consul plus a local monotonic deadline (LCK-1)."""

    def acquire(self) -> Fence | None:
        """One try. None when another instance leads. Raises epoch by one on success (LCK-5)."""
        ...

    def renew(self) -> bool:
        """Extends the session; False when it is lost for certain. Unavailable is not loss until the deadline."""
        ...

    def fence(self) -> Fence | None:
        """The fence while leadership holds by the local deadline, else None. Cheap: asked before every effect."""
        ...

    def release(self) -> None:
        """Releases the lock first and destroys the session second, so that no lock-delay follows (LCK-3)."""
        ...


# --- Memory ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stored:
    """A record with the ModifyIndex under which it was read (0: not stored yet)."""

    record: Record
    index: int = 0


@dataclass(frozen=True, slots=True)
class Written:
    """Outcome of one journal write. `lost`: records that somebody else changed; load them again."""

    stored: tuple[Stored, ...]
    lost: tuple[Record, ...] = field(default=())


class Audit(Protocol):
    """The witness. If it cannot write, nothing may be changed (Denied with code AUDIT_BLOCKED is raised)."""

    def append(self, events: Sequence[Event]) -> None:
        """Appends one line per event and makes them durable with one fsync."""
        ...

    def set_epoch(self, epoch: int) -> None:
        """The epoch of the leadership under which the next lines are written."""
        ...


class AppendFile(Protocol):
    """A file that only grows, open in one process at a time. Raises Denied or Unavailable, never OSError."""

    @property
    def name(self) -> str:
        """Its path, for messages."""
        ...

    def begin(self) -> None:
        """Opens what stands at the path, or creates it, and locks it; lets go of what was open before."""
        ...

    def displaced(self) -> bool:
        """Whether the path no longer names the open file: removed, renamed or replaced."""
        ...

    def size(self) -> int:
        """Bytes in it now."""
        ...

    def read_tail(self, limit: int) -> bytes:
        """At most the last `limit` bytes."""
        ...

    def append(self, data: bytes, pause: Callable[[], None] | None = None) -> None:
        """One write and one sync. When it raises, what arrived is cut off again as far as that is possible.

        `pause` is called in the middle of the data: for crash tests only.
        """
        ...

    def truncate(self, size: int) -> None:
        """Cuts durably."""
        ...

    def set_aside(self, label: str) -> str:
        """Renames what stands at the path to `<path>.<label>`, numbered if taken; returns the new file name."""
        ...

    def newest_archive(self, limit: int) -> bytes | None:
        """The tail of the file that the last rotation set aside; None when there is none."""
        ...

    def close(self) -> None:
        """Safe to repeat."""
        ...


class Journal(Protocol):
    """Memory of the street: audit line first, record second, for many credentials at once."""

    def load(self) -> Mapping[str, Stored]:
        """All records by target, from a consistent read."""
        ...

    def write(self, steps: Sequence[tuple[Stored, tuple[Event, ...]]], fence: Fence) -> Written:
        """Appends all events with one fsync, folds each record's events into it, and stores the records by CAS."""
        ...
