"""What is run once per change: a command (argv, no shell) or a signal to the process of a pid file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from rotator.clients import process
from rotator.core.errors import Code, Unavailable
from rotator.core.identity import Owner
from rotator.follower.state import Applied

WORDS = 200


@dataclass(frozen=True, slots=True)
class Action:
    """Nothing, a command, a signal, or both (the command first). At least once per change: it must bear repetition."""

    command: tuple[str, ...] = ()
    signal: str = ""
    pid_file: Path | None = None
    timeout: timedelta = timedelta(seconds=30)

    def run(self, told: Mapping[str, str]) -> None:
        """Unavailable (HOOK_COMMAND_FAILED) when the command fails, so that it is tried again.

        `told`: what the command finds in its environment: ROTATOR_TARGET, ROTATOR_VERSION, ROTATOR_DIGEST and
        ROTATOR_DIRECTORY.
        """
        if self.command:
            ended = process.run(self.command, self.timeout, told)
            if ended.status:
                words = " ".join(ended.output.split())[-WORDS:]
                text = f"{self.command[0]} ended with {ended.status}: {words}"
                raise Unavailable(Code.HOOK_COMMAND_FAILED, text)
        if self.signal and self.pid_file is not None:
            process.send_signal(self.pid_file, self.signal)


def told(owner: Owner, applied: Applied, root: Path) -> Mapping[str, str]:
    """The environment of a command: whose files changed, to which version, and where they lie now."""
    version = applied.version
    return {
        "ROTATOR_TARGET": str(owner),
        "ROTATOR_VERSION": str(version.number) if version else "",
        "ROTATOR_DIGEST": version.digest if version else "",
        "ROTATOR_DIRECTORY": str(root / "current"),
    }
