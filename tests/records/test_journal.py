"""The journal: audit before record, many records per transaction, and what a lost reply or a conflict leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from rotator.core import events
from rotator.core.errors import Code, Conflict, Denied, LeadershipLost, Rejected, Unavailable
from rotator.core.events import Event, FleetEvent, FleetEventName
from rotator.core.identity import CredentialId
from rotator.core.model import Record, Request
from rotator.core.reasons import Actor, ActorKind, Cause, Reason
from rotator.ports import TRANSACTION_BYTES, WRITES_PER_TRANSACTION, Fence, Stored, Write
from rotator.publish.layout import Layout
from rotator.records import anchors, codec
from rotator.records.anchors import Anchors
from rotator.records.chain import Anchor
from rotator.records.journal import ConsulJournal, JournalPorts
from rotator.records.verify import Checks, Verdict
from tests.core.samples import NOW, TARGET, make_facts
from tests.fakes.clock import FakeClock
from tests.fakes.consul import FakeConsul, FakeKeys, FakeLock, When
from tests.fakes.journal import MemoryAudit, NoFailpoint
from tests.records.writing import check, open_chain, told

DUE = Cause(Reason.DUE, "due")
LAYOUT = Layout("site/")


class World:
    """One leader with its journal, over Consul in memory."""

    def __init__(self) -> None:
        self.clock = FakeClock(NOW)
        self.consul = FakeConsul(self.clock)
        self.keys = FakeKeys(self.consul)
        self.audit = MemoryAudit()
        self.failpoint = NoFailpoint()
        self.journal = ConsulJournal(JournalPorts(self.keys, self.audit, self.clock, self.failpoint), LAYOUT)
        fence = FakeLock(self.consul).acquire()
        assert fence is not None
        self.fence: Fence = fence

    def record(self, target: CredentialId = TARGET) -> Record | None:
        entry = self.keys.read(LAYOUT.record(target))
        return codec.decode_record(entry.value) if entry else None

    def names(self) -> list[str]:
        return [events.event_name(event) for event in self.audit.events]


@pytest.fixture
def world() -> World:
    return World()


def target(number: int) -> CredentialId:
    return CredentialId.parse(f"agent/a{number:04d}/tls")


def intended(of: CredentialId = TARGET, version: int = 1, mark: str = "") -> events.Intended:
    return events.Intended(NOW, of, DUE, version, mark or f"{version:032x}", 0.5)


def fresh(of: CredentialId = TARGET, mark: str = "") -> tuple[Stored, tuple[Event, ...]]:
    return Stored(Record(of)), (intended(of, 1, mark),)


def test_a_wave_is_one_audit_write_and_few_transactions(world: World) -> None:
    """The arithmetic that makes waves fast: never one sync or one transaction per credential."""
    wave = [fresh(target(number)) for number in range(WRITES_PER_TRANSACTION * 2 + 1)]
    written = world.journal.write(wave, world.fence)
    assert len(world.audit.batches) == 1
    assert world.consul.calls.count("commit") == 3
    assert len(written.stored) == len(wave)
    assert not written.lost
    loaded = world.journal.load()
    assert {stored.record.id: stored for stored in loaded.values()} == {one.record.id: one for one in written.stored}


def test_what_was_written_can_be_followed_by_the_next_write(world: World) -> None:
    """The returned index is that of the record as stored."""
    first = world.journal.write([fresh()], world.fence).stored[0]
    issued = events.Issued(NOW, TARGET, DUE, make_facts(1))
    second = world.journal.write([(first, (issued, events.Verified(NOW, TARGET, DUE, make_facts(1))))], world.fence)
    assert second.stored == tuple(world.journal.load().values())
    assert second.stored[0].record.pending is not None
    assert world.names() == ["intended", "issued", "verified"]


def test_a_blocked_audit_changes_nothing(world: World) -> None:
    """If no audit line can be written, nothing is changed."""
    world.audit.blocked = True
    with pytest.raises(Denied) as caught:
        world.journal.write([fresh()], world.fence)
    assert caught.value.code is Code.AUDIT_BLOCKED
    assert world.consul.calls.count("commit") == 0
    assert world.failpoint.reached == []


class ReadsTheLog(FakeKeys):
    """Looks at the audit file at the moment of each commit, then refuses."""

    def __init__(self, consul: FakeConsul, path: Path) -> None:
        super().__init__(consul)
        self._path = path
        self.seen: list[bytes] = []

    def commit(self, writes: Sequence[Write], fence: Fence | None) -> Mapping[str, int]:
        self.seen.append(self._path.read_bytes())
        raise Denied(Code.CONSUL_DENIED, "no")


def test_the_line_is_on_disk_before_the_record_is_tried(world: World, tmp_path: Path) -> None:
    """Audit before record: whatever Consul says afterwards, the intent is written down."""
    path = tmp_path / "audit.jsonl"
    keys = ReadsTheLog(world.consul, path)
    journal = ConsulJournal(JournalPorts(keys, open_chain(path), world.clock, world.failpoint), LAYOUT)
    with pytest.raises(Denied):
        journal.write([fresh()], world.fence)
    assert b'"event":"intended"' in keys.seen[0]
    assert world.record() is None


def test_the_failpoints_stand_on_both_sides_of_the_record(world: World) -> None:
    """Where the crash tests kill: after the audit, and after the record."""
    world.journal.write([fresh()], world.fence)
    assert world.failpoint.reached == [("J1", str(TARGET)), ("J2", str(TARGET))]


def test_a_lost_reply_is_read_back_and_counts_as_written(world: World) -> None:
    """A lost reply is not a failure."""
    world.consul.fail_next("commit", when=When.AFTER)
    written = world.journal.write([fresh()], world.fence)
    assert written.stored == tuple(world.journal.load().values())
    again = world.journal.write([(written.stored[0], (_asked(),))], world.fence)
    assert not again.lost


def test_a_write_that_did_not_happen_is_raised(world: World) -> None:
    """The caller must not go on as if its intent were recorded."""
    world.consul.fail_next("commit", when=When.BEFORE)
    with pytest.raises(Unavailable):
        world.journal.write([fresh()], world.fence)
    assert world.record() is None


def test_a_read_back_that_fails_is_raised(world: World) -> None:
    """Not knowing is not success."""
    world.consul.fail_next("commit", when=When.AFTER)
    world.consul.fail_next("read")
    with pytest.raises(Unavailable):
        world.journal.write([fresh()], world.fence)


def test_a_conflict_costs_only_the_records_it_names(world: World) -> None:
    """One operator's edit must not hold back the rest of a wave."""
    wave = [fresh(target(number)) for number in range(5)]
    other = codec.encode_record(Record(target(2), last_version=9))
    world.consul.put(LAYOUT.record(target(2)), other)
    written = world.journal.write(wave, world.fence)
    assert [record.id for record in written.lost] == [target(2)]
    assert {stored.record.id for stored in written.stored} == {target(number) for number in (0, 1, 3, 4)}
    found = world.record(target(2))
    assert found is not None
    assert found.last_version == 9


class Nameless(FakeKeys):
    """A Consul whose conflicts name no key."""

    def commit(self, writes: Sequence[Write], fence: Fence | None) -> Mapping[str, int]:
        try:
            return super().commit(writes, fence)
        except LeadershipLost:
            raise
        except Conflict:
            raise Conflict(Code.CONSUL_CONFLICT, "somewhere") from None


def test_a_conflict_without_names_is_looked_up(world: World) -> None:
    """Which record moved can be read; retrying the same transaction for ever cannot help."""
    ports = JournalPorts(Nameless(world.consul), world.audit, world.clock, world.failpoint)
    world.consul.put(LAYOUT.record(target(1)), codec.encode_record(Record(target(1), last_version=9)))
    written = ConsulJournal(ports, LAYOUT).write([fresh(target(number)) for number in range(3)], world.fence)
    assert [record.id for record in written.lost] == [target(1)]
    assert len(written.stored) == 2


def test_a_deposed_leader_writes_no_record(world: World) -> None:
    """The fence is in every transaction; the audit keeps what was tried."""
    world.consul.destroy_session(world.fence.session)
    with pytest.raises(LeadershipLost):
        world.journal.write([fresh()], world.fence)
    assert world.record() is None


def test_large_records_are_spread_over_transactions(world: World) -> None:
    """Consul refuses a body above its limit: bytes count as well as operations."""
    text = "x" * 60_000
    wave = []
    for number in range(20):
        asked = replace(_asked(target(number)), request=replace(_asked().request, reason=text))
        wave.append((Stored(Record(target(number))), (asked,)))
    written = world.journal.write(wave, world.fence)
    assert len(written.stored) == 20
    assert world.consul.calls.count("commit") >= 20 * 60_000 * 4 // 3 // TRANSACTION_BYTES


def test_a_replay_writes_no_record(world: World) -> None:
    """What the record says already needs no transaction."""
    stored = world.journal.write([fresh()], world.fence).stored[0]
    world.consul.calls.clear()
    assert world.journal.write([(stored, (intended(),))], world.fence).stored == (stored,)
    assert world.consul.calls.count("commit") == 0


def test_events_of_the_fleet_pass_through_to_the_audit(world: World) -> None:
    """They stand beside a credential's own events and change no record."""
    note = FleetEvent(NOW, FleetEventName.ORPHAN_FOUND, str(TARGET), DUE)
    written = world.journal.write([(Stored(Record(TARGET)), (note, intended()))], world.fence)
    assert written.stored[0].record.last_version == 1
    assert world.names() == ["orphan_found", "intended"]


def test_an_intent_whose_record_was_not_written_is_closed_by_the_next_write(world: World) -> None:
    """Invariant 5: the lost intent gets its outcome before another intent for the same credential is told."""
    world.consul.fail_next("commit", when=When.BEFORE)
    with pytest.raises(Unavailable):
        world.journal.write([fresh(mark="first")], world.fence)
    world.journal.write([fresh(mark="second")], world.fence)
    assert world.names() == ["intended", "abandoned", "intended"]
    abandoned = world.audit.events[1]
    assert isinstance(abandoned, events.Abandoned)
    assert abandoned.rotation_id == "first"
    world.journal.write([(next(iter(world.journal.load().values())), (_asked(),))], world.fence)
    assert world.names() == ["intended", "abandoned", "intended", "requested"], "and it is closed once"


def test_an_intent_that_got_through_unseen_is_not_closed(world: World) -> None:
    """Its record stands in Consul: the caller's view is old and must be loaded again."""
    world.consul.fail_next("commit", when=When.AFTER)
    world.consul.fail_next("read")
    with pytest.raises(Unavailable):
        world.journal.write([fresh(mark="first")], world.fence)
    written = world.journal.write([fresh(mark="second")], world.fence)
    assert [record.id for record in written.lost] == [TARGET]
    assert world.names() == ["intended"], "nothing is told about a change that cannot be made"
    stored = next(iter(world.journal.load().values()))
    issued = events.Issued(NOW, TARGET, DUE, make_facts(1, mark="first"))
    world.journal.write([(stored, (issued,))], world.fence)
    assert world.names() == ["intended", "issued"]


def test_a_lost_record_closes_its_intent_when_it_is_written_again(world: World) -> None:
    """A conflict is certain: the intent never reached Consul."""
    world.consul.put(LAYOUT.record(TARGET), codec.encode_record(Record(TARGET)))
    assert world.journal.write([fresh(mark="first")], world.fence).lost
    stored = next(iter(world.journal.load().values()))
    world.journal.write([(stored, (intended(mark="second"),))], world.fence)
    assert world.names() == ["intended", "abandoned", "intended"]


def test_the_chain_of_a_rough_day_passes_the_strict_check(world: World, tmp_path: Path) -> None:
    """Lost replies, refusals and conflicts together leave one outcome per intent."""
    audit = open_chain(tmp_path / "audit.jsonl")
    audit.set_epoch(1)
    journal = ConsulJournal(JournalPorts(world.keys, audit, world.clock, world.failpoint), LAYOUT)
    world.consul.fail_next("commit", when=When.AFTER)
    world.consul.fail_next("read")
    with pytest.raises(Unavailable):
        journal.write([fresh(mark="first")], world.fence)
    assert journal.write([fresh(mark="unseen")], world.fence).lost
    facts = make_facts(1, mark="first")
    done = (events.Issued(NOW, TARGET, DUE, facts), events.Published(NOW, TARGET, DUE, facts))
    stored = journal.write([(journal.load()[str(TARGET)], done)], world.fence).stored[0]
    world.consul.fail_next("commit", when=When.BEFORE)
    with pytest.raises(Unavailable):
        journal.write([(stored, (intended(version=2, mark="second"),))], world.fence)
    journal.write([(stored, (intended(version=2, mark="third"),))], world.fence)
    stored = journal.load()[str(TARGET)]
    facts = make_facts(2, mark="third")
    journal.write([(stored, (events.Published(NOW, TARGET, DUE, facts, stored.record.current),))], world.fence)
    result = check(tmp_path / "audit.jsonl", checks=Checks(strict=True))
    assert (result.verdict, result.open_intents) == (Verdict.GOOD, ()), result.text


@pytest.mark.parametrize(
    ("value", "kind", "code"),
    [(b"{}", Rejected, Code.FACTS_UNREADABLE), (b'{"format":99}', Denied, Code.RECORD_TOO_NEW)],
)
def test_a_record_that_cannot_be_read_stops_the_load_and_is_named(
    world: World, value: bytes, kind: type[Exception], code: Code
) -> None:
    """Passing over it would enrol that credential as new, with a number that was used before."""
    world.journal.write([fresh()], world.fence)
    world.consul.put(LAYOUT.record(target(7)), value)
    with pytest.raises(kind) as caught:
        world.journal.load()
    assert isinstance(caught.value, Denied | Rejected)
    assert caught.value.code is code
    assert str(target(7)) in caught.value.text


def test_the_head_is_anchored_and_moves_forward(world: World, tmp_path: Path) -> None:
    """AUD-4: what is anchored in Consul is what the verifier takes."""
    audit = open_chain(tmp_path / "audit.jsonl")
    keeper = Anchors(world.keys, LAYOUT, world.clock)
    assert keeper.publish(audit, world.fence) == Anchor(0, "0" * 64)
    for _ in range(2):
        audit.append([told()])
        anchor = keeper.publish(audit, world.fence)
        assert keeper.publish(audit, world.fence) == anchor
        entry = world.keys.read(LAYOUT.audit_anchor(world.fence.instance))
        assert entry is not None
        assert anchors.decode(entry.value) == (audit.anchor()[0], anchor)
        assert check(tmp_path / "audit.jsonl", checks=Checks(anchors=(anchor,))).verdict is Verdict.GOOD


def test_a_chain_that_was_set_back_is_refused(world: World, tmp_path: Path) -> None:
    """Somebody cut the file while the service was down: the anchor must not be moved back over the evidence."""
    path = tmp_path / "audit.jsonl"
    audit, keeper = open_chain(path), Anchors(world.keys, LAYOUT, world.clock)
    audit.append([told(1), told(2)])
    keeper.publish(audit, world.fence)
    audit.close()
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:2]))
    cut = open_chain(path)
    cut.start()
    with pytest.raises(Denied) as caught:
        keeper.publish(cut, world.fence)
    assert "cut off" in caught.value.hint


def test_a_deposed_instance_moves_no_anchor(world: World, tmp_path: Path) -> None:
    """The key belongs to the fence like every other."""
    audit = open_chain(tmp_path / "audit.jsonl")
    audit.append([told()])
    world.consul.destroy_session(world.fence.session)
    with pytest.raises(LeadershipLost):
        Anchors(world.keys, LAYOUT, world.clock).publish(audit, world.fence)


def _asked(of: CredentialId = TARGET) -> events.Requested:
    actor = Actor(ActorKind.OPERATOR, "ann")
    return events.Requested(NOW, of, Cause(Reason.OPERATOR, "", (), actor, "r"), Request("r", "please", actor, NOW))
