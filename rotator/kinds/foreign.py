"""The kinds that other packages bring, by their entry points in the group `rotator.kinds`. docs/kinds.md is their page.

Everything here is a border to code that nobody of this package has read: whatever it raises at import, while it is
built or while it checks its settings, is named as that package's mistake and stops the start. Leaving a broken kind
out would silently stop its rotations.
"""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any, NoReturn

from rotator.config.kinds.choice import FOREIGN_TABLE
from rotator.config.load import Loaded
from rotator.config.problems import ConfigErrors, Problem
from rotator.core.errors import Code, Denied, Fault
from rotator.core.identity import OwnerKind
from rotator.core.kind_settings import ForeignSettings
from rotator.core.spec import Spec
from rotator.kinds.base import Kind, KindPorts

GROUP = "rotator.kinds"
_SECTIONS = {OwnerKind.AGENT: "agents", OwnerKind.PROXY: "proxies"}
_WORDS = 200


def points(own: Iterable[str]) -> Mapping[str, EntryPoint]:
    """By name. Denied when two packages bring one name, or one brings a name of `own`. Nothing is imported."""
    found = tuple(entry_points(group=GROUP))
    for name, count in sorted(Counter(point.name for point in found).items()):
        if name in own:
            text = f"an installed package brings a kind named {name!r}, which this package has itself"
            raise Denied(Code.CONFIG_INVALID, text, hint="uninstall it, or have its entry point renamed")
        if count > 1:
            text = f"{count} installed packages bring a kind named {name!r}"
            raise Denied(Code.CONFIG_INVALID, text, hint="uninstall all but one")
    return {point.name: point for point in found}


def build(point: EntryPoint, ports: KindPorts) -> Kind:
    """Denied when it cannot be loaded or built, or calls itself by another name."""
    factory = _loaded(point)
    try:
        kind = factory(ports)
        name = kind.name
    except Exception as problem:  # noqa: BLE001 - foreign code, see above
        _refuse(point, "cannot be built", problem)
    if name != point.name:
        text = f"the entry point {point.name!r} ({point.value}) brings a kind that calls itself {name!r}"
        raise Denied(Code.CONFIG_INVALID, text, hint="entry point and kind must have one name")
    return kind


def check(loaded: Loaded, own: Iterable[str]) -> None:
    """Asks every kind in use what it says of its settings: `check(table) -> problems` of its module, where it has one.

    Raises ConfigErrors with all of them, each in its place; Denied when a kind in use cannot be loaded.
    """
    specs = [spec for spec in loaded.settings.fleet.specs() if isinstance(spec.settings, ForeignSettings)]
    known = points(own)
    problems = [problem for spec in specs for problem in _problems(loaded, spec, known[spec.kind])]
    if problems:
        raise ConfigErrors(problems)


def _problems(loaded: Loaded, spec: Spec, point: EntryPoint) -> Iterator[Problem]:
    _loaded(point)
    owner = spec.id.owner
    place = (_SECTIONS[owner.kind], owner.name, "credentials", spec.id.name, FOREIGN_TABLE)
    for text in _said(point, spec.settings):
        yield loaded.inventory.problem(place, text, f"see the page of kind {spec.kind}")


def _said(point: EntryPoint, settings: Any) -> tuple[str, ...]:
    try:
        module = importlib.import_module(point.module)
        hook: Callable[[Mapping[str, object]], Iterable[str]] | None = getattr(module, "check", None)
        return () if hook is None else tuple(str(text) for text in hook(settings.table()))
    except Exception as problem:  # noqa: BLE001 - foreign code, see above
        _refuse(point, "failed to check its settings", problem)


def _loaded(point: EntryPoint) -> Callable[[KindPorts], Kind]:
    try:
        factory: Callable[[KindPorts], Kind] = point.load()
    except Exception as problem:  # noqa: BLE001 - foreign code, see above
        _refuse(point, "cannot be loaded", problem)
    return factory


def _refuse(point: EntryPoint, what: str, problem: Exception) -> NoReturn:
    """With the words of the exception: no secret has been given to it at this time."""
    said = problem.text if isinstance(problem, Fault) else " ".join(str(problem).split())
    text = f"the kind {point.name!r} of another package ({point.value}) {what}: {type(problem).__name__}"
    raise Denied(
        Code.CONFIG_INVALID,
        f"{text}: {said[:_WORDS]}" if said else text,
        hint="repair or uninstall that package; leaving it out would stop its rotations silently",
    ) from None
