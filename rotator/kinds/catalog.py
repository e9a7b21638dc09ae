"""Finds the kinds: every other file of this folder is one, and has `build(ports) -> Kind`."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping

from rotator import kinds
from rotator.core.errors import Code, Fault
from rotator.kinds.base import Kind, KindPorts

_NOT_KINDS = frozenset({"base", "catalog"})


def names() -> tuple[str, ...]:
    """The kinds that a configuration may name: the file names, sorted."""
    found = (module.name for module in pkgutil.iter_modules(kinds.__path__))
    return tuple(sorted(name for name in found if name not in _NOT_KINDS and not name.startswith("_")))


def build(ports: KindPorts) -> Mapping[str, Kind]:
    """All kinds by name. A file that cannot be imported, or is no kind, stops the start-up here.

    Leaving a broken kind out would be worse: its credentials would silently stop being renewed.
    """
    return {name: _build(name, ports) for name in names()}


def _build(name: str, ports: KindPorts) -> Kind:
    module = importlib.import_module(f"rotator.kinds.{name}")
    factory = getattr(module, "build", None)
    if factory is None:
        raise Fault(Code.BUG, f"rotator/kinds/{name}.py is no kind: it has no build(ports)")
    kind: Kind = factory(ports)
    if kind.name != name:
        raise Fault(Code.BUG, f"rotator/kinds/{name}.py calls its kind {kind.name!r}; file and kind have one name")
    return kind
