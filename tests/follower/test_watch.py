"""The loop: a change wakes it, an outage does not end it, a stop ends it, rest is kept."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest

from rotator.clients import process
from rotator.core.errors import Code, Denied, Unavailable
from rotator.follower.watch import Followed, TokenBucket, Watch
from tests.fakes.consul import FakeKeys
from tests.follower.world import StubAdapter, World


def test_changes_wake_the_loop_and_outages_do_not_end_it(world: World) -> None:
    """Published after the start, and after a failed blocking query."""
    world.consul.fail_next("wait_for")
    stop, seen = threading.Event(), threading.Semaphore(0)
    versions: list[int] = []

    def tell(_owner: str, outcome) -> None:
        if outcome.settled:
            versions.append(outcome.version)
            seen.release()

    followed = Followed(world.proxy(StubAdapter()), FakeKeys(world.consul))
    worker = threading.Thread(target=Watch((followed,), world.clock, stop, tell).run)
    worker.start()
    try:
        for number in (1, 2):
            world.publish(number, world.server())
            deadline = time.monotonic() + 20
            while number not in versions:
                world.clock.advance(timedelta(seconds=1))
                seen.acquire(timeout=0.1)
                assert time.monotonic() < deadline
    finally:
        stop.set()
        worker.join(10)
    assert not worker.is_alive()


def test_a_key_that_never_rests_is_looked_at_twice_a_second(world: World) -> None:
    """W4: churn of others costs us no more than the bucket gives."""
    bucket = TokenBucket(world.clock)
    assert [bucket.delay() for _ in range(2)] == [0, 0]
    assert bucket.delay() == 0.5
    world.clock.advance(timedelta(seconds=10))
    assert bucket.delay() == 0


def test_a_command_that_hangs_is_killed_with_its_children() -> None:
    """Nothing stays behind, and the follower goes on."""
    began = time.monotonic()
    with pytest.raises(Unavailable):
        process.run(("sh", "-c", "sleep 60 & sleep 60"), timedelta(seconds=0.3))
    assert time.monotonic() - began < 10


def test_endless_output_is_cut_to_head_and_tail() -> None:
    """No command can fill our memory or a report."""
    ended = process.run(
        ("sh", "-c", "echo first; head -c 3000000 /dev/zero | tr '\\0' x; echo last"), timedelta(seconds=20)
    )
    assert ended.output.startswith("first")
    assert ended.output.endswith("last\n")
    assert len(ended.output) < process.OUTPUT_KEPT + 100


def test_a_missing_program_and_a_dead_process_are_faults(tmp_path: Path) -> None:
    """Words instead of tracebacks, and never a signal to process 1 or a group."""
    with pytest.raises(Denied) as refused:
        process.run(("/nowhere/program",), timedelta(seconds=1))
    assert refused.value.code is Code.HOOK_COMMAND_FAILED
    pid_file = tmp_path / "pid"
    for text in ("1", "-1", "0", "x", ""):
        pid_file.write_text(text)
        with pytest.raises(Denied):
            process.send_signal(pid_file, "HUP")
