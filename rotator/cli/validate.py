"""`rotator validate`: every problem of the configuration at once, each with its place and what to do."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from rotator.cli.console import DEFAULT_CONFIG, ConfigOption, Console, Exit, Output, OutputOption
from rotator.core.errors import Fault

if TYPE_CHECKING:
    from rotator.config.load import Loaded
    from rotator.config.problems import Problem


def register(app: typer.Typer) -> None:
    @app.command()
    def validate(config: ConfigOption = DEFAULT_CONFIG, output: OutputOption = Output.TABLE) -> int:
        """Check the configuration, with the environment on top; asks no server. Exit 3 when it is refused."""
        from rotator.config.load import load
        from rotator.config.problems import ConfigErrors
        from rotator.kinds import catalog

        console = Console(output)
        try:
            loaded = load(Path(config), os.environ)
            catalog.check(loaded)
        except ConfigErrors as refused:
            _refused(console, refused.problems)
            return Exit.CONFIG
        except Fault as fault:
            console.fail(fault)
        _sound(console, config, loaded)
        return Exit.OK


def _refused(console: Console, problems: tuple[Problem, ...]) -> None:
    if console.json:
        console.data({"valid": False, "problems": [_as_json(problem) for problem in problems]})
        return
    console.text("\n".join(_lines(problem) for problem in problems))
    console.say(f"{len(problems)} problem{'' if len(problems) == 1 else 's'}; nothing of this would be put into force")


def _sound(console: Console, config: str, loaded: Loaded) -> None:
    counts = _counts(loaded)
    if console.json:
        warnings = [_as_json(problem) for problem in loaded.warnings]
        console.data({"valid": True, "problems": [], "warnings": warnings, **counts})
        return
    for problem in loaded.warnings:
        console.warn(_lines(problem))
    console.text(
        f"{config} is valid: {counts['agents']} agents, {counts['credentials']} credentials, "
        f"{counts['proxies']} proxies, {counts['renewals_per_minute']:.3g} renewals per minute"
    )


def _counts(loaded: Loaded) -> dict[str, Any]:
    from rotator.core.plan import renewals_per_second

    fleet = loaded.settings.fleet
    specs = fleet.specs()
    return {
        "agents": len(fleet.agents),
        "credentials": len(specs),
        "proxies": len(fleet.proxies),
        "renewals_per_minute": round(renewals_per_second(specs) * 60, 6),
        "config_hash": loaded.settings.config_hash,
    }


def _lines(problem: Problem) -> str:
    return f"{problem}\n  hint: {problem.hint}" if problem.hint else str(problem)


def _as_json(problem: Problem) -> dict[str, Any]:
    return {
        "file": problem.file,
        "line": problem.line or None,
        "path": problem.path,
        "text": problem.text,
        "hint": problem.hint,
    }
