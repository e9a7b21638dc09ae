"""The HTTP server in a thread of its own: uvicorn with our signals, our limits and nothing told in errors.

uvicorn takes SIGINT and SIGTERM for itself in the main thread and raises them again when it ends; in any other thread
it leaves them alone, and the process decides when to stop.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Sequence
from datetime import timedelta

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute

from rotator.core.errors import Code, Denied, Unavailable

CONNECTIONS = 64
HEADER_BYTES = 16 * 1024
START_DEADLINE = timedelta(seconds=10)
STOP_DEADLINE = timedelta(seconds=5)


def application(routes: Sequence[BaseRoute]) -> Starlette:
    """The ASGI application. Errors say their status and nothing else; there is no middleware that wraps requests."""
    return Starlette(routes=routes, exception_handlers={HTTPException: _plain_status, 500: _plain_failure})


async def _plain_status(request: Request, problem: Exception) -> Response:
    status, headers = (problem.status_code, problem.headers) if isinstance(problem, HTTPException) else (500, None)
    return PlainTextResponse(f"{status}\n", status, headers=headers)


async def _plain_failure(request: Request, problem: Exception) -> Response:
    return PlainTextResponse("500\n", 500)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address; a name other than `localhost` is taken as reachable."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class _Server(uvicorn.Server):
    """Says when it listens, so that the start can wait for that instead of asking again and again."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()


class WebServer:
    """Serves one application. Started once, stopped once (stopping again does nothing).

    There is no TLS and no login here: bind it to loopback or to a management network, or put a proxy in front.
    `CONNECTIONS` connections are served, further ones get 503; a request head is at most HEADER_BYTES long.
    """

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        self._app = application(routes)
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    def start(self, host: str, port: int) -> int:
        """Listens and returns the port (0 asks for a free one). Denied when the address cannot be bound."""
        bound = _bind(host, port)
        self._server = server = _Server(_config(self._app))
        self._thread = thread = threading.Thread(target=server.run, args=([bound],), name="web", daemon=True)
        thread.start()
        if not server.listening.wait(START_DEADLINE.total_seconds()):
            self.stop()
            raise Unavailable(Code.BUG, "the HTTP server did not start in time", hint="see the log")
        return int(bound.getsockname()[1])

    def stop(self, deadline: timedelta = STOP_DEADLINE) -> bool:
        """Ends running requests, then everything else; True when the thread has ended within the deadline."""
        server, thread = self._server, self._thread
        if server is None or thread is None:
            return True
        half = deadline.total_seconds() / 2
        server.should_exit = True
        thread.join(half)
        server.force_exit = True
        thread.join(half)
        return not thread.is_alive()


def _config(app: Starlette) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,  # else uvicorn sets up the logging of the whole process
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=CONNECTIONS,
        backlog=CONNECTIONS,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=2,
        h11_max_incomplete_event_size=HEADER_BYTES,
    )


def _bind(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as problem:
        raise _refused(host, port, problem) from None
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as problem:
        bound.close()
        raise _refused(host, port, problem) from None
    return bound


def _refused(host: str, port: int, problem: OSError) -> Denied:
    hint = "set service.http_address and service.http_port to an address of this machine that is free"
    return Denied(Code.CONFIG_INVALID, f"cannot listen on {host}:{port}: {problem.strerror}", hint=hint)
