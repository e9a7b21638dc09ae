"""A bootstrapped OpenBao of this room's own, and what an oauth2 credential needs."""

from __future__ import annotations

from itertools import count

import pytest

from rotator.clients.vault_admin import VaultAdmin
from rotator.core.kind_settings import Grant
from rotator.dev.servers.oauth import OAuthServer
from tests.assets.bare_servers import bare_vault, vault
from tests.kinds.oauth_room import MakeRoom, Room

__all__ = ["bare_vault", "vault"]

_NUMBERS = count(1)


@pytest.fixture
def make_oauth_room(vault: tuple[str, VaultAdmin, object], oauth_server: OAuthServer) -> MakeRoom:
    return lambda grant: Room(vault[1], oauth_server, f"oauth-{next(_NUMBERS)}", grant)


@pytest.fixture
def service(make_oauth_room: MakeRoom) -> Room:
    """With client credentials."""
    return make_oauth_room(Grant.CLIENT_CREDENTIALS)


@pytest.fixture
def person(make_oauth_room: MakeRoom) -> Room:
    """With a person's consent."""
    return make_oauth_room(Grant.REFRESH_TOKEN)
