"""A certificate that looks right and comes from the wrong CA."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from rotator.clients.clock import SystemClock
from rotator.clients.files import write_atomic

LIFE = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Stranger:
    """PEM files of a client that nobody here has invited."""

    certificate: Path
    key: Path


def make(directory: Path, uri: str) -> Stranger:
    """A client certificate with this URI name, signed by a CA that exists for this one signature."""
    now = SystemClock().now()
    issuer_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "somebody else's CA")])
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "impostor")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_plain(now - timedelta(minutes=1)))
        .not_valid_after(_plain(now + LIFE))
        .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = Stranger(directory / "certificate.pem", directory / "private_key.pem")
    write_atomic(found.certificate, certificate.public_bytes(Encoding.PEM))
    write_atomic(found.key, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return found


def _plain(at: datetime) -> datetime:
    """X.509 has whole seconds."""
    return at.astimezone(UTC).replace(microsecond=0)
