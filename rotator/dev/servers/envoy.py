"""A real Envoy on a given bootstrap configuration."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from rotator.dev.servers import locate
from rotator.dev.servers.process import Child
from rotator.dev.servers.wire import Wire

READY_SECONDS = 30.0


class Envoy:
    """Made by `start`."""

    def __init__(self, bootstrap: Path, log: Path, admin_port: int, concurrency: int) -> None:
        self.bootstrap = bootstrap
        self.admin_port = admin_port
        self._wire = Wire(admin_port, None, "X-Unused")
        # Without hot restart Envoy uses no shared memory, so any number may run side by side without a base id.
        options = ["--disable-hot-restart", "--concurrency", str(concurrency), "--log-level", "warning"]
        argv = [str(locate.find(locate.Server.ENVOY)), "-c", str(bootstrap), *options]
        self._child = Child(argv, log, {"HOME": str(log.parent)})

    @classmethod
    def start(cls, bootstrap: Path, log: Path, *, admin_port: int, concurrency: int = 1) -> Self:
        """Returns when Envoy's admin interface says LIVE, that is after its first listeners are there.

        Raises Denied (SERVER_MISSING) when the program cannot be had, Unavailable when it does not become ready.
        """
        server = cls(bootstrap, log, admin_port, concurrency)
        try:
            server._child.await_ready(lambda: server._wire.ask("GET", "/ready").status == 200, READY_SECONDS)
        except BaseException:
            server.stop()
            raise
        return server

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def alive(self) -> bool:
        return self._child.alive

    def stop(self) -> None:
        """Ends the process. Safe to repeat."""
        self._child.stop()

    def pause(self) -> None:
        """Freezes the process (SIGSTOP): connections stay, nothing answers."""
        self._child.pause()

    def resume(self) -> None:
        self._child.resume()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
