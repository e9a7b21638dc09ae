"""A throw-away certificate authority whose every output can be bent, to show that each bend is noticed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

BOTH = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)


@dataclass(frozen=True)
class Bend:
    """What a leaf is made with; the defaults are a good agent certificate."""

    common_name: str = "billing"
    uris: tuple[str, ...] = ("spiffe://example.test/agent/billing",)
    dns: tuple[str, ...] = ()
    ips: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    backdate: timedelta = timedelta(seconds=30)
    ttl: timedelta = timedelta(hours=1)
    curve: ec.EllipticCurve = ec.SECP256R1()  # noqa: RUF009 - a stateless name of a curve
    purposes: Sequence[x509.ObjectIdentifier] = BOTH
    digital_signature: bool = True
    key_cert_sign: bool = False
    ca: bool = False


class Authority:
    """A self-signed CA, or with `parent` an intermediate."""

    def __init__(self, now: datetime, life: timedelta = timedelta(days=30), parent: Authority | None = None) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "intermediate" if parent else "root")])
        signer = parent or self
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(parent.certificate.subject if parent else name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + life)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        )
        self.certificate = builder.sign(signer.key, SHA256())
        self.pem = self.certificate.public_bytes(Encoding.PEM).decode()

    def leaf(self, now: datetime, bend: Bend = Bend()) -> tuple[str, str]:
        """(certificate PEM, private key PEM)."""
        key = ec.generate_private_key(bend.curve)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, bend.common_name)]))
            .issuer_name(self.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - bend.backdate)
            .not_valid_after(now + bend.ttl)
            .add_extension(x509.BasicConstraints(ca=bend.ca, path_length=None), critical=True)
            .add_extension(_usage(bend), critical=True)
        )
        if bend.purposes:
            builder = builder.add_extension(x509.ExtendedKeyUsage(list(bend.purposes)), critical=False)
        names = _names(bend)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        return builder.sign(self.key, SHA256()).public_bytes(Encoding.PEM).decode(), private


def _names(bend: Bend) -> list[x509.GeneralName]:
    return [
        *(x509.UniformResourceIdentifier(uri) for uri in bend.uris),
        *(x509.DNSName(name) for name in bend.dns),
        *(x509.IPAddress(ip_address(address)) for address in bend.ips),
        *(x509.RFC822Name(mail) for mail in bend.emails),
    ]


def _usage(bend: Bend) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=bend.digital_signature,
        content_commitment=False,
        key_encipherment=not bend.digital_signature,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=bend.key_cert_sign,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
