"""A real Consul agent for the tests of this folder: one server, ACLs deny by default, its own directory and ports."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from rotator.dev.servers import ports
from rotator.dev.servers.locate import Server
from rotator.dev.servers.process import Child
from tests.assets.servers import binary

ROOT_TOKEN = "11111111-2222-3333-4444-555555555555"
_CONFIG = """
data_dir = "{data}"
server = true
bootstrap_expect = 1
bind_addr = "127.0.0.1"
client_addr = "127.0.0.1"
ports {{ http = {http} dns = -1 grpc = -1 serf_lan = {serf} serf_wan = -1 server = {rpc} }}
acl {{ enabled = true default_policy = "deny" tokens {{ master = "{token}" }} }}
performance {{ raft_multiplier = 1 }}
"""


class ConsulProcess:
    def __init__(self, folder: Path) -> None:
        http, serf, rpc = ports.take(3)
        config = folder / "agent.hcl"
        config.write_text(_CONFIG.format(data=folder / "data", http=http, serf=serf, rpc=rpc, token=ROOT_TOKEN))
        self.address = f"http://127.0.0.1:{http}"
        command = [binary(Server.CONSUL), "agent", f"-config-file={config}"]
        self._process = Child(command, folder / "agent.log", {})
        self._await_leader()

    def put(self, path: str, body: bytes = b"") -> bytes:
        """What an operator does with the root token."""
        request = urllib.request.Request(self.address + path, data=body, method="PUT")  # noqa: S310  # loopback
        request.add_header("X-Consul-Token", ROOT_TOKEN)
        with urllib.request.urlopen(request, timeout=5) as reply:  # noqa: S310
            return bytes(reply.read())

    def freeze(self) -> None:
        self._process.pause()

    def thaw(self) -> None:
        self._process.resume()

    def stop(self) -> None:
        self.thaw()
        self._process.kill()

    def _await_leader(self) -> None:
        until = time.monotonic() + 30
        while time.monotonic() < until:
            try:
                # A transaction needs the leader and a resolved token: both take a moment after the start.
                self.put("/v1/txn", b'[{"KV":{"Verb":"set","Key":"ready","Value":""}}]')
                return
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        self.stop()
        pytest.fail("Consul did not elect a leader within 30 s")
