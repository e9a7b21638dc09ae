"""A server that answers canned bytes, and one that passes a request on to a real server and drops the reply."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import closing

Answer = Callable[[bytes], bytes]


class CannedServer:
    """Each connection: one request in, `answers` out in turn (the last one repeats), then the connection is closed."""

    def __init__(self, *answers: bytes | Answer) -> None:
        self.requests: list[bytes] = []
        self._answers = answers
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        # shutdown wakes the accept in the other thread; close alone does not.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)

    def _serve(self) -> None:
        while True:
            try:
                connection, _peer = self._listener.accept()
            except OSError:
                return
            with closing(connection):
                request = read_message(connection)
                self.requests.append(request)
                answer = self._answers[min(len(self.requests), len(self._answers)) - 1]
                connection.sendall(answer if isinstance(answer, bytes) else answer(request))


def reply(status: str, body: bytes = b"", *headers: str) -> bytes:
    """A whole HTTP reply that closes the connection."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def passed_on(port: int) -> Answer:
    """What the real server answers."""

    def act(request: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as upstream:
            upstream.sendall(request)
            # This server ends the connection after each reply, so the reply must say so.
            return read_message(upstream).replace(b"\r\n", b"\r\nConnection: close\r\n", 1)

    return act


def passed_on_and_lost(port: int) -> Answer:
    """Lets the real server act, and answers nothing: a lost reply after the effect."""
    act = passed_on(port)

    def act_silently(request: bytes) -> bytes:
        act(request)
        return b""

    return act_silently


def read_message(connection: socket.socket) -> bytes:
    """One HTTP message with a Content-Length, or without a body."""
    data = b""
    while b"\r\n\r\n" not in data:
        if not (more := connection.recv(65536)):
            return data
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    left = int(lengths[0].split(b":")[1]) - len(body) if lengths else 0
    while left > 0 and (more := connection.recv(65536)):
        data += more
        left -= len(more)
    return data
