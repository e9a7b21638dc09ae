"""One small world per crash: its own keys in Consul, its own agents, a real service process that dies on command.

No Envoy and no followers: what they report is written by the test, so that every step comes when it is wanted.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rotator import connect
from rotator.clients.clock import SystemClock
from rotator.clients.files import write_atomic
from rotator.clients.vault_admin import VaultAdmin
from rotator.config.load import load_settings
from rotator.config.settings import Settings
from rotator.core.errors import Denied
from rotator.core.identity import CredentialId, Owner, OwnerKind
from rotator.core.model import Record
from rotator.core.reasons import Actor, ActorKind
from rotator.core.secret import Secret
from rotator.dev.servers import ports
from rotator.dev.servers.consul import Consul
from rotator.dev.servers.openbao import OpenBao
from rotator.dev.servers.postgres import Postgres
from rotator.dev.servers.process import Child
from rotator.ports import Put
from rotator.provision import consul_policy, identities, vault_policy
from rotator.provision.endpoints import consul_admin, vault_admin
from rotator.provision.principals import SERVICE
from rotator.publish import report as reports
from rotator.publish.layout import Layout
from rotator.publish.report import NodeState, Running
from rotator.records import codec, requests
from rotator.records.requests import InboxRequest, RequestKind, RequestState
from rotator.rotation.shelf import Shelf
from tests.crash import sources
from tests.crash.sources import CERTIFICATE, Source

STEP_SECONDS = 45.0
POLL_SECONDS = 0.1
SERVER_NAME = "edge.crash.example"
ALICE = Actor(ActorKind.OPERATOR, "alice")


class Stuck(AssertionError):
    """Something that must happen without help did not."""


@dataclass(frozen=True, slots=True)
class Servers:
    """What all sites share. `vault_audit`: Vault's own log, which knows every call by the role that logged in."""

    openbao: OpenBao
    consul: Consul
    postgres: Postgres
    vault_audit: Path


class Site:
    """Not for several threads at once; several sites may live side by side."""

    def __init__(self, servers: Servers, directory: Path, name: str, source: Source = CERTIFICATE) -> None:
        """source: of the credential of the agent whose rotations are interrupted."""
        self.name = name
        self.source = source
        self.directory = directory
        self._servers = servers
        self._pause = threading.Event()
        self._children: list[Child] = []
        self.agent = CredentialId(Owner(OwnerKind.AGENT, f"{name}-a"), "tls")
        self.other = CredentialId(Owner(OwnerKind.AGENT, f"{name}-b"), "tls")
        self.proxy = CredentialId(Owner(OwnerKind.PROXY, f"{name}-p"), "tls")
        self.layout = Layout(f"crash/{name}/")
        for folder in ("logs", "secrets"):
            (directory / folder).mkdir(mode=0o700, parents=True)
        self._prepare()

    # --- processes

    def start(self, instance: str, failpoint: str = "") -> Child:
        config = self.directory / f"{instance}.toml"
        write_atomic(config, self._config(instance, ports.take(1)[0]))
        argv = [sys.executable, "-m", "rotator", "run", "--config", str(config)]
        environment = {"ROTATOR_FAILPOINT": failpoint} if failpoint else {}
        child = Child(argv, self.directory / "logs" / f"{instance}.log", environment)
        self._children.append(child)
        return child

    def close(self) -> None:
        for child in self._children:
            child.kill()

    def await_(self, what: str, holds: Callable[[], bool], seconds: float = STEP_SECONDS) -> None:
        for _ in range(int(seconds / POLL_SECONDS)):
            if holds():
                return
            self._pause.wait(POLL_SECONDS)
        raise Stuck(f"{self.name}: {what} did not happen within {seconds:g} s; see {self.directory}")

    # --- what Consul and Vault say

    def record(self, target: CredentialId) -> Record:
        entry = self.keys.read(self.layout.record(target))
        return codec.decode_record(entry.value) if entry else Record(target)

    def version(self, target: CredentialId) -> int:
        current = self.record(target).current
        return current.version if current else 0

    def pointer(self) -> int:
        found, _ = self.shelf.pointer(self.proxy.owner.name)
        return found.version if found else 0

    def published_version(self) -> int:
        """What the agent's consumers are told."""
        entry = self.keys.read(self.layout.agent_current(self.agent.owner.name))
        return int(json.loads(entry.value)["credentials"]["tls"]["version"]) if entry else 0

    def holder(self) -> str:
        """The instance that holds the lock, empty when nobody does."""
        entry = self.keys.read(self.layout.lock)
        return str(json.loads(entry.value)["instance"]) if entry and entry.session else ""

    def everything(self) -> Mapping[str, bytes]:
        """All that the service keeps in Consul; the lock and the anchors of the audit move by themselves."""
        found = self.keys.read_below(self.layout.prefix)
        return {entry.key: entry.value for entry in found if "/lock" not in entry.key and "/audit/" not in entry.key}

    def kv(self, target: CredentialId) -> Mapping[str, Any]:
        """KV v2 metadata of one credential."""
        folder = "agents" if target.owner.kind is OwnerKind.AGENT else "proxies"
        return self.vault.read(f"kv/metadata/{folder}/{target.owner.name}/tls") or {"versions": {}}

    def revoke_tokens(self) -> int:
        """Every token that the service of this site has, by an administrator's hand; how many there were."""
        mine = [one for one in self.vault.listing("auth/token/accessors") if self._owner(one) == self.name]
        for accessor in mine:
            self.vault.write("auth/token/revoke-accessor", {"accessor": accessor})
        return len(mine)

    def _owner(self, accessor: str) -> str:
        try:
            token = self.vault.write("auth/token/lookup-accessor", {"accessor": accessor})
        except Denied:  # another site's token, which has ended meanwhile
            return ""
        return str((token.get("meta") or {}).get("role_name", ""))

    def material(self, target: CredentialId) -> Mapping[str, Any]:
        """The newest KV version of a credential."""
        folder = "agents" if target.owner.kind is OwnerKind.AGENT else "proxies"
        stored = self.vault.read(f"kv/data/{folder}/{target.owner.name}/tls") or {}
        return dict(stored.get("data") or {})

    def secrets(self) -> list[str]:
        """The secrets that are in Vault now, one of each credential."""
        own = str(self.material(self.agent).get(self.source.secret, ""))
        return [own, *(str(self.material(one).get("private_key", "")) for one in (self.other, self.proxy))]

    def accepted(self) -> bool:
        """Whether the system behind it takes what lies in Vault for the agent now."""
        return self.source.accepted(self, dict(self.material(self.agent)))

    def stranger(self) -> VaultAdmin:
        """Vault without any token."""
        return vault_admin(self.settings.vault, Secret("none"))

    def issued(self) -> int:
        """How many certificates, and credentials of the agent's kind, Vault has made for the service of this site."""
        calls = (json.loads(line) for line in self._servers.vault_audit.read_text().splitlines() if self.name in line)
        mine = (call for call in calls if (call["auth"].get("metadata") or {}).get("role_name") == self.name)
        answered = (call for call in mine if call["type"] == "response" and not call.get("error"))
        written = (call["request"] for call in answered if call["request"]["operation"] in ("create", "update"))
        kinds = {CERTIFICATE, self.source}
        return sum(1 for request in written if any(kind.made_by(request["path"]) for kind in kinds))

    def audits(self) -> list[Path]:
        return sorted(self.directory.glob("*/audit.jsonl"))

    # --- what people and nodes do

    def ask(self, name: str, kind: RequestKind, *targets: object, to_version: int | None = None) -> None:
        """A request with a fixed id: asked again it is the same one."""
        key, wanted = self.layout.request(name), tuple(str(target) for target in targets)
        if self.keys.read(key) is None:
            request = InboxRequest(name, kind, wanted, "crash test", ALICE, self.clock.now(), to_version)
            self.keys.commit([Put(key, requests.encode_request(request), 0)], None)

    def succeeded(self, name: str) -> bool:
        entry = self.keys.read(self.layout.request(name))
        return entry is not None and requests.decode_request(entry.value).state is RequestState.SUCCEEDED

    def adopt(self) -> None:
        """A node of the agent reports what is current."""
        current = self.record(self.agent).current
        assert current is not None
        running = {"tls": Running(current.version, current.serial, current.fingerprint)}
        report = reports.Report("n1", self.clock.now(), NodeState.APPLIED, 0, "", running)
        key = self.layout.node(self.agent.owner, "n1")
        entry = self.keys.read(key)
        self.keys.commit([Put(key, reports.encode(report), entry.modify_index if entry else 0)], None)

    # --- set-up

    def _prepare(self) -> None:
        """An AppRole and a Consul token of its own, with the rights of the service and nothing more."""
        servers, secrets = self._servers, self.directory / "secrets"
        for name in ("secret-id", "consul-token"):
            write_atomic(secrets / name, "not yet")
        write_atomic(self.directory / "draft.toml", self._config("draft", 1))
        self.settings = load_settings(self.directory / "draft.toml", {})
        self.clock = SystemClock()
        self.vault = vault_admin(self.settings.vault, servers.openbao.root_token)
        consul = replace(self.settings.consul, token=servers.consul.management_token, token_file=None)
        self.keys = connect.open_keys(consul, self.clock)
        self.shelf = Shelf(self.keys, self.layout)
        self.source.prepare(servers, self.vault, self.agent.owner.name)
        policy = vault_policy.text(self.settings, SERVICE)
        self.vault.write(f"sys/policies/acl/crash-{self.name}", {"policy": policy})
        path = f"auth/approle/role/{self.name}"
        self.vault.write(path, {"token_policies": [f"crash-{self.name}"], "token_no_default_policy": True})
        role = self.vault.read(f"{path}/role-id") or {}
        write_atomic(secrets / "role-id", str(role["role_id"]))
        write_atomic(secrets / "secret-id", str(self.vault.write(f"{path}/secret-id", {})["secret_id"]))
        rules = consul_policy.text(self.settings.fleet, self.layout.prefix, SERVICE)
        write_atomic(secrets / "consul-token", servers.consul.create_token(f"crash-{self.name}", rules))

    def _config(self, instance: str, port: int) -> str:
        secrets = self.directory / "secrets"
        role = (secrets / "role-id").read_text() if (secrets / "role-id").exists() else "not yet"
        text = config(self._servers, self.directory, self.name, instance, port, self.source)
        return text.replace("@ROLE@", role)


def prepare(servers: Servers, directory: Path) -> Settings:
    """Mounts, roles and policies that all sites use."""
    directory.mkdir(parents=True)
    (directory / "secrets").mkdir(mode=0o700)
    for name in ("secret-id", "consul-token"):
        write_atomic(directory / "secrets" / name, "not yet")
    write_atomic(directory / "base.toml", config(servers, directory, "base", "base", 1))
    settings = load_settings(directory / "base.toml", {})
    vault = vault_admin(settings.vault, servers.openbao.root_token)
    identities.prepare(settings, vault, consul_admin(settings.consul, servers.consul.management_token))
    if not any(one.startswith("database/") for one in vault.read("sys/mounts") or {}):
        vault.write("sys/mounts/database", {"type": "database"})
    sources.connect(servers, vault)
    return settings


def config(servers: Servers, directory: Path, name: str, instance: str, port: int, source: Source = CERTIFICATE) -> str:
    """Credentials of an hour: nothing becomes due by itself while a test runs."""
    secrets = directory / "secrets"
    tables = {"a": f'kind = "{source.kind}"\n{source.table(f"{name}-a")}', "b": ""}
    database = servers.postgres
    agents = "\n".join(
        f"""\
[agents.{name}-{agent}]
owner = "crash"
scopes = [{{ proxy = "{name}-p", path = "/{agent}", methods = ["GET"], permission = "read" }}]
[agents.{name}-{agent}.credentials.tls]
ttl = "1h"
{table}
"""
        for agent, table in tables.items()
    )
    return f"""\
trust_domain = "crash.example"
[service]
instance = "{name}-{instance}"
state_dir = "{directory / instance}"
tick = "1s"
http = "127.0.0.1:{port}"
[vault]
address = "{servers.openbao.address}"
tls = {{ ca_file = "{servers.openbao.ca_file}" }}
auth = {{ method = "approle", role = "@ROLE@", secret_id_file = "{secrets / "secret-id"}" }}
[consul]
address = "{servers.consul.address}"
token_file = "{secrets / "consul-token"}"
session_ttl = "10s"
lock_delay = "1s"
prefix = "crash/{name}/"
tls = {{ ca_file = "{servers.consul.ca_file}" }}
[databases.crash]
address = "{database.host}:{database.port}"
database = "{database.database}"
ca_file = "{database.ca_file}"
[policies.default]
overlap = "1s"
outage_budget = "10m"
{agents}
[proxies.{name}-p]
kind = "envoy"
listener = "127.0.0.1:1"
[proxies.{name}-p.upstreams.orders]
prefix = "/"
address = "127.0.0.1:1"
[proxies.{name}-p.credentials.tls]
ttl = "1h"
dns_sans = ["{SERVER_NAME}"]
"""


def frozen(child: Child) -> bool:
    """Whether the process has been stopped by SIGSTOP."""
    state = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[0]
    return state == "T"
