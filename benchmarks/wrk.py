"""Where wrk comes from: named in the environment, on PATH, or the Debian package of this machine's own release."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rotator.dev.servers import debian
from rotator.dev.servers.cache import Cache

# What the program of the package is linked with, and what may not be installed.
_LIBRARY = "libluajit-5.1.so.2"


@dataclass(frozen=True, slots=True)
class Program:
    """environment: variables that it needs."""

    path: Path
    environment: Mapping[str, str]


def find(environment: Mapping[str, str] = os.environ) -> Program:
    """Raises Missing (rotator.dev.servers.cache) with one clause for each way that was tried."""
    named = environment.get("ROTATOR_WRK") or shutil.which("wrk", path=environment.get("PATH", ""))
    if named:
        return Program(Path(named), {})
    cache = Cache.of(environment)
    wrk = cache.obtain("wrk", [_file("wrk", "usr/bin/wrk")])
    library = cache.obtain(_LIBRARY, [_file("libluajit-5.1-2", f"usr/lib/*/{_LIBRARY}")])
    return Program(wrk, {"LD_LIBRARY_PATH": str(library.parent)})


def _file(package: str, member: str) -> Callable[[Path], None]:
    return lambda target: debian.fetch(debian.Package(package, debian.own_suite(), member), target)
