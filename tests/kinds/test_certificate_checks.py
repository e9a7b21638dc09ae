"""Every way in which a returned certificate can be wrong is refused with its reason, before anything is stored."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from rotator.core import x509
from rotator.core.errors import Code, Rejected
from rotator.core.kind_settings import CertificateSettings
from rotator.core.secret import Secret
from tests.assets.authority import Authority, Bend

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
AGENT = CertificateSettings("pki_int", "rotator-agent", "billing", ("spiffe://example.test/agent/billing",))
WANTED = x509.Wanted(AGENT, HOUR, NOW, NOW)
ROOT = Authority(NOW)
CA = Authority(NOW, parent=ROOT)
CHAIN = (CA.pem, ROOT.pem)


def judged(bend: Bend) -> x509.Identity:
    certificate, key = CA.leaf(NOW, bend)
    return x509.check(x509.Material(certificate, CHAIN, Secret(key)), WANTED)


def test_what_was_asked_for_is_accepted_and_named():
    """The facts that leave the check are those of the certificate, spelled as everywhere else."""
    identity = judged(Bend())
    assert identity.not_after == NOW + HOUR
    assert identity.serial == identity.serial.upper()
    assert ":" not in identity.serial
    assert len(identity.fingerprint) == len(identity.issuer) == 64


@pytest.mark.parametrize(
    ("bend", "reason"),
    [
        (Bend(common_name="other"), "common name"),
        (Bend(uris=("spiffe://example.test/agent/other",)), "URI names"),
        (Bend(uris=()), "URI names"),
        (Bend(uris=(*Bend().uris, "spiffe://example.test/agent/second")), "URI names"),
        (Bend(dns=("extra.example.test",)), "DNS names"),
        (Bend(ips=("192.0.2.1",)), "IP names"),
        (Bend(emails=("a@example.test",)), "names of a kind that was not asked for"),
        (Bend(curve=ec.SECP384R1()), "not ec with 256 bits"),
        (Bend(purposes=(ExtendedKeyUsageOID.SERVER_AUTH,)), "clientAuth"),
        (Bend(purposes=()), "clientAuth"),
        (Bend(purposes=(ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.CODE_SIGNING)), "was not asked for"),
        (Bend(digital_signature=False), "digitalSignature"),
        (Bend(key_cert_sign=True), "allows signing certificates"),
        (Bend(ca=True), "is a CA certificate"),
        (Bend(backdate=timedelta(seconds=-5)), "not yet valid"),
        (Bend(ttl=timedelta(seconds=-1)), "expired already"),
        (Bend(ttl=HOUR * 0.8), "shorter"),
        (Bend(ttl=HOUR + timedelta(seconds=90)), "longer"),
        (Bend(ttl=timedelta(days=60)), "outlives its issuer"),
    ],
)
def test_a_deviation_is_refused_with_its_reason(bend: Bend, reason: str):
    """Engines and proxies have returned each of these; none may reach a consumer."""
    with pytest.raises(Rejected, match=reason) as refusal:
        judged(bend)
    assert refusal.value.code is Code.MATERIAL_REJECTED


def test_a_key_of_another_certificate_is_refused():
    """A mixed pair would break every handshake while looking fresh."""
    certificate, _ = CA.leaf(NOW)
    _, key = CA.leaf(NOW)
    with pytest.raises(Rejected, match="belongs to another certificate"):
        x509.check(x509.Material(certificate, CHAIN, Secret(key)), WANTED)


@pytest.mark.parametrize("key", ["", "no key", CA.pem])
def test_an_unreadable_key_is_refused_without_being_shown(key: str):
    """The text of the refusal goes to the audit log."""
    certificate, _ = CA.leaf(NOW)
    with pytest.raises(Rejected, match="private key cannot be read") as refusal:
        x509.check(x509.Material(certificate, CHAIN, Secret(key)), WANTED)
    assert not key or key not in refusal.value.text


@pytest.mark.parametrize(
    ("chain", "reason"),
    [
        ((), "no issuing certificate"),
        ((Authority(NOW).pem,), "signature"),
        ((CA.pem, Authority(NOW).pem), "signature"),
        ((ROOT.pem, CA.pem), "signature"),
        (("nonsense",), "not a PEM certificate"),
    ],
)
def test_a_chain_that_does_not_lead_to_the_certificate_is_refused(chain: tuple[str, ...], reason: str):
    """Same subject, other key: names alone prove nothing."""
    certificate, key = CA.leaf(NOW)
    with pytest.raises(Rejected, match=reason):
        x509.check(x509.Material(certificate, chain, Secret(key)), WANTED)


def test_an_expired_issuer_is_refused():
    """hashicorp/vault#30621: an expired issuer goes on signing."""
    certificate, key = CA.leaf(NOW)
    later = NOW + timedelta(days=31)
    with pytest.raises(Rejected, match="CA of the chain has expired"):
        x509.check(x509.Material(certificate, CHAIN, Secret(key)), x509.Wanted(AGENT, HOUR, later, later))


def test_a_leaf_that_signed_the_certificate_is_no_issuer():
    """A stolen agent key must not make it an authority."""
    false_ca = Authority(NOW, parent=CA)
    certificate, key = false_ca.leaf(NOW)
    leaf_like, _ = CA.leaf(NOW, Bend(common_name="intermediate"))
    with pytest.raises(Rejected, match="signature"):
        x509.check(x509.Material(certificate, (leaf_like, CA.pem), Secret(key)), WANTED)


def test_a_fresh_certificate_waits_for_peers_with_slow_clocks():
    """TIM-4: a peer that is 30 s behind must accept it before anybody is told to use it."""
    identity = judged(Bend(backdate=timedelta(seconds=10)))
    assert x509.ready_for_slow_peers(identity, NOW) == NOW + timedelta(seconds=20)
    assert x509.ready_for_slow_peers(identity, NOW + timedelta(seconds=20)) is None


def test_the_stored_chain_has_no_root_but_always_the_issuer():
    """Servers send what they are given; a version without its issuer could not be checked again."""
    assert x509.without_root(CHAIN) == (CA.pem,)
    assert x509.without_root((ROOT.pem,)) == (ROOT.pem,)
