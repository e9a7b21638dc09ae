"""The sample fleet as configuration files: twelve agents, two upstreams, one Envoy, certificates of a minute."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

NAMES = (
    "billing", "ledger", "refunds", "pricing", "tax", "dunning",
    "stock", "picking", "packing", "shipping", "returns", "forecast",
)  # fmt: skip
UPSTREAMS = ("orders", "warehouse")
TRUST_DOMAIN = "demo.example"
SERVER_NAME = "edge.demo.example"
PROXY = "edge"


# The agent that has a credential of every kind, and the Vault roles and the OAuth 2.0 client that are made for it.
ALL_KINDS = NAMES[0]
DATABASE_ROLES = (f"{ALL_KINDS}-a", f"{ALL_KINDS}-b")
CLIENT_PATH = f"clients/{ALL_KINDS}"


@dataclass(frozen=True, slots=True)
class DatabaseSource:
    """A PostgreSQL that Vault's database engine rotates passwords in."""

    address: str
    database: str
    ca: Path


@dataclass(frozen=True, slots=True)
class AuthorizationSource:
    """An OAuth 2.0 server that knows the client `ALL_KINDS`."""

    issuer: str
    ca: Path


@dataclass(frozen=True, slots=True)
class Sources:
    """What is there beside Vault. kinds: whether `ALL_KINDS` has more than a certificate."""

    kinds: bool = False
    database: DatabaseSource | None = None
    authorization: AuthorizationSource | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where everything of the sample world is. `ports`: listener, Envoy's admin interface, the service's HTTP."""

    vault: str
    vault_ca: Path
    consul: str
    consul_ca: Path
    listener: int
    admin: int
    http: int
    upstreams: Mapping[str, int]
    state: Path
    secrets: Path
    envoy: Path
    sources: Sources = Sources()


@dataclass(frozen=True, slots=True)
class Size:
    """agents: how many of NAMES. ttl: seconds of every certificate. The others are written into the configuration as
    they stand; its checks say what fits together."""

    agents: int = 12
    ttl: int = 60
    tick: str = "1s"
    renew_at: float = 2 / 3
    overlap: str = "5s"
    outage_budget: str = "15s"

    @property
    def names(self) -> Sequence[str]:
        return NAMES[: self.agents]


def upstream_of(agent: str) -> str:
    """The first half of the agents works with orders, the rest with the warehouse."""
    return UPSTREAMS[NAMES.index(agent) * len(UPSTREAMS) // len(NAMES)]


def own_path(agent: str) -> str:
    return f"/{upstream_of(agent)}/{agent}"


def main_file(place: Place, size: Size) -> str:
    """`rotator.toml`. The role id is filled in once Vault has made it."""
    return f"""\
trust_domain = "{TRUST_DOMAIN}"

[service]
instance = "demo"
state_dir = {_text(place.state)}
tick = "{size.tick}"
http = "127.0.0.1:{place.http}"

[vault]
address = "{place.vault}"
tls = {{ ca_file = {_text(place.vault_ca)} }}
auth = {{ method = "approle", role = "@ROLE_ID@", secret_id_file = {_text(place.secrets / "service.secret-id")} }}

[consul]
address = "{place.consul}"
token_file = {_text(place.secrets / "service.consul-token")}
session_ttl = "10s"
lock_delay = "1s"
tls = {{ ca_file = {_text(place.consul_ca)} }}

{_servers_of(place.sources)}
[inventory]
folder = "inventory.d"

[policies.default]
renew_at = {size.renew_at}
overlap = "{size.overlap}"
outage_budget = "{size.outage_budget}"

[proxies.{PROXY}]
kind = "envoy"
listener = "127.0.0.1:{place.listener}"
{_upstreams(place)}
[proxies.{PROXY}.credentials.tls]
ttl = "{size.ttl}s"
dns_sans = ["{SERVER_NAME}"]
"""


def _servers_of(sources: Sources) -> str:
    lines = []
    if sources.database is not None:
        one = sources.database
        lines += ["[databases.orders]", f'address = "{one.address}"', f'database = "{one.database}"']
        lines += [f"ca_file = {_text(one.ca)}"]
    if sources.authorization is not None:
        server = sources.authorization
        lines += ["[authorization_servers.main]", f'issuer = "{server.issuer}"', f"ca_file = {_text(server.ca)}"]
    return "\n".join(lines)


def _upstreams(place: Place) -> str:
    return "\n".join(
        f'[proxies.{PROXY}.upstreams.{name}]\nprefix = "/{name}"\naddress = "127.0.0.1:{port}"'
        for name, port in place.upstreams.items()
    )


def agent_file(agent: str, size: Size, sources: Sources = Sources()) -> str:
    """One file of the inventory folder."""
    path = own_path(agent)
    more = _more_kinds(size, sources) if sources.kinds and agent == ALL_KINDS else ""
    return f"""\
[agents.{agent}]
owner = "team-{upstream_of(agent)}"
scopes = [
  {{ proxy = "{PROXY}", path = "{path}", methods = ["GET", "HEAD"], permission = "read" }},
  {{ proxy = "{PROXY}", path = "{path}/entries", methods = ["POST"], permission = "write" }},
]
[agents.{agent}.credentials.tls]
ttl = "{size.ttl}s"
{more}"""


def _more_kinds(size: Size, sources: Sources) -> str:
    """One credential of every other kind; those whose servers are not there are left out."""
    tables = {
        "token": ("jwt", ""),
        "key": ("api_key", ""),
        "login": ("approle", f'approle = {{ token_policies = ["{ALL_KINDS}"] }}'),
    }
    if sources.database is not None:
        roles = ", ".join(f'"{role}"' for role in DATABASE_ROLES)
        tables["db"] = ("database", f'database = {{ server = "orders", roles = [{roles}] }}')
    if sources.authorization is not None:
        client = f'client_id = "{ALL_KINDS}", client_path = "{CLIENT_PATH}"'
        tables["api"] = ("oauth2", f'oauth2 = {{ server = "main", {client} }}')
    return "\n".join(
        f'[agents.{ALL_KINDS}.credentials.{name}]\nkind = "{kind}"\nttl = "{size.ttl}s"\n{table}'
        for name, (kind, table) in tables.items()
    )


def proxy_follower(place: Place, directory: Path, role_id: str) -> str:
    return f"""\
node = "edge-1"
{_servers(place, f"proxy-{PROXY}", role_id)}
[[proxy]]
name = "{PROXY}"
kind = "envoy"
directory = {_text(directory)}
binary = {_text(place.envoy)}
admin = "127.0.0.1:{place.admin}"
settle = "10s"
"""


def agents_follower(place: Place, directory: Path, role_ids: Mapping[str, str]) -> str:
    """All agents of this machine in one process, each with its own identity."""
    first = next(iter(role_ids))
    subjects = "\n".join(
        f"""\
[[agent]]
name = "{agent}"
directory = {_text(directory / agent)}
auth = {_auth(place, f"agent-{agent}", role_id)}
consul_token_file = {_text(place.secrets / f"agent-{agent}.consul-token")}
"""
        for agent, role_id in role_ids.items()
    )
    return f'node = "host-1"\n{_servers(place, f"agent-{first}", role_ids[first])}\n{subjects}'


def _servers(place: Place, who: str, role_id: str) -> str:
    return f"""\
[vault]
address = "{place.vault}"
tls = {{ ca_file = {_text(place.vault_ca)} }}
auth = {_auth(place, who, role_id)}
[consul]
address = "{place.consul}"
token_file = {_text(place.secrets / f"{who}.consul-token")}
tls = {{ ca_file = {_text(place.consul_ca)} }}
"""


def _auth(place: Place, who: str, role_id: str) -> str:
    file = _text(place.secrets / f"{who}.secret-id")
    return f'{{ method = "approle", role = "{role_id}", secret_id_file = {file} }}'


def _text(path: Path) -> str:
    """A TOML string: JSON's escapes are TOML's."""
    return json.dumps(str(path))
