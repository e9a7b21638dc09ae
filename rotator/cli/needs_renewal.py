"""`rotator needs-renewal TARGET…`: a predicate for scripts."""

from __future__ import annotations

from typing import Annotated

import typer

from rotator.cli.console import DEFAULT_CONFIG, ConfigOption, Console
from rotator.cli.looking import complete_target, view_of
from rotator.cli.rotate import chosen
from rotator.core.errors import Fault


def register(app: typer.Typer) -> None:
    @app.command("needs-renewal")
    def needs_renewal(
        targets: Annotated[list[str], typer.Argument(help="credentials or owners", autocompletion=complete_target)],
        config: ConfigOption = DEFAULT_CONFIG,
    ) -> int:
        """Exit 0 when one of them is due or overdue now, 1 when none is."""
        from rotator.clients.clock import SystemClock
        from rotator.core.decide import start_cause

        console = Console()
        try:
            now = SystemClock().now()
            rows = chosen(view_of(config), tuple(targets), now)
        except Fault as fault:
            console.fail(fault)
        return 0 if any(start_cause(row.spec, row.record, now) for row in rows) else 1
