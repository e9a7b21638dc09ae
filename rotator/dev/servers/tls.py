"""A throw-away authority and server certificates for servers on loopback. Lives as long as its directory."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFE = timedelta(days=7)
BACKDATE = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class ServerFiles:
    """PEM files. The key is readable for its owner only."""

    ca: Path
    certificate: Path
    key: Path


def make(directory: Path, name: str, dns: tuple[str, ...] = ()) -> ServerFiles:
    """Writes `ca.pem`, `server.pem` and `server.key` for 127.0.0.1, localhost and `dns`. The CA's key is not kept."""
    now = datetime.now(UTC)
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = _name(f"{name} throw-away CA")
    ca = _start(issuer, issuer, ca_key.public_key(), now)
    ca = ca.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    ca = ca.add_extension(_usage(sign_certificates=True), critical=True)
    ca = ca.add_extension(x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), critical=False)
    server = _start(_name(name), issuer, key.public_key(), now)
    for extension, critical in _server_extensions(ca_key.public_key(), ("localhost", *dns)):
        server = server.add_extension(extension, critical=critical)
    files = ServerFiles(directory / "ca.pem", directory / "server.pem", directory / "server.key")
    files.ca.write_bytes(ca.sign(ca_key, SHA256()).public_bytes(Encoding.PEM))
    files.certificate.write_bytes(server.sign(ca_key, SHA256()).public_bytes(Encoding.PEM))
    _write_private(files.key, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return files


def _start(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + LIFE)
    )


def _server_extensions(
    issuer_key: ec.EllipticCurvePublicKey, dns: tuple[str, ...]
) -> list[tuple[x509.ExtensionType, bool]]:
    names = [x509.IPAddress(ip_address("127.0.0.1")), *(x509.DNSName(name) for name in dns)]
    # Client use as well: Consul dials itself with this certificate.
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    return [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (_usage(sign_certificates=False), True),
        (x509.ExtendedKeyUsage(purposes), False),
        (x509.SubjectAlternativeName(names), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), False),
    ]


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _write_private(path: Path, content: bytes) -> None:
    handle = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
