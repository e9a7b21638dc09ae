"""The environment on top of the file: the vendors' names with the vendors' meanings, and nothing that weakens TLS."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from rotator.config.settings import VaultAuthMethod

from .conftest import GOOD, accepted, problems

Write = Callable[..., Path]


@pytest.mark.parametrize(
    ("environment", "address"),
    [
        ({"VAULT_ADDR": "https://vault:1"}, "https://vault:1"),
        ({"BAO_ADDR": "https://bao:1"}, "https://bao:1"),
        ({"VAULT_ADDR": "https://vault:1", "BAO_ADDR": "https://bao:1"}, "https://bao:1"),
        ({"VAULT_ADDR": "https://vault:1", "BAO_ADDR": ""}, "https://vault:1"),
        ({"VAULT_ADDR": ""}, "https://vault.example.org:8200"),
        ({"BAO_ADDR": "https://bao:1", "ROTATOR_VAULT__ADDRESS": "https://own:1"}, "https://own:1"),
    ],
)
def test_where_vault_is(write: Write, environment: dict[str, str], address: str) -> None:
    """BAO_* beats VAULT_*, as in `bao` itself; an empty variable is none."""
    assert accepted(write(GOOD), environment).settings.vault.address == address


@pytest.mark.parametrize(
    ("environment", "address"),
    [
        ({"CONSUL_HTTP_ADDR": "127.0.0.1:8500"}, "http://127.0.0.1:8500"),
        ({"CONSUL_HTTP_ADDR": "consul:8501", "CONSUL_HTTP_SSL": "true"}, "https://consul:8501"),
        ({"CONSUL_HTTP_ADDR": "consul:8501", "CONSUL_HTTP_SSL": "1"}, "https://consul:8501"),
        ({"CONSUL_HTTP_ADDR": "127.0.0.1:8500", "CONSUL_HTTP_SSL": "false"}, "http://127.0.0.1:8500"),
        ({"CONSUL_HTTP_ADDR": "https://consul:8501"}, "https://consul:8501"),
        ({"CONSUL_HTTP_ADDR": "http://localhost:8500", "CONSUL_HTTP_SSL": "true"}, "http://localhost:8500"),
    ],
)
def test_where_consul_is(write: Write, environment: dict[str, str], address: str) -> None:
    """Consul's own tools take host:port and say in CONSUL_HTTP_SSL whether TLS is meant; a scheme says it itself."""
    assert accepted(write(GOOD), environment).settings.consul.address == address


@pytest.mark.parametrize("address", ["consul:8500", "unix:///run/consul.sock", "http://consul:8500"])
def test_an_address_that_would_leak_the_token_is_refused(write: Write, address: str) -> None:
    """The problem names the variable: nobody should look for it in the file."""
    (found,) = problems(write(GOOD), {"CONSUL_HTTP_ADDR": address})
    assert found.file == "CONSUL_HTTP_ADDR"
    assert found.path == "consul.address"


def test_tls_and_namespaces(write: Write) -> None:
    """All names of both vendors that say how to reach a server."""
    environment = {
        "VAULT_NAMESPACE": "team",
        "VAULT_CACERT": "/ca.pem",
        "BAO_CAPATH": "/ca",
        "VAULT_CLIENT_CERT": "/c.pem",
        "VAULT_CLIENT_KEY": "/c.key",
        "VAULT_TLS_SERVER_NAME": "vault",
        "VAULT_CLIENT_TIMEOUT": "30",
        "CONSUL_CACERT": "/consul-ca.pem",
        "CONSUL_TLS_SERVER_NAME": "consul",
        "CONSUL_HTTP_TOKEN_FILE": "/consul-token",
        "CONSUL_NAMESPACE": "ns",
    }
    settings = accepted(write(GOOD), environment).settings
    tls = settings.vault.tls
    assert (settings.vault.namespace, settings.vault.timeout) == ("team", timedelta(seconds=30))
    assert (tls.ca_file, tls.ca_path, tls.server_name) == (Path("/ca.pem"), Path("/ca"), "vault")
    assert (tls.client_certificate, tls.client_key) == (Path("/c.pem"), Path("/c.key"))
    assert (settings.consul.tls.ca_file, settings.consul.tls.server_name) == (Path("/consul-ca.pem"), "consul")
    assert (settings.consul.token_file, settings.consul.namespace) == (Path("/consul-token"), "ns")


def test_a_token_replaces_every_configured_login(write: Write) -> None:
    """As with the vendors' tools; a login that is not used need not be complete."""
    text = GOOD.replace('method = "approle", role = "role-id", secret_id_file = "/nowhere/secret-id"', "")
    settings = accepted(write(text), {"VAULT_TOKEN": "one", "BAO_TOKEN": "two", "CONSUL_HTTP_TOKEN": "three"}).settings
    assert settings.vault.auth.method is VaultAuthMethod.TOKEN
    assert settings.vault.auth.token is not None
    assert settings.vault.auth.token.reveal() == "two"
    assert settings.consul.token is not None
    assert not any(token in repr(settings) for token in ("one'", "two", "three"))


@pytest.mark.parametrize("name", ["VAULT_SKIP_VERIFY", "BAO_SKIP_VERIFY"])
@pytest.mark.parametrize("value", ["1", "t", "T", "true", "TRUE", "True"])
def test_skipping_verification_is_refused(write: Write, name: str, value: str) -> None:
    """Refused, not ignored: whoever set it believes that it holds. All spellings that Go takes."""
    (found,) = problems(write(GOOD), {name: value})
    assert found.path == name or found.file == name
    assert "cannot be switched off" in found.text


@pytest.mark.parametrize("value", ["0", "f", "false", "FALSE"])
def test_not_skipping_verification_is_fine(write: Write, value: str) -> None:
    """It is what we do anyway; for Consul the same word means the opposite."""
    accepted(write(GOOD), {"VAULT_SKIP_VERIFY": value, "CONSUL_HTTP_SSL_VERIFY": "true"})
    (found,) = problems(write(GOOD), {"CONSUL_HTTP_SSL_VERIFY": value})
    assert "cannot be switched off" in found.text


@pytest.mark.parametrize(
    "environment",
    [{"VAULT_SKIP_VERIFY": "maybe"}, {"CONSUL_HTTP_SSL_VERIFY": "2"}, {"CONSUL_HTTP_AUTH": "me:pw"}],
)
def test_what_is_not_understood_is_refused(write: Write, environment: dict[str, str]) -> None:
    """A value that we would have to guess, and a login that we do not have. Never the value itself."""
    found = problems(write(GOOD), environment)
    assert len(found) == 1
    assert "me:pw" not in repr(found)


def test_a_bad_value_names_its_variable(write: Write) -> None:
    """The file may be right about the very same key."""
    (found,) = problems(write(GOOD), {"VAULT_CLIENT_TIMEOUT": "soon"})
    assert (found.file, found.path) == ("VAULT_CLIENT_TIMEOUT", "vault.timeout")
