"""The transport alone: what it sends, when it sends again, and when it gives up."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from rotator.clients.clock import SystemClock
from rotator.clients.http import HttpClient, Peer, TlsContextSettings
from rotator.core.errors import Code, Denied, Unavailable
from tests.clients.canned_server import CannedServer, read_message, reply

NO_TLS = TlsContextSettings()
Script = Callable[[socket.socket], None]


class ScriptedServer:
    """Runs one script per connection, in turn; the last one repeats. `connections` counts them."""

    def __init__(self, *scripts: Script) -> None:
        self.connections = 0
        self._scripts = scripts
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            script = self._scripts[min(self.connections, len(self._scripts) - 1)]
            self.connections += 1
            threading.Thread(target=_run, args=(script, connection), daemon=True).start()


def _run(script: Script, connection: socket.socket) -> None:
    with connection, suppress(OSError):  # the client may be gone first
        script(connection)


@pytest.fixture
def serve() -> Iterator[Callable[..., ScriptedServer]]:
    started: list[ScriptedServer] = []

    def start(*scripts: Script) -> ScriptedServer:
        started.append(ScriptedServer(*scripts))
        return started[-1]

    yield start
    for server in started:
        server.close()


def client(address: str, seconds: float = 5, tls: TlsContextSettings = NO_TLS) -> HttpClient:
    return HttpClient(address, tls, timedelta(seconds=seconds), Peer.VAULT, SystemClock())


def kept(count: int) -> Script:
    """Answers `count` requests on one connection, without announcing the end that follows."""

    def script(connection: socket.socket) -> None:
        for _ in range(count):
            read_message(connection)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    return script


def mute_after(count: int) -> Script:
    """Answers `count` requests, takes one more, and ends the connection without a byte of reply."""

    def script(connection: socket.socket) -> None:
        kept(count)(connection)
        read_message(connection)

    return script


def test_calls_of_one_thread_share_a_connection(serve: Callable[..., ScriptedServer]) -> None:
    """A new TLS handshake per call would cost more than the call."""
    server = serve(kept(3))
    http = client(server.address)
    assert [http.request("GET", "/a", {}).body for _ in range(3)] == [b"ok"] * 3
    assert server.connections == 1


def test_head_and_body_leave_in_one_piece(serve: Callable[..., ScriptedServer]) -> None:
    """In two pieces each call costs two TLS records and wakes the server twice."""
    pieces: list[bytes] = []

    def read_once_each(connection: socket.socket) -> None:
        while piece := connection.recv(65536):
            pieces.append(piece)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    http = client(serve(read_once_each).address)
    # Several, because the kernel may join what arrives before the server looks.
    for _ in range(20):
        http.request("POST", "/a", {}, b'{"a":1}')
    assert [piece for piece in pieces if not piece.endswith(b'\r\n\r\n{"a":1}')] == []


def test_a_connection_closed_while_idle_is_replaced_before_it_is_used(serve: Callable[..., ScriptedServer]) -> None:
    """Servers end idle connections all the time: that is no failure, even for a call that must not be sent twice."""
    server = serve(kept(1))
    http = client(server.address)
    assert http.request("POST", "/a", {}, b"{}").status == 200
    _until_closed(http)
    assert http.request("POST", "/a", {}, b"{}").status == 200
    assert server.connections == 2


def _until_closed(http: HttpClient) -> None:
    sock = http._own.connection.sock._sock
    sock.settimeout(5)
    assert sock.recv(1, socket.MSG_PEEK) == b""


def test_a_lost_reply_is_asked_for_again_only_where_that_is_harmless(serve: Callable[..., ScriptedServer]) -> None:
    """The server took the request and ended: a read is sent once more, a write may have happened."""
    server = serve(mute_after(1), kept(9))
    http = client(server.address)
    http.request("GET", "/a", {})
    assert http.request("GET", "/a", {}, idempotent=True).body == b"ok"
    assert server.connections == 2

    server = serve(mute_after(1), kept(9))
    http = client(server.address)
    http.request("GET", "/a", {})
    with pytest.raises(Unavailable) as raised:
        http.request("POST", "/a", {}, b"{}")
    assert raised.value.code is Code.VAULT_UNREACHABLE
    assert server.connections == 1


def test_a_reply_lost_on_a_new_connection_is_not_asked_for_again(serve: Callable[..., ScriptedServer]) -> None:
    """A server that always hangs up would otherwise be met with two requests per call."""
    server = serve(mute_after(0))
    with pytest.raises(Unavailable):
        client(server.address).request("GET", "/a", {}, idempotent=True)
    assert server.connections == 1


@pytest.mark.parametrize("part", [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"])
def test_a_dripping_reply_ends_with_the_deadline_of_the_call(serve: Callable[..., ScriptedServer], part: bytes) -> None:
    """A byte now and then restarts a socket's own timeout, in the head as in the body."""
    done = threading.Event()

    def drip(connection: socket.socket) -> None:
        read_message(connection)
        connection.sendall(part)
        while not done.wait(0.05):
            connection.sendall(b"X")

    clock = SystemClock()
    begun = clock.monotonic()
    with pytest.raises(Unavailable):
        client(serve(drip).address, seconds=0.4).request("GET", "/a", {})
    done.set()
    assert clock.monotonic() - begun < 3


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n{",
        b"SSH-2.0-OpenSSH_9\r\n",
    ],
)
def test_a_broken_reply_is_unavailable(answer: bytes) -> None:
    """Cut short, endless, or no HTTP at all: what it would have said is not known."""
    server = CannedServer(answer)
    try:
        with pytest.raises(Unavailable) as raised:
            client(server.address).request("GET", "/a", {})
    finally:
        server.close()
    assert raised.value.code is Code.VAULT_REPLY_MALFORMED


def test_a_redirect_is_refused_and_its_target_sees_nothing() -> None:
    """Following it would hand the token to whoever wrote the Location (hvac does so by default)."""
    thief = CannedServer(reply("200 OK"))
    server = CannedServer(reply("307 Temporary Redirect", b"", f"Location: {thief.address}/v1/x"))
    try:
        with pytest.raises(Denied) as raised:
            client(server.address).request("GET", "/a", {"X-Vault-Token": "canary"})
        assert raised.value.code is Code.VAULT_REDIRECT
        assert thief.requests == []
    finally:
        server.close()
        thief.close()


def test_nothing_listens() -> None:
    """Refused at once is an outage, not a mistake of ours."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        with pytest.raises(Unavailable):
            client(f"http://127.0.0.1:{held.getsockname()[1]}").request("GET", "/a", {})


@pytest.mark.parametrize(
    "address",
    ["http://vault.example.org:8200", "vault:8200", "ftp://127.0.0.1", "https://", "https://u:p@h", "https://h:x", ""],
)
def test_addresses_that_would_show_a_token_are_refused(address: str) -> None:
    """Plain HTTP is for loopback only, and the message must not repeat what may hold a password."""
    with pytest.raises(Denied) as raised:
        client(address)
    assert raised.value.code is Code.CONFIG_INVALID
    assert address == "" or address not in str(raised.value)


def test_unusable_tls_files_are_denied_without_a_request(tmp_path: Path) -> None:
    """A wrong path is a matter of configuration: it must not look like an outage."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        http = client(
            f"https://127.0.0.1:{listener.getsockname()[1]}", tls=TlsContextSettings(ca_file=tmp_path / "absent")
        )
        with pytest.raises(Denied) as raised:
            http.request("GET", "/a", {})
    assert raised.value.code is Code.VAULT_TLS
