"""What anybody on the machine can read of a process: its arguments and its environment, of short-lived children too."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

PROC = Path("/proc")
EVERY = 0.02


def family(pids: Sequence[int]) -> set[int]:
    """These processes and all their descendants that live now."""
    parents: dict[int, int] = {}
    for folder in PROC.iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                # The name in parentheses may hold spaces; the parent is the second field after it.
                parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    found = set(pids)
    while True:
        more = {child for child, parent in parents.items() if parent in found} - found
        if not more:
            return found
        found |= more


def shown(pids: Sequence[int]) -> dict[str, bytes]:
    """`cmdline of PID: PROGRAM …` -> content, of the whole family."""
    found = {}
    for pid in family(pids):
        for name in ("cmdline", "environ"):
            # A process that ends meanwhile has nothing more to show.
            with contextlib.suppress(OSError):
                content = (PROC / str(pid) / name).read_bytes()
                found[f"{name} of {pid}: {hash(content):x}"] = content
    return found


@contextmanager
def watched(pids: Sequence[int]) -> Iterator[dict[str, bytes]]:
    """Collects what the family shows until the block ends."""
    found: dict[str, bytes] = {}
    stop = threading.Event()

    def look() -> None:
        while not stop.wait(EVERY):
            found.update(shown(pids))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        stop.set()
        thread.join()
