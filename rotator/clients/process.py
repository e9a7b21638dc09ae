"""Runs one command, or sends one signal. No shell, a clean environment, bounded time and bounded output."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import IO

from rotator.core.errors import Code, Denied, Unavailable

OUTPUT_KEPT = 4096
_HALF = OUTPUT_KEPT // 2
_CHUNK = 4096
# Nothing of our own environment reaches a child: it may hold VAULT_TOKEN or CONSUL_HTTP_TOKEN.
_PASSED = ("PATH", "HOME", "LANG", "TZ", "XDG_RUNTIME_DIR")
_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class Ended:
    """status: exit status, negative for a signal. output: the first and the last OUTPUT_KEPT / 2 bytes of both streams
    (Envoy tells the reason first and dumps its configuration after it, others tell it last)."""

    status: int
    output: str


def run(argv: Sequence[str], timeout: timedelta, told: Mapping[str, str] | None = None) -> Ended:
    """Runs to the end, with `told` in its environment.

    Denied when the program cannot be started, Unavailable when it takes longer than `timeout`.

    On time-out the whole process group is killed, so that no grandchild stays behind.
    """
    try:
        child = subprocess.Popen(  # noqa: S603 - argv comes from the operator's own configuration, no shell
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**_environment(), **(told or {})},
            start_new_session=True,
        )
    except OSError as problem:
        text = f"cannot start {argv[0]}: {problem.strerror}"
        raise Denied(Code.HOOK_COMMAND_FAILED, text, hint="check the path in the configuration") from None
    return _await(child, argv[0], timeout)


def send_signal(pid_file: Path, name: str) -> None:
    """Sends SIG<name> to the process named in `pid_file`. Unavailable when there is no such process."""
    number = signal.Signals[f"SIG{name.removeprefix('SIG')}"]
    try:
        pid = int(pid_file.read_text(encoding="ascii").strip())
        if pid <= 1:
            raise ValueError(pid)  # noqa: TRY301 - same words as for a file without a number
        os.kill(pid, number)
    except ProcessLookupError:
        raise Unavailable(Code.HOOK_COMMAND_FAILED, f"no process has the id in {pid_file}") from None
    except ValueError:
        raise Denied(Code.HOOK_COMMAND_FAILED, f"{pid_file} holds no process id") from None
    except OSError as problem:
        text = f"cannot signal the process of {pid_file}: {problem.strerror}"
        raise Unavailable(Code.HOOK_COMMAND_FAILED, text) from None


def _await(child: subprocess.Popen[bytes], name: str, timeout: timedelta) -> Ended:
    kept = _Kept()
    assert child.stdout is not None  # noqa: S101 - PIPE was asked for
    reader = threading.Thread(target=_drain, args=(child.stdout, kept), daemon=True)
    reader.start()
    try:
        status = child.wait(timeout.total_seconds())
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        text = f"{name} did not end within {timeout.total_seconds():g} s and was killed"
        raise Unavailable(Code.HOOK_COMMAND_FAILED, text) from None
    finally:
        # A daemon that the command left behind may hold the pipe open: its later words are not waited for.
        reader.join(1.0)
    return Ended(status, kept.text())


class _Kept:
    """Head and tail of a stream of any length."""

    def __init__(self) -> None:
        self._head, self._tail, self._cut = b"", b"", False

    def add(self, chunk: bytes) -> None:
        room = _HALF - len(self._head)
        self._head += chunk[:room]
        tail = self._tail + chunk[room:]
        self._cut = self._cut or len(tail) > _HALF
        self._tail = tail[-_HALF:]

    def text(self) -> str:
        gap = b"\n...\n" if self._cut else b""
        return (self._head + gap + self._tail).decode("utf-8", "replace")


def _drain(stream: IO[bytes], kept: _Kept) -> None:
    while chunk := os.read(stream.fileno(), _CHUNK):
        kept.add(chunk)


def _environment() -> dict[str, str]:
    passed = {name: os.environ[name] for name in _PASSED if name in os.environ}
    return {"PATH": _DEFAULT_PATH, **passed}
