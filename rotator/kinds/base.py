"""The protocol of a kind: issue, verify, retire, revoke. Every method can safely be called twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

from rotator.core.errors import Code, Fault
from rotator.core.model import Facts, Pending
from rotator.core.spec import Spec
from rotator.ports import (
    AppRoles,
    AuthorizationServers,
    Clock,
    DatabaseEngine,
    Databases,
    Failpoint,
    Pki,
    Secrets,
    Signers,
    Transit,
    VaultPaths,
)


class _Absent:
    """Stands where a process has no such client: the kinds that need none work all the same."""

    def __getattr__(self, name: str) -> NoReturn:
        raise Fault(Code.BUG, f"this process was wired without the client behind {name}")


ABSENT: Any = _Absent()


@dataclass(frozen=True, slots=True)
class KindPorts:
    """The sockets every kind is built on. The function `build(ports)` of a kind's file takes it."""

    secrets: Secrets
    clock: Clock
    failpoint: Failpoint
    pki: Pki = ABSENT
    approles: AppRoles = ABSENT
    transit: Transit = ABSENT
    signers: Signers = ABSENT
    engine: DatabaseEngine = ABSENT
    databases: Databases = ABSENT
    authorization: AuthorizationServers = ABSENT
    paths: VaultPaths = ABSENT


@dataclass(frozen=True, slots=True)
class IssueResult:
    """facts: what is in Vault now. adopted: it was there from an interrupted try. verified: checked before storing."""

    facts: Facts
    adopted: bool
    verified: bool


class Kind(Protocol):
    """One kind of credential. Implementations hold ports, never state of a credential.

    Whether old and new overlap is said by `spec.settings.overlaps`.
    """

    name: str

    def issue(self, spec: Spec, pending: Pending, stored_version: int, read_back: bool) -> IssueResult:
        """Brings version `pending.version` into Vault, marked with `pending.rotation_id`.

        stored_version: the KV version to replace by CAS (0: none yet). read_back: look for our own mark first, because
        an earlier try of this rotation may have got through. Raises Fault; Rejected if what came back is not what
        the spec asks for (then nothing was stored).
        """
        ...

    def verify(self, spec: Spec, facts: Facts) -> None:
        """Reads back by version and checks against the spec, where that can be had by really using it. Raises Rejected
        when it is not what was asked for."""
        ...

    def retire(self, spec: Spec, facts: Facts) -> None:
        """Takes the old version out of the world as far as its kind allows. 'Already gone' is success."""
        ...

    def revoke(self, spec: Spec, facts: Facts) -> None:
        """As `retire`, for a version that was reported as compromised: also what would otherwise run out by itself
        is ended at its source. 'Already gone' is success."""
        ...
