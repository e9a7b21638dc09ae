"""Secret-ids of agents: one rotation leaves one, with exactly the uses it should have. On a real OpenBao."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from rotator.clients.vault_admin import VaultAdmin
from rotator.clients.vault_errors import wrapping_suspect
from rotator.core.errors import Code, Conflict, Denied, Rejected, Unavailable
from rotator.ports import SecretId
from tests.kinds.approle_room import MOUNT, TTL, Room, accessors

pytestmark = pytest.mark.servers


@pytest.fixture
def room(vault: tuple[str, VaultAdmin, object], unique: str) -> Room:
    return Room(vault[0], vault[1], unique)


def test_a_new_one_is_proven_and_stored(room: Room):
    """What followers place, what is published, and that nothing else is left in Vault."""
    result = room.kind.issue(room.spec, room.pending(), 0, read_back=False)
    facts = result.facts
    assert (result.adopted, result.verified) == (False, True)
    assert room.wire.calls == ["role_id", "new_secret_id", "try_login"]
    assert room.points.passed == ["K2", "K3", "K4", "K5"]
    stored = room.vault.kv_read("kv", room.spec.kv_path, 1)
    assert stored is not None
    assert set(stored.fields) == {"role_id", "secret_id", "facts", "salt"}
    assert room.alive() == accessors(facts)
    assert facts.details == (("mount", MOUNT), ("role", room.role), ("proof", "login"))
    assert abs(facts.not_after - facts.issued_at - TTL) < timedelta(seconds=2)
    room.kind.verify(room.spec, facts)
    assert room.accepts(facts)


@pytest.mark.parametrize("uses", [1, 3])
def test_the_agent_gets_exactly_its_uses(room: Room, uses: int):
    """The test login has a use of its own, and looking again after a restart takes none away."""
    room.want(num_uses=uses)
    facts = room.issue(1, 0)
    for _ in range(3):
        room.kind.verify(room.spec, facts)
    assert dict(facts.details)["proof"] == "login"
    assert room.logins(facts) == uses


@pytest.mark.parametrize("uses", [0, 1, 3])
def test_outside_of_its_addresses_it_is_looked_up_and_the_facts_say_so(room: Room, uses: int):
    """The service need not stand where the agent stands; the uses are the agent's all the same."""
    room.want(num_uses=uses, secret_id_cidrs=("10.0.0.0/8",), token_cidrs=("10.0.0.0/8",))
    facts = room.issue(1, 0)
    room.kind.verify(room.spec, facts)
    (found,) = room.approles.secret_ids(MOUNT, room.role)
    assert (found.accessor, found.uses_left) == (facts.serial, uses)
    assert (found.secret_id_cidrs, found.token_cidrs) == (("10.0.0.0/8",), ("10.0.0.0/8",))
    assert dict(facts.details)["proof"] == "lookup"


@pytest.mark.parametrize(
    ("uses", "lost"),
    [
        *((0, lost) for lost in ("role_id", "new_secret_id", "try_login", "kv_write")),
        *((2, lost) for lost in ("role_id", "new_secret_id", "try_login", "look_up", "kv_write")),
    ],
)
def test_a_lost_reply_leads_to_one_version_and_one_secret_id(room: Room, uses: int, lost: str):
    """Whether Vault acted is not known; what it did is found by its mark."""
    room.want(num_uses=uses)
    first = room.issue(1, 0)
    room.wire.lose_next = room.vault.lose_next = lost
    with pytest.raises(Unavailable):
        room.kind.issue(room.spec, room.pending(2), 1, read_back=False)
    result = room.kind.issue(room.spec, room.pending(2), 1, read_back=True)
    assert room.newest() == 2
    assert room.alive() == accessors(first, result.facts)
    assert result.adopted == (lost == "kv_write")
    room.kind.verify(room.spec, result.facts)
    assert not uses or room.logins(result.facts) == uses


@pytest.mark.parametrize("lost", ["secret_ids", "destroy_secret_id"])
def test_a_lost_reply_of_the_cleaning_is_repeated(room: Room, lost: str):
    """The try that follows a death can fail too."""
    room.points.deadly = "K2"
    with pytest.raises(KeyboardInterrupt):
        room.issue(1, 0)
    room.wire.lose_next = lost
    with pytest.raises(Unavailable):
        room.kind.issue(room.spec, room.pending(), 0, read_back=True)
    facts = room.kind.issue(room.spec, room.pending(), 0, read_back=True).facts
    assert room.alive() == accessors(facts)


@pytest.mark.parametrize("uses", [0, 2])
@pytest.mark.parametrize("point", ["K2", "K3", "K4", "K5"])
def test_death_at_any_point_leads_to_one_version_and_one_secret_id(room: Room, point: str, uses: int):
    """A process that is killed comes back with the same intent."""
    room.want(num_uses=uses)
    first = room.issue(1, 0)
    room.points.deadly = point
    with pytest.raises(KeyboardInterrupt):
        room.kind.issue(room.spec, room.pending(2), 1, read_back=False)
    result = room.kind.issue(room.spec, room.pending(2), 1, read_back=True)
    assert room.newest() == 2
    assert room.alive() == accessors(first, result.facts)
    room.kind.verify(room.spec, result.facts)
    room.kind.verify(room.spec, first)
    assert not uses or room.logins(result.facts) == uses


def bent(**change: object) -> Callable[[SecretId], SecretId]:
    return lambda made: replace(made, **change)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("bend", "words"),
    [
        (bent(uses_left=9), "9 logins instead of 0"),
        (bent(secret_id_cidrs=("0.0.0.0/0",)), "bound to other addresses"),
        (bent(token_cidrs=("0.0.0.0/0",)), "tokens are bound to other addresses"),
        (bent(metadata={}), "mark of another rotation"),
    ],
)
def test_what_was_not_asked_for_is_refused_and_destroyed(room: Room, bend: Callable[[SecretId], SecretId], words: str):
    """A rejection closes the intent, so nobody comes back for it: it goes at once."""
    first = room.issue(1, 0)
    room.wire.bend = bend
    with pytest.raises(Rejected, match=words) as refused:
        room.issue(2, 1)
    assert refused.value.code is Code.MATERIAL_REJECTED
    assert room.newest() == 1
    assert room.alive() == accessors(first)


def test_a_life_cut_short_is_refused_and_one_without_end_counts_as_asked(room: Room):
    """The mount's max_lease_ttl shortens it without a word; and no secret-id is good for ever."""
    room.wire.bend = lambda made: replace(made, expires_at=made.created_at + TTL - timedelta(seconds=6))
    with pytest.raises(Rejected, match=r"instead of 0:30:00"):
        room.issue(1, 0)
    assert room.alive() == set()
    room.wire.bend = bent(expires_at=None)
    facts = room.issue(1, 0)
    assert facts.not_after - facts.issued_at == TTL
    room.wire.bend = lambda made: replace(made, expires_at=made.created_at + TTL - timedelta(seconds=4))
    facts = room.issue(2, 1)
    assert timedelta(seconds=3) < TTL - (facts.not_after - facts.issued_at) < timedelta(seconds=6)


def test_the_same_secret_id_again_is_no_rotation_and_the_one_in_use_lives(room: Room):
    """Whatever repeats itself must not cost the current one its life."""
    made: list[SecretId] = []
    room.wire.bend = lambda one: made.append(one) or one  # type: ignore[func-returns-value]
    first = room.issue(1, 0)
    room.wire.bend = lambda one: replace(one, value=made[0].value)
    with pytest.raises(Rejected, match="equals the old one"):
        room.issue(2, 1)
    assert room.alive() == accessors(first)
    assert room.accepts(first)


def test_an_intercepted_one_is_refused_and_destroyed(room: Room):
    """Somebody else may hold it: it must not stay good for its whole life."""
    room.wire.fault = wrapping_suspect("the new secret-id has been used already")
    with pytest.raises(Denied) as refused:
        room.issue(1, 0)
    assert refused.value.code is Code.VAULT_WRAPPING_SUSPECT
    assert (room.newest(), room.alive()) == (0, set())


def test_a_failed_cleaning_does_not_hide_why(room: Room):
    """The reason is what people need; the rest is found at a later retirement."""
    room.wire.bend, room.wire.lose_next = bent(uses_left=9), "secret_ids"
    with pytest.raises(Rejected, match="9 logins"):
        room.issue(1, 0)
    room.wire.bend = bent()
    second = room.issue(2, 0)
    assert len(room.alive()) == 2
    room.kind.retire(room.spec, second)
    assert room.alive() == set()


def test_the_role_must_exist_and_is_left_as_it_is(room: Room):
    """`rotator bootstrap` makes it; this service has no right to change it."""
    before = room.admin.read(f"auth/{MOUNT}/role/{room.role}")
    facts = room.issue(1, 0)
    room.kind.retire(room.spec, facts)
    assert room.admin.read(f"auth/{MOUNT}/role/{room.role}") == before
    room.want(role="nobody")
    with pytest.raises(Denied) as refused:
        room.issue(2, 1)
    assert refused.value.code is Code.VAULT_NOT_CONFIGURED
    assert "auth/agents-rooms/role/nobody" in refused.value.text


def test_verify_refuses_what_somebody_spoilt_and_destroys_it(room: Room):
    """It will not be published, and must not be left behind either."""
    room.want(num_uses=2)
    facts = room.issue(1, 0)
    assert room.accepts(facts)
    with pytest.raises(Rejected, match="1 logins instead of 2"):
        room.kind.verify(room.spec, facts)
    assert room.alive() == set()
    with pytest.raises(Rejected, match="does not know it"):
        room.kind.verify(room.spec, facts)


def test_an_outage_while_a_refused_one_is_destroyed_is_made_good(room: Room):
    """Its copy in KV would shield it from every later sweep."""
    room.want(num_uses=2)
    facts = room.issue(1, 0)
    assert room.accepts(facts)
    room.wire.lose_next = "secret_ids"
    with pytest.raises(Unavailable):
        room.kind.verify(room.spec, facts)
    with pytest.raises(Rejected, match="1 logins instead of 2"):
        room.kind.verify(room.spec, facts)
    assert room.alive() == set()


def test_a_foreign_write_in_between_costs_no_secret_id(room: Room):
    """The loser of the write takes back what it made."""
    room.admin.write(f"kv/data/{room.spec.kv_path}", {"data": {"secret_id": "somebody's"}})
    with pytest.raises(Conflict):
        room.issue(1, 0)
    assert room.alive() == set()
    result = room.kind.issue(room.spec, room.pending(), 0, read_back=True)
    assert (result.facts.kv_version, room.alive()) == (2, accessors(result.facts))


def test_the_slower_of_two_instances_takes_back_its_own(room: Room):
    """A deposed leader may still be in its call: what the new leader stored is adopted and stays."""
    stored = []

    def overtaken(made: SecretId) -> SecretId:
        room.wire.bend = lambda one: one
        stored.append(room.kind.issue(room.spec, room.pending(), 0, read_back=False).facts)
        return made

    room.wire.bend = overtaken
    result = room.kind.issue(room.spec, room.pending(), 0, read_back=False)
    assert (result.adopted, result.facts, room.newest()) == (True, stored[0], 1)
    assert room.alive() == accessors(stored[0])
    assert room.accepts(result.facts)
