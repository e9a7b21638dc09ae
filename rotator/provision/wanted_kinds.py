"""What the kinds of credentials want in Vault: the tokens' signing key, the agents' AppRoles, static roles."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from rotator.config.settings import Settings
from rotator.core.kind_settings import AppRoleSettings, DatabaseSettings, SigningKeySettings
from rotator.core.spec import Spec
from rotator.provision.pieces import Mount, Owed, Resource
from rotator.provision.rule import render
from rotator.provision.vault_policy import SELF

# Lets a token of an agent's login be looked at, renewed and ended by its holder; the test login of a rotation ends its
# token so. What agents may do besides stands in `token_policies`, and is not made here.
LOGIN_POLICY = "rotator-login"
LOGIN_TOKEN_SECONDS = 900
# Vault must not change a password by itself while a stored copy lives. Twice the ttl is the least that the kind takes.
LEAST_PERIODS, GOOD_PERIODS = 2, 10


@dataclass(frozen=True, slots=True)
class StaticRole:
    """role: of the database engine at `mount`. ttl: seconds, the longest life of a stored copy of its password."""

    mount: str
    role: str
    ttl: int

    @property
    def path(self) -> str:
        return f"{self.mount}/static-roles/{self.role}"

    @property
    def task(self) -> str:
        """For the database's administrator."""
        period = f"rotation_period of {self.ttl * GOOD_PERIODS}s or more"
        return f"static role {self.role} in {self.mount}, with its connection, and a {period}"


def mounts(settings: Settings) -> tuple[Mount, ...]:
    vault = settings.vault
    database = (Mount(vault.database_mount, "database"),) if static_roles(settings) else ()
    return (Mount(vault.agents_mount, "approle", auth=True), Mount(vault.transit_mount, "transit"), *database)


def resources(settings: Settings) -> tuple[Resource, ...]:
    return (*_signing_keys(settings), *_agents_roles(settings))


def owed(settings: Settings) -> tuple[Owed, ...]:
    """The connection holds the database's own administrator password: its administrator makes it."""
    return tuple(Owed(f"by the database's administrator: {one.task}", one.path) for one in static_roles(settings))


def static_roles(settings: Settings) -> tuple[StaticRole, ...]:
    found: dict[tuple[str, str], int] = {}
    for spec in settings.fleet.specs():
        if isinstance(spec.settings, DatabaseSettings):
            for role in spec.settings.roles:
                place = (spec.settings.mount, role)
                found[place] = max(found.get(place, 0), _seconds(spec))
    return tuple(StaticRole(*place, ttl) for place, ttl in sorted(found.items()))


def _signing_keys(settings: Settings) -> Iterator[Resource]:
    body = {"type": "ecdsa-p256", "exportable": False, "allow_plaintext_backup": False}
    wanted = (spec.settings for spec in settings.fleet.signers)
    for mount, key in sorted({(one.mount, one.key) for one in wanted if isinstance(one, SigningKeySettings)}):
        yield Resource(f"transit key {key}", f"{mount}/keys/{key}", body, final=True)


def _agents_roles(settings: Settings) -> Iterator[Resource]:
    shared: dict[tuple[str, str], list[tuple[Spec, AppRoleSettings]]] = {}
    for spec in settings.fleet.specs():
        if isinstance(spec.settings, AppRoleSettings):
            shared.setdefault((spec.settings.mount, spec.settings.role), []).append((spec, spec.settings))
    if shared:
        policy = render("rotator: logins of agents", SELF)
        yield Resource(f"policy {LOGIN_POLICY}", f"sys/policies/acl/{LOGIN_POLICY}", {"policy": policy})
    for (mount, role), users in sorted(shared.items()):
        yield Resource(f"agent's approle {role}", f"auth/{mount}/role/{role}", _agents_role(users))


def _agents_role(users: list[tuple[Spec, AppRoleSettings]]) -> dict[str, object]:
    """Limits as tight as its credentials allow: secret-ids may not outlive, outnumber or leave what is configured.

    token_max_ttl: one life, so that an agent with a single login keeps its token until the next secret-id comes.
    """
    life, wants = max(_seconds(spec) for spec, _ in users), [want for _, want in users]
    uses = 0 if any(not want.num_uses for want in wants) else max(want.num_uses for want in wants) + 1
    networks = {
        "secret_id_bound_cidrs": _union(want.secret_id_cidrs for want in wants),
        "token_bound_cidrs": _union(want.token_cidrs for want in wants),
    }
    return {
        "bind_secret_id": True,
        "token_policies": sorted({LOGIN_POLICY, *(policy for want in wants for policy in want.token_policies)}),
        "token_no_default_policy": True,
        "token_ttl": min(LOGIN_TOKEN_SECONDS, life),
        "token_max_ttl": life,
        "secret_id_ttl": life,
        "secret_id_num_uses": uses,
        **{name: found for name, found in networks.items() if found},
    }


def _union(given: Iterable[tuple[str, ...]]) -> list[str]:
    """Empty, which means no limit, as soon as one credential has none."""
    each = list(given)
    return sorted({cidr for cidrs in each for cidr in cidrs}) if all(each) else []


def _seconds(spec: Spec) -> int:
    return int(spec.ttl.total_seconds())
