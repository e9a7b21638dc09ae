"""Finds the kinds: the other files of this folder, and what other packages bring (entry points `rotator.kinds`).

Each has `build(ports) -> Kind`. docs/kinds.md shows how to write one.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points

from rotator import kinds
from rotator.core.errors import Code, Denied, Fault
from rotator.kinds.base import Kind, KindPorts

GROUP = "rotator.kinds"
_NOT_KINDS = frozenset({"base", "catalog", "keeping"})


def own_names() -> tuple[str, ...]:
    """The kinds of this package: the file names, sorted."""
    found = (module.name for module in pkgutil.iter_modules(kinds.__path__))
    return tuple(sorted(name for name in found if name not in _NOT_KINDS and not name.startswith("_")))


def foreign_names() -> tuple[str, ...]:
    """The kinds of other packages that are installed here, sorted. Nothing is imported."""
    return tuple(sorted({point.name for point in entry_points(group=GROUP)}))


def names() -> tuple[str, ...]:
    """The kinds that a configuration may name."""
    return tuple(sorted({*own_names(), *foreign_names()}))


def build(ports: KindPorts) -> Mapping[str, Kind]:
    """All kinds by name. A file that cannot be imported, or is no kind, stops the start-up here.

    Leaving a broken kind out would be worse: its credentials would silently stop being renewed.
    """
    own = {name: _own(name, ports) for name in own_names()}
    foreign = {point.name: _foreign(point, ports) for point in entry_points(group=GROUP)}
    taken = sorted(own.keys() & foreign.keys())
    if taken:
        raise Denied(
            Code.CONFIG_INVALID,
            f"an installed package brings a kind named {taken[0]!r}, which this package has itself",
            hint="uninstall it, or have its entry point renamed",
        )
    return {**own, **foreign}


def _own(name: str, ports: KindPorts) -> Kind:
    module = importlib.import_module(f"rotator.kinds.{name}")
    factory = getattr(module, "build", None)
    if factory is None:
        raise Fault(Code.BUG, f"rotator/kinds/{name}.py is no kind: it has no build(ports)")
    return _named(name, factory, ports, f"rotator/kinds/{name}.py")


def _foreign(point: EntryPoint, ports: KindPorts) -> Kind:
    try:
        factory = point.load()
    except (ImportError, AttributeError) as problem:
        raise Denied(
            Code.CONFIG_INVALID,
            f"the kind {point.name!r} of another package cannot be loaded: {type(problem).__name__} at {point.value}",
            hint="repair or uninstall that package; leaving it out would stop its rotations silently",
        ) from None
    return _named(point.name, factory, ports, point.value)


def _named(name: str, factory: Callable[[KindPorts], Kind], ports: KindPorts, where: str) -> Kind:
    kind = factory(ports)
    if kind.name != name:
        raise Fault(Code.BUG, f"{where} calls its kind {kind.name!r}; file or entry point and kind have one name")
    return kind
