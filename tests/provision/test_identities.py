"""One call prepares everything, and repeating it breaks nobody who already logged in."""

from __future__ import annotations

import pytest

from rotator.clients.consul_admin import ConsulAdmin
from rotator.clients.vault_admin import Endpoint, VaultAdmin, approle_token
from rotator.provision import identities
from tests.assets.fleet import settings


@pytest.mark.servers
def test_every_principal_gets_a_login_that_works(
    vault: tuple[str, VaultAdmin, object], consul: tuple[str, ConsulAdmin, object]
):
    """`rotator dev` hands these to the service and to each follower."""
    first = identities.prepare(settings(vault[0]), vault[1], consul[1])
    again = identities.prepare(settings(vault[0]), vault[1], consul[1])
    assert list(first) == ["service", "proxy/edge", "agent/billing", "agent/reports"]
    for name, handout in first.items():
        assert approle_token(Endpoint(vault[0]), "approle", handout.role_id, handout.secret_id)
        assert handout.consul_token.matches(again[name].consul_token)
        assert handout.role_id == again[name].role_id
        assert handout.secret_id.reveal() not in repr(handout)
