"""The transport to Consul: TLS that is never weakened, deadlines, connections that are kept and thrown away."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rotator.clients.consul_wire import ConsulWire, open_wire
from rotator.config.settings import ConsulSettings, TlsSettings
from rotator.core.errors import Code, Denied, Unavailable
from tests.assets.authority import Authority, Bend
from tests.clients.canned_server import CannedServer, read_message, reply
from tests.fakes.clock import FakeClock

CLOCK = FakeClock(datetime(2026, 1, 1, tzinfo=UTC))


class _RealClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


@dataclass
class Secure:
    """A TLS server for `consul.test` on loopback, and the CA that vouches for it."""

    port: int
    ca_file: Path


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[Secure]:
    authority = Authority(datetime.now(UTC))
    certificate, key = authority.leaf(datetime.now(UTC), Bend(dns=("consul.test",), uris=()))
    (tmp_path / "leaf.pem").write_text(certificate + key)
    (tmp_path / "ca.pem").write_text(authority.pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "leaf.pem")
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=_serve_tls, args=(listener, context), daemon=True)
    thread.start()
    yield Secure(int(listener.getsockname()[1]), tmp_path / "ca.pem")
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(5)


def _serve_tls(listener: socket.socket, context: ssl.SSLContext) -> None:
    with suppress(OSError):
        while True:
            raw, _peer = listener.accept()
            with closing(raw), suppress(OSError), context.wrap_socket(raw, server_side=True) as connection:
                read_message(connection)
                connection.sendall(reply("200 OK", b"true"))


def _wire(secure: Secure, ca_file: Path | None, name: str) -> ConsulWire:
    tls = TlsSettings(ca_file=ca_file, server_name=name)
    return open_wire(ConsulSettings(f"https://127.0.0.1:{secure.port}", tls=tls), CLOCK)


def test_the_configured_name_is_proven_not_the_dialled_address(secure: Secure) -> None:
    """Agents are dialled by address and named `server.<dc>.consul`."""
    assert _wire(secure, secure.ca_file, "consul.test").send("GET", "/", {}, b"", 5).body == b"true"


@pytest.mark.parametrize(("trusted", "name"), [(False, "consul.test"), (True, ""), (True, "other.test")])
def test_a_foreign_ca_or_name_is_final(secure: Secure, trusted: bool, name: str) -> None:
    """Invariant 10: no second try with weaker settings."""
    with pytest.raises(Denied) as caught:
        _wire(secure, secure.ca_file if trusted else None, name).send("GET", "/", {}, b"", 5)
    assert caught.value.code is Code.CONSUL_TLS


def test_a_server_without_tls_is_refused() -> None:
    """The token never travels in the clear because the other side speaks no TLS."""
    server = CannedServer(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    wire = open_wire(ConsulSettings(server.address.replace("http:", "https:")), CLOCK)
    with pytest.raises((Denied, Unavailable)):
        wire.send("GET", "/", {"X-Consul-Token": "hidden-token"}, b"", 2)
    server.close()
    assert all(b"hidden-token" not in request for request in server.requests)


def test_missing_tls_files_are_named_as_a_matter_of_configuration(tmp_path: Path) -> None:
    """At the start, not with the first call in the night."""
    settings = ConsulSettings("https://127.0.0.1:1", tls=TlsSettings(ca_file=tmp_path / "absent.pem"))
    with pytest.raises(Denied) as caught:
        open_wire(settings, CLOCK)
    assert caught.value.code is Code.CONSUL_TLS


def test_a_reply_that_drips_ends_with_the_whole_call() -> None:
    """A socket's own timeout starts anew with every byte and would never come."""
    stop = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def drip() -> None:
        connection, _peer = listener.accept()
        with closing(connection), suppress(OSError):
            read_message(connection)
            connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while not stop.wait(0.05):
                connection.sendall(b"1\r\nx\r\n")

    thread = threading.Thread(target=drip, daemon=True)
    thread.start()
    wire = open_wire(ConsulSettings(f"http://127.0.0.1:{listener.getsockname()[1]}"), _RealClock())
    began = time.monotonic()
    with pytest.raises(Unavailable):
        wire.send("GET", "/", {}, b"", 0.3)
    assert time.monotonic() - began < 3
    stop.set()
    thread.join(5)
    listener.close()


def test_a_connection_that_the_server_closed_is_not_used_again() -> None:
    """An agent's restart must not cost a failed call per idle connection."""
    silent_close = reply("200 OK", b"true").replace(b"Connection: close", b"Connection: keep-alive")
    server = CannedServer(silent_close)
    wire = open_wire(replace(ConsulSettings(server.address), timeout=timedelta(seconds=2)), CLOCK)
    wire.send("GET", "/", {}, b"", 2)
    idle = wire._idle[0].sock
    until = time.monotonic() + 5
    while idle.recv(1, socket.MSG_PEEK) and time.monotonic() < until:
        pass
    assert wire.send("PUT", "/", {}, b"x", 2).body == b"true"
    assert len(server.requests) == 2
    wire.close()
    server.close()
