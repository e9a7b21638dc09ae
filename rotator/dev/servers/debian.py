"""Programs out of Debian packages, without root: Consul 1.8.7 of Debian 11 (the last release that carries it), others
from the machine's own release.

The machine's own mirror, its own keyring and apt's own signature check; lists and cache of our own. Nothing of the
machine's package state changes, nothing is installed.
"""

from __future__ import annotations

import getpass
import platform
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rotator.dev.servers import fetching
from rotator.dev.servers.cache import Missing

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_APT = Path("/etc/apt")
# `deb [signed-by=/k.gpg arch=amd64] URI SUITE COMPONENT...`, sources.list(5).
_LINE = re.compile(r"^deb\s+(?:\[(?P<options>[^\]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s+(?P<parts>.+)$")


@dataclass(frozen=True, slots=True)
class Mirror:
    """One archive that this machine already trusts. `keyring` is empty where apt's own trusted keys hold."""

    uri: str
    keyring: str = ""


@dataclass(frozen=True, slots=True)
class Package:
    """One file of a package. suite: release code name. member: glob below the package's root."""

    name: str
    suite: str
    member: str

    def __str__(self) -> str:
        return f"Debian package {self.name} of {self.suite}"


CONSUL = Package("consul", "bullseye", "usr/bin/consul")


def fetch_consul(target: Path) -> None:
    """Writes the program to `target`. Raises Missing as `fetch`."""
    fetch(CONSUL, target)


def own_suite() -> str:
    """The code name of this machine's Debian release. Raises Missing where it is another system."""
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        release = {}
    if release.get("ID") != "debian" or "VERSION_CODENAME" not in release:
        raise Missing("this machine is not a Debian release")
    return release["VERSION_CODENAME"]


def fetch(package: Package, target: Path) -> None:
    """Writes the file to `target`. Raises Missing when there is no apt or no mirror of this machine carries it."""
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise Missing(f"{package}: no apt here")
    found = list(mirrors())
    if not found:
        raise Missing(f"{package}: apt knows no Debian mirror")
    reasons: list[str] = []
    for mirror in found:
        try:
            return _fetch_from(mirror, package, target)
        except Missing as missing:
            reasons.extend(missing.reasons)
    raise Missing(*reasons)


def mirrors(apt: Path = _APT, default_keyring: Path = KEYRING) -> Iterator[Mirror]:
    """The main archives among the machine's apt sources, each once, with the keyring that its entry names."""
    seen: set[str] = set()
    for mirror in _entries(apt):
        if mirror.uri.rstrip("/") not in seen:
            seen.add(mirror.uri.rstrip("/"))
            keyring = mirror.keyring or (str(default_keyring) if default_keyring.is_file() else "")
            yield Mirror(mirror.uri, keyring)


def _entries(apt: Path) -> Iterator[Mirror]:
    parts = apt / "sources.list.d"
    for path in sorted(parts.glob("*.sources")):
        for stanza in re.split(r"\n\s*\n", path.read_text(encoding="utf-8")):
            yield from _from_stanza(stanza)
    for path in [apt / "sources.list", *sorted(parts.glob("*.list"))]:
        if path.is_file():
            yield from _from_lines(path.read_text(encoding="utf-8"))


def _from_stanza(stanza: str) -> Iterator[Mirror]:
    lines = [line for line in stanza.splitlines() if not line.startswith("#")]
    fields: dict[str, str] = {}
    name = ""
    for line in lines:
        if line[:1].isspace():
            fields[name] = f"{fields.get(name, '')} {line.strip()}"
        elif ":" in line:
            head, value = line.split(":", 1)
            name = head.strip().lower()
            fields[name] = value.strip()
    keyring = fields.get("signed-by", "")
    if "deb" in fields.get("types", "").split() and fields.get("enabled", "yes").lower() != "no":
        for uri in fields.get("uris", "").split():
            if _is_main(uri, fields.get("suites", "").split(), fields.get("components", "").split()):
                # A keyring written into the stanza itself (PGP block) is not a file: apt's default keyring holds then.
                yield Mirror(uri, keyring if keyring.startswith("/") else "")


def _from_lines(text: str) -> Iterator[Mirror]:
    for line in text.splitlines():
        match = _LINE.match(line.strip())
        if match and _is_main(match["uri"], [match["suite"]], match["parts"].split()):
            options = dict(option.split("=", 1) for option in (match["options"] or "").split() if "=" in option)
            yield Mirror(match["uri"], options.get("signed-by", ""))


def _is_main(uri: str, suites: list[str], components: list[str]) -> bool:
    security = all(suite.endswith(("-security", "/updates", "-updates", "-backports")) for suite in suites)
    return "main" in components and not security and uri.rstrip("/").endswith("debian")


def _fetch_from(mirror: Mirror, package: Package, target: Path) -> None:
    what, folder = str(package), target.parent / "apt"
    for part in ("lists/partial", "archives/partial"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    signed = f"[signed-by={mirror.keyring}] " if mirror.keyring else ""
    sources = folder / "sources.list"
    sources.write_text(f"deb {signed}{mirror.uri} {package.suite} main\n", encoding="utf-8")
    apt = ["apt-get", "-q", *_options(folder, sources)]
    fetching.run([*apt, "update"], what, folder)
    fetching.run([*apt, "download", package.name], what, folder)
    archive = next(folder.glob(f"{package.name}_*.deb"), None)
    if archive is None:
        raise Missing(f"{what}: apt downloaded nothing")
    fetching.run(["dpkg-deb", "-x", str(archive), str(folder / "files")], what, folder)
    found = next((path for path in (folder / "files").glob(package.member) if path.is_file()), None)
    if found is None:
        raise Missing(f"{what}: it holds no {package.member}")
    shutil.copyfile(found, target)


def _options(folder: Path, sources: Path) -> list[str]:
    settings = {
        "Dir::Etc::sourcelist": str(sources),
        "Dir::Etc::sourceparts": "-",
        "Dir::State::lists": str(folder / "lists"),
        "Dir::Cache": str(folder),
        "Dir::Cache::archives": str(folder / "archives"),
        "Acquire::Languages": "none",
        # Without it `update` only warns when the mirror does not answer, and `download` then says less.
        "APT::Update::Error-Mode": "any",
        # As root apt would fetch as user _apt, who may not enter this private folder.
        "APT::Sandbox::User": getpass.getuser(),
        # Hooks of the machine's configuration belong to its own cache, not to this one.
        "APT::Update::Post-Invoke::": "true",
    }
    return [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
