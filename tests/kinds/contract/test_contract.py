"""What must hold for every kind, whatever gets lost on the way. On real servers."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from rotator.core.errors import Code, Conflict, Fault, Rejected, Unavailable
from rotator.core.material import FACTS, SALT, fingerprint, material_of
from rotator.core.model import Facts, Pending
from rotator.kinds.base import IssueResult
from tests.kinds.contract.stand import Death, Stand

pytestmark = pytest.mark.servers


def whole(stand: Stand, facts: Facts) -> bool:
    """The stored version is right, and is accepted where it is meant to be used."""
    stand.kind.verify(stand.spec, facts)
    material = stand.stored(facts.kv_version)
    assert material is not None
    return stand.site.works(stand.spec, facts, material_of(material))


def assert_settled(stand: Stand, first: Facts, result: IssueResult, step: str) -> None:
    """After a disturbed second version: there is one, it works, and nothing unknown outlives the retirement."""
    site, spec, second = stand.site, stand.spec, result.facts
    assert (second.kv_version, stand.newest()) == (2, 2), step
    assert whole(stand, second), step
    assert site.orphans(spec, (first, second)) <= 1, step
    stand.kind.retire(spec, first)
    assert site.orphans(spec, (second,)) == 0, step
    assert whole(stand, second), step


def disturbed(stand: Stand, disturb: Callable[[Stand], None]) -> tuple[Facts, IssueResult, str]:
    """(version 1, version 2 after one disturbance and one restart, the step that was disturbed)."""
    first = stand.first()
    stand.calm()
    disturb(stand)
    pending = stand.pending(2)
    with pytest.raises((Death, Unavailable)):
        stand.issue(pending, 1)
    step = f"after {stand.points.passed} and {stand.wire.calls}"
    return first, stand.issue(pending, 1, again=True), step


def undisturbed(stand: Stand) -> Stand:
    """Has issued its second version, so that its points and calls are those of a second version."""
    stand.first()
    stand.calm()
    stand.issue(stand.pending(2), 1)
    return stand


def test_issued_version_is_accepted(stand: Stand):
    """A credential that only looks right would be found out by an agent."""
    facts = stand.first()
    assert whole(stand, facts)
    assert facts.issued_at <= facts.not_after


def test_issued_twice_is_one_version(stand: Stand):
    """The same intent is carried out again whenever it is in doubt."""
    pending = stand.pending()
    one, two = stand.issue(pending), stand.issue(pending, again=True)
    assert two.adopted
    assert replace(two.facts, issued_at=one.facts.issued_at) == one.facts
    assert stand.newest() == 1
    assert stand.site.orphans(stand.spec, (one.facts,)) == 0


def test_death_between_any_two_steps_leads_to_one_version(stand: Stand):
    """K2 to K5: a process that is killed comes back with the same intent."""
    points = list(undisturbed(stand).points.passed)
    assert points
    for number in range(len(points)):
        fresh = Stand(stand.site)
        first, result, step = disturbed(fresh, lambda one, at=number: setattr(one.points, "deadly", at))
        assert_settled(fresh, first, result, step)


def test_any_lost_reply_leads_to_one_version(stand: Stand):
    """The effect has happened, and nobody was told."""
    calls = list(undisturbed(stand).wire.calls)
    assert calls
    for number in range(len(calls)):
        fresh = Stand(stand.site)
        first, result, step = disturbed(fresh, lambda one, at=number: setattr(one.wire, "lost", at))
        assert_settled(fresh, first, result, step)


def test_wrong_material_is_refused(stand: Stand):
    """Its mark and its fingerprint are right: only using it, or looking at it, tells."""
    facts = spoilt(stand, stand.first())
    with pytest.raises(Rejected) as refusal:
        stand.kind.verify(stand.spec, facts)
    assert refusal.value.code is Code.MATERIAL_REJECTED


def test_refused_version_leaves_nothing_at_its_source(stand: Stand):
    """Its rotation is given up and never looked at again; what it made would be accepted for ever."""
    first = stand.first()
    refused = spoilt(stand, stand.issue(stand.pending(2), 1).facts)
    with pytest.raises(Rejected):
        stand.kind.verify(stand.spec, refused)
    third = stand.issue(stand.pending(3), 1, again=True).facts
    assert whole(stand, third)
    stand.kind.retire(stand.spec, first)
    assert stand.site.orphans(stand.spec, (third,)) == 0
    assert whole(stand, third)


def spoilt(stand: Stand, facts: Facts) -> Facts:
    """The facts of this version after it was made wrong, at its source or where it is stored."""
    stored = stand.stored(facts.kv_version)
    assert stored is not None
    wrong = stand.site.spoil(stand.spec, facts, material_of(stored))
    return facts if wrong is None else planted(stand, facts, {**stored, **wrong})


def planted(stand: Stand, facts: Facts, fields: dict) -> Facts:
    """Stores the fields as the kind would have, and says what its facts would be."""
    version = stand.newest() + 1
    if FACTS not in fields:
        stand.write({name: one.reveal() for name, one in fields.items()})
        return replace(facts, kv_version=version)
    mark = fingerprint(material_of(fields), fields[SALT])
    public = {**json.loads(fields[FACTS].reveal()), "fingerprint": mark}
    stand.write({**{name: one.reveal() for name, one in fields.items()}, FACTS: json.dumps(public)})
    return replace(facts, kv_version=version, fingerprint=mark)


def test_other_facts_are_refused(stand: Stand):
    """A record that points to another version, or to one that was changed, must not be published."""
    facts = stand.first()
    for wrong in (
        replace(facts, rotation_id="0" * 32),
        replace(facts, fingerprint="0" * 64),
        replace(facts, kv_version=7),
    ):
        with pytest.raises(Rejected):
            stand.kind.verify(stand.spec, wrong)


def test_foreign_version_is_never_adopted(stand: Stand):
    """Somebody else's write is named, or written above; it neither becomes ours nor keeps ours from being renewed."""
    stand.write({"api_key": "somebody's", "private_key": "somebody's"})
    pending = stand.pending()
    try:
        result = stand.issue(pending)
    except Conflict:
        result = stand.issue(pending, again=True)
    assert (result.adopted, result.facts.kv_version) == (False, 2)
    assert stand.stored(1) is not None
    assert whole(stand, result.facts)


def test_own_version_below_a_foreign_one_is_found(stand: Stand):
    """Else every such write would cost one orphan."""
    pending = stand.pending()
    facts = stand.issue(pending).facts
    stand.write({"api_key": "somebody's"})
    again = stand.issue(pending, again=True)
    assert (again.adopted, again.facts.kv_version, again.facts.fingerprint) == (True, 1, facts.fingerprint)


def test_equal_value_is_refused(stand: Stand):
    """A source that repeats itself rotates nothing, however green it looks."""
    stand.spec = stand.site.repeating(stand.spec) or stand.spec
    stand.first()
    stand.wire.replayed = stand.site.repeats
    with pytest.raises(Rejected) as refusal:
        stand.issue(stand.pending(2), 1)
    assert refusal.value.code is Code.MATERIAL_REJECTED
    assert stand.newest() == 1


def test_overlap_is_as_declared(stand: Stand):
    """Plan and explain tell people whether the old one goes on working."""
    first = stand.first()
    old = material_of(stand.stored(1) or {})
    assert stand.site.works(stand.spec, first, old)
    assert whole(stand, stand.issue(stand.pending(2), 1).facts)
    assert stand.site.works(stand.spec, first, old) == stand.spec.settings.overlaps


@pytest.mark.parametrize("ending", ["retire", "revoke"])
def test_ended_twice_is_success(stand: Stand, ending: str):
    """Killed at any point or left without a reply, it is done again; the newer version is never touched."""
    first = stand.first()
    second = stand.issue(stand.pending(2), 1).facts
    old = material_of(stand.stored(1) or {})
    end = getattr(stand.kind, ending)
    for number in range(3):
        stand.calm()
        stand.points.deadly = number
        try:
            end(stand.spec, first)
        except Death:
            continue
        stand.points.deadly = None
    for number in range(8):
        stand.calm()
        stand.wire.lost = number
        try:
            end(stand.spec, first)
        except Unavailable:
            continue
        stand.wire.lost = None
        break
    end(stand.spec, first)
    assert stand.stored(1) is None
    assert whole(stand, second)
    if ending == "revoke" and stand.site.ends_by_revoke:
        assert not stand.site.works(stand.spec, first, old)


def test_next_version_follows_a_retired_one(stand: Stand):
    """CAS counts destroyed versions too."""
    stand.kind.retire(stand.spec, stand.first())
    result = stand.issue(stand.pending(2), 1, again=True)
    assert result.facts.kv_version == 2
    assert whole(stand, result.facts)


def test_no_secret_shows_in_a_fault(stand: Stand):
    """Words of a fault go to the audit log, and a traceback to the journal."""
    pending: Pending = stand.pending()
    facts = stand.issue(pending).facts
    stand.write({"api_key": "somebody's"})
    wrongs: list[Callable[[], object]] = [
        lambda: stand.kind.verify(stand.spec, replace(facts, rotation_id="0" * 32)),
        lambda: stand.kind.verify(stand.spec, replace(facts, fingerprint="0" * 64)),
        lambda: stand.kind.verify(stand.spec, replace(facts, kv_version=2)),
        lambda: stand.kind.verify(stand.spec, replace(facts, kv_version=7)),
        lambda: stand.issue(stand.pending(2), 1),
    ]
    for wrong in wrongs:
        with pytest.raises(Fault) as refusal:
            wrong()
        assert stand.leaks(refusal.value) == []
    assert stand.wire.secrets
