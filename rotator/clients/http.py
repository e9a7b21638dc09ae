"""HTTP/1.1 to one server: one kept-alive connection per thread, verified TLS, an absolute deadline per call.

No redirect is followed (it would carry the token away: requests forwards X-Vault-Token to any host), no proxy, no
`.netrc` and no environment is looked at. A mismatch in TLS is final: Denied, after one attempt. No text of the network
layer reaches a Fault, because it may quote what was received.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Any

from rotator.clients.http_wire import LARGEST_REPLY, DeadlineSocket, content, endpoint, is_quiet
from rotator.clients.tls_context import ContextSource, TlsContextSettings
from rotator.core.errors import Code, Denied, Fault, Unavailable
from rotator.ports import Clock

__all__ = ["HttpClient", "HttpReply", "Peer", "TlsContextSettings"]


@dataclass(frozen=True, slots=True)
class _Words:
    """section, tls: tables of the configuration. largest: bytes of a reply."""

    name: str
    section: str
    tls: str
    port: int
    unreachable: Code
    untrusted: Code
    redirect: Code
    malformed: Code
    largest: int = LARGEST_REPLY


class Peer(Enum):
    """Whom we talk to: name in messages, default port, codes of what goes wrong on the way."""

    VAULT = _Words(
        "Vault",
        "[vault]",
        "[vault.tls]",
        8200,
        Code.VAULT_UNREACHABLE,
        Code.VAULT_TLS,
        Code.VAULT_REDIRECT,
        Code.VAULT_REPLY_MALFORMED,
    )
    CONSUL = _Words(
        "Consul",
        "[consul]",
        "[consul.tls]",
        8500,
        Code.CONSUL_UNREACHABLE,
        Code.CONSUL_TLS,
        Code.CONSUL_REDIRECT,
        Code.CONSUL_REPLY_MALFORMED,
    )
    AUTHORIZATION_SERVER = _Words(
        "the authorization server",
        "[authorization_servers.NAME]",
        "[authorization_servers.NAME]",
        443,
        Code.AUTHORIZATION_UNREACHABLE,
        Code.AUTHORIZATION_TLS,
        Code.AUTHORIZATION_REDIRECT,
        Code.AUTHORIZATION_REPLY_MALFORMED,
        largest=256 * 1024,
    )


@dataclass(frozen=True, slots=True)
class HttpReply:
    """`headers`: names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class HttpClient:
    """Thread-safe. Connects with the first call of each thread; a connection ends with its thread or with `close`."""

    def __init__(self, address: str, tls: TlsContextSettings, timeout: timedelta, service: Peer, clock: Clock) -> None:
        """address: `https://host[:port][/base]`; http only for loopback, else Denied (CONFIG_INVALID).

        timeout: of a whole call, from connect to last byte. clock: its monotonic time measures the deadline.
        """
        self._words = service.value
        self._where = endpoint(address, self._words.name, self._words.port)
        self._name = tls.server_name or self._where.host
        self._contexts = ContextSource(tls)
        self._timeout = timeout
        self._clock = clock
        self._own = threading.local()
        self._all: weakref.WeakSet[http.client.HTTPConnection] = weakref.WeakSet()
        self._mutex = threading.Lock()
        self._generation = 0

    def request(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes | None = None,
        timeout: timedelta | None = None,
        idempotent: bool = False,
    ) -> HttpReply:
        """One request, one reply of any status but 3xx.

        A kept-alive connection that the server closed meanwhile is replaced once, if the request was not sent
        completely or is `idempotent`. Raises Unavailable (whether it had its effect is not known) or Denied (TLS
        mismatch, redirect).
        """
        until = self._clock.monotonic() + (timeout or self._timeout).total_seconds()
        connection, reused = self._connection()
        try:
            try:
                return self._exchange(connection, (method, path, headers, body), until)
            except _StaleError as stale:
                if not reused or not (idempotent or not stale.sent):
                    raise
            connection, _ = self._fresh()
            return self._exchange(connection, (method, path, headers, body), until)
        except (OSError, http.client.HTTPException, ValueError, _StaleError) as error:
            raise self._fault(error) from None

    def forget_connections(self) -> None:
        """The next call of each thread connects anew, for instance with a renewed client certificate."""
        with self._mutex:
            self._generation += 1

    def close(self) -> None:
        """Closes all connections. The client can still be used: it connects again."""
        with self._mutex:
            known = list(self._all)
            self._generation += 1
        for connection in known:
            connection.close()

    def _connection(self) -> tuple[http.client.HTTPConnection, bool]:
        """(connection of this thread, whether it has been used before)."""
        known: http.client.HTTPConnection | None = getattr(self._own, "connection", None)
        if known is not None and known.sock is not None:
            if self._own.generation == self._generation and is_quiet(known.sock):
                return known, True
            known.close()
        return self._fresh()

    def _fresh(self) -> tuple[http.client.HTTPConnection, bool]:
        connection = http.client.HTTPConnection(self._where.host, self._where.port)
        with self._mutex:
            self._all.add(connection)
            self._own.generation = self._generation
        self._own.connection = connection
        return connection, False

    def _exchange(
        self,
        connection: http.client.HTTPConnection,
        request: tuple[str, str, Mapping[str, str], bytes | None],
        until: float,
    ) -> HttpReply:
        try:
            self._ready(connection, until)
            response = self._answer(connection, request)
            self._refuse_redirect(response.status)
            body = content(response, self._words.largest)
        except BaseException:  # whatever ends the exchange midway, its connection must not carry another one
            connection.close()
            raise
        return HttpReply(response.status, {name.lower(): value for name, value in response.getheaders()}, body)

    def _answer(
        self, connection: Any, request: tuple[str, str, Mapping[str, str], bytes | None]
    ) -> http.client.HTTPResponse:
        """Sends, and reads the head of the reply. A server may answer (413) and hang up while we still send."""
        method, path, headers, body = request
        sent = False
        try:
            try:
                connection.sock.hold()
                connection.request(method, self._where.base + path, body=body, headers=dict(headers))
                connection.sock.flush()
                sent = True
            except _HUNG_UP as error:
                return self._early(connection, error)
            response: http.client.HTTPResponse = connection.getresponse()
            return response
        except _HUNG_UP as error:
            raise _StaleError(sent) from error

    def _early(self, connection: http.client.HTTPConnection, error: Exception) -> http.client.HTTPResponse:
        try:
            return connection.getresponse()
        except http.client.HTTPException:
            raise error from None

    def _ready(self, connection: Any, until: float) -> None:
        """Connected, and armed with the deadline of this call."""
        if connection.sock is None:
            connection.sock = self._dial(until)
        connection.sock.until = until

    def _dial(self, until: float) -> DeadlineSocket:
        left = max(until - self._clock.monotonic(), 0.001)
        plain = socket.create_connection((self._where.host, self._where.port), left)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not self._where.secure:
            return DeadlineSocket(plain, until, self._clock)
        try:
            plain.settimeout(max(until - self._clock.monotonic(), 0.001))
            secure = self._context().wrap_socket(plain, server_hostname=self._name)
            return DeadlineSocket(secure, until, self._clock)
        except BaseException:
            plain.close()
            raise

    def _context(self) -> ssl.SSLContext:
        try:
            return self._contexts.context()
        except (OSError, ValueError) as error:
            raise Denied(
                self._words.untrusted,
                f"the TLS files for {self._words.name} cannot be used ({type(error).__name__})",
                hint=f"check ca_file, client_certificate and client_key in {self._words.tls}",
            ) from None

    def _refuse_redirect(self, status: int) -> None:
        if not 300 <= status < 400:
            return
        raise Denied(
            self._words.redirect,
            f"{self._words.name} answered with a redirect ({status}), never followed: it would carry the token",
            hint=f"give the final address in {self._words.section}",
        )

    def _fault(self, error: Exception) -> Fault:
        name = self._words.name
        if isinstance(error, ssl.SSLCertVerificationError):
            return Denied(
                self._words.untrusted,
                f"{name}'s certificate was refused: {error.verify_message}",
                hint=f"check ca_file and server_name in {self._words.tls}; verification is never switched off",
            )
        if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
            return Denied(
                self._words.untrusted,
                f"TLS with {name} failed ({error.reason or type(error).__name__})",
                hint="check that the address is the HTTPS port, and whether it asks for a client certificate",
            )
        if isinstance(error, http.client.HTTPException) and not isinstance(error, http.client.RemoteDisconnected):
            return Unavailable(
                self._words.malformed,
                f"the reply of {name} is broken ({type(error).__name__}); whether it acted is not known",
            )
        word = "ended the connection" if isinstance(error, _StaleError) else f"did not answer ({type(error).__name__})"
        return Unavailable(
            self._words.unreachable,
            f"{name} {word}; whether it acted is not known",
            hint=f"check that it runs and that its address in {self._words.section} is right",
        )


# RemoteDisconnected is a ConnectionResetError: the end came where the reply should have begun.
_HUNG_UP = (BrokenPipeError, ConnectionResetError, ssl.SSLEOFError, ssl.SSLZeroReturnError)


class _StaleError(Exception):
    """The server ended the connection before any byte of the reply. `sent`: the request had gone out completely."""

    def __init__(self, sent: bool) -> None:
        super().__init__()
        self.sent = sent
