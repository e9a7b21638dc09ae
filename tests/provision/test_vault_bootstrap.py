"""What bootstrap makes is enough for the service and its followers, and allows nothing more."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
import requests

from rotator.clients.vault_admin import VaultAdmin
from rotator.core.errors import Code, Denied
from rotator.provision import vault_bootstrap, wanted
from rotator.provision.changes import Change, Sign
from rotator.provision.pieces import Mount
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
    foreign = wanted.Wanted((Mount("transit", "kv", options={"version": "2"}),), None, ())
    with pytest.raises(Denied) as refusal:
        vault_bootstrap.bootstrap(admin, foreign, apply=True)
    assert refusal.value.code is Code.VAULT_NOT_CONFIGURED


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
