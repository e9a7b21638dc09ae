"""An authorization server that answers canned bytes over TLS, and the client that is sent there."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from rotator.core.errors import Fault
from rotator.dev.servers import tls
from tests.clients.canned_server import CannedServer, read_message, reply

SECRET, TOKEN, REFRESH = "s3cret: 100% +/&=ü", "access-token-1234567", "refresh-token-1234567"
TIMEOUT = timedelta(seconds=5)


class SecureServer(CannedServer):
    """`CannedServer` over TLS that answers by the path of the request. drips: the path whose answer comes byte by byte,
    one each 50 ms, so that no read of the client ever waits long."""

    def __init__(self, folder: Path) -> None:
        self.files = tls.make(folder, "canned")
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(self.files.certificate, self.files.key)
        self.by_path: dict[str, bytes] = {}
        self.drips, self._pause = "", threading.Event()
        super().__init__(b"")
        self.issuer = self.address.replace("http:", "https:")

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            plain.settimeout(5)
            with plain, suppress(OSError), self._context.wrap_socket(plain, server_side=True) as connection:
                request = read_message(connection)
                self.requests.append(request)
                answer = self.by_path.get(path_of(request), reply("404 Not Found"))
                if path_of(request) == self.drips:
                    self._drip(connection, answer)
                connection.sendall(answer)

    def _drip(self, connection: ssl.SSLSocket, answer: bytes) -> None:
        for number in range(len(answer)):
            connection.sendall(answer[number : number + 1])
            self._pause.wait(0.05)

    def paths(self) -> list[str]:
        return [path_of(request) for request in self.requests]


def path_of(request: bytes) -> str:
    return request.split(b" ")[1].decode() if b" " in request else ""


def as_json(body: object, status: str = "200 OK") -> bytes:
    return reply(status, json.dumps(body).encode(), "Content-Type: application/json")


def html(status: str) -> bytes:
    return reply(status, f"<html>{SECRET} {TOKEN}</html>".encode(), "Content-Type: text/html")


def document(server: SecureServer, **changes: object) -> dict[str, object]:
    return {
        "issuer": server.issuer,
        "token_endpoint": f"{server.issuer}/token",
        "introspection_endpoint": f"{server.issuer}/introspect",
        "revocation_endpoint": f"{server.issuer}/revoke",
        **changes,
    }


GOOD = {"access_token": TOKEN, "token_type": "bearer", "expires_in": 600, "refresh_token": REFRESH, "scope": "a b"}


def refused(call: Callable[[], object]) -> Fault:
    """The Fault of a call; no secret may be in it or in what caused it."""
    with pytest.raises(Fault) as raised:
        call()
    fault = raised.value
    shown = f"{fault.text} {fault.hint} {fault!r} {fault.__cause__!r}"
    assert not any(secret in shown for secret in (SECRET, TOKEN, REFRESH))
    assert fault.__suppress_context__ or fault.__context__ is None
    return fault
