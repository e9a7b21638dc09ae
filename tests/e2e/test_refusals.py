"""Who must not pass does not pass, by one attempt and one answer: nothing here is tried a second time.

Every client shows a certificate that differs from a good one in exactly one thing; a good one of the same make passes.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from rotator.dev import fleet
from rotator.dev.caller import Answer, Identity, agent_identity, call
from rotator.dev.fleet import PROXY, TRUST_DOMAIN, Size
from rotator.dev.world import Options, World
from rotator.provision.endpoints import vault_admin
from tests.assets.authority import Authority, Bend
from tests.e2e.counting import counted

pytestmark = pytest.mark.servers

OPTIONS = Options(size=Size(agents=2, ttl=3600))
AGENT, OTHER = "billing", "ledger"
GOOD = f"spiffe://{TRUST_DOMAIN}/agent/{AGENT}"
NOW = datetime.now(UTC).replace(microsecond=0)
HOUR = timedelta(hours=1)
Show = Callable[[Bend], Identity]


@pytest.fixture(scope="module")
def show(world: World, tmp_path_factory: pytest.TempPathFactory) -> Show:
    """Certificates of a CA below the trusted one: what is wrong with them is what the test bends, never the issuer."""
    authority = Authority(NOW)
    request = x509.CertificateSigningRequestBuilder().subject_name(authority.certificate.subject)
    csr = request.sign(authority.key, SHA256()).public_bytes(Encoding.PEM).decode()
    admin = vault_admin(world.settings().vault, world.openbao.root_token)
    body = {"csr": csr, "common_name": "below", "use_csr_values": True, "ttl": "24h"}
    signed = admin.write("pki_int/root/sign-intermediate", body)["certificate"]
    authority.certificate = x509.load_pem_x509_certificate(signed.encode())
    folder = tmp_path_factory.mktemp("clients")

    def made(bend: Bend) -> Identity:
        certificate, key = authority.leaf(NOW, bend)
        return _identity(world, folder, f"{certificate.strip()}\n{signed}", key)

    return made


def test_a_certificate_with_nothing_wrong_passes(world: World, show: Show) -> None:
    """Without this, every refusal below could have a reason that nobody meant."""
    assert _ask(world, show(Bend(uris=(GOOD,)))) == (Answer.PASSED, 1)


@pytest.mark.parametrize(
    "bend",
    [
        pytest.param(Bend(uris=(f"spiffe://elsewhere.example/agent/{AGENT}",)), id="another trust domain"),
        pytest.param(Bend(uris=(f"spiffe://{TRUST_DOMAIN}/proxy/{PROXY}",)), id="a proxy's name"),
        pytest.param(Bend(uris=(), dns=(AGENT,)), id="no URI name"),
        pytest.param(Bend(uris=(GOOD,), backdate=2 * HOUR, ttl=timedelta(seconds=-5)), id="expired"),
        pytest.param(Bend(uris=(GOOD,), backdate=-HOUR, ttl=2 * HOUR), id="not yet valid"),
        pytest.param(Bend(uris=(GOOD,), purposes=(ExtendedKeyUsageOID.SERVER_AUTH,)), id="for servers only"),
    ],
)
def test_a_certificate_with_one_thing_wrong_is_refused(world: World, show: Show, bend: Bend) -> None:
    """Invariant 10: a mismatch in TLS is final."""
    assert _ask(world, show(bend)) == (Answer.REFUSED, 1)


@pytest.mark.parametrize("name", ["nobody", f"{AGENT}/more", AGENT.upper(), AGENT[:-1]])
def test_an_agent_that_nobody_configured_is_denied(world: World, show: Show, name: str) -> None:
    """Its certificate is good and so the handshake is; what it may do is nothing, however near its name is."""
    assert _ask(world, show(Bend(uris=(f"spiffe://{TRUST_DOMAIN}/agent/{name}",)))) == (Answer.DENIED, 1)


def test_another_authority_is_refused(world: World, tmp_path: Path) -> None:
    """The right name from the wrong CA."""
    certificate, key = Authority(NOW).leaf(NOW, Bend(uris=(GOOD,)))
    assert _ask(world, _identity(world, tmp_path, certificate, key)) == (Answer.REFUSED, 1)


def test_the_proxys_own_certificate_is_no_agents(world: World) -> None:
    """Issued by the right CA, valid now, and useless for a client."""
    own = (world.directory / "edge" / "current").resolve() / "tls"
    shown = Identity(_trust(world), own / "certificate.pem", own / "private_key.pem")
    assert _ask(world, shown) == (Answer.REFUSED, 1)


def test_no_certificate_is_refused(world: World) -> None:
    """A client certificate is demanded, not merely asked for."""
    assert _ask(world, Identity(_trust(world))) == (Answer.REFUSED, 1)


def test_a_client_refuses_a_proxy_that_it_cannot_verify(world: World, tmp_path: Path) -> None:
    """The other direction: an agent that trusts another CA ends the handshake and sends no request."""
    own = agent_identity(world.agent_directory(AGENT))
    other = tmp_path / "other.pem"
    other.write_text(Authority(NOW).pem)
    assert _ask(world, Identity(other, own.certificate, own.key)) == (Answer.REFUSED, 1)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", fleet.own_path(OTHER)),
        ("DELETE", fleet.own_path(AGENT)),
        ("POST", fleet.own_path(AGENT)),
        ("GET", "/orders"),
        ("GET", f"{fleet.own_path(AGENT)}x"),
        ("GET", f"{fleet.own_path(AGENT)}/../{OTHER}"),
        ("GET", f"{fleet.own_path(AGENT)}/%2e%2e/{OTHER}"),
        ("GET", f"//{fleet.own_path(OTHER)}"),
    ],
)
def test_an_agent_is_denied_what_is_not_in_its_scope(world: World, method: str, path: str) -> None:
    """Another's path, another method, and spellings that a careless proxy would take for its own."""
    assert _ask(world, agent_identity(world.agent_directory(AGENT)), method, path) == (Answer.DENIED, 1)


def _ask(
    world: World, identity: Identity, method: str = "GET", path: str = fleet.own_path(AGENT)
) -> tuple[Answer, int]:
    """(answer, connections that were made for it)."""
    with counted(world.door) as (door, count):
        outcome = call(door, identity, method, path)
        return outcome.answer, count.connections


def _trust(world: World) -> Path:
    return agent_identity(world.agent_directory(AGENT)).ca


def _identity(world: World, folder: Path, certificate: str, key: str) -> Identity:
    (folder / "certificate.pem").write_text(certificate)
    (folder / "private_key.pem").write_text(key)
    return Identity(_trust(world), folder / "certificate.pem", folder / "private_key.pem")
