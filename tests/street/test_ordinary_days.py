"""What happens when nothing goes wrong: enrolment, renewal, adoption, retirement, and the patience with the old."""

from __future__ import annotations

from datetime import timedelta

from rotator.core.reasons import Reason
from rotator.core.spec import Policy
from tests.fakes.vault import Operation

from .world import ALL, BILLING, EDGE_TLS, REPORTS, TTL, Street, outcomes

OVERLAP = Policy().overlap


def test_a_fleet_is_enrolled_in_one_go(street: Street) -> None:
    """Nothing has to be prepared by hand: certificates, facts and the proxy's document stand after two cycles."""
    one = street.start()
    reports = one.settle()
    assert len(reports) <= 2
    assert not [fault for report in reports for fault in report.faults]
    assert [street.version(target) for target in ALL] == [1, 1, 1]
    assert street.pointer() == 1
    assert street.agent_current()["credentials"]["tls"]["version"] == 1
    assert street.secrets.count(Operation.ISSUE) == len(ALL)
    assert outcomes([one]) == {street.record(target).current.rotation_id: ["published"] for target in ALL}


def test_a_second_cycle_changes_nothing(street: Street) -> None:
    """A steady state costs no write and no Vault call."""
    one = street.start()
    one.settle()
    calls, index, lines = len(street.secrets.calls), street.consul.index, len(one.audit.events)
    report = one.run()
    assert (len(street.secrets.calls), street.consul.index, len(one.audit.events)) == (calls, index, lines)
    assert report.next_at is not None
    assert report.next_at > street.clock.now()


def test_renewal_comes_before_expiry_and_once(street: Street) -> None:
    """Over a whole life every credential is renewed, none is ever without a valid version."""
    one = street.start()
    one.settle()
    for _ in range(60):
        street.clock.advance(timedelta(minutes=1))
        one.settle()
        for target in ALL:
            current = street.record(target).current
            assert current is not None
            assert current.not_after > street.clock.now()
            assert street.shelf.pointer("edge")[0] is not None
    assert all(2 <= street.version(target) <= 3 for target in ALL)
    assert all(listed == ["published"] for listed in outcomes([one]).values())


def test_first_renewals_are_spread(street: Street) -> None:
    """Two agents enrolled in the same second do not renew in the same minute (flat from the first cycle)."""
    one = street.start()
    one.settle()
    phases = [street.record(target).phase for target in ALL]
    assert len(set(phases)) == len(ALL)


def test_the_old_version_goes_after_adoption_and_overlap(street: Street) -> None:
    """Evidence, then the overlap, then the material is destroyed, and the audit names the evidence."""
    one = street.start()
    one.settle()
    street.clock.advance(TTL * 2 / 3)
    one.settle()
    assert len(street.kv_versions()) == 2
    street.adopt()
    one.settle()
    assert len(street.kv_versions()) == 2  # the overlap is not over
    street.clock.advance(OVERLAP)
    street.adopt()
    one.settle()
    assert street.kv_versions() == (2,)
    (retired,) = one.events("retired", BILLING)
    assert retired.cause.reason is Reason.ADOPTED
    assert street.record().retiring == ()


def test_without_adoption_the_old_version_stays_until_it_expires(street: Street) -> None:
    """No evidence, no retirement: a consumer that nobody hears of still works (invariant 2)."""
    one = street.start()
    one.settle()
    ends = street.record().current.not_after
    street.clock.advance(TTL * 2 / 3)
    one.settle()
    while street.clock.now() + timedelta(minutes=1) < ends:
        street.clock.advance(timedelta(minutes=1))
        one.settle()
        assert 1 in street.kv_versions()
    street.clock.advance(timedelta(minutes=1))
    one.settle()
    assert 1 not in street.kv_versions()
    assert one.events("retired", BILLING)[0].cause.reason is Reason.OVERLAP_EXPIRED


def test_a_node_that_runs_another_serial_is_no_evidence(street: Street) -> None:
    """Evidence is what a node serves, not the number it has heard of."""
    one = street.start()
    one.settle()
    street.adopt(REPORTS)
    key = street.layout.node(REPORTS.owner, "n1")
    serial = street.record(REPORTS).current.serial
    street.consul.put(key, street.consul.entries[key].value.replace(serial.encode(), b"FF"))
    one.settle()
    assert not one.events("adopted", REPORTS)
    street.adopt(REPORTS)
    one.settle()
    assert one.events("adopted", REPORTS)


def test_a_proxy_certificate_is_published_with_its_document(street: Street) -> None:
    """A proxy learns of its new certificate by a new document version, and only then is the rotation closed."""
    one = street.start()
    one.settle()
    street.clock.advance(TTL * 2 / 3)
    one.settle()
    assert street.version(EDGE_TLS) == 2
    assert street.pointer() == 2
    document = street.shelf.document("edge", 2)
    assert document.certificates()["tls"]["version"] == 2
    names = [type(event).__name__ for event in one.audit.events if getattr(event, "target", None) == EDGE_TLS]
    assert names[-4:] == ["Intended", "Issued", "Verified", "Published"]


def test_waves_are_written_together() -> None:
    """One audit write and one transaction per step of a wave, however many credentials walk in it."""
    from .world import fleet

    street = Street(fleet(agents=[f"a{number}" for number in range(40)]))
    one = street.start()
    one.settle()
    intents = [batch for batch in one.audit.batches if len(one_kind(batch)) > 1]
    assert max(len(batch) for batch in intents) >= 41
    assert street.consul.calls.count("commit") <= 8
    street.close()


def one_kind(batch: tuple[object, ...]) -> list[object]:
    return [event for event in batch if type(event) is type(batch[0])]
