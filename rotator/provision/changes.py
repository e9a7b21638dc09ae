"""What a bootstrap did, or would do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Sign(StrEnum):
    CREATE = "+"
    CHANGE = "~"
    SAME = "="
    OWED = "!"  # somebody else must make it


@dataclass(frozen=True, slots=True)
class Change:
    """`fields`: the names of what differs; never values, which may be long or private."""

    sign: Sign
    what: str
    fields: tuple[str, ...] = ()


def differing(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the wanted fields that are not so yet. Servers reorder lists and trim texts; neither is a difference."""
    return tuple(sorted(name for name, value in wanted.items() if _plain(value) != _plain(found.get(name))))


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, Sequence):
        return sorted(str(one) for one in value)
    return value or 0 if value is None or isinstance(value, bool) else value
