"""`rotator run`: the service, in the foreground, until SIGTERM."""

from __future__ import annotations

import typer

from rotator.cli.console import DEFAULT_CONFIG, ConfigOption, Console
from rotator.core.errors import Fault


def register(app: typer.Typer) -> None:
    @app.command()
    def run(config: ConfigOption = DEFAULT_CONFIG) -> None:
        """Run the service in the foreground. SIGHUP loads the configuration again, SIGTERM stops in order."""
        from rotator import app as wiring
        from rotator.clients.hardening import give_up_core_files

        give_up_core_files()
        console = Console()
        try:
            wiring.build_daemon(config).run()
        except Fault as fault:
            console.fail(fault)
