"""The OAuth 2.0 server of tests and demo: what it promises to those who build on it."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from rotator.core.secret import Secret
from rotator.dev.servers.oauth import Client, OAuthServer
from tests.conftest import or_missing

pytestmark = pytest.mark.servers


def test_a_minted_refresh_token_is_active_for_its_client_alone(oauth_server: OAuthServer, unique: str) -> None:
    """The way round the browser must lead to a grant like any other."""
    secret = Secret("a secret with / and + in it")
    oauth_server.set_client(Client(unique, secret))
    token = oauth_server.mint_refresh_token(unique)
    assert oauth_server.is_active(unique, secret, token)
    assert not oauth_server.is_active(unique, secret, Secret("made up"))
    assert not oauth_server.is_active(unique, Secret("wrong"), token)


def test_a_clients_secret_changes_at_run_time(oauth_server: OAuthServer, unique: str) -> None:
    oauth_server.set_client(Client(unique, Secret("first")))
    token = oauth_server.mint_refresh_token(unique)
    oauth_server.set_client(Client(unique, Secret("second")))
    assert not oauth_server.is_active(unique, Secret("first"), token)
    assert oauth_server.is_active(unique, Secret("second"), token)


def test_its_secrets_lie_in_a_file_of_its_own_and_go_with_it(tmp_path: Path) -> None:
    """Neither in argv nor in the environment, where everybody on the machine could read them."""
    server = or_missing(lambda: OAuthServer.start(tmp_path, [Client("one", Secret("nobody-sees-this"))]))
    settings = tmp_path / "settings.json"
    assert stat.S_IMODE(settings.stat().st_mode) == 0o600
    process = Path(f"/proc/{server.pid}")
    assert b"nobody-sees-this" not in (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
    server.stop()
    assert not settings.exists()
    assert not process.exists()
