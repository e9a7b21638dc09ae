"""A door in front of the proxy that counts who comes: what a client really sent, whatever it says about itself."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from rotator.dev.caller import Door


class Count:
    """Connections accepted so far."""

    def __init__(self) -> None:
        self.connections = 0


@contextmanager
def counted(door: Door) -> Iterator[tuple[Door, Count]]:
    """The same door at another port; bytes pass unchanged in both directions."""
    count = Count()
    with socket.create_server((door.host, 0)) as listener:
        threading.Thread(target=_accept, args=(listener, door, count), daemon=True).start()
        yield replace(door, port=listener.getsockname()[1]), count
        # Wakes the thread that waits in accept, which closing alone does not.
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)


def _accept(listener: socket.socket, door: Door, count: Count) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        count.connections += 1
        server = socket.create_connection((door.host, door.port))
        for source, sink in ((client, server), (server, client)):
            threading.Thread(target=_pass_on, args=(source, sink), daemon=True).start()


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
