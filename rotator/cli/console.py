"""How commands speak: data on stdout, words for people on stderr, exit codes that scripts can rely on.

Colour and boxes only on a terminal; piped, a table becomes tab-separated lines, because boxed tables are cut to 80
columns when nobody sees them. `-o json` always carries `schema_version`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum, StrEnum
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console as RichConsole
from rich.table import Table

from rotator.core.errors import Code, Family, Fault

SCHEMA_VERSION = 1


class Exit(IntEnum):
    """0 ok · 1 failed · 2 usage · 3 config invalid · 4 auth · 5 unreachable · 6 partly done · 7 lock held · 130 ^C."""

    OK = 0
    FAILED = 1
    USAGE = 2
    CONFIG = 3
    AUTH = 4
    UNREACHABLE = 5
    PARTIAL = 6
    LOCKED = 7
    INTERRUPTED = 130


class Output(StrEnum):
    TABLE = "table"
    JSON = "json"


OutputOption = Annotated[Output, typer.Option("-o", "--output", help="table for people, json for programs")]
ConfigOption = Annotated[
    str, typer.Option("-c", "--config", envvar="ROTATOR_CONFIG", help="the configuration file (rotator.toml)")
]
DEFAULT_CONFIG = "/etc/rotator/rotator.toml"

_CONFIG_CODES = frozenset({Code.CONFIG_INVALID, Code.CONFIG_UNREADABLE})
_AUTH_CODES = frozenset({Code.VAULT_LOGIN_REFUSED, Code.VAULT_DENIED, Code.CONSUL_DENIED, Code.VAULT_WRAPPING_SUSPECT})
_LOCK_CODES = frozenset({Code.STATE_DIR_LOCKED, Code.NOT_LEADER})


def exit_code(fault: Fault) -> Exit:
    """The exit code for a fault that ends a command."""
    if fault.code in _CONFIG_CODES:
        return Exit.CONFIG
    if fault.code in _AUTH_CODES:
        return Exit.AUTH
    if fault.code in _LOCK_CODES:
        return Exit.LOCKED
    return Exit.UNREACHABLE if fault.family is Family.UNAVAILABLE else Exit.FAILED


@dataclass(slots=True)
class Flags:
    """Options before the command; they hold for every command of this run."""

    quiet: bool = False
    debug: bool = False
    show_requests: bool = False


FLAGS = Flags()


@dataclass(frozen=True, slots=True)
class Column:
    """`name` is the heading, and in lower case with underscores the key in JSON is the command's own."""

    name: str
    style: str = ""


class Console:
    """One per command run."""

    def __init__(self, output: Output = Output.TABLE) -> None:
        self.output = output
        self.quiet = FLAGS.quiet
        self._out = RichConsole(file=sys.stdout, highlight=False, soft_wrap=not sys.stdout.isatty())
        self._err = RichConsole(file=sys.stderr, highlight=False, stderr=True, soft_wrap=not sys.stderr.isatty())

    @property
    def json(self) -> bool:
        return self.output is Output.JSON

    @property
    def animated(self) -> bool:
        """Whether progress may move: stderr is a terminal and this is not CI (rich alone asks FORCE_COLOR)."""
        return sys.stderr.isatty() and not os.environ.get("CI")

    @property
    def rich(self) -> RichConsole:
        """Standard output, for live displays."""
        return self._out

    @property
    def rich_err(self) -> RichConsole:
        """Standard error, for progress bars."""
        return self._err

    def data(self, value: Mapping[str, Any]) -> None:
        """One JSON object on stdout."""
        sys.stdout.write(json.dumps({"schema_version": SCHEMA_VERSION, **value}, default=_plain, indent=2) + "\n")

    def line(self, value: Mapping[str, Any]) -> None:
        """One NDJSON line of a stream on stdout."""
        sys.stdout.write(json.dumps(value, default=_plain, separators=(",", ":")) + "\n")
        sys.stdout.flush()

    def text(self, text: str) -> None:
        """Plain data on stdout (a policy, a sample file)."""
        sys.stdout.write(text if text.endswith("\n") else text + "\n")

    def table(self, columns: Sequence[Column], rows: Sequence[Sequence[str]], title: str = "") -> None:
        """A table on a terminal, tab-separated lines elsewhere."""
        if not sys.stdout.isatty():
            for row in (tuple(column.name for column in columns), *rows):
                sys.stdout.write("\t".join(cell.replace("\t", " ").replace("\n", " ") for cell in row) + "\n")
            return
        table = Table(title=title or None, header_style="bold", box=None, pad_edge=False)
        for column in columns:
            table.add_column(column.name, style=column.style or None)
        for row in rows:
            table.add_row(*row)
        self._out.print(table)

    def say(self, text: str) -> None:
        """Words for people, on stderr; nothing when quiet or when JSON is asked for."""
        if not self.quiet and not self.json:
            self._err.print(text, markup=False)

    def busy(self, text: str) -> AbstractContextManager[object]:
        """A moving line on stderr while something takes long; nothing where nobody sees it move."""
        return self._err.status(text) if self.animated and not self.quiet and not self.json else nullcontext()

    def warn(self, text: str) -> None:
        self._err.print(f"warning: {text}", style="yellow", markup=False)

    def fail(self, fault: Fault) -> NoReturn:
        """Says what failed, why and what to do next, and ends the command with the fault's exit code."""
        if self.json:
            error = {"code": fault.code.value, "family": fault.family.value, "text": fault.text, "hint": fault.hint}
            self.data({"error": error})
        self._err.print(f"error[{fault.code.value}]: {fault.text}", style="bold red", markup=False)
        if fault.hint:
            self._err.print(f"  hint: {fault.hint}", markup=False)
        raise typer.Exit(exit_code(fault))


def moment(at: datetime | None, now: datetime) -> str:
    """A time for people: relative first, exact second. `in 3h 12m (2026-11-24T11:53:00Z)`."""
    if at is None:
        return "-"
    gap = at - now
    words = f"in {span(gap)}" if gap >= timedelta(0) else f"{span(-gap)} ago"
    return f"{words} ({at.strftime('%Y-%m-%dT%H:%M:%SZ')})"


def span(gap: timedelta) -> str:
    """A duration in its two largest units: `3h 12m`, `45s`, `12d 4h`."""
    seconds = int(gap.total_seconds())
    parts = ((seconds // 86400, "d"), (seconds % 86400 // 3600, "h"), (seconds % 3600 // 60, "m"), (seconds % 60, "s"))
    first = next((index for index, (count, _) in enumerate(parts) if count), 3)
    shown = [f"{count}{unit}" for count, unit in parts[first : first + 2] if count or unit == "s"]
    return " ".join(shown) or "0s"


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return f"{value.total_seconds():g}s"
    return str(value)
