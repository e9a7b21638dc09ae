"""`rotator history PROXY` and `rotator diff PROXY A B`: what was published, when, why, and how versions differ."""

from __future__ import annotations

import difflib
import json
from typing import Annotated, Any

import typer

from rotator.cli.console import DEFAULT_CONFIG, Column, ConfigOption, Console, Output, OutputOption, moment
from rotator.cli.looking import complete_proxy, view_of
from rotator.core.errors import Fault

ProxyArgument = Annotated[str, typer.Argument(help="the proxy, for example edge", autocompletion=complete_proxy)]


def register(app: typer.Typer) -> None:
    _register_history(app)
    _register_diff(app)


def _register_history(app: typer.Typer) -> None:
    @app.command()
    def history(
        proxy: ProxyArgument, config: ConfigOption = DEFAULT_CONFIG, output: OutputOption = Output.TABLE
    ) -> None:
        """List the published versions of a proxy's configuration, newest first."""
        from rotator.clients.clock import SystemClock
        from rotator.rotation.shelf import summary

        console = Console(output)
        try:
            view = view_of(config)
            name = view.proxy(proxy).name
            pointer, listed = view.pointer(name), view.history(name)
        except Fault as fault:
            console.fail(fault)
        current = pointer.version if pointer else 0
        if console.json:
            console.data({"proxy": name, "current": current, "versions": [summary(manifest) for manifest in listed]})
            return
        now = SystemClock().now()
        columns = ("VERSION", "ISSUED", "REASON", "ACTOR", "TEXT", "DIGEST")
        console.table([Column(column) for column in columns], [_line(one, current, now) for one in listed])


def _register_diff(app: typer.Typer) -> None:
    @app.command()
    def diff(
        proxy: ProxyArgument,
        old: Annotated[int, typer.Argument(help="version")],
        new: Annotated[int, typer.Argument(help="version; the one in force when left out")] = 0,
        config: ConfigOption = DEFAULT_CONFIG,
        output: OutputOption = Output.TABLE,
    ) -> None:
        """Show how two published versions differ."""
        console = Console(output)
        try:
            view = view_of(config)
            name = view.proxy(proxy).name
            pointer = view.pointer(name)
            later = new or (pointer.version if pointer else 0)
            before, after = view.shelf.document(name, old), view.shelf.document(name, later)
        except Fault as fault:
            console.fail(fault)
        lines = list(
            difflib.unified_diff(_pretty(before.content), _pretty(after.content), str(old), str(later), lineterm="")
        )
        if console.json:
            console.data({"proxy": name, "old": old, "new": later, "diff": lines})
        else:
            console.text("\n".join(lines) if lines else f"version {old} and version {later} have the same content")


def _line(manifest: Any, current: int, now: Any) -> tuple[str, ...]:
    mark = "*" if manifest.version == current else ""
    return (
        f"{manifest.version}{mark}",
        moment(manifest.issued_at, now),
        manifest.reason,
        manifest.actor,
        manifest.text,
        manifest.digest[:12],
    )


def _pretty(content: Any) -> list[str]:
    return json.dumps(content, indent=2, sort_keys=True).splitlines()
