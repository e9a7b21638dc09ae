"""What people ask for: rotate, suspend, resume, roll back; each answered once, with its reason in the audit."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from rotator.core.errors import Code, Unavailable
from rotator.core.reasons import Reason
from rotator.publish.layout import Layout
from rotator.records.requests import RequestKind, RequestState
from tests.fakes.consul import When
from tests.fakes.vault import Spoil

from .world import ALICE, ALL, BILLING, EDGE_TLS, REPORTS, TTL, Instance, Street, fleet


def settled(street: Street) -> Instance:
    one = street.start()
    one.settle()
    return one


def reconfigure(street: Street, one: Instance, path: str) -> None:
    """The inventory says another path; the same leadership takes it up."""
    street.fleet = fleet(path)
    one.cycle.change_realm(one.realm(street.fleet))
    one.settle()


def test_a_rotation_is_asked_for_with_a_reason(street: Street) -> None:
    """Who and why stand in the record and in the audit, and the request says what came of it."""
    one = settled(street)
    asked = street.ask(RequestKind.ROTATE, "agent/billing/tls")
    one.settle()
    one.settle()
    answer = street.answer(asked)
    assert answer.state is RequestState.SUCCEEDED
    assert street.version() == 2
    cause = street.record().last_cause
    assert cause is not None
    assert (cause.reason, cause.text, cause.actor, cause.request) == (Reason.OPERATOR, "because", ALICE, asked)
    assert street.version(REPORTS) == 1
    one.settle()
    assert street.version() == 2


def test_an_owner_means_all_its_credentials(street: Street) -> None:
    """`rotate proxy/edge` needs no list of credentials."""
    one = settled(street)
    asked = street.ask(RequestKind.ROTATE, "proxy/edge")
    one.settle()
    one.settle()
    assert street.version(EDGE_TLS) == 2
    assert street.answer(asked).state is RequestState.SUCCEEDED
    assert street.pointer() == 2


@pytest.mark.parametrize("kind", [RequestKind.ROTATE, RequestKind.SUSPEND, RequestKind.RESUME, RequestKind.ROLLBACK])
def test_an_unknown_target_is_refused(street: Street, kind: RequestKind) -> None:
    """All or nothing: a misspelt name next to a right one changes nothing."""
    one = settled(street)
    asked = street.ask(kind, "agent/billing/tls", "agent/nobody/tls")
    one.settle()
    assert street.answer(asked).state is RequestState.REFUSED
    assert [event.cause.request for event in one.events("request_refused")] == [asked]
    assert [street.version(target) for target in ALL] == [1, 1, 1]


def test_a_request_that_met_a_foreign_write_is_not_lost(street: Street) -> None:
    """Its record was changed under it: the request stays open until the rotation is really made."""
    one = settled(street)
    key = street.layout.record(BILLING)
    street.consul.put(key, street.consul.entries[key].value.replace(b'"phase":', b'"phase": '))
    asked = street.ask(RequestKind.ROTATE, "agent/billing/tls")
    for _ in range(4):
        one.settle()
    assert street.version() == 2
    assert street.answer(asked).state is RequestState.SUCCEEDED


def test_a_failed_rotation_is_told_as_failed(street: Street) -> None:
    """The answer is the truth about what was asked for, not that it was tried."""
    one = settled(street)
    street.secrets.spoil(Spoil.NO_EKU)
    asked = street.ask(RequestKind.ROTATE, "agent/billing/tls")
    one.settle()
    one.settle()
    answer = street.answer(asked)
    assert answer.state is RequestState.FAILED
    assert Code.MATERIAL_REJECTED.value in dict(answer.outcome)["agent/billing/tls"]


@pytest.mark.parametrize("scope", ["agent/billing/tls", "agent/billing", "all"])
def test_suspended_until_resumed(street: Street, scope: str) -> None:
    """A pause of one, of an owner, of everything."""
    one = settled(street)
    paused = street.ask(RequestKind.SUSPEND, scope)
    one.settle()
    assert street.answer(paused).state is RequestState.SUCCEEDED
    street.clock.advance(TTL * 2 / 3)
    one.settle()
    assert street.version(BILLING) == 1
    assert street.version(REPORTS) == (1 if scope == "all" else 2)
    street.ask(RequestKind.RESUME, scope)
    one.settle()
    assert [street.version(target) for target in ALL] == [2, 2, 2]


@pytest.mark.parametrize(("scope", "renewed"), [("agent/billing/tls", False), ("agent/billing", True), ("all", True)])
def test_the_safety_floor_overrides_pauses_of_others(street: Street, scope: str, renewed: bool) -> None:
    """A pause of everything must not let a fleet expire; the pause of exactly one credential is obeyed."""
    one = settled(street)
    street.ask(RequestKind.SUSPEND, scope)
    one.settle()
    street.clock.advance(TTL - timedelta(minutes=2))
    one.settle()
    assert street.version() == (2 if renewed else 1)


def test_a_pause_survives_a_take_over(street: Street) -> None:
    """It lies in Consul, not in a process."""
    one, two = settled(street), street.start("two")
    street.ask(RequestKind.SUSPEND, "all")
    one.settle()
    street.depose(one)
    street.clock.advance(TTL * 2 / 3)
    two.settle()
    assert [street.version(target) for target in ALL] == [1, 1, 1]


def test_rollback_brings_old_content_back_as_a_new_version(street: Street) -> None:
    """Exactly the old content, a new number, and it stays while the configuration that was withdrawn is still there."""
    one = settled(street)
    reconfigure(street, one, "/invoices")
    assert (street.pointer(), street.document_path()) == (2, "/invoices")
    asked = street.ask(RequestKind.ROLLBACK, "proxy/edge", to_version=1)
    one.settle()
    assert street.answer(asked).state is RequestState.SUCCEEDED
    assert street.pointer() == 3
    assert street.shelf.document("edge", 3).body == street.shelf.document("edge", 1).body
    one.settle()
    assert street.pointer() == 3
    assert street.shelf.manifest("edge", 3).request == asked


def test_certificates_move_on_under_a_hold_until_it_is_released(street: Street) -> None:
    """A rollback must not freeze the proxy's own certificate."""
    one = settled(street)
    reconfigure(street, one, "/invoices")
    street.ask(RequestKind.ROLLBACK, "proxy/edge", to_version=1)
    one.settle()
    street.clock.advance(TTL * 2 / 3)
    one.settle()
    assert street.document_path() == "/orders"
    assert street.shelf.document("edge", street.pointer()).certificates()["tls"]["version"] == 2
    street.ask(RequestKind.ROLLBACK, "proxy/edge")
    one.settle()
    assert street.document_path() == "/invoices"


def test_a_hold_ends_when_the_configuration_changes(street: Street) -> None:
    """What was withdrawn is held back, not what comes after it."""
    one = settled(street)
    reconfigure(street, one, "/invoices")
    street.ask(RequestKind.ROLLBACK, "proxy/edge", to_version=1)
    one.settle()
    reconfigure(street, one, "/receipts")
    assert street.document_path() == "/receipts"


def test_a_hold_survives_a_take_over(street: Street) -> None:
    """The next instance must not publish what was withdrawn."""
    one = settled(street)
    reconfigure(street, one, "/invoices")
    street.ask(RequestKind.ROLLBACK, "proxy/edge", to_version=1)
    one.settle()
    street.depose(one)
    street.start("two").settle()
    assert street.document_path() == "/orders"


def test_rolling_forward_again_ends_the_hold(street: Street) -> None:
    """Back to 1, then to 2 again: 2 is what the configuration says, and nothing holds it back any more."""
    one = settled(street)
    reconfigure(street, one, "/invoices")
    street.ask(RequestKind.ROLLBACK, "proxy/edge", to_version=1)
    one.settle()
    street.ask(RequestKind.ROLLBACK, "proxy/edge", to_version=2)
    one.settle()
    one.settle()
    assert (street.pointer(), street.document_path()) == (4, "/invoices")
    assert street.layout.hold("edge") not in street.consul.entries


def test_rollback_to_a_retired_certificate_is_refused(street: Street) -> None:
    """The old content names a certificate that is gone: bringing it back would close the proxy (invariant 9)."""
    one = settled(street)
    street.clock.advance(TTL * 2 / 3)
    one.settle()
    street.adopt(EDGE_TLS)
    street.clock.advance(timedelta(seconds=31))
    one.settle()
    assert street.kv_versions(EDGE_TLS) == (2,)
    asked = street.ask(RequestKind.ROLLBACK, "proxy/edge", to_version=1)
    one.settle()
    assert street.answer(asked).state is RequestState.REFUSED
    assert Code.ROLLBACK_REFUSED.value in str(street.answer(asked).outcome)
    assert street.pointer() == 2


def test_rollback_to_a_version_that_never_was_is_refused(street: Street) -> None:
    """With words, and nothing published."""
    one = settled(street)
    asked = street.ask(RequestKind.ROLLBACK, "proxy/edge", to_version=9)
    one.settle()
    assert street.answer(asked).state is RequestState.REFUSED
    assert street.pointer() == 1


def test_a_damaged_version_does_not_block_the_inbox(street: Street) -> None:
    """Rolling back to it is refused, and the request behind it is answered."""
    one = settled(street)
    street.consul.put(street.layout.version("edge", 1), b"not JSON")
    asked = street.ask(RequestKind.ROLLBACK, "proxy/edge", to_version=1)
    behind = street.ask(RequestKind.SUSPEND, "all")
    one.run()
    assert street.answer(asked).state is RequestState.REFUSED
    assert street.answer(behind).state is RequestState.SUCCEEDED


def test_a_rollback_whose_answer_could_not_be_stored_is_made_once(street: Street) -> None:
    """Published, then the process died before the request was closed: the next look finds its own work."""
    one = settled(street)
    reconfigure(street, one, "/invoices")
    asked = street.ask(RequestKind.ROLLBACK, "proxy/edge", to_version=1)
    request_key, lost = street.layout.request(asked), Unavailable(Code.CONSUL_UNREACHABLE, "Consul did not answer")
    before = street.consul.entries[request_key]

    def dies(operation: str, when: When) -> None:
        if operation == "commit" and when is When.BEFORE and street.pointer() == 3:
            raise lost

    street.meet(dies)
    one.run()
    del street.consul.reach  # type: ignore[method-assign]
    assert street.consul.entries[request_key] == before
    street.depose(one)
    two = street.start("two")
    two.settle()
    assert street.answer(asked).state is RequestState.SUCCEEDED
    assert street.pointer() == 3


def test_a_moved_pointer_is_put_right_and_told(street: Street) -> None:
    """Somebody's hand in Consul: what is wanted is published again as a new version."""
    one = settled(street)
    reconfigure(street, one, "/invoices")
    key = Layout().proxy_current("edge")
    street.consul.put(key, b'{"version": 1}')
    one.settle()
    assert (street.pointer(), street.document_path()) == (3, "/invoices")
    assert len(one.events("drift_found", "proxy/edge")) == 1
    del street.consul.entries[key]
    one.settle()
    assert (street.pointer(), street.document_path()) == (4, "/invoices")


def test_a_large_document_lies_in_parts() -> None:
    """Beyond what one value can hold; a reader puts it together, and what an interrupted try left is replaced."""
    wanted = fleet(agents=("billing",))
    access = wanted.agents[0].scopes[0]
    many = tuple(replace(access, path=f"/orders/{number:05d}/{'x' * 60}") for number in range(5000))
    street = Street(replace(wanted, agents=(replace(wanted.agents[0], scopes=many),)))
    street.consul.put(street.layout.part("edge", 1, 0), b"left behind")
    one = street.start()
    one.settle()
    manifest = street.shelf.manifest("edge", 1)
    assert manifest.parts >= 3
    document = street.shelf.document("edge", street.pointer())
    assert document.digest == manifest.digest
    street.close()


def test_answers_are_forgotten_after_a_day(street: Street) -> None:
    """They are the memory that recognises a repeated trigger, and must not grow for ever."""
    one = settled(street)
    asked = street.ask(RequestKind.SUSPEND, "all")
    one.settle()
    street.clock.advance(timedelta(hours=25))
    one.settle()
    assert street.layout.request(asked) not in street.consul.entries
