"""A real Envoy beside a real follower, an upstream that tells what it got, and clients with one attempt each."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from rotator.clients.directories import VersionDirectories
from rotator.clients.envoy_admin import EnvoyAdmin
from rotator.clients.tls_probe import Served, Target, probe
from rotator.dev.servers import ports
from rotator.dev.servers.locate import Server
from rotator.dev.servers.process import Child
from rotator.follower.actions import Action
from rotator.follower.converge import Convergence
from rotator.follower.proxies.envoy import EnvoyAdapter
from rotator.follower.proxy import ProxySubject, ProxyTools
from rotator.follower.templates import read_json
from tests.assets.servers import binary
from tests.follower.world import DOMAIN, Issued, World

DEADLINE = 20.0


@dataclass(frozen=True)
class Scope:
    path: str
    methods: tuple[str, ...]
    match: str = "prefix"
    rate: dict[str, int] | None = None

    def published(self) -> dict[str, Any]:
        permission = "read" if set(self.methods) <= {"GET", "HEAD"} else "write"
        methods = sorted(self.methods)
        return {"path": self.path, "match": self.match, "methods": methods, "permission": permission, "rate": self.rate}


def access(**agents: tuple[Scope, ...]) -> list[dict[str, Any]]:
    return [
        {
            "agent": name,
            "spiffe_id": f"spiffe://{DOMAIN}/agent/{name}",
            "scopes": [scope.published() for scope in scopes],
        }
        for name, scopes in agents.items()
    ]


ACCESS = access(
    billing=(Scope("/orders", ("GET", "HEAD")), Scope("/orders/new", ("POST",), match="exact")),
    reports=(Scope("/reports", ("GET",)), Scope("/limited", ("GET",), rate={"requests": 2, "per_seconds": 60})),
)


def envoy_binary() -> str:
    return binary(Server.ENVOY)


def free_port() -> int:
    return ports.take(1)[0]


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {DEADLINE} s: {what}")
        time.sleep(0.05)


class Echo(BaseHTTPRequestHandler):
    """Answers with what reached the upstream."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = json.dumps({"path": self.path, "headers": {k.lower(): v for k, v in self.headers.items()}}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET
    do_DELETE = do_GET

    def log_message(self, *args: object) -> None:
        """Quiet."""


class EnvoySite:
    def __init__(self, root: Path) -> None:
        self.world = World(root / "edge")
        self.port, self.admin_port = free_port(), free_port()
        self.upstream = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
        threading.Thread(target=self.upstream.serve_forever, daemon=True).start()
        self.admin = EnvoyAdmin("127.0.0.1", self.admin_port)
        self.parts = json.loads(json.dumps(read_json("envoy.json")))
        self.parts["bootstrap"]["admin"]["address"]["socket_address"]["port_value"] = self.admin_port
        self.adapter = EnvoyAdapter(envoy_binary(), "edge", self.parts, self.admin)
        self.follower = self._follower()
        self.number = 0
        self._process: Child | None = None

    def publish(self, issued: Issued | None = None, **config: Any) -> Issued:
        """The next version, with a fresh server certificate unless one is given."""
        self.number += 1
        issued = issued or self.world.server()
        port = self.upstream.server_address[1]
        whole = {
            "listener": {"address": "127.0.0.1", "port": self.port},
            "upstreams": [{"name": "api", "prefix": "/", "address": "127.0.0.1", "port": port}],
            "access": ACCESS,
            **config,
        }
        self.world.clock.advance(timedelta(seconds=1))
        self.world.publish(self.number, issued, **whole)
        return issued

    def start(self) -> None:
        command = [envoy_binary(), "-c", str(self.world.root / "bootstrap.json"), "--concurrency", "1"]
        quiet = ["--disable-hot-restart", "-l", "critical"]
        self._process = Child(command + quiet, self.world.root.parent / "envoy.log", {})
        until(self.listening, "Envoy listens")

    def listening(self) -> bool:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            return True
        return False

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
        self.upstream.shutdown()
        self.upstream.server_close()

    def look(self) -> Served:
        return probe(Target("127.0.0.1", self.port))

    def agent(self, name: str = "billing", **validity: timedelta) -> Issued:
        return self.world.ca.issue(f"spiffe://{DOMAIN}/agent/{name}", **validity)

    @contextlib.contextmanager
    def connection(self, issued: Issued | None, tmp: Path) -> Iterator[http.client.HTTPSConnection]:
        context = ssl.create_default_context(cadata=self.world.ca.pem)
        if issued is not None:
            pair = tmp / f"{issued.serial}.pem"
            pair.write_text(issued.certificate + issued.private_key)
            context.load_cert_chain(pair)
        connection = http.client.HTTPSConnection("localhost", self.port, context=context, timeout=5)
        try:
            yield connection
        finally:
            connection.close()

    def _follower(self) -> Convergence:
        directories = VersionDirectories(self.world.root)

        def pause(seconds: float) -> None:
            time.sleep(seconds)
            self.world.clock.advance(timedelta(seconds=seconds))

        tools = ProxyTools(
            self.adapter, self.world.shelf, lambda host, port: probe(Target(host, port)), pause, Action(),
            settle=timedelta(seconds=5),
        )  # fmt: skip
        node = self.world.node
        return Convergence(ProxySubject("edge", directories, node, tools), directories, node)
