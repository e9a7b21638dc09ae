"""`rotator schema`: the JSON Schema of the configuration, for editors and for checks before a commit."""

from __future__ import annotations

import json

import typer

from rotator.cli.console import Console


def register(app: typer.Typer) -> None:
    @app.command()
    def schema() -> None:
        """Print the JSON Schema of rotator.toml. `rotator validate` checks more than a schema can say."""
        from rotator.config.sample import json_schema

        Console().text(json.dumps(json_schema(), indent=2))
