"""Secret-ids of agents on a real OpenBao: wrapped only, told apart by their marks, gone when they are destroyed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from rotator.clients.clock import SystemClock
from rotator.clients.vault import VaultSecrets
from rotator.clients.vault_approle import VaultAppRoles
from rotator.clients.vault_calls import Ask
from rotator.config.settings import VaultAuth, VaultAuthMethod, VaultSettings
from rotator.core.errors import Code, Denied, Rejected, Unavailable
from rotator.core.secret import Secret
from rotator.ports import LoginProof, SecretIdRequest
from tests.clients.canned_server import CannedServer, reply
from tests.clients.vault_site import Server, VaultSite, raised

pytestmark = pytest.mark.servers
TTL = timedelta(minutes=30)
# As `rotator policy vault` has to print it: LIST has a path of its own, which ends in a slash.
RULES = """
path "auth/token/lookup-self" { capabilities = ["read"] }
path "auth/%(mount)s/role/+/role-id" { capabilities = ["read"] }
path "auth/%(mount)s/role/+/secret-id" {
  capabilities = ["update"]
  min_wrapping_ttl = "1s"
  max_wrapping_ttl = "120s"
}
path "auth/%(mount)s/role/+/secret-id/" { capabilities = ["list"] }
path "auth/%(mount)s/role/+/secret-id/lookup" { capabilities = ["update"] }
path "auth/%(mount)s/role/+/secret-id-accessor/lookup" { capabilities = ["update"] }
path "auth/%(mount)s/role/+/secret-id-accessor/destroy" { capabilities = ["update"] }
"""


class Place:
    """A mount of agents with one role `billing`, reached with the rights that the service has."""

    def __init__(self, site: VaultSite) -> None:
        self.site, self.mount = site, f"agents-{site.name}"
        site.write(f"sys/auth/{self.mount}", type="approle")
        self.role()
        site.write(f"sys/policies/acl/{site.name}-approle", policy=RULES % {"mount": self.mount})
        token = site.child_token(policies=[f"{site.name}-approle"])
        self.secrets, self.calls = site.open(VaultAuth(VaultAuthMethod.TOKEN, token=token))
        self.approles = VaultAppRoles(self.secrets.calls)

    def role(self, name: str = "billing", **given: Any) -> None:
        self.site.write(f"auth/{self.mount}/role/{name}", **{"token_policies": ["default"], "token_ttl": "5m", **given})

    def request(self, **given: Any) -> SecretIdRequest:
        marks = {"credential": "agent/billing/login", "rotation_id": "r1", "version": "3"}
        return replace(SecretIdRequest(self.mount, "billing", TTL, metadata=marks), **given)

    def log_in(self, value: Secret | None) -> LoginProof:
        assert value is not None
        return self.approles.try_login(self.mount, self.approles.role_id(self.mount, "billing"), value)


@pytest.fixture
def place(openbao: Server, unique: str) -> Place:
    return Place(VaultSite(openbao, unique))


def test_a_new_one_comes_wrapped_and_is_what_was_asked_for(place: Place) -> None:
    """With a policy that lets no secret-id through in the open."""
    cidrs = {"secret_id_cidrs": ("127.0.0.0/8",), "token_cidrs": ("127.0.0.0/8",)}
    made = place.approles.new_secret_id(place.request(num_uses=2, **cidrs))
    assert [name for name, _ in place.calls.made if name != "lookup_self"] == [
        "approle_secret_id",
        "wrapping_lookup",
        "unwrap",
        "approle_lookup",
    ]
    assert made.expires_at is not None
    assert abs(made.expires_at - made.created_at - TTL) < timedelta(seconds=1)
    assert (made.uses_left, made.secret_id_cidrs, made.token_cidrs) == (2, ("127.0.0.0/8",), ("127.0.0.0/8",))
    assert made.metadata == {"credential": "agent/billing/login", "rotation_id": "r1", "version": "3"}
    assert place.approles.secret_ids(place.mount, "billing") == (replace(made, value=None),)
    assert place.log_in(made.value) is LoginProof.ENDED


def test_an_open_one_is_refused_by_that_policy(place: Place) -> None:
    """Without this the test above would not show that we ask for wrapping."""
    ask = Ask("open", f"auth/{place.mount}/role/billing/secret-id", {})
    assert raised(lambda: place.secrets.calls.write(ask)).code is Code.VAULT_DENIED


def test_looking_up_uses_up_nothing_and_a_login_one(place: Place) -> None:
    """Counted uses are the agent's."""
    made = place.approles.new_secret_id(place.request(num_uses=2))
    assert made.value is not None
    for _ in range(3):
        found = place.approles.look_up(place.mount, "billing", made.value)
        assert found == replace(made, value=None)
    place.log_in(made.value)
    found = place.approles.look_up(place.mount, "billing", made.value)
    assert found is not None
    assert found.uses_left == 1


def test_the_token_of_a_test_login_is_revoked(place: Place) -> None:
    """It has the agent's rights, and nobody needs it."""
    made = place.approles.new_secret_id(place.request())
    before = set(place.site.admin.listing("auth/token/accessors"))
    assert place.log_in(made.value) is LoginProof.ENDED
    assert set(place.site.admin.listing("auth/token/accessors")) == before


@pytest.mark.parametrize(
    ("role", "asked"),
    [
        ({"token_policies": ["nothing"], "token_no_default_policy": True}, {}),
        ({"token_type": "batch"}, {}),
        ({}, {"token_cidrs": ("10.0.0.0/8",)}),
    ],
    ids=["no right", "batch", "elsewhere"],
)
def test_a_token_that_cannot_be_revoked_is_said_to_be_left(
    place: Place, role: dict[str, Any], asked: dict[str, Any]
) -> None:
    """The secret-id is good all the same; the token runs out by itself."""
    place.role(**role)
    made = place.approles.new_secret_id(place.request(**asked))
    assert place.log_in(made.value) is LoginProof.LEFT


@pytest.mark.parametrize("uses", [0, 2])
def test_an_address_outside_is_told_from_a_bad_secret_id(place: Place, uses: int) -> None:
    """And uses up nothing."""
    made = place.approles.new_secret_id(place.request(num_uses=uses, secret_id_cidrs=("10.0.0.0/8",)))
    assert place.log_in(made.value) is LoginProof.OUTSIDE
    assert [one.uses_left for one in place.approles.secret_ids(place.mount, "billing")] == [uses]
    with pytest.raises(Rejected) as refused:
        place.log_in(Secret("00000000-0000-4000-8000-000000000000"))
    assert refused.value.code is Code.MATERIAL_REJECTED


def test_destroying_twice_is_success_and_ends_logins(place: Place) -> None:
    """OpenBao answers 500 to the second."""
    made = place.approles.new_secret_id(place.request())
    for _ in range(2):
        place.approles.destroy_secret_id(place.mount, "billing", made.accessor)
    assert made.value is not None
    assert place.approles.look_up(place.mount, "billing", made.value) is None
    assert place.approles.secret_ids(place.mount, "billing") == ()
    with pytest.raises(Rejected):
        place.log_in(made.value)


def test_a_role_that_is_gone_has_nothing_left_and_gets_nothing_new(place: Place) -> None:
    """A retirement must not hang on a role that somebody removed; an issue says what is missing."""
    approles, mount = place.approles, place.mount
    assert approles.secret_ids(mount, "gone") == ()
    assert approles.look_up(mount, "gone", Secret("x")) is None
    approles.destroy_secret_id(mount, "gone", "00000000-0000-4000-8000-000000000000")
    for act in (lambda: approles.role_id(mount, "gone"), lambda: approles.new_secret_id(place.request(role="gone"))):
        fault = raised(act)
        assert (type(fault), fault.code) == (Denied, Code.VAULT_NOT_CONFIGURED)
        assert f"auth/{mount}/role/gone" in fault.text


@pytest.mark.parametrize(
    ("role", "asked", "words"),
    [
        ({"secret_id_num_uses": 2}, {"num_uses": 3}, "3 logins"),
        ({"secret_id_num_uses": 2}, {}, "any number of logins"),
        ({"secret_id_ttl": "10m"}, {}, "lives for 0:30:00"),
        ({"secret_id_bound_cidrs": ["10.0.0.0/8"]}, {"secret_id_cidrs": ("127.0.0.0/8",)}, "these addresses"),
    ],
)
def test_what_the_role_does_not_allow_is_named(
    place: Place, role: dict[str, Any], asked: dict[str, Any], words: str
) -> None:
    """400 and 500 without a distinction: only a person can repair it, so it is no outage."""
    place.role(**role)
    fault = raised(lambda: place.approles.new_secret_id(place.request(**asked)))
    assert (type(fault), fault.code) == (Denied, Code.VAULT_NOT_CONFIGURED)
    assert words in fault.text
    assert place.approles.secret_ids(place.mount, "billing") == ()


def test_a_life_cut_short_by_the_mount_shows(place: Place) -> None:
    """Vault says it nowhere but in the expiration time."""
    place.site.write(f"sys/auth/{place.mount}/tune", max_lease_ttl="10m")
    made = place.approles.new_secret_id(place.request())
    assert made.expires_at is not None
    assert made.expires_at - made.created_at <= timedelta(minutes=10)


PATH = "auth/agents/role/billing/secret-id"


def canned(answers: Mapping[str, tuple[str, object]]) -> tuple[CannedServer, VaultAppRoles]:
    """A server that answers by the last two words of a path."""

    def answer(request: bytes) -> bytes:
        path = request.split(b" ")[1].decode()
        status, body = next((found for end, found in answers.items() if path.endswith(end)), ("200 OK", {"data": {}}))
        return reply(status, json.dumps(body).encode())

    server = CannedServer(answer)
    auth = VaultAuth(VaultAuthMethod.TOKEN, token=Secret("t"))
    return server, VaultAppRoles(VaultSecrets(VaultSettings(server.address, auth), SystemClock()).calls)


WRAPPED = ("200 OK", {"wrap_info": {"token": "s.wrapping", "creation_path": PATH}})
HERE = ("200 OK", {"data": {"creation_path": PATH}})
USED = ("400 Bad Request", {"errors": ["wrapping token is not valid or does not exist"]})


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ({"/secret-id": WRAPPED, "/lookup": ("200 OK", {"data": {"creation_path": f"{PATH}/"}})}, "not made at"),
        ({"/secret-id": WRAPPED, "wrapping/lookup": ("200 OK", {"data": {"creation_path": "cubbyhole/x"}})}, "made at"),
        ({"/secret-id": WRAPPED, "wrapping/lookup": USED}, "used already"),
        ({"/secret-id": WRAPPED, "wrapping/lookup": HERE, "/unwrap": USED}, "used already"),
        ({"/secret-id": ("200 OK", {"data": {"secret_id": "open-value"}})}, "in the open"),
    ],
    ids=["other path", "other engine", "opened before the look", "opened after the look", "not wrapped"],
)
def test_an_intercepted_wrapping_is_a_security_event(answers: dict[str, tuple[str, object]], words: str) -> None:
    """Canned, because the interceptor has to come between two of our calls."""
    server, approles = canned({**answers, "/lookup-self": ("200 OK", {"data": {"ttl": 60, "renewable": False}})})
    try:
        fault = raised(lambda: approles.new_secret_id(SecretIdRequest("agents", "billing", TTL)))
    finally:
        server.close()
    assert (type(fault), fault.code) == (Denied, Code.VAULT_WRAPPING_SUSPECT)
    assert words in fault.text
    assert "open-value" not in f"{fault!r}{fault.text}{fault.hint}"
    assert "s.wrapping" not in f"{fault!r}{fault.text}{fault.hint}"


@pytest.mark.parametrize(
    ("answers", "act"),
    [
        ({"/secret-id": ("200 OK", {"data": {}})}, "new"),
        ({"/login": ("200 OK", {"auth": {}})}, "login"),
        ({"/login": ("503 Service Unavailable", {"errors": ["Vault is sealed"]})}, "login"),
        ({"/login": ("429 Too Many Requests", {"errors": []})}, "login"),
        ({"/secret-id-accessor/destroy": ("500 Internal Server Error", {"errors": ["internal error"]})}, "destroy"),
    ],
)
def test_what_may_pass_is_no_judgement(answers: dict[str, tuple[str, object]], act: str) -> None:
    """A sealed Vault must not make a good secret-id rejected, nor a failed destruction look done."""
    server, approles = canned({**answers, "/lookup-self": ("200 OK", {"data": {"ttl": 60, "renewable": False}})})
    acts: dict[str, Callable[[], object]] = {
        "new": lambda: approles.new_secret_id(SecretIdRequest("agents", "billing", TTL)),
        "login": lambda: approles.try_login("agents", "role", Secret("value")),
        "destroy": lambda: approles.destroy_secret_id("agents", "billing", "a"),
    }
    try:
        assert isinstance(raised(acts[act]), Unavailable)
    finally:
        server.close()
