"""Fetches one certificate with the follower's own identity and checks it against what was published.

Vault and Consul are asked separately, so nothing is believed because it came from one of them: the material must be
the published one (serial, fingerprint), key and certificate must belong together, and it must be valid now.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from rotator.core.errors import Code, Rejected, Unavailable
from rotator.core.identity import Owner, OwnerKind
from rotator.core.secret import Secret
from rotator.core.x509 import split_chain
from rotator.ports import KvVersion, Secrets
from rotator.publish.report import Running

CERTIFICATE = "certificate"
_FORM = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
_PURPOSE = {OwnerKind.PROXY: ExtendedKeyUsageOID.SERVER_AUTH, OwnerKind.AGENT: ExtendedKeyUsageOID.CLIENT_AUTH}


@dataclass(frozen=True, slots=True)
class CertificateSet:
    """PEM texts without blank lines (one would end HAProxy's payload). `chain`: issuing CA first, no leaf."""

    certificate: str
    chain: str
    private_key: Secret
    running: Running

    @property
    def fullchain(self) -> str:
        return self.certificate + self.chain


@dataclass(frozen=True, slots=True)
class Wanted:
    """`facts` as published (`publish/document.py: credential_facts`). trust_domain: empty where it is unknown."""

    owner: Owner
    name: str
    facts: Mapping[str, Any]
    trust_domain: str = ""


def fetch(secrets: Secrets, wanted: Wanted, now: datetime) -> CertificateSet:
    """The published version, never "the newest". Raises Rejected when it is not what was published."""
    if wanted.facts.get("kind") != CERTIFICATE:
        text = f"credential {wanted.name} is of kind {wanted.facts.get('kind')!r}, where a certificate is needed"
        raise Rejected(Code.DOCUMENT_UNSUPPORTED, text, hint="update the follower")
    return _checked(stored(secrets, wanted), wanted, now)


def stored(secrets: Secrets, wanted: Wanted) -> KvVersion:
    """The KV version that the facts name, unchecked. Rejected when they name none, Unavailable when it is gone."""
    facts = wanted.facts
    try:
        found = secrets.kv_read(str(facts["kv_mount"]), str(facts["kv_path"]), int(facts["kv_version"]))
        int(facts["version"])
    except (KeyError, TypeError, ValueError):
        raise Rejected(Code.DOCUMENT_CORRUPT, f"the facts of {wanted.name} are incomplete") from None
    if found is None:
        text = f"KV version {facts['kv_version']} of {facts['kv_path']} does not exist any more"
        raise Unavailable(Code.MATERIAL_REJECTED, text, hint="a newer version should have been published")
    return found


def rejected(wanted: Wanted, deviations: list[str]) -> Rejected:
    """deviations: in words without any material."""
    text = f"{wanted.owner}/{wanted.name} is not what was published: {'; '.join(deviations)}"
    return Rejected(Code.MATERIAL_REJECTED, text, hint="rotate it again, and see who writes to its KV path")


def _checked(found: KvVersion, wanted: Wanted, now: datetime) -> CertificateSet:
    fields = {name: found.fields.get(name, Secret("")) for name in ("certificate", "chain", "private_key")}
    try:
        leaf = x509.load_pem_x509_certificate(fields["certificate"].reveal().encode())
        key = load_pem_private_key(fields["private_key"].reveal().encode(), password=None).public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise rejected(wanted, ["certificate or key cannot be read"]) from None
    chain = split_chain(fields["chain"].reveal())
    deviations = [*_same(leaf, wanted.facts), *_valid(leaf, chain, now), *_named(leaf, wanted)]
    if key.public_bytes(*_FORM) != leaf.public_key().public_bytes(*_FORM):
        deviations.append("the private key belongs to another certificate")
    if deviations:
        raise rejected(wanted, deviations)
    own = leaf.public_bytes(Encoding.PEM).decode()
    closed = Secret(fields["private_key"].reveal().strip() + "\n")
    running = Running(int(wanted.facts["version"]), f"{leaf.serial_number:X}", leaf.fingerprint(SHA256()).hex())
    return CertificateSet(own, "".join(chain), closed, running)


def _same(leaf: x509.Certificate, facts: Mapping[str, Any]) -> Iterator[str]:
    if leaf.fingerprint(SHA256()).hex() != facts.get("fingerprint"):
        yield "its fingerprint is not the published one"
    if f"{leaf.serial_number:X}" != str(facts.get("serial", "")).lstrip("0"):
        yield "its serial is not the published one"


def _valid(leaf: x509.Certificate, chain: tuple[str, ...], now: datetime) -> Iterator[str]:
    if now < leaf.not_valid_before_utc:
        yield f"it is not valid before {leaf.not_valid_before_utc.isoformat()}"
    if now >= leaf.not_valid_after_utc:
        yield f"it expired at {leaf.not_valid_after_utc.isoformat()}"
    try:
        leaf.verify_directly_issued_by(x509.load_pem_x509_certificate(chain[0].encode()))
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        yield "its chain did not sign it"


def _named(leaf: x509.Certificate, wanted: Wanted) -> Iterator[str]:
    """Exactly one SPIFFE ID, and that of the owner (SPIFFE X509-SVID 2)."""
    uris = [urlsplit(uri) for uri in _names(leaf)]
    right = len(uris) == 1 and uris[0].scheme == "spiffe" and uris[0].path == f"/{wanted.owner}"
    if not right or (wanted.trust_domain and uris[0].netloc != wanted.trust_domain):
        yield f"it does not name {wanted.owner} alone"
    try:
        usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return
    if _PURPOSE[wanted.owner.kind] not in usage:
        yield "its extended key usage does not fit"


def _names(leaf: x509.Certificate) -> list[str]:
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return names.get_values_for_type(x509.UniformResourceIdentifier)
