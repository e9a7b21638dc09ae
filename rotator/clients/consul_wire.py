"""HTTP to one Consul agent: kept-alive connections, verified TLS, no redirect, no proxy and no other environment.

Nothing is sent twice: an idle connection that the server has closed is noticed before it is used, and what breaks
after that is Unavailable, because the effect may have happened.
"""

from __future__ import annotations

import http.client
import select
import socket
import ssl
import threading
import urllib.parse
from collections.abc import Mapping

from rotator.clients.consul_agent import Reply
from rotator.clients.tls_context import ContextSource, TlsContextSettings
from rotator.config.settings import ConsulSettings, TlsSettings
from rotator.core.errors import Code, Denied, Unavailable
from rotator.ports import Clock

_CHUNK = 256 * 1024
# A fleet of 10 000 records is some 20 MB; more than this is no reply of ours.
_LARGEST_REPLY = 256 * 1024 * 1024


class ConsulWire:
    """A thread-safe pool: as many connections as there are calls at the same time."""

    def __init__(self, settings: ConsulSettings, clock: Clock) -> None:
        """Raises Denied (CONSUL_TLS) when the TLS files cannot be used."""
        parts = urllib.parse.urlsplit(settings.address)
        self._secure = parts.scheme == "https"
        self._host = parts.hostname or "127.0.0.1"
        self._port = parts.port or (8501 if self._secure else 8500)
        self._base = parts.path.rstrip("/")
        self._name = settings.tls.server_name or self._host
        self._contexts = _source(settings.tls) if self._secure else None
        if self._contexts is not None:
            _context(self._contexts)
        self._clock = clock
        self._mutex = threading.Lock()
        self._idle: list[http.client.HTTPConnection] = []

    def send(self, method: str, target: str, headers: Mapping[str, str], body: bytes, timeout: float) -> Reply:
        """One request and its whole reply within `timeout` seconds. Raises Unavailable, or Denied for bad TLS."""
        until = self._clock.monotonic() + timeout
        connection = self._take(timeout)
        try:
            if connection.sock is None:
                self._connect(connection, timeout)
            connection.sock.settimeout(timeout)
            connection.request(method, self._base + target, body=body or None, headers=dict(headers))
            response = connection.getresponse()
            content = self._content(connection, response, until)
        except (OSError, http.client.HTTPException, ValueError) as error:
            connection.close()
            raise _unreachable(error) from None
        self._give_back(connection, response)
        return Reply(response.status, {name.lower(): value for name, value in response.getheaders()}, content)

    def close(self) -> None:
        with self._mutex:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _take(self, timeout: float) -> http.client.HTTPConnection:
        while True:
            with self._mutex:
                connection = self._idle.pop() if self._idle else None
            if connection is None:
                return http.client.HTTPConnection(self._host, self._port, timeout=timeout)
            if _is_quiet(connection):
                return connection
            connection.close()

    def _give_back(self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse) -> None:
        if response.will_close:
            connection.close()
            return
        with self._mutex:
            self._idle.append(connection)

    def _connect(self, connection: http.client.HTTPConnection, timeout: float) -> None:
        """The handshake proves `server_name`, which need not be the address that is dialled."""
        sock = socket.create_connection((self._host, self._port), timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._contexts is not None:
            sock = _handshake(_context(self._contexts), sock, self._name)
        connection.sock = sock

    def _content(
        self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse, until: float
    ) -> bytes:
        """Reads to the end against the deadline of the whole call: a socket's timeout starts anew with every byte."""
        chunks: list[bytes] = []
        missing, size = response.length, 0
        while missing != 0 and (chunk := _some(response, missing)):
            chunks.append(chunk)
            size += len(chunk)
            missing = None if missing is None else missing - len(chunk)
            left = until - self._clock.monotonic()
            if left <= 0 or size > _LARGEST_REPLY:
                raise TimeoutError
            if connection.sock is not None:
                connection.sock.settimeout(left)
        if missing:
            raise http.client.IncompleteRead(b"", missing)
        response.close()
        return b"".join(chunks)


def _some(response: http.client.HTTPResponse, missing: int | None) -> bytes:
    """What has arrived, at most one read of the socket: `read(n)` would go on until n bytes are there.

    The caller counts what is missing, because `read1` does not count down in early releases of Python 3.11.
    """
    return response.read1(_CHUNK if missing is None else min(missing, _CHUNK))


def open_wire(settings: ConsulSettings, clock: Clock) -> ConsulWire:
    """A wire to the configured agent; connects with the first call."""
    return ConsulWire(settings, clock)


def _context(source: ContextSource) -> ssl.SSLContext:
    try:
        return source.context()
    except (OSError, ValueError) as error:
        raise Denied(
            Code.CONSUL_TLS,
            f"the TLS files for Consul cannot be used ({type(error).__name__})",
            hint="check ca_file, client_certificate and client_key in [consul.tls]",
        ) from None


def _source(tls: TlsSettings) -> ContextSource:
    return ContextSource(
        TlsContextSettings(tls.ca_file, tls.ca_path, tls.client_certificate, tls.client_key, tls.server_name)
    )


def _handshake(context: ssl.SSLContext, sock: socket.socket, name: str) -> ssl.SSLSocket:
    try:
        return context.wrap_socket(sock, server_hostname=name)
    except BaseException:
        sock.close()
        raise


def _is_quiet(connection: http.client.HTTPConnection) -> bool:
    """An idle connection with something to read has been closed by the server (or speaks out of turn)."""
    if connection.sock is None:
        return False
    poll = select.poll()
    poll.register(connection.sock, select.POLLIN)
    return not poll.poll(0)


def _unreachable(error: Exception) -> Unavailable | Denied:
    """Names the kind of failure only: texts of the network layer may quote what was received."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return Denied(
            Code.CONSUL_TLS,
            f"Consul's certificate was refused: {error.verify_message}",
            hint="check ca_file and server_name in [consul.tls]; verification is never switched off",
        )
    if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return Denied(
            Code.CONSUL_TLS,
            f"the TLS handshake with Consul failed ({error.reason})",
            hint="check that the address is the HTTPS port, and whether Consul asks for a client certificate",
        )
    return Unavailable(
        Code.CONSUL_UNREACHABLE,
        f"Consul did not answer ({type(error).__name__}); whether it acted is not known",
        hint="check that the agent runs and that [consul] address is right",
    )
