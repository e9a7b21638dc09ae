"""Signing keys that never leave Vault (transit), and which of them may sign now."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from rotator.core.identity import CredentialId
from rotator.core.model import Facts


@dataclass(frozen=True, slots=True)
class VerifyKey:
    """The public half of one version of a transit key. `pem`: SubjectPublicKeyInfo."""

    version: int
    pem: str
    created_at: datetime


class Transit(Protocol):
    """Keys of type ecdsa-p256. Raises only Fault families."""

    def verify_keys(self, mount: str, key: str) -> tuple[VerifyKey, ...]:
        """All versions, oldest first. Denied (VAULT_NOT_CONFIGURED) when there is no such key."""
        ...

    def rotate(self, mount: str, key: str) -> None:
        """Makes one more version. Not idempotent: look at `verify_keys` first."""
        ...

    def sign(self, mount: str, key: str, version: int, message: bytes) -> bytes:
        """ECDSA P-256 over SHA-256 with this version: the 64 bytes r || s of JWS (RFC 7518, 3.4)."""
        ...


class Signers(Protocol):
    """Which versions of a signing key proxies verify. Filled from the records of this leadership. Thread-safe."""

    def active(self, signer: CredentialId) -> Facts | None:
        """The version to sign with: verified by every proxy. None while there is none: then nothing may be signed."""
        ...

    def published(self, signer: CredentialId) -> tuple[Facts, ...]:
        """Every version whose verify key proxies are told of, newest first."""
        ...
