"""`rotator config show --origin`: every value in force, and who said so."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from rotator.cli.console import DEFAULT_CONFIG, Column, ConfigOption, Console, Output, OutputOption
from rotator.core.errors import Fault


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Look at the configuration in force.", no_args_is_help=True)
    app.add_typer(group, name="config")

    @group.callback()
    def config_group() -> None:
        """Look at the configuration in force."""

    @group.command()
    def show(
        config: ConfigOption = DEFAULT_CONFIG,
        origin: Annotated[bool, typer.Option("--origin", help="also where each value comes from")] = False,
        output: OutputOption = Output.TABLE,
    ) -> None:
        """Print every value with the environment on top and the defaults filled in; secrets are masked."""
        from rotator.config.load import load
        from rotator.config.origin import shown

        console = Console(output)
        try:
            values = shown(load(Path(config), os.environ), os.environ)
        except Fault as fault:
            console.fail(fault)
        if console.json:
            console.data({"values": [{"path": one.path, "value": one.value, "origin": one.origin} for one in values]})
            return
        columns = [Column("KEY", "bold"), Column("VALUE"), *([Column("ORIGIN", "cyan")] if origin else [])]
        console.table(columns, [(one.path, one.value, one.origin)[: len(columns)] for one in values])
