"""Version directories: whole or not there, by one rename, and never through somebody else's hands."""

from __future__ import annotations

import errno
import grp
import os
from pathlib import Path

import pytest

from rotator.clients.directories import VersionDirectories
from rotator.core.errors import Code, Denied, Unavailable
from rotator.core.secret import Secret

FILES = {"tls/certificate.pem": "certificate", "tls/private_key.pem": Secret("key")}


def test_a_full_disk_leaves_the_old_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FIL-2, at each fsync of a version: no trace of the new one, the old one untouched, and space heals it."""
    store = VersionDirectories(tmp_path / "d")
    with store.locked():
        store.write("1", FILES)
        real, left = os.fsync, [0]

        def full(handle: int) -> None:
            left[0] -= 1
            if left[0] == 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            real(handle)

        monkeypatch.setattr(os, "fsync", full)
        for left[0] in range(1, 7):
            with pytest.raises(Unavailable) as failed:
                store.write("2", FILES)
            assert failed.value.code is Code.FILE_WRITE_FAILED
            assert os.listdir(tmp_path / "d/versions") == ["1"]
        monkeypatch.setattr(os, "fsync", real)
        store.write("2", FILES)
        assert store.intact("1")
        assert store.intact("2")


@pytest.mark.parametrize("mode", [0o777, 0o770])
def test_a_directory_that_others_may_write_is_refused(tmp_path: Path, mode: int) -> None:
    """FIL-3: whoever may write here could put the link elsewhere."""
    root = tmp_path / "d"
    root.mkdir()
    root.chmod(mode)
    with pytest.raises(Denied) as refused, VersionDirectories(root).locked():
        pass
    assert refused.value.code is Code.FILE_UNSAFE


def test_a_parent_that_others_may_write_is_refused(tmp_path: Path) -> None:
    """FIL-3: whoever may rename the directory owns what is in it."""
    tmp_path.chmod(0o775)
    with pytest.raises(Denied) as refused, VersionDirectories(tmp_path / "d").locked():
        pass
    assert refused.value.code is Code.FILE_UNSAFE


def test_a_symlink_in_place_of_our_directory_is_refused(tmp_path: Path) -> None:
    """FIL-3: consul-template once followed such links into other files."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "d").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Denied), VersionDirectories(tmp_path / "d").locked():
        pass


def test_modes_do_not_depend_on_the_umask(tmp_path: Path) -> None:
    """FIL-4: a service with umask 0 must not write readable keys."""
    before = os.umask(0)
    try:
        store = VersionDirectories(tmp_path / "d")
        with store.locked():
            store.write("1", FILES)
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "d").rglob("*")}
    assert {mode for name, mode in modes.items() if "." in name or name == "lock"} == {0o600}
    assert {modes[name] for name in ("versions", "state", "1", "tls")} == {0o700}


def test_a_group_may_read_but_not_write(tmp_path: Path) -> None:
    """The proxy runs as another user than the follower."""
    store = VersionDirectories(tmp_path / "d", group=grp.getgrgid(os.getgid()).gr_name)
    with store.locked():
        store.write("1", FILES)
        assert store.intact("1")
    key = (tmp_path / "d/versions/1/tls/private_key.pem").stat()
    assert (key.st_mode & 0o777, key.st_gid) == (0o640, (tmp_path / "d").stat().st_gid)
