"""Servers that somebody else runs, named in the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from rotator.core.errors import Denied
from rotator.dev.servers import given


def test_a_named_server_is_used_as_it_is() -> None:
    """A team tests against its own Vault."""
    environment = {
        "ROTATOR_TEST_VAULT_ADDR": "https://vault.test:8200",
        "ROTATOR_TEST_VAULT_TOKEN": "hvs.root",
        "ROTATOR_TEST_VAULT_CACERT": "/ca.pem",
    }
    found = given.vault(environment)
    assert found is not None
    assert (found.address, found.ca_file, found.root_token.reveal()) == (
        "https://vault.test:8200",
        Path("/ca.pem"),
        "hvs.root",
    )
    assert given.consul(environment) is None


def test_an_address_without_a_token_is_a_mistake() -> None:
    """To start a server of our own instead would test another one than was meant."""
    with pytest.raises(Denied, match="ROTATOR_TEST_CONSUL_TOKEN is not"):
        given.consul({"ROTATOR_TEST_CONSUL_ADDR": "https://consul.test:8501"})
