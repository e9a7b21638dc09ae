"""`rotator rollback PROXY --to N`: put the content of an old version in force, as a new version."""

from __future__ import annotations

from typing import Annotated

import typer

from rotator.cli.asking import DryRunOption, ReasonOption, TimeoutOption, WaitOption, ask
from rotator.cli.console import DEFAULT_CONFIG, ConfigOption, Console, Output, OutputOption
from rotator.cli.looking import complete_proxy


def register(app: typer.Typer) -> None:
    @app.command()
    def rollback(
        proxy: Annotated[str, typer.Argument(help="the proxy, for example edge", autocompletion=complete_proxy)],
        to: Annotated[int, typer.Option("--to", help="the version whose content shall be in force again")] = 0,
        release: Annotated[bool, typer.Option("--release", help="end the hold of an earlier rollback")] = False,
        reason: ReasonOption = "",
        wait: WaitOption = True,
        timeout: TimeoutOption = 60.0,
        dry_run: DryRunOption = False,
        config: ConfigOption = DEFAULT_CONFIG,
        output: OutputOption = Output.TABLE,
    ) -> int:
        """Publish old content as a new version. Refused if it names an expired, retired or compromised credential.

        The withdrawn configuration is held back until it changes or the hold is released; certificates and trust go
        on moving forward.
        """
        if release == bool(to):
            raise typer.BadParameter("give either --to VERSION or --release", param_hint="--to")
        options = {"wait": wait, "timeout": timeout, "dry_run": dry_run, "to_version": to or None}
        return ask(Console(output), config, "rollback", (f"proxy/{proxy.removeprefix('proxy/')}",), reason, options)
