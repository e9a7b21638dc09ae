"""What is run once per change: a command (argv, no shell) or a signal to the process of a pid file."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from rotator.clients import process
from rotator.core.errors import Code, Unavailable

WORDS = 200


@dataclass(frozen=True, slots=True)
class Action:
    """Nothing, a command, a signal, or both (the command first). At least once per change: it must bear repetition."""

    command: tuple[str, ...] = ()
    signal: str = ""
    pid_file: Path | None = None
    timeout: timedelta = timedelta(seconds=30)

    def run(self) -> None:
        """Unavailable (HOOK_COMMAND_FAILED) when the command fails, so that it is tried again."""
        if self.command:
            ended = process.run(self.command, self.timeout)
            if ended.status:
                told = " ".join(ended.output.split())[-WORDS:]
                text = f"{self.command[0]} ended with {ended.status}: {told}"
                raise Unavailable(Code.HOOK_COMMAND_FAILED, text)
        if self.signal and self.pid_file is not None:
            process.send_signal(self.pid_file, self.signal)
