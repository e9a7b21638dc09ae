"""`rotator rotate TARGET… --reason TEXT`: rotate now."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import typer

from rotator.cli.asking import DryRunOption, IdOption, ReasonOption, TimeoutOption, WaitOption, ask
from rotator.cli.console import DEFAULT_CONFIG, ConfigOption, Console, Exit, Output, OutputOption
from rotator.cli.looking import complete_target, view_of
from rotator.core.errors import Fault


def register(app: typer.Typer) -> None:
    @app.command()
    def rotate(
        targets: Annotated[
            list[str],
            typer.Argument(
                help="credentials (agent/billing/tls) or owners (agent/billing)", autocompletion=complete_target
            ),
        ],
        reason: ReasonOption = "",
        wait: WaitOption = False,
        timeout: TimeoutOption = 60.0,
        dry_run: DryRunOption = False,
        if_due: Annotated[bool, typer.Option("--if-due", help="only what is due; nothing to do is success")] = False,
        request_id: IdOption = "",
        config: ConfigOption = DEFAULT_CONFIG,
        output: OutputOption = Output.TABLE,
    ) -> int:
        """Ask the leader to rotate now. Windows are overridden; the attempt budget and an own suspension are not."""
        if if_due:
            return _only_due(Console(output), config, tuple(targets))
        options = {"wait": wait, "timeout": timeout, "dry_run": dry_run, "request_id": request_id}
        return ask(Console(output), config, "rotate", tuple(targets), reason, options)


def _only_due(console: Console, config: str, targets: tuple[str, ...]) -> int:
    """The service rotates what is due by itself, so there is nothing to ask: this says until when the rest waits."""
    from rotator.clients.clock import SystemClock

    try:
        rows = chosen(view_of(config), targets, SystemClock().now())
    except Fault as fault:
        console.fail(fault)
    for row in rows:
        when = (
            "is taken up by the service now" if row.acts else f"not due until {row.decision.until:%Y-%m-%dT%H:%M:%SZ}"
        )
        console.text(f"{row.spec.id} {when} ({row.decision.cause.reason.value})")
    return Exit.OK


def chosen(view: Any, targets: tuple[str, ...], now: datetime) -> list[Any]:
    """The rows of these credentials and owners. Raises Denied (TARGET_UNKNOWN)."""
    view.check_targets("rotate", targets)
    return [row for row in view.rows(now) if {str(row.spec.id), str(row.spec.id.owner)} & set(targets)]
