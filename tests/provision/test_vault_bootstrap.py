"""What bootstrap makes is enough for the service and its followers, and allows nothing more."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
import requests

from rotator.clients.vault_admin import VaultAdmin
from rotator.core.errors import Code, Denied
from rotator.provision import vault_bootstrap, vault_policy, wanted
from rotator.provision.changes import Change, Sign
from rotator.provision.principals import SERVICE, find
from tests.assets.fleet import settings

pytestmark = pytest.mark.servers
Vault = tuple[str, VaultAdmin, tuple[Change, ...]]
Call = Callable[..., requests.Response]


def as_principal(vault: Vault, name: str) -> Call:
    """A function (method, path, body) -> reply with the principal's own token."""
    address, admin, _ = vault
    login = vault_bootstrap.login_for(admin, find(settings().fleet, name))
    body = {"role_id": login.role_id, "secret_id": login.secret_id.reveal()}
    token = requests.post(f"{address}/v1/auth/approle/login", json=body, timeout=5).json()["auth"]["client_token"]

    def call(method: str, path: str, data: object = None) -> requests.Response:
        headers = {"X-Vault-Token": token}
        return requests.request(method, f"{address}/v1/{path}", json=data, headers=headers, timeout=5)

    return call


@pytest.fixture
def service(vault: Vault) -> Call:
    return as_principal(vault, "service")


@pytest.fixture
def stored(vault: Vault) -> None:
    """One secret of each owner, written by the administrator."""
    for path in ("agents/billing/tls", "agents/reports/tls", "proxies/edge/tls"):
        vault[1].write(f"kv/data/{path}", {"data": {"private_key": "k"}})


def agent_certificate(name: str = "billing") -> dict[str, object]:
    return {
        "common_name": name,
        "uri_sans": f"spiffe://example.test/agent/{name}",
        "exclude_cn_from_sans": True,
        "ttl": "1h",
    }


def test_the_second_run_finds_nothing_to_do(vault: Vault):
    """Idempotence: an interrupted or repeated bootstrap must not grow or reset anything."""
    address, admin, first = vault
    assert [change.what for change in first if change.sign is Sign.SAME] == ["issuer settings of pki_int"]
    again = vault_bootstrap.bootstrap(admin, wanted.vault(settings(address)), apply=True)
    assert [change for change in again if change.sign is not Sign.SAME] == []
    assert len(again) == len(first)


def test_a_dry_run_says_what_would_change_and_changes_nothing(vault: Vault):
    """A longer lifetime needs a longer role: shown, and not done."""
    address, admin, _ = vault
    longer = wanted.vault(settings(address, ttl=timedelta(hours=5)))
    first, second = (vault_bootstrap.bootstrap(admin, longer, apply=False) for _ in range(2))
    assert first == second
    changed = {change.what: change.fields for change in first if change.sign is Sign.CHANGE}
    assert changed == dict.fromkeys(("pki role rotator-agent", "pki role rotator-proxy"), ("max_ttl", "ttl"))


def test_a_foreign_mount_is_left_alone(vault: Vault):
    """Turning somebody's mount into ours would destroy it."""
    _, admin, _ = vault
    foreign = wanted.Wanted((wanted.Mount("transit", "kv", options={"version": "2"}),), None, ())
    with pytest.raises(Denied) as refusal:
        vault_bootstrap.bootstrap(admin, foreign, apply=True)
    assert refusal.value.code is Code.VAULT_NOT_CONFIGURED


def needs(own: str) -> list[tuple[str, str, object]]:
    """One call for every need of the service; `own` names a KV key that nobody else uses. The token ends last."""
    proxy = {**agent_certificate("edge"), "uri_sans": "spiffe://example.test/proxy/edge", "alt_names": "localhost"}
    found: list[tuple[str, str, object]] = [
        ("POST", "pki_int/issue/rotator-agent", agent_certificate()),
        ("POST", "pki_int/issue/rotator-proxy", {**proxy, "ip_sans": "127.0.0.1"}),
        ("GET", "pki_int/roles/rotator-agent", None),
        ("GET", "pki_int/roles/rotator-proxy", None),
        ("GET", "pki_int/issuer/default", None),
    ]
    for folder in ("agents/billing", "proxies/edge"):
        found += [
            ("POST", f"kv/data/{folder}/{own}", {"options": {"cas": 0}, "data": {"a": "b"}}),
            ("GET", f"kv/data/{folder}/{own}?version=1", None),
            ("GET", f"kv/metadata/{folder}/{own}", None),
            ("PUT", f"kv/destroy/{folder}/{own}", {"versions": [1]}),
        ]
    return [
        *found,
        ("GET", "kv/config", None),
        ("POST", "sys/capabilities-self", {"paths": ["kv/config"]}),
        ("GET", "auth/token/lookup-self", None),
        ("POST", "auth/token/renew-self", {}),
        ("POST", "auth/token/revoke-self", {}),
    ]


def test_the_service_can_do_all_that_it_needs(service: Call):
    """The printed policy is complete."""
    replies = {path: service(method, path, data) for method, path, data in needs("complete")}
    assert {path: reply.text for path, reply in replies.items() if reply.status_code >= 300} == {}
    assert service("GET", "pki_int/cert/ca_chain", None).status_code == 200


def test_no_line_of_the_policy_is_spare(vault: Vault):
    """Exactness: without a line, exactly the calls below its path are denied, and at least one of them is needed."""
    address, admin, _ = vault
    every = vault_policy.rules(settings(), SERVICE)
    for number, left_out in enumerate(every):
        admin.write("sys/policies/acl/exact", {"policy": vault_policy.render("x", [r for r in every if r != left_out])})
        token = requests.post(
            f"{address}/v1/auth/token/create",
            json={"policies": ["exact"], "no_default_policy": True},
            headers={"X-Vault-Token": "root"},
            timeout=5,
        ).json()["auth"]["client_token"]
        denied, below = set(), set()
        shape = re.compile(left_out.path.replace("+", "[^/]+"))
        for method, path, data in needs(f"exact{number}"):
            headers = {"X-Vault-Token": token}
            reply = requests.request(method, f"{address}/v1/{path}", json=data, headers=headers, timeout=5)
            denied |= {path} if reply.status_code == 403 else set()
            below |= {path} if shape.fullmatch(path.split("?")[0]) else set()
        assert denied == below != set(), left_out


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "pki_int/issue/other"),
        ("POST", "pki_int/sign/rotator-agent"),
        ("POST", "pki_int/sign-verbatim"),
        ("POST", "pki_int/roles/rotator-agent"),
        ("DELETE", "pki_int/roles/rotator-agent"),
        ("POST", "pki_int/config/issuers"),
        ("POST", "pki_int/issuer/default"),
        ("POST", "pki_int/root/generate/internal"),
        ("POST", "pki_int/revoke"),
        ("POST", "pki_root/root/sign-intermediate"),
        ("GET", "kv/data/other/billing/tls"),
        ("GET", "kv/data/agents/billing"),
        ("GET", "kv/data/agents/billing/tls/deeper"),
        ("DELETE", "kv/data/agents/billing/tls"),
        ("DELETE", "kv/metadata/agents/billing/tls"),
        ("POST", "kv/metadata/agents/billing/tls"),
        ("POST", "kv/config"),
        ("LIST", "kv/metadata/agents"),
        ("GET", "transit/export/encryption-key/any"),
        ("POST", "transit/keys/any"),
        ("GET", "sys/mounts"),
        ("POST", "sys/policies/acl/rotator-service"),
        ("POST", "auth/token/create"),
        ("POST", "auth/approle/role/rotator-service/secret-id"),
        ("POST", "auth/agents/role/any"),
    ],
)
def test_the_service_is_denied_everything_else(service: Call, method: str, path: str):
    """A stolen service token must not become more than what it is."""
    assert service(method, path, {} if method == "POST" else None).status_code == 403


@pytest.mark.parametrize(
    "bent",
    [
        {"uri_sans": "spiffe://example.test/proxy/edge"},
        {"uri_sans": "spiffe://other.test/agent/billing"},
        {"alt_names": "localhost"},
        {"alt_names": "example.com"},
        {"ip_sans": "127.0.0.1"},
    ],
)
def test_the_agent_role_refuses_other_identities(service: Call, bent: dict[str, str]):
    """The role is the second lock: what we check ourselves, Vault refuses too."""
    assert service("POST", "pki_int/issue/rotator-agent", {**agent_certificate(), **bent}).status_code == 400


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize(
    ("name", "own", "others"),
    [
        ("agent/billing", "agents/billing/tls", ("agents/reports/tls", "proxies/edge/tls")),
        ("proxy/edge", "proxies/edge/tls", ("agents/billing/tls", "agents/reports/tls")),
    ],
)
def test_a_follower_reads_its_own_credentials_only(vault: Vault, name: str, own: str, others: tuple[str, ...]):
    """One broken node must not uncover the keys of the others."""
    call = as_principal(vault, name)
    assert call("GET", f"kv/data/{own}").status_code == 200
    assert call("GET", "auth/token/lookup-self").status_code == 200
    refused = [("GET", f"kv/data/{path}") for path in others]
    refused += [("POST", f"kv/data/{own}"), ("GET", f"kv/metadata/{own}"), ("POST", "pki_int/issue/rotator-agent")]
    assert {call(method, path, {} if method == "POST" else None).status_code for method, path in refused} == {403}


def test_an_issued_certificate_leaves_nothing_behind_in_vault(vault: Vault, service: Call):
    """No lease and no stored certificate: both once brought servers down (hashicorp/vault#6417)."""
    before = vault[1].listing("pki_int/certs")
    reply = service("POST", "pki_int/issue/rotator-agent", agent_certificate()).json()
    assert reply["lease_id"] == ""
    assert vault[1].listing("pki_int/certs") == before


def test_the_login_of_an_unknown_principal_names_the_remedy(vault: Vault):
    """`rotator dev` and operators meet this when bootstrap was not run for a new agent."""
    options = wanted.Options(auth_mount="elsewhere")
    with pytest.raises(Denied) as refusal:
        vault_bootstrap.login_for(vault[1], SERVICE, options)
    assert "bootstrap" in refusal.value.hint
