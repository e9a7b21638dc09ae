"""What the agent's credential of a site is: kinds of different nature, and what their systems say about them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rotator.clients.postgres_login import PostgresLogins
from rotator.clients.vault_admin import VaultAdmin
from rotator.core.errors import Fault
from rotator.core.kind_settings import DatabaseSettings
from rotator.core.secret import Secret

if TYPE_CHECKING:
    from tests.crash.site import Servers, Site

CONNECTION = "crash"


@dataclass(frozen=True, slots=True)
class Source:
    """secret: the field of the material that may be seen nowhere. making: the path of a call that makes one."""

    kind: str
    secret: str
    making: str

    def made_by(self, path: str) -> bool:
        return re.search(self.making, path) is not None

    def table(self, name: str) -> str:
        """The rest of the credential's configuration."""
        return ""

    def prepare(self, servers: Servers, vault: VaultAdmin, name: str) -> None:
        """What an administrator makes for this agent, by its name."""

    def accepted(self, site: Site, material: dict[str, Any]) -> bool:
        """Whether the system behind it takes this material now."""
        return True

    def alive(self, site: Site) -> int:
        """How many secrets of this agent the system would take now, known to us or not."""
        return 1


class AppRole(Source):
    def prepare(self, servers: Servers, vault: VaultAdmin, name: str) -> None:
        vault.write(f"auth/agents/role/{name}", {"token_policies": [], "secret_id_ttl": "2h"})

    def accepted(self, site: Site, material: dict[str, Any]) -> bool:
        try:
            vault = site.stranger()
            return bool(
                vault.write("auth/agents/login", {key: material[key] for key in ("role_id", "secret_id")}) is not None
            )
        except Fault:
            return False

    def alive(self, site: Site) -> int:
        return len(site.vault.listing(f"auth/agents/role/{site.agent.owner.name}/secret-id"))


class Database(Source):
    """One static role: its old password dies with the rotation, so there is nothing to fall back to."""

    def table(self, name: str) -> str:
        return f'database = {{ server = "crash", roles = ["{name}"] }}'

    def prepare(self, servers: Servers, vault: VaultAdmin, name: str) -> None:
        servers.postgres.execute(f'CREATE ROLE "{name}" LOGIN')
        role = {"db_name": CONNECTION, "username": name, "rotation_period": 365 * 86400}
        vault.write(f"database/static-roles/{name}", role)

    def accepted(self, site: Site, material: dict[str, Any]) -> bool:
        settings = next(s for s in site.settings.fleet.specs() if s.id == site.agent).settings
        assert isinstance(settings, DatabaseSettings)
        try:
            PostgresLogins().login(settings.server, material["username"], Secret(material["password"]))
        except Fault:
            return False
        return True


CERTIFICATE = Source("certificate", "private_key", "/issue/")
APPROLE = AppRole("approle", "secret_id", "/secret-id$")
DATABASE = Database("database", "password", "/rotate-role/")
SOURCES = {source.kind: source for source in (CERTIFICATE, APPROLE, DATABASE)}


def connect(servers: Servers, vault: VaultAdmin) -> None:
    """The connection of Vault's database engine that all sites use."""
    one = servers.postgres
    where = f"{one.host}:{one.port}/{one.database}?sslmode=verify-full&sslrootcert={one.ca_file}"
    vault.write(
        f"database/config/{CONNECTION}",
        {
            "plugin_name": "postgresql-database-plugin",
            "allowed_roles": ["*"],
            "connection_url": "postgresql://{{username}}:{{password}}@" + where,
            "username": one.superuser,
            "password": one.superuser_password.reveal(),
        },
    )
