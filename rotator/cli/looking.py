"""How commands look: the operator's view of the configuration that was named, and the names it holds."""

from __future__ import annotations

import os
import sys
import tomllib
from pathlib import Path
from typing import Any

from rotator.cli.console import DEFAULT_CONFIG, FLAGS


def view_of(config: str) -> Any:
    """The `rotation.view.View` of a configuration. Raises Fault."""
    from rotator import app as wiring

    settings = wiring.load(config)
    return wiring.open_view(settings, _told) if FLAGS.show_requests else wiring.open_view(settings)


def _told(operation: str, code: str, seconds: float) -> None:
    sys.stderr.write(f"consul {operation}: {code} in {seconds * 1000:.0f} ms\n")


def complete_target(incomplete: str) -> list[str]:
    """Credentials and owners for the shell's completion, from the local files alone: quick, and no server is asked."""
    names: list[str] = []
    for raw in _tables():
        for section, kind in (("agents", "agent"), ("proxies", "proxy")):
            for owner, entry in raw.get(section, {}).items():
                names += [f"{kind}/{owner}", *(f"{kind}/{owner}/{name}" for name in entry.get("credentials", {}))]
    return sorted(name for name in names if name.startswith(incomplete))


def complete_proxy(incomplete: str) -> list[str]:
    found = {name for raw in _tables() for name in raw.get("proxies", {})}
    return sorted(name for name in found if name.startswith(incomplete))


def _tables() -> list[dict[str, Any]]:
    """What can be parsed; a completion never complains."""
    main = Path(os.environ.get("ROTATOR_CONFIG", DEFAULT_CONFIG))
    found = [raw for raw in (_table(main),) if raw]
    folder = found[0].get("inventory", {}).get("folder") if found else None
    if isinstance(folder, str):
        found += [raw for file in sorted((main.parent / folder).glob("*.toml")) if (raw := _table(file))]
    return found


def _table(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
