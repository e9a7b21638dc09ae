"""The configuration between reading and freezing: files as read, entries as validated, and where each one stands."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from rotator.config import positions
from rotator.config.problems import Problem, dotted
from rotator.config.schema import AgentModel, PolicyModel, ProxyModel


class Source:
    """One file as read. Its lines are looked up only when there is something to point at."""

    def __init__(self, name: str, raw: dict[str, Any], text: str) -> None:
        self.name = name
        self.raw = raw
        self._text = text

    @cached_property
    def lines(self) -> dict[tuple[str, ...], int]:
        return positions.index(self._text, json=self.name.endswith(".json"))

    def problem(self, path: tuple[str, ...], text: str, hint: str = "") -> Problem:
        return Problem(self.name, positions.line_of(self.lines, path), dotted(path), text, hint)


@dataclass(slots=True)
class Inventory:
    """The three sections of all files.

    sources: the file of each entry that any file names, also of one that is not valid and therefore in no section.
    partial: entries of which something was refused; what refers to them cannot be judged.
    """

    policies: dict[str, PolicyModel] = field(default_factory=dict)
    agents: dict[str, AgentModel] = field(default_factory=dict)
    proxies: dict[str, ProxyModel] = field(default_factory=dict)
    sources: dict[tuple[str, str], Source] = field(default_factory=dict)
    partial: set[tuple[str, str]] = field(default_factory=set)

    def problem(self, path: tuple[str, ...], text: str, hint: str = "") -> Problem:
        """A problem of an entry, placed in the file that the entry stands in. `path`: section, name, and on."""
        return self.sources[path[0], path[1]].problem(path, text, hint)

    def named(self, section: str) -> tuple[str, ...]:
        """Every name of a section, of valid and invalid entries, in order."""
        return tuple(sorted(name for kind, name in self.sources if kind == section))

    def files(self) -> tuple[Source, ...]:
        """The files that contributed, each once, in the order of reading."""
        return tuple({source.name: source for source in self.sources.values()}.values())
