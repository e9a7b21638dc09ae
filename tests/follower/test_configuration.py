"""`follower.toml`: complete or refused with every place named, and never a secret in the words."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from rotator.config import follower
from rotator.config.problems import ConfigErrors
from rotator.config.settings import VaultAuthMethod
from rotator.core.errors import Code, Denied
from rotator.core.identity import Owner, OwnerKind

GOOD = """
[vault]
address = "https://vault.example.org:8200"
auth = { method = "approle", role = "edge", secret_id_file = "/run/secret-id" }
[consul]
address = "127.0.0.1:8500"
prefix = "site/"
[[proxy]]
name = "edge"
directory = "/var/lib/edge"
admin = "127.0.0.1:9901"
settle = "5s"
[[agent]]
name = "billing"
directory = "/run/billing"
exec = ["systemctl", "reload", "billing"]
auth = { method = "token_file", token_file = "/run/billing-token" }
"""


def _load(tmp_path: Path, text: str, **environment: str) -> follower.FollowerSettings:
    path = tmp_path / "follower.toml"
    path.write_text(text)
    path.chmod(0o600)
    return follower.load(path, environment, "machine-1")


def test_a_good_file_becomes_settings(tmp_path: Path) -> None:
    """Each subject with its own identity; the machine's name where none is given."""
    settings = _load(tmp_path, GOOD)
    assert settings.node == "machine-1"
    assert settings.consul.address == "http://127.0.0.1:8500"
    assert settings.proxies[0].settle == timedelta(seconds=5)
    assert settings.vault_for(settings.proxies[0]).auth.method is VaultAuthMethod.APPROLE
    assert settings.vault_for(settings.agents[0]).auth.method is VaultAuthMethod.TOKEN_FILE


def test_the_environment_beats_the_file(tmp_path: Path) -> None:
    """With the vendors' names; BAO_ADDR wins over VAULT_ADDR as in `bao` itself."""
    names = {"VAULT_ADDR": "https://a:1", "BAO_ADDR": "https://b:1", "VAULT_TOKEN": "s.t", "CONSUL_HTTP_TOKEN": "c"}
    settings = _load(tmp_path, GOOD, **names)
    assert settings.vault.address == "https://b:1"
    assert settings.vault.auth.method is VaultAuthMethod.TOKEN
    assert settings.consul.token is not None


def test_every_error_is_named_with_its_place(tmp_path: Path) -> None:
    """All at once, and no value: it may be a secret in the wrong line."""
    text = GOOD.replace('"5s"', '"hvs.secret"').replace('"127.0.0.1:9901"', '"hvs.secret2"') + 'colour = "red"\n'
    with pytest.raises(Denied) as refused:
        _load(tmp_path, text)
    assert refused.value.code is Code.CONFIG_INVALID
    for place in ("proxy.0.settle", "proxy.0.admin", "agent.0.colour"):
        assert place in refused.value.text
    assert "hvs." not in refused.value.text


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('exec = ["systemctl", "reload", "billing"]', 'signal = "HUP"', "belong together"),
        ('"/run/billing"', '"/var/lib/edge"', "directory of its own"),
        ('"/run/billing"', '"run/billing"', "absolute path"),
        ('role = "edge", ', "", "needs role"),
        ('name = "edge"', 'name = "../edge"', "inner hyphens"),
    ],
)
def test_what_cannot_work_is_refused(tmp_path: Path, old: str, new: str, told: str) -> None:
    """Each rule, with words that say what is wanted."""
    assert old in GOOD
    with pytest.raises(Denied) as refused:
        _load(tmp_path, GOOD.replace(old, new))
    assert told in refused.value.text


def test_problems_name_the_line_or_the_variable(tmp_path: Path) -> None:
    """As with the service's own file: an editor jumps there, and nobody looks for a variable's value in the file."""
    text = GOOD.replace('"5s"', '"5"')
    with pytest.raises(ConfigErrors) as refused:
        _load(tmp_path, text)
    (found,) = refused.value.problems
    assert text.splitlines()[found.line - 1] == 'settle = "5"'
    with pytest.raises(ConfigErrors) as refused:
        _load(tmp_path, GOOD, VAULT_CLIENT_TIMEOUT="soon")
    assert refused.value.problems[0].file == "VAULT_CLIENT_TIMEOUT"


@pytest.mark.parametrize(
    "environment",
    [{"VAULT_SKIP_VERIFY": "true"}, {"VAULT_ADDR": "http://vault:8200"}, {"CONSUL_HTTP_ADDR": "consul:8500"}],
)
def test_what_would_give_a_token_away_is_refused(tmp_path: Path, environment: dict[str, str]) -> None:
    """A follower holds an agent's identity: the service's rules about TLS are its rules as well."""
    with pytest.raises(ConfigErrors):
        _load(tmp_path, GOOD, **environment)


def test_a_file_that_others_may_write_or_nobody_can_read_is_refused(tmp_path: Path) -> None:
    """It names commands that run with the follower's rights."""
    path = tmp_path / "follower.toml"
    with pytest.raises(ConfigErrors) as refused:
        follower.load(path, {}, "x")
    assert refused.value.code is Code.CONFIG_UNREADABLE
    path.write_text(GOOD)
    path.chmod(0o664)
    with pytest.raises(ConfigErrors) as refused:
        follower.load(path, {}, "x")
    assert "chmod go-w" in refused.value.hint


def test_a_wrapped_secret_id_needs_the_role_it_was_made_for(tmp_path: Path) -> None:
    """Without it the follower could not tell a stranger's wrapping token from its own."""
    text = GOOD.replace('role = "edge"', 'role = "edge", secret_id_wrapped = true')
    with pytest.raises(ConfigErrors) as refused:
        _load(tmp_path, text)
    assert "needs role_name" in refused.value.text
    text = text.replace("wrapped = true", 'wrapped = true, role_name = "rotator-proxy-edge"')
    assert _load(tmp_path, text).vault.auth.role_name == "rotator-proxy-edge"


def test_the_command_line_gives_one_agent_its_action(tmp_path: Path) -> None:
    """`--exec` is split into words, never given to a shell."""
    settings = follower.with_action(_load(tmp_path, GOOD), ["billing"], "run 'a b'", "", None)
    assert settings.agents[0].exec == ("run", "a b")
    with pytest.raises(Denied):
        follower.with_action(settings, [], "run", "", None)
    assert follower.owners([], ["billing"]) == {Owner(OwnerKind.AGENT, "billing")}


def test_the_shipped_sample_is_valid(tmp_path: Path) -> None:
    """What people copy must work."""
    sample = Path(__file__).parents[2] / "deploy/follower.toml"
    settings = _load(tmp_path, sample.read_text())
    assert (settings.proxies[0].name, settings.agents[0].name) == ("edge", "billing")
