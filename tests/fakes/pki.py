"""Vault's PKI beyond `issue`, in memory: revocation by proof of possession, and a CRL signed by the fake's own CA."""

from __future__ import annotations

from datetime import timedelta

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from rotator.core.errors import Fault
from rotator.core.secret import Secret
from rotator.core.x509 import public_key_of
from rotator.ports import Clock, SignRequest
from tests.assets.authority import Authority


class FakePki:
    """`ports.Pki`. trouble: what every call raises, None for none. life: of the next CRL. unlisted: revocations never
    reach the CRL, as where a mount has its CRL disabled."""

    def __init__(self, clock: Clock, authority: Authority) -> None:
        self._clock, self._authority = clock, authority
        self.revoked: set[int] = set()
        self.trouble: Fault | None = None
        self.life = timedelta(hours=72)
        self.unlisted = False

    def sign(self, request: SignRequest) -> tuple[str, tuple[str, ...]]:
        raise AssertionError("no credential of the street has a local key")

    def revoke_with_key(self, mount: str, certificate: str, private_key: Secret) -> None:
        self._meet()
        assert "PRIVATE KEY" in private_key.reveal()
        assert public_key_of(certificate)
        self.revoked.add(x509.load_pem_x509_certificate(certificate.encode()).serial_number)

    def crl(self, mount: str) -> str:
        self._meet()
        now = self._clock.now()
        builder = x509.CertificateRevocationListBuilder().issuer_name(self._authority.certificate.subject)
        builder = builder.last_update(now).next_update(now + self.life)
        for serial in sorted(() if self.unlisted else self.revoked):
            one = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now).build()
            builder = builder.add_revoked_certificate(one)
        return builder.sign(self._authority.key, SHA256()).public_bytes(Encoding.PEM).decode()

    def _meet(self) -> None:
        if self.trouble is not None:
            raise type(self.trouble)(self.trouble.code, self.trouble.text)
