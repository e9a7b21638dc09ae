"""Vault's PKI beyond `issue`: signing a request whose key stays here, revocation, and the CRL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from rotator.core.secret import Secret
from rotator.ports.vault import CertificateRequest


@dataclass(frozen=True, slots=True)
class SignRequest:
    """Body of `<mount>/sign/<role>`. csr: PEM; the names of `wanted` are sent beside it, and those in it ignored."""

    wanted: CertificateRequest
    csr: str


class Pki(Protocol):
    """Raises only Fault families."""

    def sign(self, request: SignRequest) -> tuple[str, tuple[str, ...]]:
        """(certificate, chain) as PEM, issuing CA first. Not idempotent, but the same key may be signed again."""
        ...

    def revoke_with_key(self, mount: str, certificate: str, private_key: Secret) -> None:
        """Proof of possession in place of the power to revoke anything. Safe to repeat."""
        ...

    def crl(self, mount: str) -> str:
        """The complete CRL of the mount's default issuer, PEM."""
        ...
