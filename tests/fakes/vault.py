"""Vault in memory for tests: a real throw-away CA, KV v2 with its limits, and faults on demand.

`tests/clients/test_secrets_contract.py` holds it to what a real OpenBao does.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import TypeVar

from cryptography.hazmat.primitives.serialization import Encoding

from rotator.core.errors import Code, Conflict, Denied, Fault, Unavailable
from rotator.core.secret import Secret
from rotator.ports import CertificateMaterial, CertificateRequest, Clock, KvState, KvVersion
from tests.assets.authority import Authority, Bend

# KV v2 keeps this many versions of a key unless it is told otherwise.
VERSIONS_KEPT = 10
_Found = TypeVar("_Found")
BACKDATE = timedelta(seconds=60)


class Operation(StrEnum):
    ISSUE = "issue_certificate"
    READ = "kv_read"
    STATE = "kv_state"
    WRITE = "kv_write"
    DESTROY = "kv_destroy"
    CHAIN = "ca_chain"


class Spoil(StrEnum):
    """What is wrong with the next certificate that is issued."""

    WRONG_SAN = "wrong_san"
    KEY_MISMATCH = "key_mismatch"
    SHORT_TTL = "short_ttl"
    NOT_YET_VALID = "not_yet_valid"
    NO_EKU = "no_eku"


@dataclass
class _Trouble:
    operation: Operation
    path: str
    times: int
    before: Fault | None = None
    after: Fault | None = None
    spoil: Spoil | None = None


@dataclass
class _Key:
    """Versions by number; None where the material is destroyed. `current` outlives all of them."""

    current: int = 0
    versions: dict[int, KvVersion | None] = field(default_factory=dict)


class FakeSecrets:
    """`ports.Secrets`, thread-safe. `calls`: (operation, path), also of calls that failed.

    A path is `<mount>/issue/<role>` for issue, `<mount>` for the chain, and `<mount>/<path>` for KV; faults match it
    with a glob. roles: by mount. longest: `max_ttl` of every role. `authority` may be replaced, as a CA is renewed.
    """

    def __init__(
        self,
        clock: Clock,
        kv_mounts: Sequence[str] = ("kv",),
        roles: Mapping[str, Sequence[str]] | None = None,
        longest: timedelta = timedelta(hours=2),
        ca_life: timedelta = timedelta(days=30),
    ) -> None:
        self.authority = Authority(clock.now(), ca_life)
        self.calls: list[tuple[Operation, str]] = []
        self._clock = clock
        self._kv_mounts = frozenset(kv_mounts)
        self._roles = roles if roles is not None else {"pki_int": ("rotator-agent", "rotator-proxy")}
        self._longest = longest
        self._keys: dict[str, _Key] = {}
        self._troubles: list[_Trouble] = []
        self._mutex = threading.RLock()

    def fail(self, operation: Operation, path: str = "*", fault: Fault | None = None, times: int = 1) -> None:
        """The next calls fail before any effect; without `fault`, as unreachable."""
        given = fault or Unavailable(Code.VAULT_UNREACHABLE, "Vault did not answer")
        self._add(_Trouble(operation, path, times, before=given))

    def lose_reply(self, operation: Operation, path: str = "*", times: int = 1) -> None:
        """The next calls have their effect, and the caller hears nothing."""
        lost = Unavailable(Code.VAULT_UNREACHABLE, "Vault ended the connection; whether it acted is not known")
        self._add(_Trouble(operation, path, times, after=lost))

    def spoil(self, spoil: Spoil, path: str = "*", times: int = 1) -> None:
        """The next certificates are not what was asked for."""
        self._add(_Trouble(Operation.ISSUE, path, times, spoil=spoil))

    def heal(self) -> None:
        """Forgets all faults that have not happened yet."""
        with self._mutex:
            self._troubles.clear()

    def count(self, operation: Operation, path: str = "*") -> int:
        return sum(1 for known, place in self.calls if known is operation and fnmatchcase(place, path))

    def issue_certificate(self, request: CertificateRequest) -> CertificateMaterial:
        path = f"{request.mount}/issue/{request.role}"
        return self._act(Operation.ISSUE, path, lambda spoil: self._issue(request, spoil))

    def kv_read(self, mount: str, path: str, version: int | None = None) -> KvVersion | None:
        return self._act(Operation.READ, f"{mount}/{path}", lambda _: self._version(mount, path, version))

    def kv_state(self, mount: str, path: str) -> KvState | None:
        return self._act(Operation.STATE, f"{mount}/{path}", lambda _: self._state(mount, path))

    def kv_write(self, mount: str, path: str, fields: Mapping[str, Secret], cas: int) -> int:
        return self._act(Operation.WRITE, f"{mount}/{path}", lambda _: self._write(mount, path, fields, cas))

    def kv_destroy(self, mount: str, path: str, versions: Sequence[int]) -> None:
        self._act(Operation.DESTROY, f"{mount}/{path}", lambda _: self._destroy(mount, path, versions))

    def ca_chain(self, mount: str) -> tuple[str, ...]:
        return self._act(Operation.CHAIN, mount, lambda _: self._chain(mount))

    def _act(self, operation: Operation, path: str, effect: Callable[[Spoil | None], _Found]) -> _Found:
        with self._mutex:
            self.calls.append((operation, path))
            trouble = self._next_trouble(operation, path)
            if trouble and trouble.before:
                raise _again(trouble.before)
            found = effect(trouble.spoil if trouble else None)
            if trouble and trouble.after:
                raise _again(trouble.after)
            return found

    def _add(self, trouble: _Trouble) -> None:
        with self._mutex:
            self._troubles.append(trouble)

    def _next_trouble(self, operation: Operation, path: str) -> _Trouble | None:
        for trouble in self._troubles:
            if trouble.operation is operation and trouble.times > 0 and fnmatchcase(path, trouble.path):
                trouble.times -= 1
                return trouble
        return None

    def _issue(self, request: CertificateRequest, spoil: Spoil | None) -> CertificateMaterial:
        now, ttl = self._clock.now(), min(request.ttl, self._longest)
        if request.role not in self._roles.get(request.mount, ()):
            raise Denied(Code.VAULT_NOT_CONFIGURED, "the role or its mount does not exist")
        if now + ttl > self.authority.certificate.not_valid_after_utc:
            raise Denied(Code.VAULT_ISSUER_UNUSABLE, "the issuing CA cannot sign for this lifetime")
        wanted = Bend(
            request.common_name, request.uri_sans, request.dns_sans, request.ip_sans, backdate=BACKDATE, ttl=ttl
        )
        certificate, key = self.authority.leaf(now, _spoilt(wanted, spoil))
        if spoil is Spoil.KEY_MISMATCH:
            _, key = self.authority.leaf(now, wanted)
        return CertificateMaterial(certificate.strip(), (self.authority.pem.strip(),), Secret(key.strip()))

    def _chain(self, mount: str) -> tuple[str, ...]:
        if mount not in self._roles:
            raise Denied(Code.VAULT_NOT_CONFIGURED, "there is nothing mounted")
        return (self.authority.certificate.public_bytes(Encoding.PEM).decode(),)

    def _key(self, mount: str, path: str) -> _Key | None:
        if mount not in self._kv_mounts:
            raise Denied(Code.VAULT_NOT_CONFIGURED, "there is nothing mounted")
        return self._keys.get(f"{mount}/{path}")

    def _version(self, mount: str, path: str, version: int | None) -> KvVersion | None:
        key = self._key(mount, path)
        return None if key is None else key.versions.get(version or key.current)

    def _state(self, mount: str, path: str) -> KvState | None:
        key = self._key(mount, path)
        if key is None:
            return None
        gone = tuple(number for number, version in key.versions.items() if version is None)
        return KvState(key.current, tuple(key.versions), gone)

    def _write(self, mount: str, path: str, fields: Mapping[str, Secret], cas: int) -> int:
        key = self._key(mount, path) or _Key()
        if cas != key.current:
            raise Conflict(Code.KV_CONFLICT, "the current version is not the expected one")
        key.current += 1
        # The texts are copied: a caller that changes its mapping later must not change what is stored.
        copied = {name: Secret(secret.reveal()) for name, secret in fields.items()}
        key.versions[key.current] = KvVersion(key.current, self._clock.now(), copied)
        for number in sorted(key.versions)[:-VERSIONS_KEPT]:
            del key.versions[number]
        self._keys[f"{mount}/{path}"] = key
        return key.current

    def _destroy(self, mount: str, path: str, versions: Sequence[int]) -> None:
        key = self._key(mount, path)
        for number in versions:
            if key is not None and number in key.versions:
                key.versions[number] = None


def _spoilt(wanted: Bend, spoil: Spoil | None) -> Bend:
    if spoil is Spoil.WRONG_SAN:
        return replace(wanted, uris=("spiffe://example.test/agent/somebody-else",))
    if spoil is Spoil.SHORT_TTL:
        return replace(wanted, ttl=wanted.ttl / 10)
    if spoil is Spoil.NOT_YET_VALID:
        return replace(wanted, backdate=-timedelta(minutes=5))
    if spoil is Spoil.NO_EKU:
        return replace(wanted, purposes=())
    return wanted


def _again(fault: Fault) -> Fault:
    """A new exception for each raise: a traceback grows at every raise of the same one."""
    return type(fault)(fault.code, fault.text, hint=fault.hint)
