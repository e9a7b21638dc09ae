"""Reads the configuration files: TOML or JSON, ours alone to write, every key once."""

from __future__ import annotations

import json
import os
import re
import stat
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from rotator.config.inventory import Source
from rotator.config.problems import Place, Problem

SUFFIXES = (".toml", ".json")
_LINE = re.compile(r"\bline (\d+)")
# By group or by others: who may write the configuration decides what every proxy runs.
FOREIGN_WRITE = stat.S_IWGRP | stat.S_IWOTH


class _Twice(ValueError):
    """JSON allows a key twice and the last one wins in silence; in an inventory that would be a lost agent."""


def read(path: Path, problems: list[Problem]) -> Source | None:
    """The file, or None with its problems. OSError when it cannot be read at all."""
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        problems.append(Problem(str(path), 0, "", "is no regular file", "name a TOML or JSON file"))
        return None
    if mode & FOREIGN_WRITE:
        text = f"group or others may write it (mode {stat.S_IMODE(mode):04o})"
        problems.append(Problem(str(path), 0, "", text, f"chmod go-w {path}"))
    try:
        return _parse(path)
    except (ValueError, RecursionError) as problem:
        problems.append(_unparsed(path, problem))
        return None


def folder(directory: Path, place: Place, problems: list[Problem]) -> Iterator[Source]:
    """The inventory files in name order. A missing folder is a problem, not an empty fleet."""
    where = ("inventory", "folder")
    try:
        mode = directory.stat().st_mode
        files = sorted(file for file in directory.iterdir() if _counts(file))
    except (OSError, ValueError) as problem:
        hint = "create the folder, or remove the key when every agent stands in this file"
        problems.append(place(where, f"cannot be listed: {_why(problem)}", hint))
        return
    if mode & FOREIGN_WRITE and not _read_only(directory):
        problems.append(place(where, f"group or others may write {directory}", f"chmod go-w {directory}"))
    for file in files:
        try:
            source = read(file, problems)
        except OSError as problem:
            text = f"cannot be read: {_why(problem)}"
            problems.append(Problem(str(file), 0, "", text, "let the service's user read it, or remove it"))
            continue
        if source is not None:
            yield source


def _read_only(directory: Path) -> bool:
    """Kubernetes mounts a ConfigMap as a folder of mode 0777 on a read-only mount: nobody writes there."""
    return bool(os.statvfs(directory).f_flag & os.ST_RDONLY)


def _counts(file: Path) -> bool:
    """Editors and Kubernetes leave files that begin with a dot beside the real ones."""
    return file.suffix in SUFFIXES and not file.name.startswith(".")


def _parse(path: Path) -> Source:
    text = path.read_bytes().decode("utf-8-sig")
    raw = _json(text) if path.suffix == ".json" else tomllib.loads(text)
    if not isinstance(raw, dict):
        raise ValueError("a table of keys is wanted at the top (line 1)")  # noqa: TRY004 - of the file, not of a call
    return Source(str(path), raw, text)


def _json(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_pairs, parse_constant=_constant)


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [key for key, _ in pairs]
        twice = next(key for key in names if names.count(key) > 1)
        raise _Twice(f"the key {json.dumps(twice)} is there twice in one table")
    return found


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _unparsed(path: Path, problem: ValueError | RecursionError) -> Problem:
    """The parsers' own words; they name line and column, and a character at most, never a value."""
    if isinstance(problem, UnicodeDecodeError):
        return Problem(str(path), 0, "", "is not UTF-8", "save it as UTF-8")
    if isinstance(problem, RecursionError):
        return Problem(str(path), 0, "", "is nested too deeply", "no part of a configuration needs more than 6 levels")
    found = _LINE.search(str(problem))
    hint = "keep one of them" if isinstance(problem, _Twice) else "correct the syntax there"
    return Problem(str(path), int(found[1]) if found else 0, "", f"cannot be parsed: {problem}", hint)


def _why(problem: OSError | ValueError) -> str:
    return problem.strerror or type(problem).__name__ if isinstance(problem, OSError) else "that is no path"
