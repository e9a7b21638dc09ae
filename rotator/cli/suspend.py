"""`rotator suspend` and `rotator resume`: pause rotations of one credential, one owner or everything."""

from __future__ import annotations

from typing import Annotated

import typer

from rotator.cli.asking import DryRunOption, ReasonOption, TimeoutOption, WaitOption, ask
from rotator.cli.console import DEFAULT_CONFIG, ConfigOption, Console, Output, OutputOption
from rotator.cli.looking import complete_target

Targets = Annotated[
    list[str], typer.Argument(help="a credential, an owner (agent/billing), or all", autocompletion=complete_target)
]


def register(app: typer.Typer) -> None:
    @app.command()
    def suspend(
        targets: Targets,
        reason: ReasonOption = "",
        wait: WaitOption = True,
        timeout: TimeoutOption = 60.0,
        dry_run: DryRunOption = False,
        config: ConfigOption = DEFAULT_CONFIG,
        output: OutputOption = Output.TABLE,
    ) -> int:
        """Pause rotations. Near expiry a pause of an owner or of all is overridden; one of the credential is not."""
        options = {"wait": wait, "timeout": timeout, "dry_run": dry_run}
        return ask(Console(output), config, "suspend", tuple(targets), reason, options)

    @app.command()
    def resume(
        targets: Targets,
        reason: ReasonOption = "",
        wait: WaitOption = True,
        timeout: TimeoutOption = 60.0,
        dry_run: DryRunOption = False,
        config: ConfigOption = DEFAULT_CONFIG,
        output: OutputOption = Output.TABLE,
    ) -> int:
        """End a pause."""
        options = {"wait": wait, "timeout": timeout, "dry_run": dry_run}
        return ask(Console(output), config, "resume", tuple(targets), reason, options)
