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
    """Which version of a signing key every proxy already verifies. Filled from the records of this leadership."""

    def active(self, signer: CredentialId) -> Facts | None:
        """None while no version is verified everywhere yet: then nothing may be signed."""
        ...
