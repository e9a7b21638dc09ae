"""Where each value comes from: a file and its line, an environment variable, or the default. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import time, timedelta
from enum import Enum
from typing import Any

from pydantic import BaseModel

from rotator.config.fields import text_of
from rotator.config.load import Loaded
from rotator.config.problems import dotted
from rotator.config.schema import SECTIONS
from rotator.core.fleet import Rate
from rotator.core.secret import MASK

DEFAULT = "default"
_TOKENS = (
    (("vault", "auth", "token"), ("BAO_TOKEN", "VAULT_TOKEN")),
    (("consul", "token"), ("CONSUL_HTTP_TOKEN",)),
)

Path_ = tuple[str, ...]
Origin = Callable[[Path_], str]


@dataclass(frozen=True, slots=True)
class Shown:
    """path: dotted. value: as it would be spelled in the file. origin: `file:line`, a variable's name, or `default`."""

    path: str
    value: str
    origin: str


def shown(loaded: Loaded, environment: Mapping[str, str]) -> tuple[Shown, ...]:
    """Every value in force, in path order within its section. A secret given by the environment is masked."""
    lines = [*_values(loaded.main, (), _main_origin(loaded)), *_tokens(environment)]
    for section in SECTIONS:
        for name, entry in sorted(getattr(loaded.inventory, section).items()):
            lines += _values(entry, (section, name), _entry_origin(loaded, (section, name)))
    return tuple(lines)


def _main_origin(loaded: Loaded) -> Origin:
    def origin(path: Path_) -> str:
        given = next(
            (loaded.origins[path[:size]] for size in range(len(path), 0, -1) if path[:size] in loaded.origins), ""
        )
        return given or f"{loaded.source.name}:{_line(loaded.source.lines, path)}"

    return origin


def _entry_origin(loaded: Loaded, entry: tuple[str, str]) -> Origin:
    source = loaded.inventory.sources[entry]
    return lambda path: f"{source.name}:{_line(source.lines, path)}"


def _line(lines: Mapping[Path_, int], path: Path_) -> int:
    return next((lines[path[:size]] for size in range(len(path), 0, -1) if path[:size] in lines), 0)


def _values(model: BaseModel, path: Path_, origin: Origin, *, default: bool = False) -> Iterator[Shown]:
    for key, value in model:
        yield from _value(value, (*path, key), origin, default=default or key not in model.model_fields_set)


def _value(value: Any, path: Path_, origin: Origin, *, default: bool) -> Iterator[Shown]:
    if isinstance(value, BaseModel):
        yield from _values(value, path, origin, default=default)
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _value(inner, (*path, key), origin, default=default)
    elif isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
        for number, inner in enumerate(value):
            yield from _value(inner, (*path, str(number)), origin, default=default)
    else:
        yield Shown(dotted(path), _spelled(value), DEFAULT if default else origin(path))


def _tokens(environment: Mapping[str, str]) -> Iterator[Shown]:
    for path, names in _TOKENS:
        name = next((name for name in names if environment.get(name)), None)
        if name:
            yield Shown(dotted(path), MASK, name)


def _spelled(value: Any) -> str:
    """As the file spells it; empty for a value that is not set."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ", ".join(_spelled(one) for one in value)
    if isinstance(value, timedelta):
        return text_of(value)
    return _special(value)


def _special(value: Any) -> str:
    if isinstance(value, Rate):
        return f"{value.requests}/{text_of(value.per)}"
    if isinstance(value, float):
        return f"{round(value * 100, 2):g}%"  # every number with a fraction is a share
    if isinstance(value, time):
        return value.strftime("%H:%M")
    return str(value.value if isinstance(value, Enum) else value)
