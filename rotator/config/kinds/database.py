"""`[databases.NAME]`, and `database = { server, roles }` of a credential of kind `database`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from rotator.config.fields import HostPort, Model, Name, host_port
from rotator.core.kind_settings import DatabaseServer, DatabaseSettings


class DatabaseServerModel(Model):
    """A PostgreSQL in which new passwords are tried. TLS is always verified: by `ca_file`, or by the system's CAs."""

    address: HostPort
    database: str
    ca_file: Path | None = None


class DatabaseModel(Model):
    """roles: of `[vault] database_mount`. One: its old password dies with the rotation. Two: they take turns."""

    server: Name
    roles: Annotated[tuple[Name, ...], Field(min_length=1, max_length=2)]


def settings(model: DatabaseModel, mount: str, servers: dict[str, DatabaseServerModel]) -> DatabaseSettings:
    server = servers[model.server]
    host, port = host_port(server.address)
    return DatabaseSettings(mount, model.roles, DatabaseServer(host, port, server.database, server.ca_file))
