"""Fetched programs, kept for the next run: $ROTATOR_CACHE or ~/.cache/rotator. Many processes may ask at once."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self


class Missing(Exception):
    """One way did not lead to a program. `reasons`: short clauses for people."""

    def __init__(self, *reasons: str) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = reasons


@dataclass(frozen=True, slots=True)
class Cache:
    """`folder` is made when something is fetched."""

    folder: Path

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Self:
        own = environment.get("ROTATOR_CACHE")
        home = Path(environment.get("XDG_CACHE_HOME") or Path(environment.get("HOME", "/")) / ".cache")
        return cls(Path(own) if own else home / "rotator")

    def obtain(self, name: str, ways: Sequence[Callable[[Path], None]]) -> Path:
        """The program kept under `name`, else made by the first of `ways` that writes it. Raises Missing.

        It appears under its name only when it is complete, so a process that dies while fetching leaves no half one.
        """
        program = self.folder / "servers" / name
        if program.is_file():
            return program
        try:
            program.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _locked(program.with_suffix(".lock")):
                return program if program.is_file() else _fetch(program, ways)
        except OSError as problem:
            raise Missing(f"the cache {self.folder} cannot be used ({problem.strerror})") from None


def _fetch(program: Path, ways: Sequence[Callable[[Path], None]]) -> Path:
    reasons: list[str] = []
    for way in ways:
        with tempfile.TemporaryDirectory(dir=program.parent) as scratch:
            target = Path(scratch) / program.name
            try:
                way(target)
            except Missing as missing:
                reasons.extend(missing.reasons)
                continue
            target.chmod(0o755)
            target.replace(program)
            return program
    raise Missing(*reasons)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    handle = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
