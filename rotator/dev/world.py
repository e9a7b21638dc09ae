"""The sample world: real OpenBao, Consul and Envoy, the service, its followers, two upstreams; started and ended.

The service and the followers run as processes of their own with least-privilege identities; the root token of OpenBao
and the management token of Consul are used for the set-up only and stay in this process.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rotator.clients.clock import SystemClock
from rotator.clients.files import write_atomic
from rotator.clients.vault_admin import VaultAdmin
from rotator.config.load import load_settings
from rotator.config.settings import Settings
from rotator.connect import open_keys
from rotator.core.errors import Code, Unavailable
from rotator.dev import fleet, sources
from rotator.dev.caller import Answer, Door, agent_identity, call
from rotator.dev.fleet import Place, Size, Sources
from rotator.dev.servers import ports
from rotator.dev.servers.consul import Consul
from rotator.dev.servers.envoy import Envoy
from rotator.dev.servers.locate import Server, find
from rotator.dev.servers.openbao import OpenBao, Storage
from rotator.dev.servers.process import Child
from rotator.dev.sources import NOTHING, Running
from rotator.dev.upstream import Upstream
from rotator.ports import Keys
from rotator.provision import identities
from rotator.provision.endpoints import consul_admin, vault_admin
from rotator.provision.identities import Handout
from rotator.publish.layout import Layout
from rotator.rotation.shelf import Shelf

Tell = Callable[[str], None]
READY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Options:
    """size: of the fleet. environment: extra variables of the service process (failpoints). storage: of OpenBao.

    consul_watch: `consul watch` calls `rotator watch-handler` for the proxy, in place of `rotator follow`.
    kinds: one agent has a credential of every kind, accepted by real systems. missing_allowed: what cannot be had of
    these systems is left out and named.
    """

    size: Size = field(default_factory=Size)
    environment: Mapping[str, str] | None = None
    storage: Storage = Storage.INMEM
    consul_watch: bool = False
    kinds: bool = False
    missing_allowed: bool = False


class World:
    """Use it as a context manager: whatever was started ends, also when the start fails half way."""

    def __init__(self, directory: Path, tell: Tell, options: Options = Options()) -> None:
        self.directory = directory
        self.options = options
        self._tell = tell
        self._stack = ExitStack()
        self._pause = threading.Event()
        self.upstreams = {name: Upstream(name) for name in fleet.UPSTREAMS}
        listener, admin, http = ports.take(3)
        self.door = Door("127.0.0.1", listener, fleet.SERVER_NAME)
        self._ports = (listener, admin, http)

    @property
    def config(self) -> Path:
        return self.directory / "rotator.toml"

    @property
    def audit_file(self) -> Path:
        return self.directory / "state" / "audit.jsonl"

    @property
    def logs(self) -> Path:
        return self.directory / "logs"

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.place.http}"

    def agent_directory(self, agent: str) -> Path:
        return self.directory / "agents" / agent

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

    def settings(self) -> Settings:
        return load_settings(self.config, {})

    @cached_property
    def vault(self) -> VaultAdmin:
        """OpenBao with its root token: for looking and for an administrator's deeds."""
        return vault_admin(self.settings().vault, self.openbao.root_token)

    @cached_property
    def keys(self) -> Keys:
        """Consul with its management token."""
        settings = replace(self.settings().consul, token=self.consul.management_token, token_file=None)
        return open_keys(settings, SystemClock())

    def document(self, proxy: str) -> Mapping[str, Any]:
        """The content of the document in force."""
        shelf = Shelf(self.keys, Layout())
        pointer, _ = shelf.pointer(proxy)
        if pointer is None:
            raise Unavailable(Code.DOCUMENT_CORRUPT, f"nothing is published for proxy/{proxy}")
        return shelf.document(proxy, pointer.version).content

    def consul_keys(self) -> Mapping[str, bytes]:
        """Everything in Consul's key-value store."""
        return {entry.key: entry.value for entry in self.keys.read_below("")}

    def pause(self, seconds: float) -> None:
        self._pause.wait(seconds)

    def start_service(self, environment: Mapping[str, str] | None = None) -> Child:
        """One more run of the service process, over the same state."""
        child = self._rotator("service", ["run", "--config", str(self.config)], environment)
        self._stack.callback(child.stop)
        return child

    def write_agent(self, agent: str, text: str) -> None:
        """Changes the inventory; SIGHUP to the service takes it up."""
        write_atomic(self.directory / "inventory.d" / f"{agent}.toml", text)

    def await_(self, what: str, holds: Callable[[], bool], seconds: float = READY_SECONDS) -> None:
        """Waits for a condition with a deadline; Unavailable with `what` when it does not come true."""
        for _ in range(int(seconds * 10)):
            if holds():
                return
            self._pause.wait(0.1)
        text = f"{what} did not happen within {seconds:g} s"
        raise Unavailable(Code.REQUEST_TIMED_OUT, text, hint=f"see {self.logs}")

    def _start(self) -> None:
        for name in ("logs", "inventory.d", "secrets", "agents", "state", "edge"):
            (self.directory / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        self._tell("starting OpenBao and Consul")
        openbao = OpenBao.start(self.directory / "openbao", storage=self.options.storage)
        self.openbao = self._stack.enter_context(openbao)
        self.consul = self._stack.enter_context(Consul.start(self.directory / "consul"))
        for upstream in self.upstreams.values():
            upstream.start()
            self._stack.callback(upstream.stop)
        self.sources = self._start_sources()
        self.place = self._place()
        self._tell("setting up mounts, roles, policies and least-privilege identities")
        self.handouts = self._bootstrap()
        self._tell(f"starting the service for {len(self.options.size.names)} agents")
        self.service = self.start_service(self.options.environment)
        self._tell("starting the followers and Envoy")
        self._start_followers()
        self._start_envoy()
        self.await_("traffic of every agent", self._everybody_passes)
        if self.options.kinds:
            self.await_("a credential of every kind", self._every_kind_is_there)

    def _place(self) -> Place:
        listener, admin, http = self._ports
        return Place(
            vault=self.openbao.address,
            vault_ca=self.openbao.ca_file,
            consul=self.consul.address,
            consul_ca=self.consul.ca_file,
            listener=listener,
            admin=admin,
            http=http,
            upstreams={name: upstream.port for name, upstream in self.upstreams.items()},
            state=self.directory / "state",
            secrets=self.directory / "secrets",
            envoy=find(Server.ENVOY),
            sources=self.sources.sources() if self.options.kinds else Sources(),
        )

    def _start_sources(self) -> Running:
        """The systems that accept other kinds than certificates."""
        if not self.options.kinds:
            return NOTHING
        self._tell("starting PostgreSQL and an OAuth 2.0 server")
        running = sources.start(self.directory, self._stack, required=not self.options.missing_allowed)
        for sentence in running.missing:
            self._tell(sentence)
        return running

    def _bootstrap(self) -> Mapping[str, Handout]:
        """Both servers from the configuration, then every identity into a file of its own."""
        size = self.options.size
        for agent in size.names:
            self.write_agent(agent, fleet.agent_file(agent, size, self.place.sources))
        write_atomic(self.place.secrets / "service.secret-id", "not yet")
        write_atomic(self.place.secrets / "service.consul-token", "not yet")
        write_atomic(self.config, fleet.main_file(self.place, size))
        settings = self.settings()
        vault = vault_admin(settings.vault, self.openbao.root_token)
        consul = consul_admin(settings.consul, self.consul.management_token)
        handouts = identities.prepare(settings, vault, consul)
        if self.options.kinds:
            sources.prepare(self.sources, vault)
        for who, handout in handouts.items():
            name = who.replace("/", "-")
            write_atomic(self.place.secrets / f"{name}.secret-id", handout.secret_id)
            write_atomic(self.place.secrets / f"{name}.consul-token", handout.consul_token)
        text = fleet.main_file(self.place, size).replace("@ROLE_ID@", handouts["service"].role_id)
        write_atomic(self.config, text)
        return handouts

    def _start_followers(self) -> None:
        proxy_file, agents_file = self.directory / "edge.toml", self.directory / "agents.toml"
        role_id = self.handouts[f"proxy/{fleet.PROXY}"].role_id
        write_atomic(proxy_file, fleet.proxy_follower(self.place, self.directory / "edge", role_id))
        ids = {agent: self.handouts[f"agent/{agent}"].role_id for agent in self.options.size.names}
        write_atomic(agents_file, fleet.agents_follower(self.place, self.directory / "agents", ids))
        self.followers = {"agents": self._rotator("follow-agents", ["follow", "--config", str(agents_file)])}
        self._stack.callback(self.followers["agents"].stop)
        if self.options.consul_watch:
            self.followers["edge"] = self._consul_watch(proxy_file)
        else:
            self.followers["edge"] = self._rotator("follow-edge", ["follow", "--config", str(proxy_file)])
        self._stack.callback(self.followers["edge"].stop)

    def _consul_watch(self, proxy_file: Path) -> Child:
        """Consul's own watcher. By environment: its flags for CA and token file are not heard by the watch (1.8.7)."""
        environment = {
            "CONSUL_HTTP_ADDR": self.consul.address,
            "CONSUL_CACERT": str(self.consul.ca_file),
            "CONSUL_HTTP_TOKEN_FILE": str(self.place.secrets / f"proxy-{fleet.PROXY}.consul-token"),
        }
        watch = [str(find(Server.CONSUL)), "watch", "-type=key", f"-key=proxy/{fleet.PROXY}/current", "-shell=false"]
        handler = [sys.executable, "-m", "rotator", "watch-handler", "--proxy", fleet.PROXY, "-c", str(proxy_file)]
        return Child([*watch, *handler], self.logs / "consul-watch.log", environment)

    def _start_envoy(self) -> None:
        """The first configuration must stand before Envoy starts (envoyproxy/envoy#26312)."""
        bootstrap = self.directory / "edge" / "bootstrap.json"
        current = self.directory / "edge" / "current"
        self.await_("the proxy's first configuration", lambda: bootstrap.exists() and current.exists())
        log = self.logs / "envoy.log"
        self.envoy = self._stack.enter_context(Envoy.start(bootstrap, log, admin_port=self.place.admin))

    def _everybody_passes(self) -> bool:
        return all(self.passes(agent) for agent in self.options.size.names)

    def _every_kind_is_there(self) -> bool:
        """A token comes last: its verify key must have reached every proxy."""
        current = self.agent_directory(fleet.ALL_KINDS) / "current"
        wanted = [spec.id.name for spec in self.settings().fleet.specs() if spec.id.owner.name == fleet.ALL_KINDS]
        return all((current / name).is_dir() for name in wanted)

    def passes(self, agent: str) -> bool:
        """Whether one request of this agent passes now."""
        try:
            identity = agent_identity(self.agent_directory(agent))
        except OSError:
            return False
        return call(self.door, identity, "GET", fleet.own_path(agent)).answer is Answer.PASSED

    def _rotator(self, name: str, arguments: list[str], environment: Mapping[str, str] | None = None) -> Child:
        argv = [sys.executable, "-m", "rotator", *arguments]
        return Child(argv, self.logs / f"{name}.log", dict(environment or {}))

    def audit_lines(self) -> list[dict[str, Any]]:
        """The audit log as it is now; a line that is being written is left out."""
        lines = self.audit_file.read_text().splitlines()
        return [json.loads(line) for line in lines if line.endswith("}")]
