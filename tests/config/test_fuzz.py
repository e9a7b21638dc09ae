"""Whatever stands in the files: settings, or ConfigErrors. Never a traceback for a user's mistake."""

from __future__ import annotations

import contextlib
import json
import tomllib
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rotator.config import positions
from rotator.config.load import load
from rotator.config.problems import ConfigErrors
from rotator.config.schema import WholeModel
from rotator.config.wording import known_keys

from .conftest import GOOD

VALID: dict[str, Any] = tomllib.loads(GOOD)
WORDS = st.sampled_from(["24h", "0s", "999999999d", "66%", "edge", "default", "a/b", "\x00", "Ünïcode", "", "/", "::1"])
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.text(max_size=20)
KEYS = st.sampled_from(
    sorted({*known_keys(WholeModel, ()), *known_keys(WholeModel, ("vault",)), "tls", "edge", "token", "kind", "ttl"})
)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=8), inner, max_size=4)
)
FAST = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, one in inner for found in _paths(one, (*path, key)))]


def _spoilt(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = _spoilt(value[path[0]], path[1:], new)
    return copy


def _try(directory: Path, text: str, suffix: str = ".json") -> None:
    file = directory / f"rotator{suffix}"
    file.write_text(text, encoding="utf-8")
    file.chmod(0o600)
    with contextlib.suppress(ConfigErrors):
        load(file, {})


@FAST
@given(value=VALUES)
def test_any_tree_is_accepted_or_refused(tmp_path: Path, value: Any) -> None:
    """Wrong types at every depth, known keys in wrong places, numbers out of every range."""
    _try(tmp_path, json.dumps(value))


@FAST
@given(path=st.sampled_from(_paths(VALID)), new=VALUES)
def test_any_part_of_a_good_file_may_be_replaced(tmp_path: Path, path: tuple[Any, ...], new: Any) -> None:
    """Deep mistakes: all else is right, so that every later step is reached."""
    _try(tmp_path, json.dumps(_spoilt(VALID, path, new)))


@FAST
@given(start=st.integers(0, len(GOOD)), length=st.integers(0, 30), new=st.text(alphabet="a=\"[]{}\n.,#'1", max_size=6))
def test_any_slip_of_the_editor_is_accepted_or_refused(tmp_path: Path, start: int, length: int, new: str) -> None:
    """Text that is almost TOML."""
    _try(tmp_path, GOOD[:start] + new + GOOD[start + length :], ".toml")


@given(value=VALUES)
def test_every_path_of_a_json_file_has_a_line(value: Any) -> None:
    """The index of lines is no parser of TOML or JSON, but it must find what those two find."""
    found = positions.index(json.dumps(value, indent=1), json=True)
    assert set(found) == {tuple(str(part) for part in path) for path in _paths(value)}


def test_nesting_that_no_parser_survives_is_refused(tmp_path: Path) -> None:
    """A recursion limit is a mistake of the file, not of the program."""
    for suffix in (".json", ".toml"):
        depth = 100_000
        _try(tmp_path, f"{'a = ' if suffix == '.toml' else ''}{'[' * depth}{']' * depth}", suffix)
