"""Notes to systemd, received by a real datagram socket."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from rotator.clients.systemd import Notifier, watchdog_interval

UNIT = Path(__file__).parents[2] / "deploy/systemd/rotator.service"


@pytest.fixture(params=["path", "abstract"])
def listener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """A listening socket and the address as NOTIFY_SOCKET would name it."""
    name = f"@rotator-test-{os.getpid()}" if request.param == "abstract" else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiving:
        receiving.bind("\0" + name[1:] if name.startswith("@") else name)
        receiving.settimeout(5)
        yield receiving, name


def test_life_of_a_service_is_told(listener: tuple[socket.socket, str]) -> None:
    """systemd acts on these words alone."""
    receiving, address = listener
    notifier = Notifier(address)
    notifier.ready("12 credentials")
    notifier.status("next renewal\nat noon")
    notifier.watchdog()
    notifier.reloading(12.5)
    notifier.extend_timeout(timedelta(seconds=3))
    notifier.stopping()
    assert [receiving.recv(4096).decode() for _ in range(6)] == [
        "READY=1\nSTATUS=12 credentials",
        "STATUS=next renewal at noon",
        "WATCHDOG=1",
        "RELOADING=1\nMONOTONIC_USEC=12500000",
        "EXTEND_TIMEOUT_USEC=3000000",
        "STOPPING=1",
    ]


def test_a_socket_that_is_gone_stops_nothing(tmp_path: Path) -> None:
    """A lost note is no reason to end the service."""
    Notifier(str(tmp_path / "nobody")).ready()
    Notifier().watchdog()
    assert not Notifier().enabled


def test_children_do_not_inherit_the_socket() -> None:
    """A hook command that says READY or feeds the watchdog would speak for us."""
    environment = {"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "120000000", "WATCHDOG_PID": "7", "PATH": "/bin"}
    notifier = Notifier.from_environment(environment, 7)
    assert notifier.watchdog_interval == timedelta(seconds=60)
    assert environment == {"PATH": "/bin"}


@pytest.mark.parametrize(
    ("environment", "interval"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "2000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "2000000"}, timedelta(seconds=1)),
    ],
)
def test_watchdog_interval_is_half_of_what_systemd_allows(
    environment: dict[str, str], interval: timedelta | None
) -> None:
    """sd_watchdog_enabled(3): keep-alive at half the time, and only in the process that is meant."""
    assert watchdog_interval(environment, 7) == interval


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_unit_is_well_formed_and_locked_up(tmp_path: Path) -> None:
    """An unknown directive is ignored at run time with one line in the journal: the sandbox would be open unseen."""
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/usr/bin/rotator", "/bin/true"))
    checked = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")
    exposed = ["systemd-analyze", "security", "--offline=true", "--threshold=15", str(unit)]
    assert subprocess.run(exposed, capture_output=True, check=False).returncode == 0
