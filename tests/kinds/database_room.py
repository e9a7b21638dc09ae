"""The database kind between a real OpenBao and a real PostgreSQL: accounts and static roles of one test alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import psycopg

from rotator.clients.postgres_login import PostgresLogins
from rotator.clients.vault import VaultSecrets
from rotator.clients.vault_admin import VaultAdmin
from rotator.clients.vault_database import VaultDatabases
from rotator.config.settings import VaultAuth, VaultAuthMethod, VaultSettings
from rotator.core.errors import Code, Unavailable
from rotator.core.identity import CredentialId, Owner, OwnerKind
from rotator.core.kind_settings import DatabaseServer, DatabaseSettings
from rotator.core.model import Facts, Pending, Stage, rotation_id
from rotator.core.reasons import Cause, Reason
from rotator.core.secret import Secret
from rotator.core.spec import Policy, Spec
from rotator.dev.servers.postgres import Postgres
from rotator.kinds import database
from rotator.kinds.base import KindPorts
from rotator.ports import StaticCredential
from tests.assets.vault_wire import VaultWire
from tests.kinds.points import Points

MOUNT = "database"
TTL = timedelta(hours=1)


class MachineClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


class EngineWire:
    """The real engine client. The reply of `lose_next` is lost after its effect; `deaf`: Vault says that it rotated
    and did not. `account`: what every role is said to change. `rotated`: the roles, in order."""

    def __init__(self, engine: VaultDatabases) -> None:
        self._engine = engine
        self.lose_next = ""
        self.deaf = False
        self.account = ""
        self.rotated: list[str] = []

    def rotate(self, mount: str, role: str) -> None:
        if not self.deaf:
            self._engine.rotate(mount, role)
            self.rotated.append(role)
        self._reply("rotate")

    def credential(self, mount: str, role: str) -> StaticCredential:
        found = self._engine.credential(mount, role)
        self._reply("credential")
        return replace(found, username=self.account or found.username)

    def _reply(self, name: str) -> None:
        if self.lose_next == name:
            self.lose_next = ""
            raise Unavailable(Code.VAULT_UNREACHABLE, "the reply was lost")


@dataclass(frozen=True)
class Place:
    """One PostgreSQL, as its administrator sees it."""

    postgres: Postgres

    @property
    def server(self) -> DatabaseServer:
        one = self.postgres
        return DatabaseServer(one.host, one.port, one.database, one.ca_file)

    @property
    def connection(self) -> str:
        """Its name in Vault's database engine."""
        return f"postgres-{self.postgres.port}"

    def run(self, statement: str) -> None:
        self.postgres.execute(statement)

    def accepts(self, username: str, password: Secret) -> bool:
        """Whether a login succeeds."""
        try:
            self.postgres.connect(username, password).close()
        except psycopg.OperationalError as problem:
            if "password authentication failed" not in str(problem):
                raise
            return False
        return True

    def ask(self, question: str) -> str:
        with self.postgres.connect() as connection:
            row = connection.execute(question.encode()).fetchone()
        assert row is not None
        return str(row[0])


def secrets_of(address: str) -> VaultSecrets:
    auth = VaultAuth(VaultAuthMethod.TOKEN, token=Secret("root"))
    return VaultSecrets(VaultSettings(address, auth), MachineClock())


def prepare(admin: VaultAdmin, place: Place) -> None:
    """The engine and its connection, made once for a server."""
    if f"{MOUNT}/" not in (admin.read("sys/mounts") or {}):
        admin.write(f"sys/mounts/{MOUNT}", {"type": "database"})
    where = f"{place.server.host}:{place.server.port}/{place.server.name}"
    tls = f"sslmode=verify-full&sslrootcert={place.server.ca_file}"
    admin.write(
        f"{MOUNT}/config/{place.connection}",
        {
            "plugin_name": "postgresql-database-plugin",
            "connection_url": f"postgresql://{{{{username}}}}:{{{{password}}}}@{where}?{tls}",
            "username": place.postgres.superuser,
            "password": place.postgres.superuser_password.reveal(),
            "password_authentication": "scram-sha-256",
            "allowed_roles": "*",
        },
    )


def make_account(admin: VaultAdmin, place: Place, name: str, period: timedelta = timedelta(days=30)) -> None:
    """An account and the static role of the same name that changes its password."""
    place.run(f"CREATE ROLE \"{name}\" LOGIN PASSWORD 'first'")
    static = {"db_name": place.connection, "username": name, "rotation_period": int(period.total_seconds())}
    admin.write(f"{MOUNT}/static-roles/{name}", static)


def make_spec(place: Place, name: str, roles: tuple[str, ...]) -> Spec:
    target = CredentialId(Owner(OwnerKind.AGENT, name), "db")
    settings = DatabaseSettings(MOUNT, roles, place.server)
    return Spec(target, "database", TTL, "kv", f"agents/{name}/db", settings, Policy(), "d" * 64)


@dataclass
class Room:
    """The kind for one credential with `halves` roles, named after `unique`."""

    address: str
    admin: VaultAdmin
    place: Place
    unique: str
    halves: int = 2
    period: timedelta = timedelta(days=30)
    roles: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.roles = tuple(f"{self.unique}-{half}" for half in "ab"[: self.halves])
        for role in self.roles:
            make_account(self.admin, self.place, role, self.period)
        self.spec = make_spec(self.place, self.unique, self.roles)
        self.wire, self.points, self.clock = VaultWire(self.admin), Points(), MachineClock()
        self.engine = EngineWire(VaultDatabases(secrets_of(self.address).calls))
        ports = KindPorts(self.wire, self.clock, self.points, engine=self.engine, databases=PostgresLogins())
        self.kind = database.build(ports)

    def pending(self, version: int = 1) -> Pending:
        at = self.clock.now()
        mark = rotation_id(self.spec.id, version, at)
        return Pending(version, mark, Stage.INTENDED, Cause(Reason.DUE), at)

    def issue(self, version: int, stored_version: int) -> Facts:
        """A whole issue without trouble."""
        facts = self.kind.issue(self.spec, self.pending(version), stored_version, read_back=False).facts
        self.kind.verify(self.spec, facts)
        return facts

    def newest(self) -> int:
        state = self.wire.kv_state("kv", self.spec.kv_path)
        return state.current_version if state else 0

    def password(self, facts: Facts) -> Secret:
        stored = self.wire.kv_read("kv", facts.kv_path, facts.kv_version)
        assert stored is not None
        return stored.fields["password"]


def role_of(facts: Facts) -> str:
    return dict(facts.details)["role"]


def wait_until(holds: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.1)
