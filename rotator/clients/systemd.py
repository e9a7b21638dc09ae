"""sd_notify: tells systemd when the service is ready, reloads, stops, and that its scheduler still ticks.

Protocol: sd_notify(3); a datagram of `NAME=value` lines to the socket named in NOTIFY_SOCKET, which may lie in the
abstract namespace (a leading `@`). Outside systemd everything here does nothing.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, MutableMapping
from datetime import timedelta

SOCKET = "NOTIFY_SOCKET"


class Notifier:
    """Sends notes to systemd. Never raises: a lost note must not stop the service.

    The watchdog is fed by the scheduler's tick and nothing else. A thread of its own would go on feeding it while the
    scheduler hangs, which is the one case that the watchdog is for.
    """

    def __init__(self, address: str = "", watchdog_interval: timedelta | None = None) -> None:
        """address: value of NOTIFY_SOCKET, "" for none. watchdog_interval: how often `watchdog` should be called."""
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.watchdog_interval = watchdog_interval

    @classmethod
    def from_environment(cls, environment: MutableMapping[str, str], pid: int) -> Notifier:
        """Reads and removes NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID, so that no child speaks for us."""
        interval = watchdog_interval(environment, pid)
        address = environment.pop(SOCKET, "")
        environment.pop("WATCHDOG_USEC", None)
        environment.pop("WATCHDOG_PID", None)
        return cls(address, interval)

    @property
    def enabled(self) -> bool:
        return bool(self._address)

    def ready(self, status: str = "") -> None:
        """Configuration, Vault login, Consul and state are there; also ends a reload."""
        self._send("READY=1", *_status(status))

    def reloading(self, monotonic: float) -> None:
        """A reload began at `monotonic` seconds (CLOCK_MONOTONIC); `ready` ends it."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={int(monotonic * 1_000_000)}")

    def stopping(self, status: str = "") -> None:
        self._send("STOPPING=1", *_status(status))

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._send(*_status(text))

    def watchdog(self) -> None:
        """Called at the end of a tick of the scheduler, at least every `watchdog_interval`."""
        self._send("WATCHDOG=1")

    def extend_timeout(self, by: timedelta) -> None:
        """Asks for more time to start or stop, counted from now."""
        self._send(f"EXTEND_TIMEOUT_USEC={int(by.total_seconds() * 1_000_000)}")

    def _send(self, *lines: str) -> None:
        if not self._address or not lines:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as note:
                note.sendto("\n".join(lines).encode(), self._address)
        except OSError:
            return


def watchdog_interval(environment: Mapping[str, str], pid: int) -> timedelta | None:
    """Half of WATCHDOG_USEC, as sd_watchdog_enabled(3) advises; None when it is off or meant for another process."""
    wanted, meant = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    if not wanted.isdecimal() or int(wanted) == 0 or (meant and meant != str(pid)):
        return None
    return timedelta(microseconds=int(wanted) / 2)


def from_process() -> Notifier:
    """The notifier of this process."""
    return Notifier.from_environment(os.environ, os.getpid())


def _status(text: str) -> tuple[str, ...]:
    """A line break would begin another note."""
    return (f"STATUS={' '.join(text.split())}",) if text else ()
