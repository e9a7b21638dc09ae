"""load -> normalise -> check -> freeze. The caller gets complete settings or every problem at once."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from rotator.config import environment as environ
from rotator.config import freeze, positions
from rotator.config.check import check
from rotator.config.fields import Model
from rotator.config.problems import ConfigErrors, Problem
from rotator.config.schema import SECTIONS, AgentModel, MainModel, PolicyModel, ProxyModel
from rotator.config.settings import Settings
from rotator.core.errors import Code, Denied
from rotator.core.identity import is_name


@dataclass(frozen=True, slots=True)
class Source:
    """One file as read. lines: where its paths stand."""

    name: str
    raw: dict[str, Any]
    lines: dict[tuple[str, ...], int]

    def problem(self, path: tuple[str, ...], text: str, hint: str = "") -> Problem:
        return Problem(self.name, positions.line_of(self.lines, path), ".".join(path), text, hint)


@dataclass(slots=True)
class Inventory:
    """The three sections of all files, each entry with the file it stands in."""

    policies: dict[str, PolicyModel] = field(default_factory=dict)
    agents: dict[str, AgentModel] = field(default_factory=dict)
    proxies: dict[str, ProxyModel] = field(default_factory=dict)
    sources: dict[tuple[str, str], Source] = field(default_factory=dict)

    def problem(self, path: tuple[str, ...], text: str, hint: str = "") -> Problem:
        """A problem of an entry, placed in the file that the entry stands in."""
        source = self.sources.get((path[0], path[1])) if len(path) > 1 else None
        return source.problem(path, text, hint) if source else Problem("configuration", 0, ".".join(path), text, hint)


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, and for `config show --origin` the raw values and where each environment value came from."""

    settings: Settings
    main: MainModel
    origins: environ.Origins


def load_settings(path: Path, environment: Mapping[str, str]) -> Settings:
    """Raises ConfigErrors with every problem, or Denied (CONFIG_UNREADABLE) when the main file cannot be read."""
    return load(path, environment).settings


def load(path: Path, environment: Mapping[str, str]) -> Loaded:
    problems: list[Problem] = []
    main = _read(path, problems)
    if main is None:
        raise ConfigErrors(tuple(problems))
    raw, origins, refused = environ.overlay(main.raw, environment)
    problems.extend(refused)
    head = {key: value for key, value in raw.items() if key not in SECTIONS}
    model = _validate(MainModel, head, main, (), problems)
    inventory = Inventory()
    for source in (main, *_folder(path, main, problems)):
        _collect(source, inventory, problems, whole=source is main)
    if isinstance(model, MainModel):
        problems.extend(check(model, inventory, main.problem))
    if problems or not isinstance(model, MainModel):
        raise ConfigErrors(tuple(problems))
    secrets = freeze.Tokens(environ.vault_token(environment), environ.consul_token(environment))
    files = (path, *(Path(source.name) for source in set_of(inventory) if source is not main))
    settings = freeze.settings(model, inventory, secrets, _hash(model, inventory), files)
    return Loaded(settings, model, origins)


def set_of(inventory: Inventory) -> tuple[Source, ...]:
    """The files that contributed, each once."""
    return tuple({source.name: source for source in inventory.sources.values()}.values())


def _read(path: Path, problems: list[Problem]) -> Source | None:
    try:
        text = path.read_text(encoding="utf-8")
        raw = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as problem:
        raise Denied(
            Code.CONFIG_UNREADABLE,
            f"{path}: {problem.strerror}",
            hint="name the file with --config, or write one with rotator init",
        ) from None
    except (tomllib.TOMLDecodeError, ValueError) as problem:
        problems.append(Problem(str(path), _line_in(str(problem)), "", f"cannot be parsed: {problem}"))
        return None
    if not isinstance(raw, dict):
        problems.append(Problem(str(path), 1, "", "a table of keys is wanted"))
        return None
    return Source(str(path), raw, {} if path.suffix == ".json" else positions.index(text))


def _line_in(text: str) -> int:
    """tomllib and json both end their words with `line N`."""
    _, _, rest = text.partition("line ")
    number = rest.split(",")[0].split(" ")[0].rstrip(")")
    return int(number) if number.isdigit() else 0


def _folder(path: Path, main: Source, problems: list[Problem]) -> Iterable[Source]:
    """The inventory files in name order. A missing folder is a problem, not an empty fleet."""
    section = main.raw.get("inventory")
    wanted = section.get("folder") if isinstance(section, dict) else None
    if not isinstance(wanted, str):
        return
    folder = path.parent / wanted
    if not folder.is_dir():
        problems.append(main.problem(("inventory", "folder"), f"{folder} is no folder", "create it or remove the key"))
        return
    for file in sorted(folder.iterdir()):
        if file.suffix in (".toml", ".json") and file.is_file():
            source = _read(file, problems)
            if source is not None:
                yield source


def _collect(source: Source, inventory: Inventory, problems: list[Problem], *, whole: bool) -> None:
    """Validates each entry by itself, so that one bad agent hides no other."""
    for section, model in SECTIONS.items():
        entries = source.raw.get(section, {})
        if not isinstance(entries, dict):
            problems.append(source.problem((section,), "a table by name is wanted"))
            continue
        for name, entry in entries.items():
            _collect_one(source, inventory, problems, (section, name, model, entry))
    if not whole:
        for key in sorted(set(source.raw) - set(SECTIONS)):
            text = "is not known here; an inventory file holds agents, proxies and policies"
            problems.append(source.problem((key,), text, "move it to the main file"))


def _collect_one(
    source: Source, inventory: Inventory, problems: list[Problem], item: tuple[str, str, type[Model], Any]
) -> None:
    section, name, model, entry = item
    if not is_name(name):
        text = f"{name!r} is no name: 1 to 63 characters of a-z, 0-9 and inner hyphens"
        problems.append(source.problem((section, name), text, "names become paths in Vault, Consul and SPIFFE IDs"))
        return
    known = inventory.sources.get((section, name))
    if known is not None:
        problems.append(source.problem((section, name), f"is already defined in {known.name}", "keep one of them"))
        return
    found = _validate(model, entry, source, (section, name), problems)
    if found is not None:
        getattr(inventory, section)[name] = found
        inventory.sources[(section, name)] = source


def _validate(
    model: type[Model], raw: Any, source: Source, path: tuple[str, ...], problems: list[Problem]
) -> Model | None:
    try:
        return model.model_validate(raw)
    except ValidationError as invalid:
        # The given value never enters a message: it may be a secret pasted into the wrong line.
        for error in invalid.errors(include_input=False, include_url=False):
            inside = (*path, *(str(part) for part in error["loc"] if part != "[key]"))
            problems.append(source.problem(inside, *_words(error, inside)))
        return None


_SECRETS = frozenset({"token", "secret_id", "password", "secret", "client_secret", "jwt", "private_key"})


def _words(error: Any, path: tuple[str, ...]) -> tuple[str, str]:
    if error["type"] == "extra_forbidden":
        if path[-1] in _SECRETS:
            return "secrets do not stand in the configuration", "put it into a file and name the file"
        return "is not a known key", "rotator schema lists every key; is it misspelt?"
    if error["type"] == "missing":
        return "is missing", "add it"
    return str(error["msg"]).removeprefix("Value error, "), ""


def _hash(model: MainModel, inventory: Inventory) -> str:
    """SHA-256 hex over the normalised configuration: equal meaning, equal hash."""
    sections = {
        name: {key: one.model_dump(mode="json") for key, one in sorted(getattr(inventory, name).items())}
        for name in SECTIONS
    }
    text = json.dumps({"main": model.model_dump(mode="json"), **sections}, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()
