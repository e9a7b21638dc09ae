"""What proxies must refuse after a report of compromise: from the records, and with Vault's own list of revocations.

The list of denials needs nobody but Consul. The CRL comes on top, for a refusal that is as early as the handshake; it
is left out whenever it could refuse somebody else: where it would run out before the proxy's own certificate, or where
it is not of the CA that signed everybody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.hashes import SHA256

from rotator.core.fleet import Fleet, Proxy
from rotator.core.identity import CredentialId, OwnerKind
from rotator.core.model import Record
from rotator.ports import Pki
from rotator.publish.document import Denied

# An expired CRL makes a TLS library refuse everybody: one that ends sooner than this is not published, nor one that
# ends before the proxy's own certificate. A proxy that is cut off keeps its last document, and nothing in there may be
# what stops it first.
CRL_LIFE_LEFT = timedelta(hours=2)
CRL_FRESH = timedelta(seconds=30)

Look = Callable[[CredentialId], Record]


def at(fleet: Fleet, proxy: Proxy, records: Iterable[Record], now: datetime) -> tuple[Denied, ...]:
    """The denials that have not run out, of all agents that have a scope at this proxy.

    records: all that are known, also of credentials that left the configuration: what leaked is still out there, and
    the agent's name in it still has its scopes. Their kind is not known any more; as certificates they are looked at.
    """
    reported = [record for record in records if record.denied and record.id.owner.kind is OwnerKind.AGENT]
    if not reported:
        return ()
    names = {name for name, _ in fleet.scopes_at(proxy.name)}
    kinds = {spec.id: spec.kind for agent in fleet.agents if agent.name in names for spec in agent.credentials}
    return tuple(
        Denied(record.id, kinds.get(record.id, "certificate"), one)
        for record in reported
        if record.id.owner.name in names
        for one in record.denied
        if one.facts.not_after > now
    )


class Revocations:
    """The CRL of one PKI mount, fetched while something revoked has not run out. One per leadership."""

    def __init__(self) -> None:
        self._crl = ""
        self._fetched_at: datetime | None = None

    def refresh(self, pki: Pki, mount: str, now: datetime) -> None:
        """Raises Fault; what was fetched before stands."""
        if self._fetched_at is None or now - self._fetched_at >= CRL_FRESH:
            self._crl, self._fetched_at = pki.crl(mount), now

    def usable(self, bundle: tuple[str, ...], issuers: frozenset[str], until: datetime) -> str:
        """The CRL where it harms nobody until then, else empty. issuers: SHA-256 hex of the CAs of all certificates in
        force."""
        if not self._crl or not bundle:
            return ""
        ca, crl = x509.load_pem_x509_certificate(bundle[0].encode()), x509.load_pem_x509_crl(self._crl.encode())
        ends = crl.next_update_utc
        alone = issuers <= {ca.fingerprint(SHA256()).hex()}
        if ends is None or ends < until or not alone or not len(crl):
            return ""
        try:
            signed = crl.is_signature_valid(ca.public_key())  # type: ignore[arg-type]
        except (InvalidSignature, TypeError, ValueError):
            signed = False
        return self._crl if signed and crl.issuer == ca.subject else ""


def issuers(fleet: Fleet, look: Look) -> frozenset[str]:
    """The CAs of all agents' certificates that may be in use."""
    records = (look(spec.id) for spec, _ in fleet.certificates())
    known = (facts for one in records for facts in (one.current, *(old.facts for old in one.retiring)) if facts)
    return frozenset(facts.issuer for facts in known)


def mounts(fleet: Fleet, look: Look, now: datetime) -> frozenset[str]:
    """The PKI mounts of certificates that were reported as compromised and have not run out."""
    return frozenset(
        settings.mount
        for spec, settings in fleet.certificates()
        if any(one.facts.not_after > now for one in look(spec.id).denied)
    )
