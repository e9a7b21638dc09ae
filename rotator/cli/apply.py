"""`rotator apply PLAN`: ask for exactly what a saved plan said, and for nothing when the world has moved since."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from rotator.cli.asking import ReasonOption, TimeoutOption, WaitOption, ask
from rotator.cli.console import DEFAULT_CONFIG, ConfigOption, Console, Exit, Output, OutputOption
from rotator.cli.looking import view_of
from rotator.core.errors import Code, Conflict, Denied, Fault


def register(app: typer.Typer) -> None:
    @app.command()
    def apply(
        plan: Annotated[Path, typer.Argument(help="a file that rotator plan --out has written")],
        reason: ReasonOption = "",
        yes: Annotated[bool, typer.Option("--yes", "-y", help="do not ask for confirmation")] = False,
        wait: WaitOption = True,
        timeout: TimeoutOption = 60.0,
        config: ConfigOption = DEFAULT_CONFIG,
        output: OutputOption = Output.TABLE,
    ) -> int:
        """Rotate what a saved plan names. Refused when one of its credentials has been rotated since."""
        console = Console(output)
        try:
            targets = unmoved(_read(plan), view_of(config))
            if targets and not yes:
                _confirm(targets)
        except Fault as fault:
            console.fail(fault)
        if not targets:
            console.say("the plan asks for nothing")
            return Exit.OK
        return ask(console, config, "rotate", targets, reason, {"wait": wait, "timeout": timeout})


def _read(plan: Path) -> list[dict[str, Any]]:
    try:
        rows: list[dict[str, Any]] = json.loads(plan.read_text(encoding="utf-8"))["rows"]
    except OSError as problem:
        raise Denied(Code.TARGET_UNKNOWN, f"{plan}: {problem.strerror}", hint="name the file of plan --out") from None
    except (ValueError, KeyError, TypeError):
        raise Denied(Code.TARGET_UNKNOWN, f"{plan} is no saved plan", hint="make one with rotator plan --out") from None
    return rows


def unmoved(rows: list[dict[str, Any]], view: Any) -> tuple[str, ...]:
    """The targets of a plan. Raises Conflict when one of them is no longer at the version the plan was made for."""
    from rotator.core.identity import CredentialId

    for row in rows:
        record = view.record(CredentialId.parse(row["target"]))
        if (record.last_version if record else 0) != row["last_version"]:
            text = f"{row['target']} has been rotated since the plan was made"
            raise Conflict(Code.CONSUL_CONFLICT, text, hint="look at a new plan")
    return tuple(row["target"] for row in rows)


def _confirm(targets: tuple[str, ...]) -> None:
    if not sys.stdin.isatty():
        raise Denied(Code.REASON_MISSING, "nobody can be asked for confirmation here", hint="add --yes")
    typer.confirm(f"rotate {', '.join(targets)}?", abort=True, err=True)
