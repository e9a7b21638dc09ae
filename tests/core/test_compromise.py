"""A report of compromise in the core: what it denies, what it breaks through, and when it is over."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rotator.core import events
from rotator.core.apply import apply
from rotator.core.decide import Do, Wait, decide, start_cause
from rotator.core.errors import Family
from rotator.core.model import Action, Denial, Pending, Record, Request, Retiring, Stage
from rotator.core.reasons import Actor, ActorKind, Cause, Reason
from rotator.core.spec import Policy, Suspension
from rotator.records import codec

from .samples import HOUR, MINUTE, NOW, SECOND, TARGET, make_facts, make_record, make_spec

ASKED = Request("r1", "found in a repository", Actor(ActorKind.OPERATOR, "ann"), NOW, compromise=True)
CAUSE = Cause(Reason.COMPROMISE, request="r1")
REPORTED = events.Requested(NOW, TARGET, CAUSE, ASKED)
OLD, CURRENT, NEW = make_facts(1, NOW - HOUR), make_facts(2), make_facts(3)


def everywhere() -> Record:
    """One version in its overlap, one in force, one on its way."""
    pending = Pending(3, NEW.rotation_id, Stage.VERIFIED, Cause(Reason.DUE), NOW, NEW)
    return replace(make_record(), last_version=3, pending=pending, retiring=(Retiring(OLD, NOW, 2),))


def versions(record: Record) -> list[int]:
    return sorted(one.facts.version for one in record.denied)


def test_every_version_that_is_out_there_is_denied() -> None:
    """Nobody knows which of them has leaked."""
    record = apply(everywhere(), REPORTED)
    assert versions(record) == [1, 2, 3]
    assert {(one.at, one.request) for one in record.denied} == {(NOW, "r1")}
    assert apply(record, REPORTED) == record


def test_what_is_not_made_yet_is_not_denied() -> None:
    """Material that Vault makes after the report cannot have leaked before it."""
    pending = Pending(3, NEW.rotation_id, Stage.INTENDED, Cause(Reason.DUE), NOW)
    assert versions(apply(replace(make_record(), last_version=3, pending=pending), REPORTED)) == [2]


def test_a_plain_request_denies_nothing() -> None:
    asked = replace(ASKED, compromise=False)
    assert apply(everywhere(), replace(REPORTED, request=asked)).denied == ()


@pytest.mark.parametrize("own", [True, False])
def test_it_breaks_every_pause(own: bool) -> None:
    """Whoever paused it did not know. A pause that breaks for nobody else breaks for this."""
    spec = replace(make_spec(), suspension=Suspension(own, "freeze", "bob", NOW))
    held = decide(spec, replace(make_record(), request=replace(ASKED, compromise=False)), NOW)
    assert isinstance(held, Wait)
    assert held.cause.reason is Reason.SUSPENDED
    going = decide(spec, apply(make_record(), REPORTED), NOW)
    assert isinstance(going, Do)
    assert (going.action, going.cause.reason) == (Action.INTEND, Reason.COMPROMISE)


def test_only_denied_versions_go_without_evidence() -> None:
    """Invariant 2 has this one exception: an old version that was not reported waits for its consumers."""
    record = replace(make_record(), retiring=(Retiring(OLD, NOW, 2),))
    waiting = decide(make_spec(), record, NOW + HOUR)
    assert isinstance(waiting, Wait)
    gone = decide(make_spec(), replace(record, denied=(Denial(OLD, NOW, "r1"),)), NOW + SECOND)
    assert isinstance(gone, Do)
    assert (gone.action, gone.facts, gone.cause.reason) == (Action.RETIRE, OLD, Reason.COMPROMISE)
    assert gone.cause.request == "r1"
    other = decide(make_spec(), replace(record, denied=(Denial(NEW, NOW, "r1"),)), NOW + SECOND)
    assert isinstance(other, Wait)


def test_a_denied_version_in_force_is_replaced_even_when_its_rotation_was_given_up() -> None:
    """The request is used up by the intent; proxies refuse what is in force, so its renewal is too late."""
    record = apply(make_record(), REPORTED)
    record = apply(record, events.Intended(NOW, TARGET, CAUSE, 3, NEW.rotation_id))
    failed = events.Failed(NOW, TARGET, CAUSE, Action.ISSUE, Family.REJECTED, "E4001", "no", NOW + MINUTE)
    record = apply(record, failed)
    record = apply(record, events.Abandoned(NOW, TARGET, Cause(Reason.REJECTED), NEW.rotation_id, 3))
    assert (record.request, record.pending) == (None, None)
    cause = start_cause(make_spec(), record, NOW + HOUR)
    assert cause is not None
    assert (cause.reason, cause.request) == (Reason.COMPROMISE, "r1")
    # One minute later its backoff is over, and it needs no window.
    again = decide(make_spec(Policy()), record, NOW + HOUR)
    assert isinstance(again, Do)


@pytest.mark.parametrize("later", ["requested", "published", "retired"])
def test_a_denial_drops_out_with_the_life_of_its_version(later: str) -> None:
    """Whatever happens next: records and documents do not grow for ever."""
    end = make_facts(9, NOW - HOUR, 2 * HOUR)
    record = replace(make_record(), denied=(Denial(end, NOW, "r0"), Denial(CURRENT, NOW, "r1")))
    at = end.not_after
    happens: dict[str, events.CredentialEvent] = {
        "requested": replace(REPORTED, at=at),
        "published": events.Published(at, TARGET, CAUSE, make_facts(3, at)),
        "retired": events.Retired(at, TARGET, CAUSE, OLD),
    }
    assert versions(apply(record, replace(happens[later], at=at - SECOND))) == [2, 9]
    assert versions(apply(record, happens[later])) == [2]


def test_denials_come_back_as_they_were_and_old_records_have_none() -> None:
    """A record without a denial is the bytes that the version before wrote, so that either can read the other's."""
    record = apply(everywhere(), REPORTED)
    assert codec.decode_record(codec.encode_record(record)) == record
    plain = codec.encode_record(everywhere())
    assert b"denied" not in plain
    assert codec.decode_record(plain).denied == ()
