"""Faults before and after every effect: what is lost is found again, and nothing happens twice."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from rotator.core.errors import Code, Denied, Unavailable
from rotator.core.events import FleetEvent
from rotator.core.model import Stage
from rotator.core.reasons import Cause, Reason
from rotator.core.secret import Secret
from tests.fakes.consul import When
from tests.fakes.vault import Operation, Spoil

from .world import ALL, BILLING, EDGE_TLS, TTL, Instance, Street, fleet, other_proxy, outcomes, proxy, spec_of_edge

SECOND = timedelta(seconds=1)


def pass_seconds(street: Street, one: Instance, seconds: int = 6) -> None:
    for _ in range(seconds):
        street.clock.advance(SECOND)
        one.settle()


def assert_as_without_faults(street: Street, *instances: Instance) -> None:
    """One version of everything, one outcome per intent, nothing pending."""
    for target in ALL:
        record = street.record(target)
        assert record.current is not None
        assert (record.current.version, record.pending, record.failure) == (1, None, None)
    assert all(listed in (["published"], ["abandoned"]) for listed in outcomes(instances).values())
    assert street.pointer() == 1


def test_vault_away_then_back(street: Street) -> None:
    """The renewal waits with growing pauses, and is through within two cycles of its next try."""
    one = street.start()
    one.settle()
    street.clock.advance(TTL * 2 / 3)
    street.secrets.fail(Operation.ISSUE, times=1000)
    pass_seconds(street, one, 60)
    tries = street.secrets.count(Operation.ISSUE) - len(ALL)
    assert 3 * len(ALL) <= tries <= 8 * len(ALL)
    assert street.version() == 1
    street.secrets.heal()
    pending = street.record().pending
    assert pending is not None
    failure = street.record().failure
    assert failure is not None
    street.clock.advance(failure.retry_at - street.clock.now())
    one.settle()
    assert street.version() == 2
    assert street.record().current.rotation_id == pending.rotation_id
    assert all(len(listed) == 1 for mark, listed in outcomes([one]).items() if mark == pending.rotation_id)


@pytest.mark.parametrize("operation", [Operation.ISSUE, Operation.WRITE])
def test_a_lost_reply_of_vault(street: Street, operation: Operation) -> None:
    """Whether Vault acted is found out by reading back; there is one KV version in the end."""
    street.secrets.lose_reply(operation, times=3)
    one = street.start()
    pass_seconds(street, one)
    assert_as_without_faults(street, one)
    assert [street.kv_versions(target) for target in ALL] == [(1,)] * 3
    adopted = [event.adopted for event in one.events("issued")]
    assert adopted == [operation is Operation.WRITE] * 3
    # What was issued and never stored is listed; what was stored and found again is no orphan.
    assert len(one.events("orphan_found")) == (3 if operation is Operation.ISSUE else 0)


@pytest.mark.parametrize("when", list(When))
@pytest.mark.parametrize("skipped", range(6))
def test_every_transaction_can_be_lost(street: Street, when: When, skipped: int) -> None:
    """Each commit of an enrolment in turn: refused before the effect, or its reply lost after it."""
    one = street.start()
    lost = Unavailable(Code.CONSUL_UNREACHABLE, "Consul did not answer")
    made = 0

    def commit_fails(operation: str, moment: When) -> None:
        nonlocal made
        if operation == "commit" and moment is when:
            made += 1
            if made == skipped + 1:
                raise lost

    street.meet(commit_fails)
    pass_seconds(street, one)
    assert_as_without_faults(street, one)
    assert [street.kv_versions(target) for target in ALL] == [(1,)] * 3


def test_consul_away_in_the_middle_of_a_walk(street: Street) -> None:
    """Nothing is read or written for a while: no Vault call is repeated, and the same rotations go on."""
    one = street.start()
    lost = Unavailable(Code.CONSUL_UNREACHABLE, "Consul did not answer")
    away = False

    def fails(operation: str, moment: When) -> None:
        if away and moment is When.BEFORE:
            raise lost

    street.meet(fails)
    away_after = street.secrets.issue_certificate

    def issue(request: object) -> object:
        nonlocal away
        away = True
        return away_after(request)  # type: ignore[arg-type]

    street.secrets.issue_certificate = issue  # type: ignore[assignment, method-assign]
    one.run()
    for _ in range(5):
        street.clock.advance(SECOND)
        one.run()
    street.secrets.issue_certificate = away_after  # type: ignore[method-assign]
    away = False
    pass_seconds(street, one)
    assert_as_without_faults(street, one)
    assert street.secrets.count(Operation.ISSUE) == len(ALL)


def test_a_foreign_version_in_vault_is_written_over(street: Street) -> None:
    """Somebody wrote to our KV path by hand: one conflict, then the rotation goes on above it."""
    one = street.start()
    one.settle()
    street.secrets.kv_write("kv", "agents/billing/tls", {"note": Secret("by hand")}, 1)
    street.clock.advance(TTL * 2 / 3)
    pass_seconds(street, one)
    assert street.version() == 2
    assert street.record().current.kv_version == 3
    assert one.events("failed", BILLING)[0].code == Code.KV_CONFLICT.value


def test_rejected_material_is_abandoned_and_made_anew(street: Street) -> None:
    """A certificate for somebody else is never stored or published; the next rotation has a mark of its own."""
    street.secrets.spoil(Spoil.WRONG_SAN, "pki_int/issue/rotator-agent", times=2)
    one = street.start()
    one.settle()
    assert street.kv_versions() == ()
    assert street.layout.agent_current("billing") not in street.consul.entries
    pass_seconds(street, one, 8)
    first, second = one.events("intended", BILLING)
    assert first.rotation_id != second.rotation_id
    assert outcomes([one])[first.rotation_id] == ["abandoned"]
    assert street.record().current.rotation_id == second.rotation_id
    assert street.version() == 2


def test_a_blocked_audit_changes_nothing(street: Street) -> None:
    """What cannot be written down is not done: no Vault call, no Consul write."""
    one = street.start()
    one.settle()
    street.clock.advance(TTL * 2 / 3)
    one.audit.blocked = True
    calls, index = len(street.secrets.calls), street.consul.index
    report = one.run()
    assert Code.AUDIT_BLOCKED in {fault.code for _, fault in report.faults}
    assert [name for name, _ in street.secrets.calls[calls:] if name is not Operation.CHAIN] == []
    assert street.consul.index == index
    one.audit.blocked = False
    one.settle()
    assert street.version() == 2


def test_a_suspect_clock_pauses_what_depends_on_it(street: Street) -> None:
    """While the clock is doubtful nothing is rotated, and the service does not spin; afterwards it goes on."""
    one = street.start()
    one.settle()
    street.clock.advance(TTL * 2 / 3)
    one.cycle.paused = Cause(Reason.CLOCK_SUSPECT, "jumped")
    calls = len(street.secrets.calls)
    report = one.run()
    assert len(street.secrets.calls) == calls
    assert report.next_at is None or report.next_at > street.clock.now()
    one.cycle.paused = None
    one.settle()
    assert street.version() == 2


def test_a_proxy_that_waits_for_its_other_certificate_does_not_spin() -> None:
    """One of two certificates cannot be had: nothing partial is published, and the next cycle is not due at once."""
    other = spec_of_edge("second")
    street = Street(replace(fleet(), proxies=(proxy(spec_of_edge("tls"), other),)))
    street.secrets.fail(Operation.WRITE, f"kv/{other.kv_path}", times=1)
    one = street.start()
    one.run()
    report = one.run()
    assert street.pointer() == 0
    assert report.next_at is not None
    assert report.next_at > street.clock.now()
    pass_seconds(street, one)
    assert street.pointer() == 1
    assert street.version(EDGE_TLS) == 1
    street.close()


def test_a_record_that_somebody_deleted_is_written_again(street: Street) -> None:
    """The leader still knows it: the version count goes on, and no cycle repeats itself for ever."""
    one = street.start()
    one.settle()
    del street.consul.entries[street.layout.record(BILLING)]
    street.clock.advance(TTL * 2 / 3)
    one.settle()
    assert street.version() == 2
    assert len(one.events("intended", BILLING)) <= 3


def test_an_unreadable_record_is_told_once(street: Street) -> None:
    """Nothing is planned without it, and the audit does not grow by a line at every tick."""
    one = street.start()
    one.settle()
    street.consul.put(street.layout.record(BILLING), b"{}")
    two = street.start("one")
    street.depose(one)
    reports = [two.run() for _ in range(5)]
    assert all(report.faults for report in reports)
    assert len(two.events("leadership_gained")) == 1


def test_a_lost_record_in_flight_keeps_the_rotation(street: Street) -> None:
    """The issue is done and its record is refused by a foreign write: loaded again, the version is adopted."""
    one = street.start()

    def foreign_write() -> None:
        key = street.layout.record(BILLING)
        if key in street.consul.entries and street.record().pending is not None:
            raw = street.consul.entries[key].value
            street.consul.put(key, raw.replace(b'"phase":', b'"phase": '))

    writes = street.secrets.kv_write

    def write(mount: str, path: str, fields: object, cas: int) -> int:
        foreign_write()
        return writes(mount, path, fields, cas)  # type: ignore[arg-type]

    street.secrets.kv_write = write  # type: ignore[assignment, method-assign]
    one.run()
    street.secrets.kv_write = writes  # type: ignore[method-assign]
    assert street.record().pending is not None
    assert street.record().pending.stage is Stage.INTENDED
    pass_seconds(street, one)
    assert_as_without_faults(street, one)
    assert street.kv_versions() == (1,)


def test_an_empty_answer_about_the_ca_keeps_the_known_one(street: Street) -> None:
    """A proxy without trust bundle refuses everybody (ENG-15)."""
    one = street.start()
    one.settle()
    known = one.cycle.trust
    street.secrets.fail(Operation.CHAIN, fault=Denied(Code.VAULT_DENIED, "no"), times=5)
    street.clock.advance(timedelta(minutes=2))
    report = one.run()
    assert [name for name, _ in report.faults] == ["trust"]
    assert one.cycle.trust == known
    assert street.pointer() == 1


def test_a_damaged_key_of_one_proxy_does_not_stop_the_others() -> None:
    """Each proxy is published for itself: somebody's hand in one must not let the certificates of all others expire."""
    second = other_proxy()
    wanted = fleet()
    street = Street(replace(wanted, proxies=(*wanted.proxies, second)))
    street.consul.put(street.layout.hold("edge"), b"not JSON")
    one = street.start()
    report = one.run()
    assert street.pointer() == 0
    assert street.pointer(second.name) == 1
    assert [name for name, _ in report.faults] == ["proxy/edge"]
    street.close()


@pytest.mark.parametrize("leadership", ["kept", "lost", "configuration"])
def test_a_document_whose_reply_and_read_back_are_lost(street: Street, leadership: str) -> None:
    """The intent stays open until Consul answers, and then gets the outcome that is true, whoever leads by then."""
    one = street.start()
    lost = Unavailable(Code.CONSUL_UNREACHABLE, "Consul did not answer")
    state = {"armed": True, "blind": False}

    def fails(operation: str, moment: When) -> None:
        if state["blind"] and moment is When.BEFORE:
            raise lost
        placed = street.layout.proxy_current("edge") in street.consul.entries
        if state["armed"] and operation == "commit" and moment is When.AFTER and placed:
            state.update(armed=False, blind=True)
            raise lost

    street.meet(fails)
    one.run()
    state["blind"] = False
    if leadership == "lost":
        street.depose(one)
        one.lock.renew()
        one.run()
    if leadership == "configuration":
        one.cycle.change_realm(one.realm(street.fleet))
    pass_seconds(street, one)
    assert_as_without_faults(street, one)
    ends = [event for event in one.audit.events if isinstance(event, FleetEvent) and "document" in event.name.value]
    assert [event.name.value for event in ends] == ["document_intended", "document_published"]
