"""Is this certificate what was asked for? Pure computation on PEM text; nothing in a reply is believed.

PKI engines have returned expired certificates (hashicorp/vault#30621), checked names in the request but not in the CSR
(OpenBao GHSA-g892-p242-8g86), and proxies in between can answer with anything. The rules follow RFC 5280 section 4.2
and, for the names and key usages, SPIFFE X509-SVID sections 3 to 5.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from rotator.core.errors import Code, Rejected
from rotator.core.kind_settings import CertificateSettings
from rotator.core.secret import Secret

# A peer whose clock is this much behind ours must already accept the certificate (TIM-4).
SLOW_PEER = timedelta(seconds=30)
# Life may fall short of the wanted TTL by this share (slow replies), and exceed it by this much (clock of the server).
SHORTFALL = 0.1
EXCESS = timedelta(seconds=60)

# CA certificates that are remembered: every certificate of a fleet carries the same few.
_CAS_KEPT = 64

_Extension = TypeVar("_Extension", bound=x509.ExtensionType)


@dataclass(frozen=True, slots=True)
class Material:
    """What is to be checked. `chain`: PEM, issuing CA first. `private_key`: PEM."""

    certificate: str
    chain: tuple[str, ...]
    private_key: Secret


@dataclass(frozen=True, slots=True)
class Identity:
    """Public truths of a certificate, spelled as in `core.model.Facts`."""

    serial: str
    fingerprint: str
    issuer: str
    not_before: datetime
    not_after: datetime


@dataclass(frozen=True, slots=True)
class Wanted:
    """settings and ttl: of the spec. asked_at: when it was asked for; now: when it is judged (both UTC)."""

    settings: CertificateSettings
    ttl: timedelta
    asked_at: datetime
    now: datetime


def check(material: Material, wanted: Wanted) -> Identity:
    """Raises Rejected with every deviation named; otherwise says what the certificate is."""
    leaf, chain = _load(material.certificate, "certificate"), [_authority(pem) for pem in material.chain]
    if not chain:
        raise _rejected(["there is no issuing certificate"])
    found = [
        *_chain(leaf, chain, wanted.now),
        *_names(leaf, wanted.settings),
        *_key(leaf, material.private_key, wanted.settings),
        *_usage(leaf, wanted.settings),
        *_validity(leaf, wanted),
    ]
    if found:
        raise _rejected(found)
    return _identity(leaf, chain[0])


def public_key_of(certificate: str) -> bytes:
    """The SubjectPublicKeyInfo (DER) of a PEM certificate. Rejected for anything that cannot be read."""
    try:
        leaf = x509.load_pem_x509_certificate(certificate.encode())
        return leaf.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (ValueError, UnsupportedAlgorithm):
        raise Rejected(Code.MATERIAL_REJECTED, "a certificate cannot be read") from None


def identify(certificate: str, issuer: str) -> Identity:
    """The facts of a certificate without judging it. Rejected when either text is not a certificate."""
    return _identity(_load(certificate, "certificate"), _authority(issuer))


def ready_for_slow_peers(identity: Identity, now: datetime) -> datetime | None:
    """None when a peer that is 30 s slow accepts it already, else the time from which it does."""
    ready = identity.not_before + SLOW_PEER
    return None if ready <= now else ready


def without_root(chain: Sequence[str]) -> tuple[str, ...]:
    """The chain as servers send it: issuing CA first, no self-signed root behind it.

    The issuing CA itself always stays, even self-signed: without it, what is stored could not be checked again.
    """
    return (*chain[:1], *(pem for pem in chain[1:] if not _self_signed(_authority(pem))))


def split_chain(text: str) -> tuple[str, ...]:
    """Concatenated PEM certificates, one by one. Rejected when there is none or one is damaged."""
    try:
        found = x509.load_pem_x509_certificates(text.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise _rejected(["the chain is not PEM certificates"]) from None
    return tuple(one.public_bytes(Encoding.PEM).decode() for one in found)


def is_listed(crl: str, serial: str) -> bool:
    """Whether a PEM CRL lists this serial (hex). Rejected when the text is not a CRL."""
    try:
        found = x509.load_pem_x509_crl(crl.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise _rejected(["the CRL is not a PEM CRL"]) from None
    return found.get_revoked_certificate_by_serial_number(int(serial, 16)) is not None


def _load(pem: str, what: str) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise _rejected([f"the {what} is not a PEM certificate"]) from None


@lru_cache(_CAS_KEPT)
def _authority(pem: str) -> x509.Certificate:
    """A certificate of a chain, read once: what a text says does not change. Refusals are not remembered."""
    return _load(pem, "chain")


def _identity(leaf: x509.Certificate, issuer: x509.Certificate) -> Identity:
    return Identity(
        serial=f"{leaf.serial_number:X}",
        fingerprint=leaf.fingerprint(SHA256()).hex(),
        issuer=issuer.fingerprint(SHA256()).hex(),
        not_before=leaf.not_valid_before_utc,
        not_after=leaf.not_valid_after_utc,
    )


def _chain(leaf: x509.Certificate, chain: Sequence[x509.Certificate], now: datetime) -> Iterator[str]:
    """Each certificate is signed by the next one, and every signer may sign and is valid."""
    links = [_signed_by(leaf, chain[0]), *(_link(child, signer) for child, signer in pairwise(chain))]
    for _ in range(links.count(False)):
        yield "a signature of the chain does not verify"
    for signer in chain:
        constraints = _extension(signer, x509.BasicConstraints)
        if constraints is None or not constraints.ca:
            yield "a certificate of the chain is not a CA"
        if not signer.not_valid_before_utc <= now < signer.not_valid_after_utc:
            yield "a CA of the chain has expired or is not yet valid"
    if leaf.not_valid_after_utc > chain[0].not_valid_after_utc:
        yield "it outlives its issuer"


def _signed_by(child: x509.Certificate, signer: x509.Certificate) -> bool:
    try:
        child.verify_directly_issued_by(signer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


@lru_cache(_CAS_KEPT)
def _link(child: x509.Certificate, signer: x509.Certificate) -> bool:
    """`_signed_by` between two CA certificates, computed once: a signature that verifies does so for ever. Validity
    in time is judged each time anew."""
    return _signed_by(child, signer)


def _self_signed(certificate: x509.Certificate) -> bool:
    return certificate.issuer == certificate.subject and _link(certificate, certificate)


def _names(leaf: x509.Certificate, settings: CertificateSettings) -> Iterator[str]:
    """Exactly the wanted names: one name more is another identity."""
    common = [str(one.value) for one in leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if common != [settings.common_name]:
        yield "the common name is not the wanted one"
    names = _extension(leaf, x509.SubjectAlternativeName)
    listed = list(names) if names is not None else []
    uris = [one.value for one in listed if isinstance(one, x509.UniformResourceIdentifier)]
    dns = [one.value for one in listed if isinstance(one, x509.DNSName)]
    ips = [str(one.value) for one in listed if isinstance(one, x509.IPAddress)]
    wanted = (settings.uri_sans, settings.dns_sans, settings.ip_sans)
    for kind, seen, want in zip(("URI", "DNS", "IP"), (uris, dns, ips), wanted, strict=True):
        if sorted(seen) != sorted(want):
            yield f"the {kind} names are not exactly the wanted ones"
    if len(uris) + len(dns) + len(ips) != len(listed):
        yield "it carries names of a kind that was not asked for"


def _key(leaf: x509.Certificate, private_key: Secret, settings: CertificateSettings) -> Iterator[str]:
    public = leaf.public_key()
    try:
        own = load_pem_private_key(private_key.reveal().encode(), password=None).public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        yield "the private key cannot be read"
        return
    # The encoded form is compared, because equality of the key objects is not defined for every type.
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if own.public_bytes(*form) != public.public_bytes(*form):
        yield "the private key belongs to another certificate"
    kinds = {"ec": ec.EllipticCurvePublicKey, "rsa": rsa.RSAPublicKey}
    if not isinstance(public, kinds[settings.key_type]) or public.key_size != settings.key_bits:  # type: ignore[union-attr]
        yield f"the key is not {settings.key_type} with {settings.key_bits} bits"


def _usage(leaf: x509.Certificate, settings: CertificateSettings) -> Iterator[str]:
    constraints = _extension(leaf, x509.BasicConstraints)
    if constraints is not None and constraints.ca:
        yield "it is a CA certificate"
    usage = _extension(leaf, x509.KeyUsage)
    if usage is None or not usage.digital_signature:
        yield "its key usage lacks digitalSignature"
    elif usage.key_cert_sign or usage.crl_sign:
        yield "its key usage allows signing certificates or CRLs"
    extended = _extension(leaf, x509.ExtendedKeyUsage)
    purposes = set(extended) if extended is not None else set()
    if settings.server and ExtendedKeyUsageOID.SERVER_AUTH not in purposes:
        yield "it lacks the extended key usage serverAuth"
    if settings.client and ExtendedKeyUsageOID.CLIENT_AUTH not in purposes:
        yield "it lacks the extended key usage clientAuth"
    if purposes - {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}:
        yield "it carries an extended key usage that was not asked for"


def _validity(leaf: x509.Certificate, wanted: Wanted) -> Iterator[str]:
    begins, ends = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    if begins > wanted.now:
        yield "it is not yet valid"
    if ends <= wanted.now:
        yield "it has expired already"
    elif ends < wanted.asked_at + wanted.ttl * (1 - SHORTFALL):
        yield "its life is shorter than what was asked for"
    if ends > wanted.asked_at + wanted.ttl + EXCESS:
        yield "its life is longer than what was asked for"


def _extension(certificate: x509.Certificate, kind: type[_Extension]) -> _Extension | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _rejected(reasons: Sequence[str]) -> Rejected:
    text = "; ".join(dict.fromkeys(reasons))
    return Rejected(
        Code.MATERIAL_REJECTED,
        f"the certificate is not what was asked for: {text}",
        hint="compare the PKI role and issuer with the configuration; rotator doctor checks both",
    )
