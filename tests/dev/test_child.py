"""A supervised process: ready or explained, frozen, ended, and never alive longer than its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rotator.core.errors import Code, Unavailable
from rotator.dev.servers.process import Child

SLEEPER = "import time; time.sleep(60)"
STUBBORN = """
import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path(sys.argv[1]).touch()
time.sleep(60)
"""
PARENT = """
import pathlib, sys, time
from rotator.dev.servers.process import Child
mark = pathlib.Path(sys.argv[1])
argv = [sys.executable, "-c", "import pathlib, sys, time; pathlib.Path(sys.argv[1]).touch(); time.sleep(60)", str(mark)]
child = Child(argv, mark.with_name("log"), {})
child.await_ready(mark.exists, 10)
print(child.pid, flush=True)
time.sleep(60)
"""


def await_that(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.01)


def state(pid: int) -> str:
    """The kernel's letter for a process (proc(5)), empty when there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def test_a_server_dies_with_its_parent_even_when_that_is_killed(tmp_path: Path) -> None:
    """A killed test run or demo must leave no server behind, and no finalizer runs then."""
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path / "up")], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent.stdout as said:
        pid = int(said.readline())
    assert state(pid) != ""  # it runs by now: before that, another check of the shim would end it
    parent.kill()
    parent.wait()
    await_that(lambda: state(pid) in ("", "Z"))


def test_a_server_that_ignores_term_is_killed(tmp_path: Path) -> None:
    """Stopping has an end, also for a server that hangs in its own shutdown."""
    mark = tmp_path / "up"
    child = Child([sys.executable, "-c", STUBBORN, str(mark)], tmp_path / "log", {})
    child.await_ready(mark.exists, 10)
    child.stop(grace=0.1)
    assert not child.alive
    child.stop()


def test_a_frozen_server_is_stopped_in_order(tmp_path: Path) -> None:
    """A stopped process does not see TERM: without resuming it first every such stop would wait for the kill."""
    child = Child([sys.executable, "-c", SLEEPER], tmp_path / "log", {})
    child.pause()
    await_that(lambda: state(child.pid) == "T")
    child.stop(grace=30)
    assert not child.alive


def test_a_server_that_ends_at_once_is_explained_by_its_last_words(tmp_path: Path) -> None:
    """The reason stands in the log; nobody should have to look for it."""
    child = Child([sys.executable, "-c", "raise SystemExit('no such option')"], tmp_path / "log", {})
    with pytest.raises(Unavailable) as caught:
        child.await_ready(lambda: False, 10)
    assert caught.value.code is Code.SERVER_MISSING
    assert "ended at once: no such option" in caught.value.text
    assert str(tmp_path / "log") in caught.value.hint


def test_a_server_that_is_never_ready_is_ended(tmp_path: Path) -> None:
    """A failed start leaves no process behind."""
    child = Child([sys.executable, "-c", SLEEPER], tmp_path / "log", {})
    with pytest.raises(Unavailable, match=r"not ready within 0\.1 s"):
        child.await_ready(lambda: False, 0.1)
    assert not child.alive


def test_a_server_sees_nothing_of_our_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """VAULT_TOKEN of the person who runs the demo is none of a server's business."""
    monkeypatch.setenv("VAULT_TOKEN", "hvs.mine")
    log = tmp_path / "log"
    child = Child([sys.executable, "-c", "import os; print(sorted(os.environ))"], log, {"HOME": str(tmp_path)})
    await_that(lambda: not child.alive)
    assert "HOME" in log.read_text()
    assert "VAULT_TOKEN" not in log.read_text()


def test_the_whole_group_ends(tmp_path: Path) -> None:
    """A server's own helpers end with it."""
    forking = "import subprocess, sys; subprocess.run([sys.executable, '-c', " + repr(SLEEPER) + "])"
    child = Child([sys.executable, "-c", forking], tmp_path / "log", {})
    await_that(lambda: len(_group(child.pid)) == 2)
    members = _group(child.pid)
    child.kill()
    await_that(lambda: all(state(pid) in ("", "Z") for pid in members))


def _group(leader: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if os.getpgid(int(entry.name)) == leader:
                    found.append(int(entry.name))
            except ProcessLookupError:
                continue
    return found


def test_a_signal_never_reaches_a_process_that_took_the_id_over(tmp_path: Path) -> None:
    """After the end was noticed the id is free: pause and kill must do nothing."""
    child = Child([sys.executable, "-c", SLEEPER], tmp_path / "log", {})
    os.kill(child.pid, signal.SIGKILL)
    await_that(lambda: not child.alive)
    child.pause()
    child.kill()
    child.stop()
