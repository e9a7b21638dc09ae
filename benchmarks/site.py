"""One OpenBao and one Consul for the whole run, set up as `rotator bootstrap` does it, and the service's files."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from rotator.clients.files import write_atomic
from rotator.config.load import load_settings
from rotator.core.secret import Secret
from rotator.dev.servers import ports
from rotator.dev.servers.consul import Consul
from rotator.dev.servers.openbao import OpenBao, Storage
from rotator.provision import identities
from rotator.provision.endpoints import consul_admin, service_token, vault_admin

TRUST_DOMAIN = "bench.example"
ROLE = "pki_int/issue/rotator-agent"
TTL_SECONDS = 86400


@dataclass(frozen=True, slots=True)
class Size:
    """agents: due at once. workers: Vault calls of the service in flight. vault_audit: OpenBao writes an audit file."""

    agents: int
    workers: int
    storage: Storage
    vault_audit: bool


class Site:
    """A context manager: what was started ends, also when the start fails half way."""

    def __init__(self, directory: Path, size: Size) -> None:
        self.directory = directory
        self.size = size
        self._stack = ExitStack()

    @property
    def config(self) -> Path:
        return self.directory / "rotator.toml"

    @property
    def audit_file(self) -> Path:
        return self.directory / "state" / "audit.jsonl"

    @property
    def names(self) -> list[str]:
        return [f"agent-{number:05d}" for number in range(self.size.agents)]

    @property
    def servers(self) -> dict[str, int]:
        """Name -> process id, for the CPU that each contender costs there."""
        return {"openbao": self.openbao.pid, "consul": self.consul.pid}

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _start(self) -> None:
        for name in ("secrets", "state", "inventory.d"):
            (self.directory / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        audit = self.directory / "vault-audit.log" if self.size.vault_audit else None
        started = OpenBao.start(self.directory / "openbao", storage=self.size.storage, audit=audit)
        self.openbao = self._stack.enter_context(started)
        self.consul = self._stack.enter_context(Consul.start(self.directory / "consul"))
        (self._http,) = ports.take(1)
        self.token = self._bootstrap()

    def _bootstrap(self) -> Secret:
        """Mounts, roles, policies and the service's identity as the product makes them, for one agent: the service's
        rights do not name agents, and followers' identities are not needed here. Returns a token of the service."""
        write_atomic(self._secret("secret-id"), "not yet")
        write_atomic(self._secret("consul-token"), "not yet")
        self._write(self.names[:1], "not-yet")
        settings = load_settings(self.config, {})
        vault = vault_admin(settings.vault, self.openbao.root_token)
        consul = consul_admin(settings.consul, self.consul.management_token)
        service = identities.prepare(settings, vault, consul)["service"]
        write_atomic(self._secret("secret-id"), service.secret_id)
        write_atomic(self._secret("consul-token"), service.consul_token)
        self._write(self.names, service.role_id)
        self.role_id, self.secret_id_file = service.role_id, self._secret("secret-id")
        token = service_token(load_settings(self.config, {}).vault)
        if token is None:
            raise AssertionError("the service of the benchmark logs in by AppRole")
        return token

    def _secret(self, name: str) -> Path:
        return self.directory / "secrets" / name

    def _write(self, names: list[str], role_id: str) -> None:
        agents = "\n".join(
            f'[agents.{name}]\nowner = "bench"\n'
            f'scopes = [{{ proxy = "edge", path = "/api", methods = ["GET"], permission = "read" }}]\n'
            f'[agents.{name}.credentials.tls]\nttl = "{TTL_SECONDS}s"\n'
            for name in names
        )
        write_atomic(self.directory / "inventory.d" / "agents.toml", agents)
        write_atomic(self.config, self._main(role_id))

    def _main(self, role_id: str) -> str:
        return f"""\
trust_domain = "{TRUST_DOMAIN}"
[service]
instance = "bench"
state_dir = {_text(self.directory / "state")}
tick = "1s"
http = "127.0.0.1:{self._http}"
[vault]
address = "{self.openbao.address}"
workers = {self.size.workers}
tls = {{ ca_file = {_text(self.openbao.ca_file)} }}
auth = {{ method = "approle", role = "{role_id}", secret_id_file = {_text(self._secret("secret-id"))} }}
[consul]
address = "{self.consul.address}"
token_file = {_text(self._secret("consul-token"))}
tls = {{ ca_file = {_text(self.consul.ca_file)} }}
[inventory]
folder = "inventory.d"
[policies.default]
overlap = "1s"
attempts = {{ budget = 64, reserve = 1 }}
[proxies.edge]
kind = "envoy"
listener = "127.0.0.1:8443"
upstreams.api = {{ prefix = "/api", address = "127.0.0.1:8080" }}
credentials.tls = {{ ttl = "{TTL_SECONDS}s", dns_sans = ["edge.{TRUST_DOMAIN}"] }}
"""


def _text(path: Path) -> str:
    """A TOML string: JSON's escapes are TOML's."""
    return json.dumps(str(path))
