"""`rotator plan`: what would be done now, and until when the rest waits, each row with its reason and evidence."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from rotator.cli.console import (
    DEFAULT_CONFIG,
    SCHEMA_VERSION,
    Column,
    ConfigOption,
    Console,
    Exit,
    Output,
    OutputOption,
    moment,
)
from rotator.cli.looking import view_of
from rotator.config.fields import text_of
from rotator.core.errors import Fault

# terraform's convention for `-detailed-exitcode`; without the option 0, because wrappers trip over 2.
CHANGES = 2


def register(app: typer.Typer) -> None:
    @app.command()
    def plan(
        config: ConfigOption = DEFAULT_CONFIG,
        output: OutputOption = Output.TABLE,
        everything: Annotated[bool, typer.Option("--all", help="also what waits, not only what acts now")] = False,
        out: Annotated[Path | None, typer.Option("--out", help="save what acts now, for rotator apply")] = None,
        detailed_exitcode: Annotated[
            bool, typer.Option("--detailed-exitcode", help="exit 2 when something would be done now")
        ] = False,
    ) -> int:
        """Show what would be rotated now and why; changes nothing."""
        from rotator.clients.clock import SystemClock

        console = Console(output)
        try:
            now = SystemClock().now()
            rows = view_of(config).rows(now)
        except Fault as fault:
            console.fail(fault)
        acting = [row for row in rows if row.acts]
        shown = rows if everything else acting
        if out is not None:
            out.write_text(json.dumps(saved(acting), indent=2) + "\n", encoding="utf-8")
        if console.json:
            console.data({"at": now, "acting": len(acting), "rows": [as_json(row) for row in shown]})
        else:
            _table(console, shown, now)
            console.say(f"{len(acting)} of {len(rows)} credentials act now")
        return CHANGES if detailed_exitcode and acting else Exit.OK


def saved(acting: Sequence[Any]) -> dict[str, Any]:
    """A plan as `rotator apply` reads it: each target with the version that it was made for."""
    rows = [{**as_json(row), "until": None, "last_version": row.record.last_version} for row in acting]
    return {"schema_version": SCHEMA_VERSION, "rows": [row for row in rows if row["action"] == "intend"]}


def _table(console: Console, rows: Any, now: Any) -> None:
    columns = (
        Column("TARGET", "bold"),
        Column("KIND"),
        Column("ACTION"),
        Column("WHEN"),
        Column("OLD ONE"),
        Column("REASON", "cyan"),
        Column("EVIDENCE"),
    )
    lines = []
    for row in rows:
        fields = as_json(row)
        when = "now" if row.acts else moment(row.decision.until, now)
        evidence = " ".join(f"{name}={value}" for name, value in row.decision.cause.evidence)
        told = (fields["kind"], fields["action"], when, old_one(row.spec), fields["reason"], evidence or fields["text"])
        lines.append((fields["target"], *told))
    console.table(columns, lines)


def old_one(spec: Any) -> str:
    """What becomes of the version that is replaced: people who cannot reload must know before, not after."""
    return f"stays {text_of(spec.policy.overlap)}" if spec.settings.overlaps else "dies at once"


def as_json(row: Any) -> dict[str, Any]:
    """One row for programs: target, kind, whether old and new overlap, action or wait, when, and why."""
    cause = row.decision.cause
    return {
        "target": str(row.spec.id),
        "kind": row.spec.kind,
        "overlaps": row.spec.settings.overlaps,
        "action": row.decision.action.value if row.acts else "wait",
        "until": None if row.acts else row.decision.until,
        "reason": cause.reason.value,
        "text": cause.text,
        "evidence": dict(cause.evidence),
        "actor": f"{cause.actor.kind.value}/{cause.actor.id}",
        "request": cause.request,
    }
