"""Local files: whole or not at all, safe from other people's hands, and one owner per directory."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rotator.clients import files
from rotator.clients.files import StateLock, swap_symlink, sweep_temporary, write_atomic
from rotator.core.errors import Code, Denied, Family, Fault
from rotator.core.secret import Secret

ROOT = Path(__file__).parents[2]


@pytest.fixture
def no_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def refused(code: Code) -> pytest.RaisesExc[Fault]:
    return pytest.RaisesExc(Fault, check=lambda fault: fault.code is code)


@pytest.mark.usefixtures("no_umask")
def test_a_file_is_written_with_exactly_its_mode(tmp_path: Path) -> None:
    """FIL-4: neither the umask nor an older file decides who may read a key."""
    write_atomic(tmp_path / "key", Secret("s3cret"))
    write_atomic(tmp_path / "cert", "public", 0o644)
    write_atomic(tmp_path / "key", b"new")
    assert ((tmp_path / "key").read_bytes(), (tmp_path / "cert").read_text()) == (b"new", "public")
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "cert").stat().st_mode & 0o777 == 0o644
    assert sorted(os.listdir(tmp_path)) == ["cert", "key"]


FULL = """
import resource, signal, sys
from pathlib import Path
from rotator.clients.files import write_atomic
from rotator.core.errors import Fault
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
try:
    write_atomic(Path(sys.argv[1]), "n" * 5000)
except Fault as fault:
    print(fault.code.name, fault.family.name)
"""


def test_a_write_that_runs_out_of_space_leaves_the_old_bytes(tmp_path: Path) -> None:
    """FIL-2: a full disk must not leave an empty key, nor a temporary file that fills it further."""
    target = tmp_path / "key"
    write_atomic(target, "old")
    command = [sys.executable, "-c", FULL, str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, timeout=60)
    assert done.stdout.split() == ["FILE_WRITE_FAILED", "UNAVAILABLE"]
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["key"]


KILLED = """
import os, signal, sys
from pathlib import Path
from rotator.clients import files
real = os.rename
def rename(*a, **k):
    if sys.argv[2] == "after":
        real(*a, **k)
    os.kill(os.getpid(), signal.SIGKILL)
os.rename = rename
files.write_atomic(Path(sys.argv[1]), "new")
"""


@pytest.mark.parametrize(("moment", "content", "left"), [("before", "old", 1), ("after", "new", 0)])
def test_death_around_the_rename_leaves_the_old_or_the_new(
    tmp_path: Path, moment: str, content: str, left: int
) -> None:
    """K14: content is one of two; what is left over goes at the next start."""
    target = tmp_path / "key"
    write_atomic(target, "old")
    subprocess.run([sys.executable, "-c", KILLED, str(target), moment], check=False, cwd=ROOT, timeout=60)
    assert target.read_text() == content
    (tmp_path / ".other.tmp").touch()
    assert sweep_temporary(tmp_path) == left
    assert sorted(os.listdir(tmp_path)) == [".other.tmp", "key"], "only our own temporary files go"


def test_a_symlink_is_never_written_through(tmp_path: Path) -> None:
    """FIL-3: a planted link must not turn our write into somebody else's file."""
    victim = tmp_path / "victim"
    victim.write_text("keep")
    (tmp_path / "key").symlink_to(victim)
    with refused(Code.FILE_UNSAFE):
        write_atomic(tmp_path / "key", "new")
    assert victim.read_text() == "keep"


def test_a_target_with_two_names_or_a_wider_mode_is_refused(tmp_path: Path) -> None:
    """The old key would live on under the other name, or was readable already: a person must look."""
    (tmp_path / "wide").touch(0o644)
    (tmp_path / "one").touch(0o600)
    os.link(tmp_path / "one", tmp_path / "two")
    for name in ("wide", "one"):
        with refused(Code.FILE_UNSAFE):
            write_atomic(tmp_path / name, "new")


@pytest.mark.parametrize("mode", [0o720, 0o702, 0o1777])
def test_a_folder_that_others_may_write_is_refused(tmp_path: Path, mode: int) -> None:
    """Whoever may write the folder may exchange the file, sticky bit or not."""
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(mode)
    with refused(Code.FILE_UNSAFE):
        write_atomic(folder / "key", "new")


def test_an_open_folder_further_up_is_refused_unless_it_is_sticky(tmp_path: Path) -> None:
    """A sticky folder is fine above our own one; a plain shared one is not."""
    inner = tmp_path / "shared" / "own"
    inner.mkdir(parents=True, mode=0o700)
    inner.parent.chmod(0o777)
    with refused(Code.FILE_UNSAFE):
        write_atomic(inner / "key", "new")
    inner.parent.chmod(0o1777)
    write_atomic(inner / "key", "new")


def give_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes a third user the owner; who is not root cannot, and becomes a third user instead."""
    if os.geteuid() == 0:
        os.chown(path, 12345, 12345, follow_symlinks=False)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 12345)


@pytest.mark.parametrize("theirs", ["own", "link", "own/key"])
def test_what_belongs_to_a_third_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, theirs: str) -> None:
    """The folder, a symlink on the way, or the file itself."""
    (tmp_path / "own").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to("own")
    write_atomic(tmp_path / "link" / "key", "old")
    give_away(tmp_path / theirs, monkeypatch)
    with refused(Code.FILE_UNSAFE):
        write_atomic(tmp_path / "link" / "key", "new")


def test_a_missing_folder_is_denied_with_the_systems_words(tmp_path: Path) -> None:
    """A typing error in a path heals only by a person, and names the path."""
    with pytest.raises(Denied) as caught:
        write_atomic(tmp_path / "no" / "key", Secret("s3cret"))
    assert caught.value.code is Code.FILE_WRITE_FAILED
    assert "No such file" in caught.value.text
    assert caught.value.family is Family.DENIED
    assert "s3cret" not in str(caught.value)


def test_a_swap_moves_a_symlink_and_nothing_else(tmp_path: Path) -> None:
    """A reader sees one whole folder at any time; a folder in the link's place is not removed."""
    swap_symlink(tmp_path / "current", "versions/1")
    swap_symlink(tmp_path / "current", "versions/2")
    assert os.readlink(tmp_path / "current") == "versions/2"
    (tmp_path / "folder").mkdir()
    with refused(Code.FILE_UNSAFE):
        swap_symlink(tmp_path / "folder", "versions/1")
    assert sorted(os.listdir(tmp_path)) == ["current", "folder"]


def test_one_process_holds_a_state_directory(tmp_path: Path) -> None:
    """Two instances in one directory would share an audit file; the second is told what to do."""
    state = tmp_path / "state"
    with StateLock(state) as held:
        with pytest.raises(Denied) as caught:
            StateLock(state)
        assert caught.value.code is Code.STATE_DIR_LOCKED
        assert "fuser" in caught.value.hint
        assert state.stat().st_mode & 0o777 == 0o700
    held.release()
    with StateLock(state):
        assert (state / "lock").exists()


def test_the_words_of_a_fault_say_whether_it_may_heal(tmp_path: Path) -> None:
    """A full disk is tried again; a read-only one waits for a person."""
    for number, family in ((28, Family.UNAVAILABLE), (5, Family.UNAVAILABLE), (30, Family.DENIED), (13, Family.DENIED)):
        with pytest.raises(Fault) as caught, files.faults(tmp_path):
            raise OSError(number, os.strerror(number))
        assert caught.value.family is family
