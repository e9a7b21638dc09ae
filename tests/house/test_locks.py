"""The locks pin everything that is declared, by hash, and name no index."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = ("requirements.lock", "requirements-runtime.lock")


def normal(requirement: str) -> str:
    """The normalised name (PyPA name normalisation) of a requirement."""
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match is not None
    return re.sub(r"[-_.]+", "-", match[0]).lower()


def locked(name: str) -> dict[str, str]:
    """Name -> its whole block."""
    blocks = re.split(r"\n(?=\S)", (ROOT / name).read_text(encoding="utf-8").strip())
    return {normal(block): block for block in blocks}


def pin(block: str) -> tuple[str, list[str]]:
    """(name and version, hashes) without the marker, which says for whom a package is wanted."""
    return block.split()[0], sorted(re.findall(r"--hash=\S+", block))


def declared() -> tuple[set[str], set[str]]:
    """(runtime, everything) as pyproject.toml says."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    runtime = {normal(one) for one in project["project"]["dependencies"]}
    extras = [one for extra in project["project"]["optional-dependencies"].values() for one in extra]
    development = [one for group in project["dependency-groups"].values() for one in group]
    return runtime, runtime | {normal(one) for one in [*extras, *development]}


def test_everything_declared_is_locked() -> None:
    """A dependency that is not in the lock is missing after `make setup`: run `make lock`."""
    runtime, everything = declared()
    assert runtime <= locked("requirements-runtime.lock").keys()
    assert everything <= locked("requirements.lock").keys()


def test_the_runtime_set_is_tested_in_the_versions_that_are_deployed() -> None:
    """Otherwise the tests vouch for other code than the one that runs."""
    full = locked("requirements.lock")
    for name, block in locked("requirements-runtime.lock").items():
        assert pin(full[name]) == pin(block)


@pytest.mark.parametrize("name", LOCKS)
def test_every_locked_package_has_hashes(name: str) -> None:
    """pip refuses the whole file otherwise."""
    assert not [package for package, block in locked(name).items() if "--hash=sha256:" not in block]


@pytest.mark.parametrize("name", LOCKS)
def test_locks_name_no_index(name: str) -> None:
    """Where packages come from is each machine's own configuration."""
    text = (ROOT / name).read_text(encoding="utf-8")
    assert not re.search(r"://|--index|--find-links|--trusted|^#", text, re.MULTILINE)
