"""`rotator rotate TARGET… --reason TEXT`: rotate now."""

from __future__ import annotations

from typing import Annotated

import typer

from rotator.cli.asking import DryRunOption, IdOption, ReasonOption, TimeoutOption, WaitOption, ask
from rotator.cli.console import DEFAULT_CONFIG, ConfigOption, Console, Output, OutputOption


def register(app: typer.Typer) -> None:
    @app.command()
    def rotate(
        targets: Annotated[list[str], typer.Argument(help="credentials (agent/billing/tls) or owners (agent/billing)")],
        reason: ReasonOption = "",
        wait: WaitOption = False,
        timeout: TimeoutOption = 60.0,
        dry_run: DryRunOption = False,
        request_id: IdOption = "",
        config: ConfigOption = DEFAULT_CONFIG,
        output: OutputOption = Output.TABLE,
    ) -> int:
        """Ask the leader to rotate now. Windows are overridden; the attempt budget and an own suspension are not."""
        options = {"wait": wait, "timeout": timeout, "dry_run": dry_run, "request_id": request_id}
        return ask(Console(output), config, "rotate", tuple(targets), reason, options)
