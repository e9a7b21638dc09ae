"""Where programs come from, and the words when there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from rotator.core.errors import Code, Denied
from rotator.dev.servers import locate
from rotator.dev.servers.locate import Server


def program(path: Path, content: bytes = b"\x7fELF") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(0o755)
    return path


def test_the_program_named_in_the_environment_comes_first(tmp_path: Path) -> None:
    """Who names a program wants that one tested."""
    named, other = program(tmp_path / "mine"), program(tmp_path / "bin" / "consul")
    environment = {"ROTATOR_CONSUL": str(named), "PATH": str(other.parent), "HOME": str(tmp_path)}
    assert locate.find(Server.CONSUL, environment) == named


@pytest.mark.parametrize("content", [None, b"#!/bin/sh\nexec consul"])
def test_a_named_program_that_cannot_be_the_server_is_an_error(tmp_path: Path, content: bytes | None) -> None:
    """To go on with another program would hide the mistake."""
    path = tmp_path / "mine"
    if content is not None:
        program(path, content)
    with pytest.raises(Denied, match="ROTATOR_CONSUL names") as caught:
        locate.find(Server.CONSUL, {"ROTATOR_CONSUL": str(path), "PATH": "", "HOME": str(tmp_path)})
    assert caught.value.code is Code.SERVER_MISSING


def test_vault_is_as_good_as_openbao(tmp_path: Path) -> None:
    """One API, both must work."""
    vault = program(tmp_path / "vault")
    assert locate.find(Server.OPENBAO, {"PATH": str(tmp_path), "HOME": str(tmp_path)}) == vault


def test_a_script_on_the_path_is_passed_over(tmp_path: Path) -> None:
    """Freezing a script that waits for the server would freeze nothing."""
    program(tmp_path / "bin" / "consul", b"#!/bin/sh\n")
    kept = program(tmp_path / "cache" / "servers" / "consul")
    environment = {"PATH": str(tmp_path / "bin"), "ROTATOR_CACHE": str(tmp_path / "cache")}
    assert locate.find(Server.CONSUL, environment) == kept


def test_when_nothing_works_each_way_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader must see what was tried and what to do, at once."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    program(tmp_path / "consul", b"#!/bin/sh\n")
    with pytest.raises(Denied) as caught:
        locate.find(Server.CONSUL, {"PATH": str(tmp_path), "ROTATOR_CACHE": str(tmp_path / "cache")})
    assert caught.value.code is Code.SERVER_MISSING
    for words in ("ROTATOR_CONSUL is not set", "is a script", "not installed beside", "Docker: ", "no apt here"):
        assert words in caught.value.text
    assert "ROTATOR_CONSUL" in caught.value.hint
