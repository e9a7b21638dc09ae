"""Consul: keys, transactions, and the lock that is leadership."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol


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
