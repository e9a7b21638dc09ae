"""Ports that stay ours."""

from __future__ import annotations

import socket
import subprocess
import sys

from rotator.dev.servers import ports

TAKER = "from rotator.dev.servers import ports; print(*ports.take(200))"


def test_two_processes_never_get_the_same_port() -> None:
    """Test workers start their servers side by side; a port that both hold makes one of them fail at random."""
    mine = set(ports.take(200))
    ended = subprocess.run([sys.executable, "-c", TAKER], capture_output=True, text=True, check=True, timeout=60)
    theirs = {int(word) for word in ended.stdout.split()}
    assert len(mine) == len(theirs) == 200
    assert not mine & theirs


def test_ports_lie_below_those_of_outgoing_connections() -> None:
    """A port out of that range may be some client's own port when the server is started again."""
    assert max(ports.take(5)) < 32_768


def test_a_port_in_use_is_passed_over() -> None:
    """Somebody else's server keeps its port."""
    (probe,) = ports.take(1)
    with socket.create_server(("127.0.0.1", probe + 1)):
        assert probe + 1 not in ports.take(3)
