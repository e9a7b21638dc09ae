"""The server that answers /metrics, /livez and /readyz: a real one, over a real socket."""

from __future__ import annotations

import http.client
import json
import logging
import socket
import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rotator.core.errors import Denied
from rotator.telemetry.health import Check, Live, Ready, Why
from rotator.telemetry.snapshot import Role
from rotator.web import health, metrics
from rotator.web.server import WebServer, is_loopback

CANARY = "CANARY-in-an-exception"
READY = Ready(True, Role.STANDBY)
NOT_READY = Ready(False, Role.LEADER, (Why(Check.VAULT, "the last call failed", "E2002"),))


class World:
    """What the routes ask."""

    def __init__(self) -> None:
        self.live = Live(True)
        self.ready = READY
        self.port = 0

    def ask(self, method: str, path: str, headers: dict[str, str] | None = None) -> tuple[int, dict[str, str], str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read().decode()
        finally:
            connection.close()


async def _fail(request: Request) -> Response:
    raise RuntimeError(CANARY)


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    routes = [
        *health.routes(lambda: world.live, lambda: world.ready),
        metrics.route(lambda: b"rotator_leader 1\n"),
        Route("/broken", _fail),
    ]
    server = WebServer(routes)
    world.port = server.start("127.0.0.1", 0)
    yield world
    assert server.stop()


def test_metrics_come_in_the_prometheus_text_format(world: World) -> None:
    """Prometheus 3 refuses an answer without a content type that it knows."""
    status, headers, body = world.ask("GET", "/metrics")
    assert (status, body) == (200, "rotator_leader 1\n")
    assert headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


def test_standby_is_ready_and_says_so(world: World) -> None:
    """Load balancers read the status, people the role."""
    assert world.ask("GET", "/readyz")[::2] == (200, "ready (standby)\n")


def test_not_ready_tells_why_in_both_forms(world: World) -> None:
    """A bare 503 sends whoever is on call through the logs."""
    world.ready = NOT_READY
    status, headers, body = world.ask("GET", "/readyz")
    assert (status, body) == (503, "not ready (leader)\nvault: the last call failed E2002\n")
    assert headers["cache-control"] == "no-store"
    status, _, body = world.ask("GET", "/readyz", {"Accept": "application/json"})
    assert (status, json.loads(body)) == (
        503,
        {
            "status": "not ready",
            "role": "leader",
            "reasons": [{"check": "vault", "text": "the last call failed", "code": "E2002"}],
        },
    )


def test_liveness_is_separate_from_readiness(world: World) -> None:
    """An outage of Vault must not make an orchestrator restart us."""
    world.ready = NOT_READY
    assert world.ask("GET", "/livez")[::2] == (200, "alive\n")
    world.live = Live(False, (Why(Check.SCHEDULER, "the scheduler is stuck"),))
    assert world.ask("GET", "/livez")[::2] == (503, "stuck\nscheduler: the scheduler is stuck\n")


@pytest.mark.parametrize("path", ["/metrics", "/livez", "/readyz"])
def test_only_reading_is_allowed(world: World, path: str) -> None:
    """HEAD answers as GET without a body (RFC 9110 section 9.1); nothing here changes anything."""
    status, _, body = world.ask("HEAD", path)
    assert (status, body) == (200, "")
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
        status, headers, body = world.ask(method, path)
        assert (method, status, body) == (method, 405, "405\n")
        assert {word.strip() for word in headers["allow"].split(",")} == {"GET", "HEAD"}


def test_errors_tell_nothing(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Neither the text of an exception nor the software behind this port is anybody's business."""
    with caplog.at_level(logging.CRITICAL):
        status, headers, body = world.ask("GET", "/broken")
    assert (status, body) == (500, "500\n")
    assert "server" not in headers
    assert world.ask("GET", "/nothing")[::2] == (404, "404\n")
    assert CANARY not in "".join(world.ask("GET", "/broken")[2])


def test_oversized_head_is_refused(world: World) -> None:
    """A head without end would fill the memory."""
    with socket.create_connection(("127.0.0.1", world.port), timeout=10) as raw:
        raw.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 40_000)
        assert raw.recv(4096).startswith(b"HTTP/1.1 400")


def test_stop_ends_the_thread_and_frees_the_port() -> None:
    """A reload binds the same address again."""
    first = WebServer(health.routes(lambda: Live(True), lambda: READY))
    port = first.start("127.0.0.1", 0)
    held = socket.create_connection(("127.0.0.1", port), timeout=10)
    assert first.stop(timedelta(seconds=8))
    held.close()
    assert "web" not in {thread.name for thread in threading.enumerate()}
    second = WebServer(health.routes(lambda: Live(True), lambda: READY))
    assert second.start("127.0.0.1", port) == port
    assert second.stop()
    assert second.stop()


def test_address_in_use_is_told_to_the_user() -> None:
    """A second instance on one machine gets a sentence, not a traceback from a thread."""
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(Denied) as refused:
        WebServer([]).start("127.0.0.1", taken.getsockname()[1])
    assert "cannot listen on 127.0.0.1" in refused.value.text
    assert refused.value.hint


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False), ("web", False)],  # noqa: S104
)
def test_loopback_is_recognised(host: str, loopback: bool) -> None:
    """There is no login here, so whoever wires this warns about an address that others can reach."""
    assert is_loopback(host) is loopback
