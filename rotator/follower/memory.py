"""`state/applied.json`: the applied state across restarts. Public facts only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from rotator.core.errors import Fault
from rotator.follower.state import Applied, Setback, Step, Version
from rotator.publish import canonical
from rotator.publish.report import Running

FORMAT = 1


def encode(applied: Applied) -> str:
    raw = {
        "format": FORMAT,
        "version": _version(applied.version),
        "directory": applied.directory,
        "acted": applied.acted,
        "confirmed_at": applied.confirmed_at.isoformat() if applied.confirmed_at else None,
        "good": _version(applied.good),
        "good_directory": applied.good_directory,
        "running": {name: asdict(run) for name, run in applied.running.items()},
        "setbacks": [
            {**asdict(one), "step": one.step.value, "retry_at": one.retry_at.isoformat()} for one in applied.setbacks
        ],
    }
    return canonical.encode(raw).decode()


def decode(body: bytes | None) -> Applied:
    """A missing or damaged file means: nothing is known to be applied. Then everything is done again, which is safe."""
    if body is None:
        return Applied()
    try:
        raw = canonical.decode(body, "the applied state")
        return _applied(raw) if raw.get("format") == FORMAT else Applied()
    except (Fault, KeyError, TypeError, ValueError, AttributeError):
        return Applied()


def _applied(raw: Mapping[str, Any]) -> Applied:
    return Applied(
        version=_read_version(raw["version"]),
        directory=str(raw["directory"]),
        acted=bool(raw["acted"]),
        confirmed_at=datetime.fromisoformat(raw["confirmed_at"]) if raw["confirmed_at"] else None,
        good=_read_version(raw["good"]),
        good_directory=str(raw["good_directory"]),
        running={name: Running(**run) for name, run in raw["running"].items()},
        setbacks=tuple(_setback(one) for one in raw["setbacks"]),
    )


def _setback(raw: Mapping[str, Any]) -> Setback:
    return Setback(
        Step(raw["step"]), str(raw["digest"]), str(raw["code"]), str(raw["text"]), int(raw["count"]),
        datetime.fromisoformat(raw["retry_at"]),
    )  # fmt: skip


def _version(version: Version | None) -> dict[str, Any] | None:
    if version is None:
        return None
    return {"number": version.number, "digest": version.digest, "issued_at": version.issued_at.isoformat()}


def _read_version(raw: Mapping[str, Any] | None) -> Version | None:
    if raw is None:
        return None
    return Version(int(raw["number"]), str(raw["digest"]), datetime.fromisoformat(raw["issued_at"]))
