"""One contract for Vault in memory and the real one: what the kinds may rely on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from rotator.clients.clock import SystemClock
from rotator.core.errors import Code, Conflict, Denied
from rotator.core.secret import Secret
from rotator.ports import CertificateRequest, Secrets
from tests.clients.vault_site import URI, VaultSite
from tests.fakes.clock import FakeClock
from tests.fakes.vault import FakeSecrets

PATH = "agents/billing/tls"


@dataclass(frozen=True)
class World:
    secrets: Secrets
    kv: str
    pki: str

    def request(self, role: str = "rotator-agent", ttl: timedelta = timedelta(minutes=10)) -> CertificateRequest:
        return CertificateRequest(self.pki, role, "billing", (URI,), ("billing.example.test",), ("127.0.0.1",), ttl)

    def write(self, text: str, cas: int, path: str = PATH) -> int:
        return self.secrets.kv_write(self.kv, path, {"text": Secret(text), "more": Secret("m")}, cas)

    def text(self, version: int | None = None, path: str = PATH) -> str | None:
        found = self.secrets.kv_read(self.kv, path, version)
        return None if found is None else found.fields["text"].reveal()


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.servers)])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    if request.param == "fake":
        yield World(FakeSecrets(FakeClock(datetime.now(UTC)), ca_life=timedelta(hours=1)), "kv", "pki_int")
        return
    site = VaultSite(request.getfixturevalue("openbao"), request.getfixturevalue("unique"), ca_ttl="1h")
    secrets, _ = site.open()
    yield World(secrets, site.kv, site.pki)
    secrets.close()


def test_a_certificate_is_what_was_asked_for(world: World) -> None:
    """Names, key and chain belong together; life is the asked one, begun a little earlier for slow peers."""
    asked = SystemClock().now()
    material = world.secrets.issue_certificate(world.request())
    leaf = x509.load_pem_x509_certificate(material.certificate.encode())
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [URI]
    assert names.get_values_for_type(x509.DNSName) == ["billing.example.test"]
    assert [str(one) for one in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]
    key = load_pem_private_key(material.private_key.reveal().encode(), None).public_key()
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert key.public_bytes(*form) == leaf.public_key().public_bytes(*form)
    leaf.verify_directly_issued_by(x509.load_pem_x509_certificate(material.chain[0].encode()))
    assert leaf.not_valid_before_utc < asked
    assert abs(leaf.not_valid_after_utc - asked - timedelta(minutes=10)) < timedelta(seconds=30)


def test_two_certificates_are_two(world: World) -> None:
    """Issuing is not idempotent: the caller must look for its own work before it asks again."""
    first, second = (world.secrets.issue_certificate(world.request()) for _ in range(2))
    assert first.certificate != second.certificate


def test_the_chain_is_that_of_the_issuer(world: World) -> None:
    """Trust bundles are made from it."""
    chain = world.secrets.ca_chain(world.pki)
    material = world.secrets.issue_certificate(world.request())
    issuer = x509.load_pem_x509_certificate(chain[0].encode())
    x509.load_pem_x509_certificate(material.certificate.encode()).verify_directly_issued_by(issuer)
    assert [pem.strip() for pem in material.chain] == [pem.strip() for pem in chain]


def test_a_missing_role_and_a_missing_mount_are_matters_of_configuration(world: World) -> None:
    """Trying again cannot help; a person must repair it."""
    for ask in (
        lambda: world.secrets.issue_certificate(world.request(role="nobody")),
        lambda: world.secrets.issue_certificate(replace(world.request(), mount="nowhere")),
        lambda: world.secrets.ca_chain("nowhere"),
        lambda: world.secrets.kv_read("nowhere", PATH),
        lambda: world.secrets.kv_state("nowhere", PATH),
        lambda: world.secrets.kv_write("nowhere", PATH, {}, 0),
        lambda: world.secrets.kv_destroy("nowhere", PATH, [1]),
    ):
        with pytest.raises(Denied) as raised:
            ask()
        assert raised.value.code is Code.VAULT_NOT_CONFIGURED


def test_a_life_past_the_end_of_the_ca_names_the_issuer(world: World) -> None:
    """The classic silent stop of a whole fleet: it must be told apart from a wrong name."""
    with pytest.raises(Denied) as raised:
        world.secrets.issue_certificate(world.request(ttl=timedelta(minutes=90)))
    assert raised.value.code is Code.VAULT_ISSUER_UNUSABLE


def test_absent_is_none_and_not_an_error(world: World) -> None:
    """Never written, never existed, destroyed: three ways to be absent."""
    assert world.secrets.kv_read(world.kv, PATH) is None
    assert world.secrets.kv_state(world.kv, PATH) is None
    world.write("a", 0)
    assert world.text(9) is None
    world.secrets.kv_destroy(world.kv, PATH, [1])
    assert world.text() is None
    assert world.text(1) is None


def test_versions_are_counted_and_kept(world: World) -> None:
    """Consumers read by version number, so an old one must stay readable next to the new one."""
    assert [world.write("a", 0), world.write("b", 1)] == [1, 2]
    assert (world.text(), world.text(1), world.text(2)) == ("b", "a", "b")
    found = world.secrets.kv_read(world.kv, PATH)
    assert found is not None
    assert found.version == 2
    assert set(found.fields) == {"text", "more"}
    assert abs(found.created_at - SystemClock().now()) < timedelta(seconds=30)


@pytest.mark.parametrize("cas", [0, 2])
def test_a_write_on_another_version_changes_nothing(world: World, cas: int) -> None:
    """Two writers of one key must not flip it for ever."""
    world.write("a", 0)
    with pytest.raises(Conflict) as raised:
        world.write("b", cas)
    assert raised.value.code is Code.KV_CONFLICT
    assert world.text() == "a"


def test_a_first_write_with_a_wrong_expectation_is_a_conflict(world: World) -> None:
    """Somebody removed the key that we knew."""
    with pytest.raises(Conflict):
        world.write("a", 3)


def test_destroying_can_be_repeated_and_spares_the_others(world: World) -> None:
    """A lost reply makes us ask again; what is not there any more is no error."""
    world.write("a", 0)
    world.write("b", 1)
    for _ in range(2):
        world.secrets.kv_destroy(world.kv, PATH, [1, 7])
    world.secrets.kv_destroy(world.kv, "agents/nobody/tls", [1])
    assert (world.text(1), world.text(2)) == (None, "b")
    state = world.secrets.kv_state(world.kv, PATH)
    assert state is not None
    assert (state.current_version, state.versions, state.gone) == (2, (1, 2), (1,))


def test_the_number_goes_on_after_all_is_destroyed(world: World) -> None:
    """The number of a version is never used twice."""
    world.write("a", 0)
    world.secrets.kv_destroy(world.kv, PATH, [1])
    assert world.write("b", 1) == 2


def test_only_the_newest_versions_are_kept(world: World) -> None:
    """KV v2 forgets the eleventh oldest by itself: nothing may be built on its being there."""
    for number in range(12):
        world.write(str(number), number)
    state = world.secrets.kv_state(world.kv, PATH)
    assert state is not None
    assert (state.current_version, state.versions) == (12, tuple(range(3, 13)))
    assert world.text(2) is None
