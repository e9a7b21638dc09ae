"""What a process and the stores hold at one moment: what must stay flat however long the service runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rotator.dev.world import World


@dataclass(frozen=True, slots=True)
class Footprint:
    """memory: resident MiB. files: open descriptors. left: temporary files. keys: in Consul, without documents and
    without the anchor of the audit, which comes after a minute."""

    memory: float
    threads: int
    files: int
    left: int
    keys: int
    documents: int


def of_service(world: World, keys: Callable[[], Mapping[str, bytes]]) -> Footprint:
    process = Path("/proc") / str(world.service.pid)
    status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines() if ":" in line)
    names = [name for name in keys() if "/audit/" not in name]
    documents = [name for name in names if "/versions/" in name]
    return Footprint(
        memory=int(status["VmRSS"].split()[0]) / 1024,
        threads=int(status["Threads"]),
        files=len(list((process / "fd").iterdir())),
        left=sum(1 for path in world.place.state.rglob("*") if path.name.startswith(".") or ".tmp" in path.name),
        keys=len(names) - len(documents),
        documents=len(documents),
    )


def growth(before: Footprint, after: Footprint) -> list[str]:
    """What grew more than noise. A second connection of a pool is noise; a file per rotation is not."""
    allowed = {"memory": max(8.0, before.memory * 0.15), "threads": 1, "files": 4, "left": 0, "keys": 0}
    found = []
    for name, more in allowed.items():
        old, new = getattr(before, name), getattr(after, name)
        if new - old > more:
            found.append(f"{name}: {old:g} -> {new:g}")
    return found
