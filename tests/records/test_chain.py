"""What the writer of the chain does when the file, the disk or the process fails under it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rotator.clients.append_file import DurableFile, archives
from rotator.core.errors import Code, Denied, Unavailable
from rotator.records.audit import AuditOptions
from rotator.records.chain import ZERO, Anchor
from rotator.records.verify import Checks, Verdict
from tests.records.writing import check, open_chain, told, write_chain


class Killed(BaseException):
    """Stands for the end of the process at a failpoint."""


class KillAt:
    """`ports.Failpoint` that ends the writer at one point."""

    def __init__(self, point: str) -> None:
        self.point = point

    def reach(self, point: str, target: str) -> None:
        if point == self.point:
            raise Killed


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def names(path: Path) -> list[str]:
    return [record["event"] for record in records(path)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


def test_a_new_chain_begins_with_its_own_line(path: Path) -> None:
    """Seq 1 and 64 zeros: the verifier can tell a beginning from a cut."""
    audit = open_chain(path)
    assert audit.head() == (0, ZERO)
    audit.append([told()])
    first, second = records(path)
    assert (first["event"], first["seq"], first["prev"]) == ("chain_started", 1, ZERO)
    assert audit.head() == (2, second["hash"])
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_restart_goes_on_where_the_last_process_ended(path: Path) -> None:
    """One chain across restarts, without any extra line."""
    write_chain(path, 2)
    write_chain(path, 2)
    assert names(path) == ["chain_started"] + ["config_loaded"] * 4
    assert check(path).verdict is Verdict.GOOD


def test_the_context_of_a_line_is_that_of_its_time(path: Path) -> None:
    """Epoch and configuration change while the service runs."""
    audit = open_chain(path)
    audit.append([told()])
    audit.set_epoch(7)
    audit.set_config_hash("d" * 64)
    audit.append([told()])
    assert [(one["epoch"], one["config_hash"][0]) for one in records(path)[1:]] == [(0, "c"), (7, "d")]


def test_a_half_written_line_is_cut_off_and_told(path: Path) -> None:
    """K13: death in the middle of a write costs that batch and nothing else."""
    write_chain(path, 1)
    dying = open_chain(path, AuditOptions(failpoint=KillAt("K13")))
    with pytest.raises(Killed):
        dying.append([told(1)])
    dying.close()
    assert check(path).verdict is Verdict.TORN
    torn = len(path.read_bytes().splitlines()[-1])
    write_chain(path, 1)
    assert check(path).verdict is Verdict.GOOD
    assert names(path) == ["chain_started", "config_loaded", "audit_repaired", "config_loaded"]
    assert records(path)[2]["evidence"] == {"bytes": str(torn)}


def test_death_in_the_very_first_line_begins_the_chain_anew(path: Path) -> None:
    """A file that holds nothing but half a line is an empty one."""
    dying = open_chain(path, AuditOptions(failpoint=KillAt("K13")))
    with pytest.raises(Killed):
        dying.start()
    dying.close()
    write_chain(path, 1)
    assert names(path) == ["chain_started", "audit_repaired", "config_loaded"]
    assert check(path).verdict is Verdict.GOOD


@pytest.mark.parametrize("moved", [True, False], ids=["renamed", "removed"])
def test_a_file_that_goes_away_is_followed_by_another(path: Path, tmp_path: Path, moved: bool) -> None:
    """F28: logrotate renames, an intruder removes; the next line is in a file that names the head before it."""
    audit, old = open_chain(path), tmp_path / "old"
    audit.append([told()])
    seq, digest = audit.head()
    path.rename(old)
    audit.append([told()])
    assert names(path) == ["chain_continued", "config_loaded"]
    assert records(path)[0]["evidence"] == {"previous_seq": str(seq), "previous_hash": digest}
    if moved:
        assert check(old, path).verdict is Verdict.GOOD
    else:
        assert check(path).verdict is Verdict.BROKEN


def test_a_file_put_in_the_place_of_ours_is_kept_and_not_written(path: Path, tmp_path: Path) -> None:
    """F28: what somebody put there is evidence."""
    audit, old = open_chain(path), tmp_path / "old"
    audit.append([told()])
    path.rename(old)
    path.write_bytes(b"something else\n")
    audit.append([told()])
    assert (tmp_path / "audit.jsonl.damaged").read_bytes() == b"something else\n"
    assert names(path) == ["chain_continued", "audit_repaired", "config_loaded"]
    assert check(old, path).verdict is Verdict.GOOD


def test_a_file_that_shrinks_is_written_on_and_told(path: Path) -> None:
    """Truncation under a running service shows at once in the log and for ever in the verifier."""
    audit = open_chain(path)
    audit.append([told(1), told(2)])
    os.truncate(path, path.stat().st_size - 100)
    audit.append([told(3)])
    lines = path.read_bytes().splitlines()
    assert [json.loads(line)["event"] for line in lines[-2:]] == ["audit_repaired", "config_loaded"]
    result = check(path)
    assert (result.verdict, result.line) == (Verdict.BROKEN, 3)


def test_a_last_line_that_was_changed_is_set_aside_at_the_start(path: Path, tmp_path: Path) -> None:
    """It is no witness any more; the service goes on in a new chain and keeps the old file for whoever asks."""
    write_chain(path, 2)
    path.write_bytes(path.read_bytes().replace(b"number 1", b"number 7"))
    write_chain(path, 1)
    assert check(tmp_path / "audit.jsonl.damaged").verdict is Verdict.BROKEN
    assert names(path) == ["chain_started", "audit_repaired", "config_loaded"]


def test_rotation_keeps_one_chain_across_files(path: Path) -> None:
    """AUD-6: no line is lost and none is written twice, whatever the size."""
    audit = open_chain(path, AuditOptions(rotate_bytes=3000))
    for number in range(12):
        audit.append([told(number)])
    closed = archives(path)
    assert len(closed) > 2
    assert all(file.stat().st_size <= 3000 for file in closed)
    result = check(*closed, path)
    assert (result.verdict, result.head and result.head.seq) == (Verdict.GOOD, audit.head()[0])
    assert names(path)[0] == "chain_continued"


def test_death_between_the_files_of_a_rotation_loses_nothing(path: Path, tmp_path: Path) -> None:
    """The head is found in the closed file, whether the new one is missing, empty or half written."""
    write_chain(path, 2)
    for left in (None, b"", b'{"acto'):
        seq = check(*archives(path), path).head
        assert seq is not None
        path.rename(tmp_path / f"audit.jsonl.{seq.seq:012d}")
        if left is not None:
            path.write_bytes(left)
        write_chain(path, 1)
        assert check(*archives(path), path).verdict is Verdict.GOOD


LIMITED = """
import resource, signal, sys
from pathlib import Path
from rotator.core.errors import Denied
from tests.records.writing import open_chain, told
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path = Path(sys.argv[1])
audit = open_chain(path)
audit.append([told(0)])
good = path.read_bytes()
resource.setrlimit(resource.RLIMIT_FSIZE, (len(good) + 100, resource.RLIM_INFINITY))
for _ in range(2):
    try:
        audit.append([told(1), told(2)])
    except Denied as fault:
        print(fault.code.name)
    assert path.read_bytes() == good, "bytes of a refused batch stayed"
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
audit.append([told(3)])
print(audit.head()[0])
"""


def test_a_full_disk_blocks_and_leaves_the_old_bytes(path: Path) -> None:
    """F27: a short write is cut off again; with space back the chain goes on as if nothing had been tried."""
    command = [sys.executable, "-c", LIMITED, str(path)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2], timeout=60
    )
    assert done.stdout.split() == ["AUDIT_BLOCKED", "AUDIT_BLOCKED", "3"]
    assert check(path).verdict is Verdict.GOOD


class FullAtFirst(DurableFile):
    """Has no space for its first writes."""

    full = 2

    def append(self, data: bytes, pause: Callable[[], None] | None = None) -> None:
        if self.full:
            self.full -= 1
            raise Denied(Code.FILE_WRITE_FAILED, "no space")
        super().append(data, pause)


def test_the_first_line_is_not_lost_when_the_disk_is_full_at_the_start(path: Path) -> None:
    """A chain that begins with an ordinary line would be judged as cut for ever."""
    audit = open_chain(path, file=FullAtFirst(path))
    for _ in range(2):
        with pytest.raises(Denied) as caught:
            audit.append([told()])
        assert caught.value.code is Code.AUDIT_BLOCKED
    audit.append([told()])
    assert names(path) == ["chain_started", "config_loaded"]


class FailsAfterwards(DurableFile):
    """The sync of one write fails, and so does cutting off what had arrived."""

    failing = False

    def append(self, data: bytes, pause: Callable[[], None] | None = None) -> None:
        super().append(data, pause)
        if self.failing:
            self.failing = False
            raise Unavailable(Code.FILE_WRITE_FAILED, "I/O error")


def test_a_refused_batch_that_stayed_on_disk_is_cut_off_before_the_next(path: Path) -> None:
    """The caller was told that nothing was written, so nothing of it may stand in the log."""
    file = FailsAfterwards(path)
    audit = open_chain(path, file=file)
    audit.append([told(1)])
    file.failing = True
    with pytest.raises(Denied):
        audit.append([told(2)])
    audit.append([told(3)])
    assert [record["text"] for record in records(path)[1:]] == ["number 1", "number 3"]
    assert check(path).verdict is Verdict.GOOD


def test_a_device_that_is_always_full_is_refused(tmp_path: Path) -> None:
    """/dev/full is no plain file: the refusal comes before any write."""
    (tmp_path / "audit.jsonl").symlink_to("/dev/full")
    with pytest.raises(Denied) as caught:
        open_chain(tmp_path / "audit.jsonl").start()
    assert caught.value.code is Code.AUDIT_BLOCKED


def test_two_processes_never_share_a_file(path: Path) -> None:
    """Two writers would give two lines one number."""
    first = open_chain(path)
    first.start()
    with pytest.raises(Denied) as caught:
        open_chain(path, instance="two").start()
    assert "another process" in caught.value.text
    first.close()
    open_chain(path, instance="two").start()


def test_threads_never_share_a_number(path: Path) -> None:
    """Web and cycle write at once; a batch stays together."""
    audit = open_chain(path)

    def write() -> None:
        for _ in range(20):
            audit.append([told(1), told(2)])

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert check(path).verdict is Verdict.GOOD
    texts = [record["text"] for record in records(path)[1:]]
    assert texts == ["number 1", "number 2"] * 80


def test_the_second_sink_gets_durable_lines_and_cannot_block(path: Path) -> None:
    """A closed pipe behind stdout must not stop rotations."""
    seen: list[bytes] = []

    def sink(line: bytes) -> None:
        seen.append(line)
        raise BrokenPipeError

    audit = open_chain(path, AuditOptions(sink=sink))
    audit.append([told()])
    assert seen == path.read_bytes().splitlines()
    assert audit.sink_errors == 2


def test_the_head_serves_as_anchor(path: Path) -> None:
    """What is copied to Consul is what the verifier takes."""
    audit = open_chain(path)
    audit.append([told()])
    anchor = audit.anchor()[1]
    audit.append([told()])
    assert Anchor.parse(str(anchor)) == anchor
    assert check(path, checks=Checks(anchors=(anchor,))).verdict is Verdict.GOOD
