"""`[databases.NAME]`, and `database = { server, roles }` of a credential of kind `database`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

from pydantic import Field

from rotator.config.fields import HostPort, Model, Name, host_port
from rotator.core.kind_settings import DatabaseServer, DatabaseSettings

# As Vault names static roles (framework.GenericNameRegex), without what a path of a policy would read as a wildcard.
RoleName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,126}[A-Za-z0-9_])?$")]

# PostgreSQL cuts longer names (NAMEDATALEN); an empty one would stand for the user's name.
DatabaseName = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]{1,63}$")]


class DatabaseServerModel(Model):
    """A PostgreSQL in which new passwords are tried. TLS is always verified: by `ca_file`, or by the system's CAs."""

    address: HostPort
    database: DatabaseName
    ca_file: Path | None = None


class DatabaseModel(Model):
    """roles: static roles of `[vault] database_mount`, used by no other credential. One: its old password dies with
    the rotation. Two, on two accounts: they take turns. Their `rotation_period` must be twice the ttl or more, better
    far more: what Vault changes by itself breaks the stored copy."""

    server: Name
    roles: Annotated[tuple[RoleName, ...], Field(min_length=1, max_length=2)]


def problems(model: DatabaseModel) -> Iterator[tuple[str, str, str]]:
    """(key, text, hint) for what a schema cannot say."""
    if len(set(model.roles)) < len(model.roles):
        text = f"{model.roles[0]} twice is no pair: each rotation would end the version in use"
        yield "roles", text, "two roles on two accounts, or one role alone"


def shared_roles(users: Iterable[tuple[str, DatabaseModel]]) -> Iterator[tuple[str, str, str]]:
    """(credential, role, the credential that has it already), in the order given: a rotation for the one would end
    the password of the other."""
    taken: dict[str, str] = {}
    for user, model in users:
        for role in dict.fromkeys(model.roles):
            if taken.setdefault(role, user) != user:
                yield user, role, taken[role]


def settings(model: DatabaseModel, mount: str, servers: dict[str, DatabaseServerModel]) -> DatabaseSettings:
    server = servers[model.server]
    host, port = host_port(server.address)
    return DatabaseSettings(mount, model.roles, DatabaseServer(host, port, server.database, server.ca_file))
