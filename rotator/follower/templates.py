"""Finds what proxies' configurations are built on: shipped inside the wheel, in `templates/` of a checkout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import rotator
from rotator.core.errors import Code, Denied

_PACKAGE = Path(rotator.__file__).parent
_PLACES = (_PACKAGE / "_templates", _PACKAGE.parent / "templates")


def read_text(name: str, own: Path | None = None) -> str:
    """The site's own template if it names one, else the shipped one of that name. Denied when it cannot be read."""
    candidates = (own,) if own is not None else tuple(place / name for place in _PLACES)
    for path in candidates:
        if path.is_file():
            return path.read_text(encoding="utf-8")
    text = f"the template {own or name} is not there"
    raise Denied(Code.CONFIG_UNREADABLE, text, hint="check `template` of the proxy, or install rotator again")


def read_json(name: str, own: Path | None = None) -> dict[str, Any]:
    """A base document: a JSON object. Denied with line and column when it is not one."""
    try:
        parsed = json.loads(read_text(name, own))
    except json.JSONDecodeError as problem:
        text = f"the template {own or name} is not JSON: line {problem.lineno}, column {problem.colno}"
        raise Denied(Code.CONFIG_INVALID, text) from None
    if not isinstance(parsed, dict):
        raise Denied(Code.CONFIG_INVALID, f"the template {own or name} is not a JSON object")
    return parsed
