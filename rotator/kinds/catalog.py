"""Finds the kinds: the other files of this folder, and what other packages bring (entry points `rotator.kinds`).

Each has `build(ports) -> Kind`. docs/kinds.md shows how to write one.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping

from rotator import kinds
from rotator.config.kinds import choice
from rotator.config.load import Loaded
from rotator.core.errors import Code, Fault
from rotator.kinds import foreign
from rotator.kinds.base import Kind, KindPorts

_NOT_KINDS = frozenset({"base", "catalog", "foreign", "keeping"})


def own_names() -> tuple[str, ...]:
    """The kinds of this package: the file names, sorted."""
    found = (module.name for module in pkgutil.iter_modules(kinds.__path__))
    return tuple(sorted(name for name in found if name not in _NOT_KINDS and not name.startswith("_")))


def names() -> tuple[str, ...]:
    """The kinds that a configuration may name, of this package and of others. Nothing is imported."""
    own = own_names()
    return tuple(sorted({*own, *foreign.points(own)}))


def build(ports: KindPorts) -> Mapping[str, Kind]:
    """All kinds by name. A file that cannot be imported, or is no kind, stops the start-up here.

    Leaving a broken kind out would be worse: its credentials would silently stop being renewed.
    """
    own = {name: _own(name, ports) for name in own_names()}
    others = {name: foreign.build(point, ports) for name, point in foreign.points(own).items()}
    return {**own, **others}


def check(loaded: Loaded) -> None:
    """What kinds of other packages say of their settings. Raises ConfigErrors or Denied, see `foreign.check`."""
    if choice.foreign_names():
        foreign.check(loaded, own_names())


def _own(name: str, ports: KindPorts) -> Kind:
    module = importlib.import_module(f"rotator.kinds.{name}")
    factory = getattr(module, "build", None)
    if factory is None:
        raise Fault(Code.BUG, f"rotator/kinds/{name}.py is no kind: it has no build(ports)")
    kind: Kind = factory(ports)
    if kind.name != name:
        raise Fault(Code.BUG, f"rotator/kinds/{name}.py calls its kind {kind.name!r}; file and kind have one name")
    return kind
