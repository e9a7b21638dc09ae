"""One supervised server process: its own process group, its log in a file, and never alive longer than its parent.

This room reads the machine's own clock: what it waits for are real processes, which no test clock moves.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rotator.core.errors import Code, Denied, Unavailable

POLL_SECONDS = 0.02
_TAIL_BYTES = 4096
_LINE_SHOWN = 300
# PR_SET_PDEATHSIG is 1 in linux/prctl.h. Set by a shim between us and the server instead of in a preexec_fn, which can
# deadlock where threads run. The parent may die before the call: then the process has another parent and leaves.
_SHIM = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    if os.getppid() != int(sys.argv[1]):
        sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""
# The kernel sends the death signal when the *thread* that made the child ends (prctl(2)), so one thread that lives as
# long as this process makes them all.
_NURSERY = ThreadPoolExecutor(max_workers=1, thread_name_prefix="server-nursery")


class Child:
    """A running server program. Not for several threads at once."""

    def __init__(self, argv: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        self.log = log
        self._name = Path(argv[0]).name
        command = [sys.executable, "-I", "-S", "-c", _SHIM, str(os.getpid()), *argv]
        self._process = _NURSERY.submit(_spawn, command, log, environment).result()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def await_ready(self, ready: Callable[[], bool], seconds: float) -> None:
        """Returns as soon as `ready` says so. Ends the process and raises Unavailable when it died or took longer."""
        deadline = time.monotonic() + seconds
        while not ready():
            if not self.alive:
                raise self._failure("ended at once")
            if time.monotonic() > deadline:
                self.kill()
                raise self._failure(f"was not ready within {seconds:g} s")
            time.sleep(POLL_SECONDS)

    def stop(self, grace: float = 5.0, by: signal.Signals = signal.SIGTERM) -> None:
        """Asks it to end, and kills its group when it has not after `grace` seconds. Safe to repeat."""
        self.resume()
        self._send(by)
        try:
            self._process.wait(grace)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """Ends the group at once, as a crash would. Safe to repeat."""
        self._send(signal.SIGKILL)
        self._process.wait()

    def pause(self) -> None:
        """Freezes it: connections stay open and nothing answers."""
        self._send(signal.SIGSTOP)

    def resume(self) -> None:
        self._send(signal.SIGCONT)

    def _send(self, number: signal.Signals) -> None:
        # After the process was waited for, its id may belong to somebody else.
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    def _failure(self, what: str) -> Unavailable:
        words = f": {last}" if (last := _last_line(self.log)) else ""
        return Unavailable(Code.SERVER_MISSING, f"{self._name} {what}{words}", hint=f"read its log, {self.log}")


def _spawn(command: Sequence[str], log: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    # Only what the server needs: our own environment may hold VAULT_TOKEN or CONSUL_HTTP_TOKEN.
    passed = {name: os.environ[name] for name in ("PATH", "LANG", "TZ") if name in os.environ}
    try:
        with log.open("ab") as out:
            return subprocess.Popen(  # noqa: S603 - the program was found by locate, no shell
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**passed, **environment},
                start_new_session=True,
            )
    except OSError as problem:
        text = f"cannot start {command[-1]}: {problem.strerror}"
        raise Denied(Code.SERVER_MISSING, text, hint=f"check {log.parent}") from None


def _last_line(log: Path) -> str:
    try:
        lines = log.read_bytes()[-_TAIL_BYTES:].decode("utf-8", "replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1][:_LINE_SHOWN] if lines else ""
