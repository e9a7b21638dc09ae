"""Free ports on 127.0.0.1 that stay ours: also while a server is down, and among test workers side by side.

Taken below the range from which the kernel draws the ports of outgoing connections (32768 and up on Linux): a port
found by binding to 0 can be some client's own port a moment later, and a restarted server would find it taken.
"""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile
from itertools import count
from pathlib import Path

from rotator.core.errors import Code, Unavailable

FIRST, LAST = 20_000, 32_767
# Spreads the starting points of processes with neighbouring ids.
_STRIDE = 97
_HELD: dict[int, int] = {}
_NEXT = count()


def take(number: int) -> list[int]:
    """`number` ports, reserved until this process ends. Unavailable when there are not enough."""
    return [_take_one() for _ in range(number)]


def _take_one() -> int:
    width = LAST - FIRST + 1
    for _ in range(width):
        port = FIRST + (os.getpid() * _STRIDE + next(_NEXT)) % width
        if port not in _HELD and _reserve(port):
            return port
    raise Unavailable(Code.SERVER_MISSING, f"no free port from {FIRST} to {LAST} on 127.0.0.1")


def _reserve(port: int) -> bool:
    folder = Path(tempfile.gettempdir()) / f"rotator-ports-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    handle = os.open(folder / str(port), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with socket.create_server(("127.0.0.1", port)):
            pass
    except OSError:
        os.close(handle)
        return False
    _HELD[port] = handle
    return True
