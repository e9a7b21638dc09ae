"""The pages that people reach for in trouble name everything that the code can say."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path

import pytest
import typer

from rotator import cli
from rotator.core.errors import Code
from rotator.telemetry.health import Check

ROOT = Path(__file__).parents[2]
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("code", list(Code), ids=lambda code: code.name)
def test_the_runbook_knows_every_error_code(code: Code) -> None:
    """A code that nobody explains helps nobody."""
    assert f"| {code.value} |" in RUNBOOK


@pytest.mark.parametrize("check", list(Check), ids=lambda check: check.name)
def test_the_runbook_knows_every_readiness_check(check: Check) -> None:
    """`/readyz` names a check; the page says what to do."""
    assert f"| `{check.value}` |" in RUNBOOK


def test_no_code_in_the_runbook_has_gone() -> None:
    """An explanation of what cannot happen misleads."""
    listed = {word for line in RUNBOOK.splitlines() if line.startswith("| E") for word in line.split()[1:2]}
    assert listed == {code.value for code in Code}


def test_the_readme_names_every_command() -> None:
    """What is not named is not found."""
    app = typer.Typer()
    for module in pkgutil.iter_modules(cli.__path__):
        register = getattr(importlib.import_module(f"rotator.cli.{module.name}"), "register", None)
        if register is not None:
            register(app)
    commands = {
        (one.name or getattr(one.callback, "__name__", "")).replace("_", "-") for one in app.registered_commands
    }
    groups = {group.name for group in app.registered_groups}
    named = README + (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert not {name for name in commands | groups if name and name not in named}
