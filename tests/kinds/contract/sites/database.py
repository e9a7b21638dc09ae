"""Database accounts: accepted by a PostgreSQL of the site's own, whose passwords Vault's database engine changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

from rotator.clients.postgres_login import PostgresLogins
from rotator.clients.vault_database import VaultDatabases
from rotator.core.model import Facts
from rotator.core.spec import Spec
from rotator.dev.servers.postgres import Postgres
from tests.assets.servers import or_missing
from tests.kinds.contract.site import Ground, Material, Site
from tests.kinds.database_room import Place, make_account, make_spec, prepare, role_of


class DatabaseSite(Site):
    """One role: changed in place."""

    label = kind = "database"
    repeats = ("engine.rotate",)
    halves: ClassVar[str] = "a"

    def __init__(self, ground: Ground, place: Place) -> None:
        super().__init__(ground)
        self.place = place

    @classmethod
    @contextmanager
    def opened(cls, ground: Ground) -> Iterator[Site]:
        with or_missing(lambda: Postgres.start(ground.folder / "postgres")) as server:
            place = Place(server)
            prepare(ground.admin, place)
            yield cls(ground, place)

    def sockets(self) -> Mapping[str, Any]:
        return {"engine": VaultDatabases(self.ground.secrets.calls), "databases": PostgresLogins()}

    def spec(self, name: str) -> Spec:
        roles = tuple(f"{name}-{half}" for half in self.halves)
        for role in roles:
            make_account(self.ground.admin, self.place, role)
        return make_spec(self.place, name, roles)

    def works(self, spec: Spec, facts: Facts, material: Material) -> bool:
        return self.place.accepts(material["username"].reveal(), material["password"])

    def spoil(self, spec: Spec, facts: Facts, material: Material) -> None:
        """Somebody changes the password in the database."""
        self.place.run(f"ALTER ROLE \"{role_of(facts)}\" PASSWORD 'another'")


class DatabasePairSite(DatabaseSite):
    """Two roles that take turns."""

    label = "database pair"
    halves = "ab"


SITES = (DatabaseSite, DatabasePairSite)
