"""One pass after another beside a proxy: what changes, what stays, and what is told."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest

from rotator.core.errors import Code, Denied, Unavailable
from rotator.follower.actions import Action
from rotator.follower.converge import REPORT_EVERY
from rotator.follower.proxies.contract import Answer
from rotator.follower.watch_handler import handle
from rotator.publish.report import NodeState
from tests.follower.world import Look, StubAdapter, World


def _link(world: World) -> str:
    return os.readlink(world.root / "current")


def test_a_published_version_is_put_into_force_proven_and_reported(world: World) -> None:
    """The straight way: files with narrow modes, one link, a report with the serial that was seen."""
    issued = world.server()
    world.publish(1, issued)
    outcome = world.proxy(StubAdapter()).run()
    assert outcome.settled
    assert outcome.changed
    key = world.root / "current/tls/private_key.pem"
    assert key.stat().st_mode & 0o777 == 0o600
    assert key.parent.stat().st_mode & 0o777 == 0o700
    told = world.report()
    assert (told.state, told.version) == (NodeState.APPLIED, 1)
    assert told.credentials["tls"].serial == issued.serial


def test_a_repeated_pass_does_nothing(world: World) -> None:
    """Watches fire twice; nothing may be rendered, swapped or written again."""
    world.publish(1, world.server())
    adapter = StubAdapter()
    follower = world.proxy(adapter)
    follower.run()
    link, index = (world.root / "current").lstat().st_ino, world.consul.index
    outcome = follower.run()
    assert outcome.settled
    assert not outcome.changed
    assert adapter.rendered == [1]
    assert ((world.root / "current").lstat().st_ino, world.consul.index) == (link, index)


def test_missed_versions_are_skipped(world: World) -> None:
    """Whole states are published, so the newest is enough."""
    world.publish(1, world.server())
    adapter = StubAdapter()
    world.proxy(adapter).run()
    world.publish(2, world.server())
    world.publish(3, world.server())
    assert world.proxy(adapter).run().version == 3
    assert adapter.rendered == [1, 3]


def test_a_key_of_another_certificate_never_comes_into_force(world: World) -> None:
    """Invariant 3: no reader sees a certificate with another key."""
    world.publish(1, world.server())
    follower = world.proxy(StubAdapter())
    follower.run()
    before = _link(world)
    world.publish(2, world.server(), private_key=world.server().private_key)
    outcome = follower.run()
    assert not outcome.settled
    assert _link(world) == before
    told = world.report()
    assert (told.state, told.version, told.error_code) == (NodeState.REFUSED, 1, Code.MATERIAL_REJECTED.value)
    assert "PRIVATE KEY" not in told.error_text


@pytest.mark.parametrize(
    ("starts", "ends", "uri"),
    [
        (timedelta(hours=-2), timedelta(hours=-1), "spiffe://example.org/proxy/edge"),
        (timedelta(hours=1), timedelta(hours=2), "spiffe://example.org/proxy/edge"),
        (timedelta(hours=-1), timedelta(hours=1), "spiffe://example.org/proxy/other"),
        (timedelta(hours=-1), timedelta(hours=1), "spiffe://elsewhere.org/proxy/edge"),
    ],
    ids=["expired", "not yet valid", "another proxy", "another trust domain"],
)
def test_unfit_material_is_refused(world: World, starts: timedelta, ends: timedelta, uri: str) -> None:
    """The follower believes neither Vault nor Consul alone."""
    world.publish(1, world.ca.issue(uri, starts=starts, ends=ends))
    assert not world.proxy(StubAdapter()).run().settled
    assert not (world.root / "current").exists()
    assert world.report().state is NodeState.REFUSED


def test_a_candidate_that_the_proxy_refuses_keeps_the_last_good_one(world: World) -> None:
    """PUB-3, PUB-7: the checker's words are reported, the candidate is gone."""
    world.publish(1, world.server())
    world.proxy(StubAdapter()).run()
    world.publish(2, world.server())
    refusing = StubAdapter(checker=("sh", "-c", "echo no such cluster; exit 1"))
    outcome = world.proxy(refusing).run()
    assert not outcome.changed
    assert "no such cluster" in world.report().error_text
    assert [path.name for path in (world.root / "versions").iterdir()] == [Path(_link(world)).name]


def test_a_refusal_waits_for_its_time_also_after_a_restart(world: World) -> None:
    """The timetable lies on disk: a crash loop of the follower is no retry storm."""
    world.publish(1, world.server())
    refusing = StubAdapter(checker=("false",))
    first = world.proxy(refusing).run()
    world.proxy(refusing).run()
    assert len(refusing.rendered) == 1
    world.clock.advance(first.next_at - world.clock.now())
    assert world.proxy(StubAdapter()).run().settled


def test_a_version_that_the_running_proxy_refuses_is_taken_back(world: World) -> None:
    """The file on disk must be what a restarted proxy can live with."""
    world.publish(1, world.server())
    world.proxy(StubAdapter()).run()
    before = _link(world)
    world.publish(2, world.server())
    world.proxy(StubAdapter(answers=Answer.REFUSED)).run()
    assert _link(world) == before
    told = world.report()
    assert (told.state, told.version) == (NodeState.REFUSED, 1)


def test_an_unseen_swap_is_repeated_until_the_serial_is_served(world: World) -> None:
    """envoyproxy/envoy#39498: the swap was made, the proxy went on with the old certificate."""
    issued = world.server()
    world.publish(1, issued)
    served = [Look("AB", "another")]
    follower = world.proxy(StubAdapter(), probe=lambda _address, _port: served[0])
    outcome = follower.run()
    assert not outcome.settled
    assert outcome.fault is not None
    assert outcome.fault.code is Code.PROXY_PROBE_FAILED
    served[0] = Look(issued.serial, issued.fingerprint)
    world.clock.advance(timedelta(seconds=5))
    assert follower.run().settled


def test_a_proxy_that_is_not_started_yet_gets_its_files_first(world: World) -> None:
    """PUB-3: Envoy never watches a file that was absent at its start (envoyproxy/envoy#26312)."""
    world.publish(1, world.server())

    def nobody(_address: str, _port: int) -> Look:
        raise Unavailable(Code.PROXY_PROBE_FAILED, "nothing answers")

    outcome = world.proxy(StubAdapter(), probe=nobody).run()
    assert outcome.changed
    assert not outcome.settled
    assert (world.root / "current/tls/certificate.pem").is_file()


def test_a_failed_reload_is_repeated_until_it_works(world: World, tmp_path: Path) -> None:
    """Consul does not call a failed handler again; we do."""
    world.publish(1, world.server())
    mark = tmp_path / "ready"
    action = Action(("test", "-f", str(mark)))
    adapter = StubAdapter(needs_reload=True)
    assert not world.proxy(adapter, action=action).run().settled
    mark.touch()
    world.clock.advance(timedelta(seconds=2))
    assert world.proxy(adapter, action=action).run().settled
    assert adapter.rendered == [1]


@pytest.mark.parametrize("damage", ["change", "delete", "widen"])
def test_drift_on_disk_is_repaired(world: World, damage: str) -> None:
    """Somebody edited, deleted or opened up a file in force."""
    issued = world.server()
    world.publish(1, issued)
    follower = world.proxy(StubAdapter())
    follower.run()
    path = world.root / "current/tls/private_key.pem"
    {"change": lambda: path.write_text("x"), "delete": path.unlink, "widen": lambda: path.chmod(0o644)}[damage]()
    outcome = follower.run()
    assert outcome.settled
    assert outcome.changed
    assert path.read_text() == issued.private_key
    assert path.stat().st_mode & 0o777 == 0o600


def test_death_between_swap_and_note_repeats_only_what_is_harmless(world: World) -> None:
    """The link is the truth: the lost note leads to another rendering, never to a wrong state."""
    world.publish(1, world.server())
    follower = world.proxy(StubAdapter())
    follower.run()
    (world.root / "state/applied.json").unlink()
    outcome = world.proxy(StubAdapter()).run()
    assert outcome.settled
    assert world.report().version == 1


def test_a_pointer_that_went_back_is_refused(world: World) -> None:
    """Consul restored from an old snapshot: an old version with an old time is not a rollback."""
    world.publish(1, world.server())
    old = world.consul.entries["proxy/edge/current"].value
    world.clock.advance(timedelta(minutes=1))
    world.publish(2, world.server())
    follower = world.proxy(StubAdapter())
    follower.run()
    world.consul.put("proxy/edge/current", old)
    outcome = follower.run()
    assert outcome.version == 2
    assert world.report().error_code == Code.ROLLBACK_REFUSED.value


def test_a_document_that_does_not_match_its_digest_is_refused(world: World) -> None:
    """What was altered on its way is not rendered."""
    world.publish(1, world.server())
    key = world.layout.version("edge", 1)
    world.consul.put(key, world.consul.entries[key].value.replace(b"600", b"601"))
    assert not world.proxy(StubAdapter()).run().settled
    assert world.report().error_code == Code.DOCUMENT_CORRUPT.value


def test_large_documents_are_joined_from_their_parts(world: World) -> None:
    """A document above the limit of one Consul value."""
    access = [{"agent": f"a{n}", "spiffe_id": f"spiffe://example.org/agent/a{n}", "scopes": []} for n in range(6000)]
    world.publish(1, world.server(), access=access)
    assert world.layout.part("edge", 1, 1) in world.consul.entries
    assert world.proxy(StubAdapter()).run().settled


def test_outages_change_nothing_and_heal(world: World) -> None:
    """Vault away, Consul away, report lost: the same state afterwards, with nobody's help."""
    world.publish(1, world.server())
    follower = world.proxy(StubAdapter())
    follower.run()
    before = _link(world)
    world.publish(2, world.server())
    world.shelf.fault = Unavailable(Code.VAULT_UNREACHABLE, "no Vault")
    assert follower.run().fault is not None
    world.consul.fail_next("read")
    assert follower.run().fault is not None
    assert _link(world) == before
    world.shelf.fault = None
    world.clock.advance(timedelta(seconds=2))
    world.consul.fail_next("commit")
    follower.run()
    follower.run()
    assert (world.report().state, world.report().version) == (NodeState.APPLIED, 2)


def test_reports_are_repeated_every_minute(world: World) -> None:
    """The service counts nodes that reported lately; silence must mean absence."""
    world.publish(1, world.server())
    follower = world.proxy(StubAdapter())
    follower.run()
    first = world.report().at
    world.clock.advance(REPORT_EVERY)
    follower.run()
    assert world.report().at - first == REPORT_EVERY


def test_two_followers_never_work_in_one_directory(world: World) -> None:
    """`follow` and `watch-handler` may both be installed."""
    world.publish(1, world.server())
    first, second = world.proxy(StubAdapter()), world.proxy(StubAdapter())
    with first._directories.locked(), pytest.raises(Denied) as refused:
        second.run()
    assert refused.value.code is Code.STATE_DIR_LOCKED


def test_old_directories_stay_for_a_grace_time_and_then_go(world: World) -> None:
    """A proxy may still read through an old path; disks are not endless."""
    world.publish(1, world.server())
    follower = world.proxy(StubAdapter())
    follower.run()
    world.publish(2, world.server())
    follower.run()
    assert len(list((world.root / "versions").iterdir())) == 2
    world.clock.advance(timedelta(minutes=11))
    follower.run()
    assert [path.name for path in (world.root / "versions").iterdir()] == [Path(_link(world)).name]


@pytest.mark.parametrize("payload", [b"null", b"", b"not json", b"[]", b'{"Key": 1}'])
def test_the_watch_handler_bears_every_input(world: World, payload: bytes) -> None:
    """Consul sends null for a missing key; everything else is only a hint to look."""
    follower = world.proxy(StubAdapter())
    handle(follower, payload, world.clock, lambda s: world.clock.advance(timedelta(seconds=s)), 5)
    world.publish(1, world.server())
    outcome = handle(follower, b"{}", world.clock, lambda s: world.clock.advance(timedelta(seconds=s)), 5)
    assert outcome.settled


def test_the_watch_handler_tries_again_for_a_while(world: World) -> None:
    """Nobody calls a failed handler again."""
    world.publish(1, world.server())
    world.consul.fail_next("read")
    outcome = handle(
        world.proxy(StubAdapter()), b"{}", world.clock, lambda s: world.clock.advance(timedelta(seconds=s)), 60
    )
    assert outcome.settled
