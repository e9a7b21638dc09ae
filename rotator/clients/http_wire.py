"""What `http.client` lacks: a deadline for the whole call, a capped body, a strict address, a look at idle sockets."""

from __future__ import annotations

import http.client
import io
import ipaddress
import select
import socket
import urllib.parse
from dataclasses import dataclass
from typing import Any

from rotator.core.errors import Code, Denied
from rotator.ports import Clock

LARGEST_REPLY = 32 * 1024 * 1024
_CHUNK = 256 * 1024


class DeadlineSocket:
    """What `http.client` needs of a socket. Every read gets only the time that is left of the whole call; a plain
    socket timeout would start anew with each byte, so that a dripping server could hold a thread for ever."""

    def __init__(self, sock: socket.socket, until: float, clock: Clock) -> None:
        self.until = until
        self._sock, self._clock = sock, clock
        self._held: list[bytes] | None = None

    def hold(self) -> None:
        """Keeps what is sent until `flush`: `http.client` sends head and body apart, which is two TLS records, two
        system calls and two wake-ups of the server for each request."""
        self._held = []

    def flush(self) -> None:
        """Sends what was held, in one piece."""
        held, self._held = self._held, None
        if held:
            self.sendall(b"".join(held))

    def arm(self) -> None:
        left = self.until - self._clock.monotonic()
        if left <= 0:
            raise TimeoutError
        self._sock.settimeout(left)

    def sendall(self, data: bytes) -> None:
        if self._held is not None:
            self._held.append(data)
            return
        self.arm()
        self._sock.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_DeadlineReader(self, self._sock.makefile(mode, buffering=0)))  # type: ignore[call-overload]

    def fileno(self) -> int:
        return self._sock.fileno()

    def close(self) -> None:
        self._sock.close()


class _DeadlineReader(io.RawIOBase):
    def __init__(self, sock: DeadlineSocket, raw: io.RawIOBase) -> None:
        self._deadline, self._raw = sock, raw

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._deadline.arm()
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`base`: path before every request's own, without a slash at its end."""

    secure: bool
    host: str
    port: int
    base: str


def endpoint(address: str, service: str, default_port: int) -> Endpoint:
    """Denied (CONFIG_INVALID) for what is no `https://host[:port][/base]`; http is taken for loopback only."""
    try:
        parts = urllib.parse.urlsplit(address)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port, parts = "", None, urllib.parse.urlsplit("")
    secure = parts.scheme == "https"
    usable = parts.scheme in ("http", "https") and host and not (parts.username or parts.query or parts.fragment)
    if not usable or not (secure or _is_loopback(host)):
        raise Denied(
            Code.CONFIG_INVALID,
            f"the address of {service} cannot be used",
            hint="write https://host:port; http:// is for loopback only, because it would show the token",
        )
    return Endpoint(secure, host, port or default_port, parts.path.rstrip("/"))


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_quiet(sock: Any) -> bool:
    """An idle connection with something to read was closed by the server, or speaks out of turn."""
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLIN)
    return not poll.poll(0)


def content(response: http.client.HTTPResponse, largest: int = LARGEST_REPLY) -> bytes:
    """The whole body, `largest` bytes at most. `response.length` is what is missing of the announced length (None: not
    announced)."""
    if (response.length or 0) > largest:
        raise http.client.HTTPException
    chunks: list[bytes] = []
    size = 0
    while chunk := response.read(_CHUNK):
        size += len(chunk)
        if size > largest:
            raise http.client.HTTPException
        chunks.append(chunk)
    if response.length:
        raise http.client.IncompleteRead(b"", response.length)
    return b"".join(chunks)
