"""Vault's database engine as the service reaches it: with its own rights, and where something else answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rotator.clients.clock import SystemClock
from rotator.clients.vault import VaultSecrets
from rotator.clients.vault_database import VaultDatabases
from rotator.config.settings import TlsSettings, VaultAuth, VaultAuthMethod, VaultSettings
from rotator.core.errors import Code, Denied, Unavailable
from rotator.core.secret import Secret
from rotator.dev.servers.postgres import Postgres
from tests.clients.canned_server import CannedServer, reply
from tests.clients.vault_site import Server, VaultSite, raised

# As `rotator policy vault` has to print it, for one role.
RULES = """
path "auth/token/lookup-self" { capabilities = ["read"] }
path "%(mount)s/static-creds/%(role)s" { capabilities = ["read"] }
path "%(mount)s/rotate-role/%(role)s" { capabilities = ["update"] }
"""
LOOK = reply("200 OK", b'{"data": {"ttl": 0, "renewable": false}}')
GOOD = {"username": "app", "password": "p", "last_vault_rotation": "2026-11-24T15:45:57.497252254Z", "ttl": 60}


@pytest.fixture
def engine(openbao: Server, postgres: Postgres, unique: str) -> Iterator[tuple[VaultDatabases, str]]:
    """(client with the service's rights, mount); the static role and its account are named like the mount."""
    site = VaultSite(openbao, unique)
    postgres.execute(f'CREATE ROLE "{unique}" LOGIN')
    site.write(f"sys/mounts/{unique}", type="database")
    where = f"{postgres.host}:{postgres.port}/{postgres.database}?sslmode=verify-full&sslrootcert={postgres.ca_file}"
    site.write(
        f"{unique}/config/orders",
        plugin_name="postgresql-database-plugin",
        connection_url="postgresql://{{username}}:{{password}}@" + where,
        username=postgres.superuser,
        password=postgres.superuser_password.reveal(),
        allowed_roles="*",
    )
    site.write(f"{unique}/static-roles/{unique}", db_name="orders", username=unique, rotation_period="720h")
    site.write(f"sys/policies/acl/{unique}-db", policy=RULES % {"mount": unique, "role": unique})
    secrets, _ = site.open(VaultAuth(VaultAuthMethod.TOKEN, token=site.child_token(policies=[f"{unique}-db"])))
    yield VaultDatabases(secrets.calls), unique
    postgres.execute(f'DROP ROLE "{unique}"')


@pytest.mark.servers
def test_a_rotation_gives_another_password_and_a_later_time(engine: tuple[VaultDatabases, str], postgres: Postgres):
    """The time names a password: the kind tells its own rotation from others by it."""
    databases, name = engine
    before = databases.credential(name, name)
    databases.rotate(name, name)
    after = databases.credential(name, name)
    assert not after.password.matches(before.password)
    assert before.rotated_at < after.rotated_at < datetime.now(UTC) + timedelta(seconds=30)
    assert (after.username, after.automatic_after) == (name, timedelta(days=30))
    postgres.connect(name, after.password).close()


@pytest.mark.servers
def test_what_is_not_there_or_not_allowed_is_named(engine: tuple[VaultDatabases, str], openbao: Server):
    """Only a person can help, and has to know with what."""
    databases, name = engine
    for act in (databases.credential, databases.rotate):
        fault = raised(lambda act=act: act(name, "other"))
        assert (type(fault), fault.code) == (Denied, Code.VAULT_DENIED)
        assert f"{name}/" in fault.text
    root = VaultAuth(VaultAuthMethod.TOKEN, token=openbao.root_token)
    settings = VaultSettings(openbao.address, root, TlsSettings(ca_file=openbao.ca_file))
    everything = VaultDatabases(VaultSecrets(settings, SystemClock()).calls)
    for place in ((name, "other"), ("no-such-mount", name)):
        for act in (everything.credential, everything.rotate):
            fault = raised(lambda act=act, place=place: act(*place))
            assert (type(fault), fault.code) == (Denied, Code.VAULT_NOT_CONFIGURED)


@pytest.mark.parametrize(
    "bent",
    [
        {"username": ""},
        {"password": None},
        {"password": 7},
        {"last_vault_rotation": "yesterday"},
        {"last_vault_rotation": "2026-11-24T15:45:57"},
        {"ttl": None},
    ],
)
def test_an_incomplete_reply_is_a_lost_one(bent: dict[str, Any]):
    """Half a credential must not be stored."""
    answer = reply("200 OK", json.dumps({"data": {**GOOD, **bent}}).encode())
    server = CannedServer(LOOK, answer)
    try:
        auth = VaultAuth(VaultAuthMethod.TOKEN, token=Secret("t"))
        databases = VaultDatabases(VaultSecrets(VaultSettings(server.address, auth), SystemClock()).calls)
        fault = raised(lambda: databases.credential("database", "app"))
    finally:
        server.close()
    assert (type(fault), fault.code) == (Unavailable, Code.VAULT_REPLY_MALFORMED)
