"""The command line as an operator has it: a process of its own, its exit code and its words."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rotator.dev.world import World

SECONDS = 60


@dataclass(frozen=True)
class Said:
    """How one command ended."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> dict[str, Any]:
        """The JSON object of `-o json`."""
        found: dict[str, Any] = json.loads(self.out)
        return found


def rotator(world: World, *arguments: str, environment: Mapping[str, str] | None = None) -> Said:
    """`rotator ARGUMENTS` with this world's configuration, by the operator `ops`. `environment`: more variables."""
    own = {"PATH": os.environ["PATH"], "ROTATOR_CONFIG": str(world.config), "ROTATOR_ACTOR": "ops"}
    argv = [sys.executable, "-m", "rotator", *arguments]
    done = subprocess.run(
        argv, capture_output=True, text=True, timeout=SECONDS, env={**own, **(environment or {})}, check=False
    )
    return Said(done.returncode, done.stdout, done.stderr)
