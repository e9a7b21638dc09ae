"""`rotator init`: a configuration to begin with, every key explained, valid as it is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from rotator.cli.console import DEFAULT_CONFIG, Console
from rotator.core.errors import Code, Denied, Fault

# Not secret, and read by people who may not change it; whoever writes it decides what agents may do.
MODE = 0o640


def register(app: typer.Typer) -> None:
    @app.command()
    def init(
        path: Annotated[str, typer.Argument(help="the file to write; - for standard output")] = DEFAULT_CONFIG,
        force: Annotated[bool, typer.Option("--force", help="replace a file that is there")] = False,
    ) -> None:
        """Write a commented configuration to begin with. A file that is there is kept unless --force is given."""
        from rotator.config.sample import SAMPLE

        console = Console()
        if path == "-":
            console.text(SAMPLE)
            return
        try:
            _write(Path(path), SAMPLE, force)
        except Fault as fault:
            console.fail(fault)
        console.say(f"wrote {path}; edit it, then run: rotator validate --config {path}")


def _write(path: Path, text: str, force: bool) -> None:
    from rotator.clients.files import write_atomic

    if force:
        write_atomic(path, text, MODE)
        return
    try:
        # Exclusive: a file that appears between a look and the write would be lost otherwise.
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MODE)
    except FileExistsError:
        raise Denied(
            Code.FILE_UNSAFE, f"{path} is there already; it was not touched", hint="name another file, or add --force"
        ) from None
    except OSError as problem:
        raise _failed(path, problem) from None
    try:
        with open(handle, "w", encoding="utf-8") as opened:
            opened.write(text)
    except OSError as problem:
        path.unlink(missing_ok=True)  # half a configuration would be in the way of the next try
        raise _failed(path, problem) from None


def _failed(path: Path, problem: OSError) -> Denied:
    text = f"{path}: {problem.strerror}"
    return Denied(Code.FILE_WRITE_FAILED, text, hint="create its folder, make room, or name another file")
