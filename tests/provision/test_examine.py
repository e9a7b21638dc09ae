"""The doctor calls a prepared installation fit, and names each thing that is not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rotator.clients.consul_admin import ConsulAdmin
from rotator.clients.vault_admin import Endpoint, VaultAdmin, approle_token
from rotator.core.errors import Denied
from rotator.core.secret import Secret
from rotator.provision import consul_bootstrap, examine, vault_bootstrap
from rotator.provision.finding import Finding, Verdict
from rotator.provision.principals import SERVICE, find
from tests.assets.authority import Authority
from tests.assets.fleet import settings

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def worries(findings: object) -> dict[str, Verdict]:
    return {one.what: one.verdict for one in findings if one.verdict is not Verdict.PASS}  # type: ignore[attr-defined]


def vault_as(vault: tuple[str, VaultAdmin, object], name: str) -> VaultAdmin:
    endpoint = Endpoint(vault[0])
    login = vault_bootstrap.login_for(vault[1], find(settings().fleet, name))
    return VaultAdmin(endpoint, approle_token(endpoint, "approle", login.role_id, login.secret_id))


@pytest.mark.servers
def test_a_bootstrapped_vault_is_fit(vault: tuple[str, VaultAdmin, object]):
    """What bootstrap makes satisfies the doctor, with the service's own rights."""
    found = tuple(examine.vault(settings(vault[0]), vault_as(vault, "service"), lambda: datetime.now(UTC)))
    assert worries(found) == {}
    assert {"vault seal", "clock", "vault policy", "issuer of pki_int", "kv versions"} <= {one.what for one in found}


@pytest.mark.servers
def test_a_token_without_the_policy_is_named(vault: tuple[str, VaultAdmin, object]):
    """A follower's token in the service's place must not look healthy."""
    ask = lambda: examine.vault(settings(vault[0]), vault_as(vault, "agent/billing"), lambda: datetime.now(UTC))  # noqa: E731
    assert Verdict.FAIL in worries(examine.guarded("vault", ask)).values()


@pytest.mark.servers
def test_lifetimes_beyond_the_role_are_named(vault: tuple[str, VaultAdmin, object]):
    """Every certificate would be refused as too short; the doctor says so before."""
    long = settings(vault[0], ttl=timedelta(hours=9))
    found = worries(examine.vault(long, vault_as(vault, "service"), lambda: datetime.now(UTC)))
    assert found == {"pki role rotator-agent": Verdict.FAIL, "pki role rotator-proxy": Verdict.FAIL}


@pytest.mark.servers
def test_a_refused_login_says_how_to_get_a_new_one(vault: tuple[str, VaultAdmin, object]):
    """Vault answers 400 here, which elsewhere means a bad request."""
    with pytest.raises(Denied, match="refuses the login") as refusal:
        approle_token(Endpoint(vault[0]), "approle", "no-role", Secret("no-secret"))
    assert "no-secret" not in str(refusal.value)


@pytest.mark.servers
def test_a_bootstrapped_consul_is_fit(consul: tuple[str, ConsulAdmin, object]):
    """Leader, rights, session, and closed for strangers."""
    own = ConsulAdmin(Endpoint(consul[0]), consul_bootstrap.token_for(consul[1], SERVICE))
    assert worries(examine.consul(settings(), own, ConsulAdmin(Endpoint(consul[0]), Secret("")))) == {}


def test_a_dead_server_is_a_finding():
    """One dead server must not hide what is wrong with the others."""
    nobody = ConsulAdmin(Endpoint("http://127.0.0.1:9", timeout=1.0), Secret(""))
    (found,) = examine.guarded("consul", lambda: examine.consul(settings(), nobody, nobody))
    assert (found.verdict, found.what) == (Verdict.FAIL, "consul")
    assert found.fix


@pytest.mark.parametrize(
    ("left", "verdict"),
    [(timedelta(hours=3), Verdict.PASS), (timedelta(minutes=90), Verdict.WARN), (timedelta(minutes=50), Verdict.FAIL)],
)
def test_the_issuers_life_is_measured_in_lifetimes(left: timedelta, verdict: Verdict):
    """VLT-8: below two lifetimes a warning, below one issuing stops."""
    chain = Authority(NOW, life=left).pem
    assert examine.issuer_life(settings(), "pki_int", chain, NOW).verdict is verdict


def test_an_issuer_that_cuts_lives_short_is_named():
    """hashicorp/vault#30621."""
    assert examine.issuer_settings("pki_int", {"leaf_not_after_behavior": "truncate"}).verdict is Verdict.WARN
    assert examine.issuer_settings("pki_int", {"leaf_not_after_behavior": "err"}).verdict is Verdict.PASS


@pytest.mark.parametrize(("seconds", "verdict"), [(1, Verdict.PASS), (-9, Verdict.WARN), (45, Verdict.FAIL)])
def test_a_clock_apart_is_named(seconds: int, verdict: Verdict):
    """Fresh certificates are not yet valid for one of the two."""
    assert examine.clock(timedelta(seconds=seconds)).verdict is verdict


@pytest.mark.parametrize(("mode", "expected"), [(0o700, {}), (0o755, {"state directory": Verdict.WARN})])
def test_an_open_state_directory_is_named(tmp_path: Path, mode: int, expected: dict[str, Verdict]):
    """The audit lies there."""
    tmp_path.chmod(mode)
    assert worries(examine.state_directory(tmp_path)) == expected
    assert worries(examine.state_directory(tmp_path / "none")) == {"state directory": Verdict.FAIL}


def test_few_inotify_instances_are_named(tmp_path: Path):
    """A file watch that cannot be made fails late and far away."""
    (tmp_path / "max_user_instances").write_text("16\n")
    found: list[Finding] = list(examine.inotify(tmp_path))
    assert worries(found) == {"inotify": Verdict.WARN}
