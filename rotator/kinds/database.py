"""Passwords of database accounts, by static roles of Vault's database engine, proven by a real login.

One role: Vault replaces its password in place, and the old one dies at once. Two roles: they take turns, so that the
version before stays good; `Policy.spacing` keeps their turns half a period apart (`core/decide.py`). Sessions that are
open when a password changes go on.

`rotation_period` of a static role must be far longer than the ttl: a change by Vault itself breaks the stored copy.
The time of its last rotation, by Vault's clock, names a password of a role: it stands in the facts as `rotated_at`.

Vault paths: `<database_mount>/static-creds/<role>` (read), `<database_mount>/rotate-role/<role>` (update), for each
role; and as every kind, its place in KV.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from rotator.core.errors import Code, Denied, Rejected
from rotator.core.kind_settings import DatabaseSettings
from rotator.core.model import Facts, Pending
from rotator.core.secret import Secret
from rotator.core.spec import Spec
from rotator.kinds.base import IssueResult, KindPorts
from rotator.kinds.keeping import Keeping, Made
from rotator.ports import StaticCredential

USERNAME, PASSWORD = "username", "password"
ROLE, ROTATED_AT = "role", "rotated_at"
# How far Vault's clock may be behind ours for a rotation to count as one of this intent. Being wrong costs one more
# rotation of a password that nobody holds.
CLOCKS_APART = timedelta(seconds=30)
# Least `rotation_period`, in lives: an outage may stretch one life, and Vault must not change the password in it.
LEAST_PERIODS = 2
# KV v2 keeps ten versions unless told otherwise; older ones are not looked for.
VERSIONS_LOOKED_AT = 10


class DatabaseKind:
    """Kind `database`."""

    name = "database"

    def __init__(self, ports: KindPorts) -> None:
        self._keeping = Keeping(ports)
        self._engine, self._databases = ports.engine, ports.databases
        self._clock, self._failpoint = ports.clock, ports.failpoint

    def issue(self, spec: Spec, pending: Pending, stored_version: int, read_back: bool) -> IssueResult:
        """As `Kind.issue`. Never changes the password of the role that the version at `stored_version` uses, unless
        it is the only one."""
        if read_back and (adopted := self._keeping.find(spec, pending, stored_version)):
            return adopted
        want, now = _settings(spec), self._clock.now()
        current = self._keeping.facts(spec, stored_version)
        role = self._turn(want, current, stored_version)
        found = self._engine.credential(want.mount, role)
        _refuse_unfit(spec, role, found, current)
        newest = self._keeping.newest(spec) if read_back else stored_version
        if not (read_back and self._rotated_by_us(spec, pending, found, newest)):
            self._engine.rotate(want.mount, role)
            self._failpoint.reach("K2", str(spec.id))
            found = _changed(spec, found, self._engine.credential(want.mount, role))
        return self._keeping.store(spec, pending, _made(spec, role, found, now), newest)

    def verify(self, spec: Spec, facts: Facts) -> None:
        """Logs in to the database."""
        material = self._keeping.read(spec, facts)
        username = material.get(USERNAME, Secret("")).reveal()
        self._databases.login(_settings(spec).server, username, material.get(PASSWORD, Secret("")))

    def retire(self, spec: Spec, facts: Facts) -> None:
        """Destroys the copy in KV. The account of a pair keeps its password until its next turn, half a period later
        at the earliest; consumers that are slow can still log in."""
        self._keeping.destroy(spec, facts)

    def revoke(self, spec: Spec, facts: Facts) -> None:
        """Also changes the password of its role, if it is still the one of this version. The half now in use has been
        rotated since, so this never touches it; nor does a second call rotate a second time."""
        details = dict(facts.details)
        role, known = details.get(ROLE), details.get(ROTATED_AT)
        if role is None or known is None:
            raise Rejected(Code.FACTS_UNREADABLE, f"the facts of version {facts.version} of {spec.id} name no role")
        mount = _settings(spec).mount
        if self._engine.credential(mount, role).rotated_at == datetime.fromisoformat(known):
            self._engine.rotate(mount, role)
        self._failpoint.reach("K11", str(spec.id))
        self._keeping.destroy(spec, facts)

    def _turn(self, want: DatabaseSettings, current: Facts | None, stored_version: int) -> str:
        """The role whose password is next. Without facts of the current version the half that has rested longer:
        somebody destroyed them by hand, and the other half may be in use."""
        if current is not None:
            used = dict(current.details).get(ROLE)
            return next((role for role in want.roles if role != used), want.roles[0])
        if stored_version == 0 or len(want.roles) == 1:
            return want.roles[0]
        return min(want.roles, key=lambda role: self._engine.credential(want.mount, role).rotated_at)

    def _rotated_by_us(self, spec: Spec, pending: Pending, found: StaticCredential, newest: int) -> bool:
        """An earlier try of this rotation got as far as the database: its password is in no version yet.

        By Vault's clock alone it is newer than every stored one; the intent bounds its age, because a password that
        somebody else made before a report of compromise is none of ours.
        """
        oldest = max(newest - VERSIONS_LOOKED_AT, 0)
        stored = (self._keeping.facts(spec, number) for number in range(newest, oldest, -1))
        times = [dict(facts.details)[ROTATED_AT] for facts in stored if facts is not None]
        if not times:
            return found.rotated_at >= pending.intended_at
        newer = all(found.rotated_at > datetime.fromisoformat(time) for time in times)
        return newer and found.rotated_at >= pending.intended_at - CLOCKS_APART


def build(ports: KindPorts) -> DatabaseKind:
    return DatabaseKind(ports)


def _made(spec: Spec, role: str, found: StaticCredential, now: datetime) -> Made:
    """A database's password has no end of its own: `not_after` is when it must have been replaced."""
    details = ((ROLE, role), (USERNAME, found.username), (ROTATED_AT, found.rotated_at.isoformat()))
    fields = {USERNAME: Secret(found.username), PASSWORD: found.password}
    return Made(fields, (PASSWORD,), issued_at=now, not_after=now + spec.ttl, details=details)


def _refuse_unfit(spec: Spec, role: str, found: StaticCredential, current: Facts | None) -> None:
    """Before anything is changed: what is wrong with the static role."""
    if found.automatic_after < spec.ttl * LEAST_PERIODS:
        raise Denied(
            Code.VAULT_NOT_CONFIGURED,
            f"Vault changes the password of static role {role} by itself every {found.automatic_after}, which would"
            f" break a stored copy that lives for {spec.ttl}",
            hint=f"set its rotation_period to {spec.ttl * LEAST_PERIODS} or more, better ten times that",
        )
    used = dict(current.details) if current is not None else {}
    if used.get(USERNAME) == found.username and used.get(ROLE) != role:
        raise Denied(
            Code.VAULT_NOT_CONFIGURED,
            f"static roles {role} and {used.get(ROLE)} of {spec.id} change one and the same account",
            hint="a pair needs two accounts in the database",
        )


def _changed(spec: Spec, before: StaticCredential, after: StaticCredential) -> StaticCredential:
    """Rejected when Vault says that it rotated and shows what was there before."""
    if after.password.matches(before.password):
        raise Rejected(
            Code.MATERIAL_REJECTED,
            f"the new password of {spec.id} equals the old one; that is no rotation",
            hint="see the log of Vault and the password policy of its database connection",
        )
    return after


def _settings(spec: Spec) -> DatabaseSettings:
    if not isinstance(spec.settings, DatabaseSettings):
        raise Rejected(Code.CONFIG_INVALID, f"{spec.id} has no settings of a database")
    return spec.settings
