"""load -> normalise -> check -> freeze. The caller gets complete settings or every problem at once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from rotator.config import check, freeze, reading, safety
from rotator.config import environment as environ
from rotator.config import tokens as token_rules
from rotator.config.fields import Model
from rotator.config.inventory import Inventory, Source
from rotator.config.problems import ConfigErrors, Place, Problem
from rotator.config.schema import SECTIONS, MainModel
from rotator.config.settings import Settings
from rotator.config.wording import words
from rotator.core.errors import Code
from rotator.core.identity import is_name

Path_ = tuple[str, ...]
_Valid = TypeVar("_Valid", bound=Model)


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, and for `config show --origin` what they were made of.

    origins: the environment variable (or `command line`) of each overridden path. warnings: what is not refused.
    """

    settings: Settings
    main: MainModel
    inventory: Inventory
    source: Source
    origins: environ.Origins
    warnings: tuple[Problem, ...] = ()


def load_settings(path: Path, environment: Mapping[str, str]) -> Settings:
    """Raises ConfigErrors with every problem; its code is CONFIG_UNREADABLE when the main file cannot be read."""
    return load(path, environment).settings


def load(path: Path, environment: Mapping[str, str], flags: Mapping[str, str] | None = None) -> Loaded:
    """As `load_settings`. flags: dotted path -> text, from the command line; flag beats environment beats file."""
    problems: list[Problem] = []
    source = _main_source(path, problems)
    raw, origins, refused = environ.overlay(source.raw, environment, flags or {})
    problems += refused
    place = environ.placer(source.problem, origins)
    head = {key: value for key, value in raw.items() if key not in SECTIONS}
    main = _validate(MainModel, head, (), place, problems)
    inventory = _inventory(path, source, main, place, problems)
    tokens = freeze.Tokens(environ.vault_token(environment), environ.consul_token(environment))
    warnings = _checked(main, inventory, place, tokens, problems)
    if problems or main is None:
        raise ConfigErrors(problems)
    files = (path, *(Path(part.name) for part in inventory.files() if part is not source))
    settings = freeze.settings(main, inventory, tokens, _hash(main, inventory), files)
    return Loaded(settings, main, inventory, source, origins, warnings)


def _inventory(path: Path, source: Source, main: MainModel | None, place: Place, problems: list[Problem]) -> Inventory:
    inventory = Inventory()
    _collect(source, inventory, problems)
    if main is not None and main.inventory.folder is not None:
        for part in reading.folder(path.parent / main.inventory.folder, place, problems):
            _collect(part, inventory, problems)
            problems += _misplaced(part)
    return inventory


def _checked(
    main: MainModel | None, inventory: Inventory, place: Place, tokens: freeze.Tokens, problems: list[Problem]
) -> tuple[Problem, ...]:
    """Adds what a schema cannot say; returns what is only worth a warning.

    Where the main part was refused already, defaults stand in for the refused keys: they are not judged.
    """
    told = {tuple(problem.path.split(".")[:2]) for problem in problems}
    tick = timedelta(0) if main is None or ("service", "tick") in told else main.service.tick
    problems += check.entries(inventory, tick, main)
    if main is None:
        return ()
    problems += (one for one in check.main(main, place, token=tokens.vault is not None) if _fresh(one, told))
    problems += (one for one in token_rules.check(main, inventory, place, tick) if _fresh(one, told))
    refused, warnings = safety.files(main, inventory, place)
    problems += refused
    return warnings


def _fresh(problem: Problem, told: set[tuple[str, ...]]) -> bool:
    path = tuple(problem.path.split(".")[:2])
    return path not in told and path[:1] not in told


def _main_source(path: Path, problems: list[Problem]) -> Source:
    try:
        source = reading.read(path, problems)
    except (OSError, ValueError) as problem:
        why = getattr(problem, "strerror", None) or "that is no path"
        hint = "name the file with --config, or write one with rotator init"
        raise ConfigErrors([Problem(str(path), 0, "", why, hint)], Code.CONFIG_UNREADABLE) from None
    if source is None:
        raise ConfigErrors(problems)
    return source


def _collect(source: Source, inventory: Inventory, problems: list[Problem]) -> None:
    """Validates each entry by itself, so that one bad agent hides no other."""
    for section, model in SECTIONS.items():
        entries = source.raw.get(section, {})
        if not isinstance(entries, dict):
            problems.append(source.problem((section,), "a table by name is wanted", f"[{section}.some-name]"))
            continue
        for name, entry in entries.items():
            if _new(source, inventory, problems, (section, name)):
                before = len(problems)
                found = _validate(model, entry, (section, name), source.problem, problems)
                if found is not None:
                    getattr(inventory, section)[name] = found
                if len(problems) > before:
                    inventory.partial.add((section, name))


def _new(source: Source, inventory: Inventory, problems: list[Problem], entry: tuple[str, str]) -> bool:
    if not is_name(entry[1]):
        text = "is no name: 1 to 63 characters of a-z, 0-9 and inner hyphens are"
        problems.append(source.problem(entry, text, "names become paths in Vault and Consul, and SPIFFE IDs"))
        return False
    known = inventory.sources.get(entry)
    if known is not None:
        problems.append(source.problem(entry, f"is already defined in {known.name}", "keep one of the two"))
        return False
    inventory.sources[entry] = source
    return True


def _misplaced(source: Source) -> list[Problem]:
    text = "does not belong here: an inventory file holds agents, proxies and policies"
    wrong = [key for key in source.raw if key not in SECTIONS]
    return [source.problem((key,), text, "move it to the main file") for key in wrong]


def _validate(
    model: type[_Valid], raw: Any, path: Path_, place: Place, problems: list[Problem], *, again: bool = True
) -> _Valid | None:
    """The validated part, without what is wrong in it where it can be spared, so that the rest is checked as well."""
    try:
        return model.model_validate(raw)
    except ValidationError as invalid:
        if not again:
            return None
        errors = invalid.errors(include_input=False, include_url=False)
    for error in errors:
        inside = (*path, *(str(part) for part in error["loc"] if part != "[key]"))
        problems.append(place(inside, *words(error, model)))
    spared = _without(raw, errors)
    return _validate(model, spared, path, place, [], again=False)


def _without(raw: Any, errors: list[ErrorDetails]) -> Any:
    """A copy without what is wrong: an unknown key alone, else one credential or upstream, else the whole key.

    A list goes as a whole, because the numbers of its elements are part of the paths.
    """
    for error in errors:
        location = [part for part in error["loc"] if part != "[key]"]
        raw = _cut(raw, location if error["type"] == "extra_forbidden" else location[:2])
    return raw


def _cut(raw: Any, location: list[int | str]) -> Any:
    if not isinstance(raw, dict) or not location or str(location[0]) not in raw:
        return raw
    first, *rest = (str(part) for part in location)
    if rest and isinstance(raw[first], dict):
        return {**raw, first: _cut(raw[first], list(rest))}
    return {key: value for key, value in raw.items() if key != first}


def _hash(main: MainModel, inventory: Inventory) -> str:
    """SHA-256 hex over the normalised configuration: equal meaning, equal hash, on every instance and file layout."""
    sections: dict[str, Any] = {
        name: {key: one.model_dump(mode="json") for key, one in getattr(inventory, name).items()} for name in SECTIONS
    }
    sections["main"] = main.model_dump(mode="json", exclude={"inventory": True, "service": {"instance"}})
    return hashlib.sha256(json.dumps(sections, sort_keys=True).encode()).hexdigest()
