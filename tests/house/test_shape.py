"""The shape of the house: small files, short functions, names that say something."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "rotator"
FILES = sorted(PACKAGE.rglob("*.py"))
LONGEST_FILE = 300
LONGEST_FUNCTION = 40
# A file of such a name collects what has no place; a class of such a name says nothing about what it does.
EMPTY_WORDS = frozenset({"util", "helper", "common", "misc", "manager", "handler", "service", "data", "info", "base"})
EXCEPTIONS = frozenset(
    {
        "kinds/base.py",  # what every kind of credential is
        "follower/watch_handler.py",  # Consul's own term for what a watch calls
        "cli/watch_handler.py",  # the command's name is its users' interface, and a file is named after its command
    }
)
# The configuration's section is called [service], and one name holds everywhere.
CLASS_EXCEPTIONS = frozenset({"ServiceModel", "ServiceSettings"})


def place(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def empty(name: str) -> set[str]:
    """The words of a name that say nothing: `VaultDataManager` -> {data, manager}; `database` is a word of its own."""
    words = re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])", name)
    return {word.lower().removesuffix("s") for word in words} & EMPTY_WORDS


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_the_rules_see_what_they_forbid() -> None:
    """A rule that finds nothing anywhere proves nothing."""
    assert empty("VaultDataManager") == {"data", "manager"}
    assert empty("kv_utils") == {"util"}
    assert empty("HTTPHandler") == {"handler"}
    assert not empty("database")
    assert not empty("TLSProbe")


@pytest.mark.parametrize("path", FILES, ids=place)
def test_files_are_short(path: Path) -> None:
    """What does not fit is two things."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_FILE


@pytest.mark.parametrize("path", FILES, ids=place)
def test_functions_are_short(path: Path) -> None:
    """A function is read in one look."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    lengths = {node.name: (node.end_lineno or node.lineno) - node.lineno + 1 for node in functions(tree)}
    assert not {name: length for name, length in lengths.items() if length > LONGEST_FUNCTION}


@pytest.mark.parametrize("path", FILES, ids=place)
def test_names_say_something(path: Path) -> None:
    """Nothing is put into a drawer without a label."""
    assert place(path) in EXCEPTIONS or not empty(path.stem)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    classes = [node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    assert not {name for name in classes if empty(name)} - CLASS_EXCEPTIONS


def test_no_exception_outlives_its_file() -> None:
    """An exception for a file that is gone would let the next one in."""
    assert not {name for name in EXCEPTIONS if not (PACKAGE / name).is_file()}


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("__init__.py")), ids=place)
def test_every_room_says_what_it_is_for(path: Path) -> None:
    """The first line that a newcomer reads."""
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
