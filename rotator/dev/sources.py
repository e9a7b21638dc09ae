"""The systems beside Vault that accept what is rotated: a PostgreSQL and an OAuth 2.0 server, where they can be had.

Both are made ready here with an administrator's rights, as a database administrator and an identity team would: the
connection and the static roles of Vault's database engine, the client and its secret.
"""

from __future__ import annotations

import secrets as randomness
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from rotator.clients.vault_admin import VaultAdmin
from rotator.core.errors import Fault
from rotator.core.secret import Secret
from rotator.dev import fleet
from rotator.dev.fleet import AuthorizationSource, DatabaseSource, Sources
from rotator.dev.servers.oauth import Client, OAuthServer
from rotator.dev.servers.postgres import Postgres

_Server = TypeVar("_Server", Postgres, OAuthServer)
# Vault must never rotate a static role by itself: the stored copy would be dead (a year, its own unit is seconds).
NEVER_BY_ITSELF = 365 * 86400
CONNECTION = "orders"
_POLICY = 'path "auth/token/revoke-self" { capabilities = ["update"] }'


@dataclass(frozen=True, slots=True)
class Running:
    """What could be started. missing: a sentence for each that could not."""

    postgres: Postgres | None
    oauth: OAuthServer | None
    client_secret: Secret
    missing: tuple[str, ...]

    def sources(self) -> Sources:
        database = authorization = None
        if self.postgres is not None:
            one = self.postgres
            database = DatabaseSource(f"{one.host}:{one.port}", one.database, one.ca_file)
        if self.oauth is not None:
            authorization = AuthorizationSource(self.oauth.issuer, self.oauth.ca_file)
        return Sources(True, database, authorization)


NOTHING = Running(None, None, Secret(""), ())


def start(directory: Path, stack: ExitStack, *, required: bool) -> Running:
    """Starts both. required: a missing one is an error (tests); else it is left out and named (the demo)."""
    secret = Secret(randomness.token_urlsafe(32))
    missing: list[str] = []

    def wanted(make: Callable[[], _Server], name: str) -> _Server | None:
        try:
            return stack.enter_context(make())
        except Fault as fault:
            if required:
                raise
            missing.append(f"no {name}, so no credential of its kind: {fault.text}")
            return None

    postgres = wanted(lambda: Postgres.start(directory / "postgres"), "PostgreSQL")
    client = Client(fleet.ALL_KINDS, secret)
    oauth = wanted(lambda: OAuthServer.start(directory / "oauth", clients=(client,)), "OAuth 2.0 server")
    return Running(postgres, oauth, secret, tuple(missing))


def prepare(running: Running, vault: VaultAdmin) -> None:
    """After `rotator bootstrap` has made the mounts. Safe to repeat."""
    vault.write(f"sys/policies/acl/{fleet.ALL_KINDS}", {"policy": _POLICY})
    if running.postgres is not None:
        _database(running.postgres, vault)
    if running.oauth is not None:
        body = {"data": {"client_secret": running.client_secret.reveal()}}
        vault.write(f"kv/data/{fleet.CLIENT_PATH}", body)


def _database(postgres: Postgres, vault: VaultAdmin) -> None:
    for role in fleet.DATABASE_ROLES:
        postgres.execute(f'CREATE ROLE "{role}" LOGIN')
    url = "postgresql://{{username}}:{{password}}@" + f"{postgres.host}:{postgres.port}/{postgres.database}"
    connection = {
        "plugin_name": "postgresql-database-plugin",
        "allowed_roles": list(fleet.DATABASE_ROLES),
        "connection_url": f"{url}?sslmode=verify-full&sslrootcert={postgres.ca_file}",
        "username": postgres.superuser,
        "password": postgres.superuser_password.reveal(),
    }
    vault.write(f"database/config/{CONNECTION}", connection)
    for role in fleet.DATABASE_ROLES:
        static = {"db_name": CONNECTION, "username": role, "rotation_period": NEVER_BY_ITSELF}
        vault.write(f"database/static-roles/{role}", static)
