"""What processes cost: CPU seconds of one that runs, and of one that ran to its end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Ended:
    """A process that ran to its end, or was ended after its time. wall, cpu: seconds; output: its standard output."""

    wall: float
    cpu: float
    output: str
    code: int
    timed_out: bool


def cpu_seconds(pid: int) -> float:
    """User and system time of a running process, all threads (proc(5), fields 14 and 15 of stat); 10 ms steps."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


class Meter:
    """CPU seconds of running processes from now on."""

    def __init__(self, processes: Mapping[str, int]) -> None:
        """processes: name -> process id."""
        self._processes = dict(processes)
        self._before = {name: cpu_seconds(pid) for name, pid in self._processes.items()}

    def read(self) -> dict[str, float]:
        return {name: round(cpu_seconds(pid) - self._before[name], 2) for name, pid in self._processes.items()}


def run(argv: Sequence[str], log: Path, environment: Mapping[str, str], seconds: float) -> Ended:
    """Runs a program to its end, its standard error into `log`, and kills it after `seconds`."""
    with log.open("ab") as errors:
        began = time.monotonic()
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, env=dict(environment)
        )
        late = threading.Event()
        timer = threading.Timer(seconds, _kill, (process.pid, late))
        timer.start()
        try:
            output = process.stdout.read() if process.stdout else b""
            _, status, usage = os.wait4(process.pid, 0)
        finally:
            timer.cancel()
        wall = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    cpu = round(usage.ru_utime + usage.ru_stime, 3)
    return Ended(wall, cpu, output.decode("utf-8", "replace"), process.returncode, late.is_set())


def _kill(pid: int, late: threading.Event) -> None:
    late.set()
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
