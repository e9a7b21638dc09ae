"""Certificates from Vault's PKI: issued or signed, checked, stored with their key in KV v2, destroyed when retired.

The mark by which an interrupted rotation knows its own work (`rotation_id`) lies inside the KV version, next to the
key that it marks: see `docs/decisions/0003-mark-inside-the-version.md`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509 import CertificateSigningRequestBuilder, Name, NameAttribute
from cryptography.x509.oid import NameOID

from rotator.core import x509
from rotator.core.errors import Code, Conflict, Rejected, Unavailable
from rotator.core.kind_settings import CertificateSettings
from rotator.core.model import Facts, Pending
from rotator.core.secret import Secret
from rotator.core.spec import Spec
from rotator.kinds.base import IssueResult, KindPorts
from rotator.ports import CertificateMaterial, CertificateRequest, KvVersion, SignRequest


class CertificateKind:
    """Kind `certificate`. Old and new are both accepted until the old one expires, so it has an overlap."""

    name = "certificate"

    def __init__(self, ports: KindPorts) -> None:
        self._secrets, self._clock, self._failpoint = ports.secrets, ports.clock, ports.failpoint
        self._pki = ports.pki

    def issue(self, spec: Spec, pending: Pending, stored_version: int, read_back: bool) -> IssueResult:
        """As `Kind.issue`. With `read_back`, whatever lies above `stored_version` and is not ours is written over.

        Writing over means a newer KV version: consumers read by version number, so nothing they use is touched, and a
        credential does not stay stuck behind an abandoned try or a version that somebody wrote by hand.
        """
        cas = stored_version
        if read_back:
            newest = self._newest(spec)
            adopted = self._own(spec, pending, stored_version, newest)
            if adopted is not None:
                return adopted
            cas = newest
        asked_at = self._clock.now()
        material = self._made(spec)
        self._failpoint.reach("K2", str(spec.id))
        identity = self._check(spec, material, asked_at)
        self._refuse_old_key(spec, material, cas)
        self._failpoint.reach("K3", str(spec.id))
        try:
            stored = self._secrets.kv_write(spec.kv_mount, spec.kv_path, _fields(pending, material, identity), cas)
        except Conflict:
            return self._after_conflict(spec, pending, cas)
        self._failpoint.reach("K4", str(spec.id))
        facts = _facts(spec, pending, identity, stored, asked_at)
        self._failpoint.reach("K5", str(spec.id))
        # For a slow peer it may be too new: then `verify` is asked, and asked again, until it is not.
        ready = x509.ready_for_slow_peers(identity, self._clock.now()) is None
        return IssueResult(facts, adopted=False, verified=ready)

    def verify(self, spec: Spec, facts: Facts) -> None:
        """As `Kind.verify`. Unavailable while a peer with a clock 30 s behind would still refuse it (TIM-4)."""
        stored = self._secrets.kv_read(spec.kv_mount, facts.kv_path, facts.kv_version)
        if stored is None:
            raise Rejected(Code.MATERIAL_REJECTED, f"KV version {facts.kv_version} of the certificate is gone")
        if _text(stored, "rotation_id") != facts.rotation_id:
            raise Rejected(Code.MATERIAL_REJECTED, f"KV version {facts.kv_version} belongs to another rotation")
        chain = x509.split_chain(_text(stored, "chain"))
        key = stored.fields.get("private_key", Secret(""))
        now = self._clock.now()
        material = x509.Material(_text(stored, "certificate"), chain, key)
        identity = x509.check(material, x509.Wanted(_settings(spec), spec.ttl, facts.issued_at, now))
        if identity != _identity(facts):
            raise Rejected(Code.MATERIAL_REJECTED, "the stored certificate is another one than was issued")
        ready = x509.ready_for_slow_peers(identity, now)
        if ready is not None:
            raise Unavailable(
                Code.MATERIAL_REJECTED,
                f"the certificate is too new for peers with slow clocks until {ready.isoformat(timespec='seconds')}",
                hint="set not_before_duration of the PKI role to 60s",
            )

    def retire(self, spec: Spec, facts: Facts) -> None:
        """Destroys the key in KV; the certificate runs out by itself (docs/decisions/0010)."""
        self._secrets.kv_destroy(spec.kv_mount, facts.kv_path, (facts.kv_version,))
        self._failpoint.reach("K10", str(spec.id))

    def revoke(self, spec: Spec, facts: Facts) -> None:
        """Also puts it on the CRL, by proof that we hold its key, and then destroys the key.

        Without the key there is nothing to prove it with: then an earlier try has come this far already. Unavailable
        when the CRL does not list it although Vault took the revocation; the key is gone by then, because a key that
        leaked must not wait for somebody to repair a CRL.
        """
        mount = _settings(spec).mount
        stored = self._secrets.kv_read(spec.kv_mount, facts.kv_path, facts.kv_version)
        own = stored if stored is not None and _text(stored, "rotation_id") == facts.rotation_id else None
        if own is not None:
            key = own.fields.get("private_key", Secret(""))
            self._pki.revoke_with_key(mount, _text(own, "certificate"), key)
        self._failpoint.reach("K11", str(spec.id))
        self.retire(spec, facts)
        in_force = facts.not_after > self._clock.now()
        if own is not None and in_force and not x509.is_listed(self._pki.crl(mount), facts.serial):
            raise Unavailable(
                Code.MATERIAL_REJECTED,
                f"Vault took the revocation, and the CRL of {mount} does not list serial {facts.serial}",
                hint=f"see {mount}/config/crl; proxies refuse the certificate by its fingerprint all the same",
            )

    def _made(self, spec: Spec) -> CertificateMaterial:
        """From Vault with its key, or signed by Vault for a key that is made here and never leaves but into KV."""
        if not _settings(spec).local_key:
            return self._secrets.issue_certificate(_request(spec))
        key = ec.generate_private_key(ec.SECP256R1())
        request = _request(spec)
        subject = Name([NameAttribute(NameOID.COMMON_NAME, request.common_name)])
        csr = CertificateSigningRequestBuilder().subject_name(subject).sign(key, SHA256())
        certificate, chain = self._pki.sign(SignRequest(request, csr.public_bytes(Encoding.PEM).decode()))
        text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        return CertificateMaterial(certificate, chain, Secret(text))

    def _newest(self, spec: Spec) -> int:
        state = self._secrets.kv_state(spec.kv_mount, spec.kv_path)
        return 0 if state is None else state.current_version

    def _own(self, spec: Spec, pending: Pending, after: int, newest: int) -> IssueResult | None:
        """The version above `after` that carries our mark, newest first; unverified, because its check may be owed."""
        for number in range(newest, after, -1):
            stored = self._secrets.kv_read(spec.kv_mount, spec.kv_path, number)
            if stored is not None and _text(stored, "rotation_id") == pending.rotation_id:
                issuer = x509.split_chain(_text(stored, "chain"))[0]
                identity = x509.identify(_text(stored, "certificate"), issuer)
                facts = _facts(spec, pending, identity, stored.version, stored.created_at)
                return IssueResult(facts, adopted=True, verified=False)
        return None

    def _check(self, spec: Spec, material: CertificateMaterial, asked_at: datetime) -> x509.Identity:
        wanted = x509.Wanted(_settings(spec), spec.ttl, asked_at, self._clock.now())
        return x509.check(x509.Material(material.certificate, material.chain, material.private_key), wanted)

    def _refuse_old_key(self, spec: Spec, material: CertificateMaterial, version: int) -> None:
        """The key of the version before, whose certificate would be new all the same, is no rotation."""
        stored = self._secrets.kv_read(spec.kv_mount, spec.kv_path, version) if version else None
        if stored is None or not _text(stored, "certificate"):
            return
        if x509.public_key_of(_text(stored, "certificate")) == x509.public_key_of(material.certificate):
            raise Rejected(
                Code.MATERIAL_REJECTED,
                f"the new certificate of {spec.id} has the key of the old one; that is no rotation",
                hint="see what stands between this service and Vault's PKI",
            )

    def _after_conflict(self, spec: Spec, pending: Pending, cas: int) -> IssueResult:
        """The write was refused: ours after all (a lost reply, sent again), or somebody else's."""
        newest = self._newest(spec)
        adopted = self._own(spec, pending, cas, newest)
        if adopted is not None:
            return adopted
        raise Conflict(
            Code.KV_CONFLICT,
            f"{spec.kv_path} is at KV version {newest} where {cas} was expected, and it is not of this rotation",
            hint="see who else writes there; the next try goes on above it",
        )


def build(ports: KindPorts) -> CertificateKind:
    return CertificateKind(ports)


def _settings(spec: Spec) -> CertificateSettings:
    if not isinstance(spec.settings, CertificateSettings):
        raise Rejected(Code.CONFIG_INVALID, f"{spec.id} has no settings of a certificate")
    return spec.settings


def _request(spec: Spec) -> CertificateRequest:
    want = _settings(spec)
    return CertificateRequest(
        mount=want.mount,
        role=want.role,
        common_name=want.common_name,
        uri_sans=want.uri_sans,
        dns_sans=want.dns_sans,
        ip_sans=want.ip_sans,
        ttl=spec.ttl,
    )


def _fields(pending: Pending, material: CertificateMaterial, identity: x509.Identity) -> Mapping[str, Secret]:
    """One KV version holds all that belongs together, so that no reader mixes a certificate with another key."""
    texts = {
        "certificate": _closed(material.certificate),
        "chain": "".join(_closed(pem) for pem in x509.without_root(material.chain)),
        "rotation_id": pending.rotation_id,
        "version": str(pending.version),
        "serial": identity.serial,
        "fingerprint": identity.fingerprint,
        "not_before": identity.not_before.isoformat(),
        "not_after": identity.not_after.isoformat(),
    }
    return {**{name: Secret(text) for name, text in texts.items()}, "private_key": material.private_key}


def _closed(pem: str) -> str:
    """PEM with its final newline: Vault leaves it off, and two blocks on one line are not PEM any more."""
    return pem.strip() + "\n"


def _facts(spec: Spec, pending: Pending, identity: x509.Identity, kv_version: int, issued_at: datetime) -> Facts:
    return Facts(
        version=pending.version,
        rotation_id=pending.rotation_id,
        kv_path=spec.kv_path,
        kv_version=kv_version,
        issued_at=issued_at,
        not_before=identity.not_before,
        not_after=identity.not_after,
        serial=identity.serial,
        fingerprint=identity.fingerprint,
        issuer=identity.issuer,
        spec_digest=spec.digest,
    )


def _identity(facts: Facts) -> x509.Identity:
    return x509.Identity(facts.serial, facts.fingerprint, facts.issuer, facts.not_before, facts.not_after)


def _text(stored: KvVersion, name: str) -> str:
    """A public field of a stored version; empty when it is not there."""
    found = stored.fields.get(name)
    return "" if found is None else found.reveal()
