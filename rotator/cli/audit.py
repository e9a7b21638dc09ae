"""`rotator audit verify` and `rotator audit show`: whether the log was changed, and what it says."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from rotator.cli.console import DEFAULT_CONFIG, Column, ConfigOption, Console, Output, OutputOption
from rotator.core.errors import Fault

FilesArgument = Annotated[
    list[Path] | None, typer.Argument(help="oldest first; without any: those of the configuration", show_default=False)
]
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Look at the audit log.", no_args_is_help=True)
    app.add_typer(group, name="audit")
    _register_verify(group)
    _register_show(group)


def _register_verify(group: typer.Typer) -> None:
    @group.command()
    def verify(
        files: FilesArgument = None,
        config: ConfigOption = DEFAULT_CONFIG,
        output: OutputOption = Output.TABLE,
        anchor: Annotated[
            list[str] | None, typer.Option("--anchor", help="<seq>:<hash> known from elsewhere; may be repeated")
        ] = None,
        strict: Annotated[
            bool, typer.Option("--strict", help="also: one outcome per intent, no effect without")
        ] = False,
        partial: Annotated[bool, typer.Option("--partial", help="the first file may continue an earlier one")] = False,
    ) -> int:
        """Check the chain of hashes, offline.

        Exit codes of this command: 0 good · 1 changed, gap or wrong order · 2 anchor does not match, or the end is
        missing · 3 only the last line is half written. Unreadable files and bad options end as everywhere else.
        """
        from rotator.records import chain
        from rotator.records.verify import Checks, Source
        from rotator.records.verify import verify as check

        console = Console(output)
        try:
            anchors = tuple(_anchor(text) for text in anchor or ())
            paths = _paths(files, config)
            sources = (Source(str(path), _lines(path, chain.LINE_LIMIT)) for path in paths)
            result = check(sources, Checks(anchors, strict, partial))
        except Fault as fault:
            console.fail(fault)
        _tell_result(console, result)
        return int(result.verdict)


def _register_show(group: typer.Typer) -> None:
    @group.command()
    def show(
        files: FilesArgument = None,
        config: ConfigOption = DEFAULT_CONFIG,
        output: OutputOption = Output.TABLE,
        target: Annotated[str, typer.Option("--target", "-t", help="a credential, an owner, or its beginning")] = "",
        event: Annotated[list[str] | None, typer.Option("--event", "-e", help="may be repeated")] = None,
        since: Annotated[str, typer.Option("--since", help="2h, 30m, 7d, or 2026-11-24T10:00:00Z")] = "",
        last: Annotated[int, typer.Option("--last", "-n", min=1, help="at most this many, the newest")] = 50,
    ) -> None:
        """Show lines of the audit log; `-o json` gives one JSON object per line. Does not check the hashes."""
        console = Console(output)
        try:
            found = _select(_records(_paths(files, config)), target, tuple(event or ()), _moment(since))
            chosen = list(deque(found, maxlen=last))
        except Fault as fault:
            console.fail(fault)
        if console.json:
            for record in chosen:
                console.line(record)
            return
        names = ("AT", "EVENT", "TARGET", "VERSION", "REASON", "ACTOR", "TEXT")
        console.table([Column(name) for name in names], [_row(record) for record in chosen])


def _tell_result(console: Console, result: Any) -> None:
    head = result.head
    fields = {
        "verdict": result.verdict.name.lower(),
        "text": result.text,
        "file": result.file,
        "line": result.line,
        "seq": result.seq,
        "lines": result.lines,
        "head": {"chain": head.chain, "seq": head.seq, "hash": head.hash} if head else None,
        "open_intents": [_intent(intent) for intent in result.open_intents],
    }
    if console.json:
        console.data(fields)
        return
    where = f"{result.file} line {result.line}, seq {result.seq}: " if result.file else ""
    console.text(f"{fields['verdict']}: {where}{result.text}")
    if head:
        console.say(f"head {head.seq}:{head.hash} of chain {head.chain}")
    for intent in result.open_intents:
        console.say(f"open since seq {intent.seq}: {intent.target} version {intent.version}")


def _intent(intent: Any) -> dict[str, Any]:
    return {"target": intent.target, "version": intent.version, "rotation_id": intent.rotation_id, "seq": intent.seq}


def _paths(files: list[Path] | None, config: str) -> list[Path]:
    """The given files, or the configured one behind its archives."""
    from rotator.clients.append_file import archives

    if files:
        return files
    from rotator import app as wiring

    active = wiring.load(config).audit.file
    return [*archives(active), *([active] if active.exists() else [])]


def _lines(path: Path, limit: int) -> Iterator[bytes]:
    from rotator.clients.append_file import read_lines

    return read_lines(path, limit)


def _records(paths: Iterable[Path]) -> Iterator[dict[str, Any]]:
    from rotator.records import chain

    for path in paths:
        for line in _lines(path, chain.LINE_LIMIT):
            record = chain.parse(line.rstrip(b"\n"))
            if record is not None:
                yield record


def _select(
    records: Iterable[dict[str, Any]], target: str, events: tuple[str, ...], since: datetime | None
) -> Iterator[dict[str, Any]]:
    from rotator.records.entry import rfc3339

    # RFC 3339 in UTC with a fixed number of digits compares as text.
    earliest = rfc3339(since) if since else ""
    for record in records:
        named = not target or record["target"] == target or record["target"].startswith(target.rstrip("/") + "/")
        if named and (not events or record["event"] in events) and str(record.get("at", "")) >= earliest:
            yield record


def _row(record: dict[str, Any]) -> tuple[str, ...]:
    actor, error = record.get("actor") or {}, record.get("error") or {}
    version = record.get("version")
    words = f"{error.get('code', '')} {error.get('text', '')}".strip() if error else record.get("text", "")
    return (
        str(record.get("at", "")),
        record["event"],
        record["target"],
        "" if version is None else str(version),
        record["reason"],
        f"{actor.get('kind', '')}/{actor.get('id', '')}",
        str(words),
    )


def _anchor(text: str) -> Any:
    from rotator.records.chain import Anchor

    try:
        return Anchor.parse(text)
    except ValueError as problem:
        raise typer.BadParameter(str(problem)) from None


def _moment(text: str) -> datetime | None:
    """A point in time, or a span before now."""
    from rotator.clients.clock import SystemClock

    if not text:
        return None
    try:
        if text[-1] in _UNITS and text[:-1].isdecimal():
            return SystemClock().now() - timedelta(**{_UNITS[text[-1]]: int(text[:-1])})
        at = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        at = None
    if at is None or at.tzinfo is None:
        raise typer.BadParameter(f"{text!r} is no time: write 2h, 7d, or 2026-11-24T10:00:00Z")
    return at
