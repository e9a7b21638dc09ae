"""A real Consul server of one node: HTTPS alone, ACLs that deny by default, sessions as short as one second."""

from __future__ import annotations

import json
import re
import subprocess
import uuid
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rotator.clients.consul_admin import ConsulAdmin
from rotator.clients.vault_admin import Endpoint
from rotator.core.errors import Code, Denied
from rotator.core.secret import Secret
from rotator.dev.servers import locate, ports, tls
from rotator.dev.servers.process import Child
from rotator.dev.servers.wire import Wire

READY_SECONDS = 30.0
NODE = "one"
_VERSION = re.compile(r"Consul v?(\d+)\.(\d+)")


class Consul:
    """Made by `start`. Everything that it keeps lies in the directory given there."""

    datacenter = "dc1"

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._binary = locate.find(locate.Server.CONSUL)
        self._port, self._serf_port, self._rpc_port = ports.take(3)
        self._files = tls.make(directory, "consul", dns=(f"server.{self.datacenter}.consul",))
        self._wire = Wire(self._port, self._files.ca, "X-Consul-Token")
        self._token = Secret(str(uuid.uuid4()))
        self._write_configuration(_version(self._binary))
        self._child = self._launch()

    @classmethod
    def start(cls, directory: Path) -> Self:
        """A new server with nothing in it, ready for transactions and sessions when this returns.

        Raises Denied (SERVER_MISSING) when the program cannot be had, Unavailable when it does not become ready.
        """
        directory.mkdir(parents=True, exist_ok=True)
        server = cls(directory)
        try:
            server._await_ready()
        except BaseException:
            server.stop()
            raise
        return server

    @property
    def address(self) -> str:
        return f"https://127.0.0.1:{self._port}"

    @property
    def ca_file(self) -> Path:
        return self._files.ca

    @property
    def management_token(self) -> Secret:
        return self._token

    @property
    def pid(self) -> int:
        return self._child.pid

    def create_token(self, policy_name: str, rules: str) -> Secret:
        """A token with one policy of this name. Called again it sets the rules and returns the same token."""
        admin = ConsulAdmin(Endpoint(self.address, bundle=str(self.ca_file)), self._token)
        return ensure_token(admin, policy_name, rules)

    def stop(self) -> None:
        """Ends the process; the directory stays. Safe to repeat."""
        self._child.stop()

    def kill(self) -> None:
        """Ends the process as a power cut would."""
        self._child.kill()

    def restart(self) -> None:
        """Stops it if it runs and starts it on the same ports with the same data."""
        self.stop()
        self._child = self._launch()
        self._await_ready()

    def pause(self) -> None:
        """Freezes the process (SIGSTOP): connections stay, nothing answers."""
        self._child.pause()

    def resume(self) -> None:
        self._child.resume()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _launch(self) -> Child:
        argv = [str(self._binary), "agent", f"-config-file={self.directory / 'server.json'}"]
        return Child(argv, self.directory / "server.log", {"HOME": str(self.directory)})

    def _await_ready(self) -> None:
        self._child.await_ready(self._ready, READY_SECONDS)

    def _ready(self) -> bool:
        # A write needs a leader and a token that is resolved; a session needs the node and its health in the catalog,
        # which the leader enters a moment later. Only making one proves all of it.
        made = self._wire.ask("PUT", "/v1/session/create", self._token, {"TTL": "10s", "Behavior": "delete"})
        if made.status != 200:
            return False
        return self._wire.ask("PUT", f"/v1/session/destroy/{made.body['ID']}", self._token).status == 200

    def _write_configuration(self, version: tuple[int, int]) -> None:
        files, token = self._files, self._token.reveal()
        certificates = {"ca_file": str(files.ca), "cert_file": str(files.certificate), "key_file": str(files.key)}
        closed = ["http", "dns", "grpc", "serf_wan", *(["grpc_tls"] if version >= (1, 14) else [])]
        configuration: dict[str, Any] = {
            "server": True,
            "bootstrap_expect": 1,
            "datacenter": self.datacenter,
            "node_name": NODE,
            "bind_addr": "127.0.0.1",
            "client_addr": "127.0.0.1",
            "data_dir": str(self.directory / "data"),
            "log_level": "warn",
            "disable_update_check": True,
            "session_ttl_min": "1s",
            "performance": {"raft_multiplier": 1},
            "ports": {
                "https": self._port,
                "serf_lan": self._serf_port,
                "server": self._rpc_port,
                **dict.fromkeys(closed, -1),
            },
            "acl": {
                "enabled": True,
                "default_policy": "deny",
                "tokens": {"initial_management" if version >= (1, 11) else "master": token, "agent": token},
            },
            # The stanza of 1.12 and later; before, the same words stood at the top.
            **({"tls": {"defaults": certificates}} if version >= (1, 12) else certificates),
        }
        path = self.directory / "server.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps(configuration, indent=2), encoding="utf-8")


def ensure_token(admin: ConsulAdmin, policy_name: str, rules: str) -> Secret:
    """Sets the rules of the policy, and finds its token or makes it. Raises what ConsulAdmin raises."""
    found = admin.policy(policy_name)
    admin.save_policy(policy_name, rules, str(found["ID"]) if found else "")
    return admin.token(policy_name, policy_name) or admin.make_token(policy_name, policy_name)


def _version(binary: Path) -> tuple[int, int]:
    """(major, minor) of the program: Consul refuses to start with a configuration word that it does not know."""
    said = subprocess.run([binary, "version"], capture_output=True, text=True, timeout=30, check=False)  # noqa: S603
    found = _VERSION.search(said.stdout)
    if found is None:
        raise Denied(Code.SERVER_MISSING, f"{binary} does not say a Consul version", hint="set ROTATOR_CONSUL")
    return int(found[1]), int(found[2])
