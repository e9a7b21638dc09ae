"""One instance leads; a deposed one changes nothing; the next one continues what was begun."""

from __future__ import annotations

from datetime import timedelta

import pytest

from rotator.core.errors import Code, Unavailable
from rotator.core.events import Event, event_name
from rotator.core.reasons import Reason
from rotator.ports import CertificateMaterial, CertificateRequest
from rotator.records.open_intents import OpenIntent
from tests.fakes.consul import When
from tests.fakes.vault import Operation

from .world import ALL, BILLING, TTL, Instance, Street, outcomes

LEASE = timedelta(seconds=15)


def depose_at(street: Street, one: Instance, call: int) -> None:
    """Consul takes the lock away while the `call`-th certificate is being issued."""
    issue, made = street.secrets.issue_certificate, 0

    def watched(request: CertificateRequest) -> CertificateMaterial:
        nonlocal made
        made += 1
        if made == call:
            street.depose(one)
        return issue(request)

    street.secrets.issue_certificate = watched  # type: ignore[method-assign]


def consul_state(street: Street) -> dict[str, bytes]:
    return {key: entry.value for key, entry in street.consul.entries.items() if key != street.layout.lock}


def test_a_standby_does_nothing_but_knows_the_leader(street: Street) -> None:
    """It is ready when somebody leads, and touches nothing."""
    one, two = street.start("one"), street.start("two")
    one.settle()
    index = street.consul.index
    report = two.run()
    assert not report.leading
    assert (two.cycle.leader_seen, two.audit.events, street.consul.index) == ("one", [], index)


def test_a_leader_deposed_in_the_middle_changes_nothing_more(street: Street) -> None:
    """The lock is taken while Vault is asked: what follows is refused, and nothing is tried under the old fence."""
    one = street.start("one")
    depose_at(street, one, call=1)
    report = one.run()
    assert not report.leading
    assert [fault.code for name, fault in report.faults if name == "lock"] == [Code.LEADERSHIP_LOST]
    state, calls = consul_state(street), len(street.secrets.calls)
    two = street.start("two")
    assert two.lock.acquire() is not None
    for _ in range(3):
        assert not one.run().leading
    assert consul_state(street) == state
    assert len(street.secrets.calls) == calls


def test_the_next_instance_continues_the_same_rotations(street: Street) -> None:
    """No second version, no second intent: what was stored is adopted by its mark."""
    one = street.start("one")
    depose_at(street, one, call=2)
    one.run()
    marks = {str(target): pending.rotation_id for target in ALL if (pending := street.record(target).pending)}
    assert len(marks) == len(ALL)
    two = street.start("two")
    two.settle()
    for target in ALL:
        record = street.record(target)
        assert record.current is not None
        assert record.current.rotation_id == marks[str(target)]
        assert street.kv_versions(target) == (1,)
    assert two.events("intended") == []
    assert all(listed == ["published"] for listed in outcomes([one, two]).values())
    assert two.lock.fence().epoch == 2


def test_the_local_deadline_stops_vault_calls_within_a_wave() -> None:
    """Consul is silent and a wave is slow: credentials whose turn comes after the deadline are not touched."""
    street = Street()
    one = street.start("one", ttl=LEASE)
    issue = street.secrets.issue_certificate

    def slow(request: CertificateRequest) -> CertificateMaterial:
        material = issue(request)
        street.clock.advance(LEASE)
        return material

    street.secrets.issue_certificate = slow  # type: ignore[method-assign]
    report = one.run()
    assert not report.leading
    # Two workers: at most two calls were under way when the deadline passed.
    assert street.secrets.count(Operation.ISSUE) <= 2
    street.close()


def test_leadership_ends_without_consul(street: Street) -> None:
    """Consul away for longer than the lease: the instance stops by its own clock, and comes back with a new epoch."""
    one = street.start("one", ttl=LEASE)
    one.settle()
    street.meet(_away)
    street.clock.advance(LEASE)
    calls = len(street.secrets.calls)
    assert not one.run().leading
    assert len(street.secrets.calls) == calls
    del street.consul.reach  # type: ignore[method-assign]
    one.settle()
    assert one.lock.fence().epoch == 2
    assert [event_name(event) for event in one.audit.events].count("leadership_lost") == 1


def test_an_orderly_stop_hands_over_at_once(street: Street) -> None:
    """The lock is released before the session ends: the next instance does not wait for any delay."""
    one, two = street.start("one"), street.start("two")
    one.settle()
    one.cycle.resign()
    assert two.run().leading


def test_an_intent_that_never_reached_its_record_is_abandoned_by_its_own_instance(street: Street) -> None:
    """Died between audit and record: the next process of this instance closes the intent before it makes another."""
    left = (OpenIntent(str(BILLING), 1, "m" * 32, seq=7),)
    one = street.start("one", left=left)
    one.settle()
    (closed,) = one.events("abandoned", BILLING)
    assert (closed.rotation_id, closed.cause.reason) == ("m" * 32, Reason.RECOVERED)
    names = [event_name(event) for event in one.audit.events]
    assert names.index("abandoned") < names.index("intended")


def rotate_and_retire(street: Street, instance: Instance) -> None:
    """Afterwards the record names version 1 no more."""
    street.clock.advance(TTL * 2 / 3)
    instance.settle()
    street.adopt()
    street.clock.advance(timedelta(seconds=31))
    instance.settle()
    assert (street.version(), street.record().retiring) == (2, ())


@pytest.mark.parametrize("long_ago", [False, True])
def test_it_is_abandoned_too_when_another_instance_used_the_number(street: Street, long_ago: bool) -> None:
    """While the first one was dead, the second one made that very version, which may be retired by now."""
    two = street.start("two")
    two.settle()
    if long_ago:
        rotate_and_retire(street, two)
    two.cycle.resign()
    one = street.start("one", left=(OpenIntent(str(BILLING), 1, "m" * 32, seq=7),))
    one.settle()
    (closed,) = one.events("abandoned", BILLING)
    assert closed.rotation_id == "m" * 32
    assert street.record().current is not None


def test_an_intent_that_another_instance_finished_is_left_to_it(street: Street) -> None:
    """The other chain holds the outcome; a second one here would contradict it."""
    two = street.start("two")
    two.settle()
    mark = street.record().current.rotation_id
    rotate_and_retire(street, two)
    two.cycle.resign()
    one = street.start("one", left=(OpenIntent(str(BILLING), 1, mark, seq=7),))
    one.settle()
    assert one.events("abandoned") == []


def test_renewal_after_a_take_over_needs_no_help(street: Street) -> None:
    """Everything of a reign is built anew: renewal, adoption and retirement go on under the second instance."""
    one, two = street.start("one"), street.start("two")
    one.settle()
    street.depose(one)
    two.settle()
    street.clock.advance(TTL * 2 / 3)
    two.settle()
    street.adopt()
    street.clock.advance(timedelta(seconds=31))
    two.settle()
    assert street.version() == 2
    assert street.kv_versions() == (2,)
    assert not _owned_by(one, two)


def _owned_by(one: Instance, two: Instance) -> set[str]:
    """Rotations that both audits closed."""
    return _closed(one.audit.events) & _closed(two.audit.events)


def _closed(events: list[Event]) -> set[str]:
    return {event.facts.rotation_id for event in events if event_name(event) == "published"}  # type: ignore[union-attr]


def _away(operation: str, when: When) -> None:
    if when is When.BEFORE:
        raise Unavailable(Code.CONSUL_UNREACHABLE, "Consul did not answer")
