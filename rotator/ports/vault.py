"""Vault or OpenBao as every kind needs it: certificates and the versioned key-value store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from rotator.core.secret import Secret


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
