"""Passwords of real accounts: one rotation changes one of them, the half in use never. OpenBao and PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from rotator.clients.vault_admin import VaultAdmin
from rotator.core.errors import Code, Conflict, Denied, Rejected, Unavailable
from rotator.dev.servers.postgres import Postgres
from tests.kinds.database_room import MOUNT, Place, Room, prepare, role_of

pytestmark = pytest.mark.servers

MakeRoom = Callable[..., Room]


@pytest.fixture(scope="session")
def database_place(vault: tuple[str, VaultAdmin, object], postgres: Postgres) -> Place:
    """A PostgreSQL that Vault's database engine knows."""
    place = Place(postgres)
    prepare(vault[1], place)
    return place


@pytest.fixture
def make_room(vault: tuple[str, VaultAdmin, object], database_place: Place, unique: str) -> Iterator[MakeRoom]:
    made: list[Room] = []

    def make(**wanted: object) -> Room:
        room = Room(vault[0], vault[1], database_place, unique, **wanted)  # type: ignore[arg-type]
        made.append(room)
        return room

    yield make
    for room in made:
        for role in room.roles:
            room.place.run(f'DROP ROLE IF EXISTS "{role}"')


@pytest.fixture
def pair(make_room: MakeRoom) -> Room:
    return make_room()


@pytest.fixture
def alone(make_room: MakeRoom) -> Room:
    return make_room(halves=1)


@pytest.fixture(params=[1, 2])
def room(request: pytest.FixtureRequest, make_room: MakeRoom) -> Room:
    """Once with one role, once with two."""
    return make_room(halves=request.param)


def test_a_new_password_is_made_stored_and_logs_in(room: Room):
    """The whole life's beginning, with what followers read and what is published."""
    facts = room.kind.issue(room.spec, room.pending(), 0, read_back=False).facts
    assert room.points.passed == ["K2", "K3", "K4", "K5"]
    assert room.engine.rotated == [room.roles[0]]
    stored = room.wire.kv_read("kv", room.spec.kv_path, 1)
    assert stored is not None
    assert set(stored.fields) == {"username", "password", "facts", "salt"}
    assert [name for name, _ in facts.details] == ["role", "username", "rotated_at"]
    assert facts.not_after - facts.issued_at == room.spec.ttl
    room.kind.verify(room.spec, facts)


def test_halves_take_turns_and_the_old_one_still_logs_in(pair: Room):
    """This is the overlap: consumers that have not come yet use the version before."""
    first, second = pair.issue(1, 0), pair.issue(2, 1)
    for facts in (first, second):
        assert pair.place.accepts(role_of(facts), pair.password(facts))
    third = pair.issue(3, 2)
    assert [role_of(facts) for facts in (first, second, third)] == [*pair.roles, pair.roles[0]]
    assert pair.place.accepts(role_of(second), pair.password(second))
    assert not pair.place.accepts(role_of(first), pair.password(first))


def test_one_role_changes_in_place(alone: Room):
    """No overlap, and none is declared."""
    first, second = alone.issue(1, 0), alone.issue(2, 1)
    assert not alone.spec.settings.overlaps
    assert role_of(first) == role_of(second)
    assert not alone.place.accepts(role_of(first), alone.password(first))


def test_open_sessions_go_on(alone: Room):
    """PostgreSQL asks for the password once: a pool keeps working until its connections are renewed."""
    facts = alone.issue(1, 0)
    with alone.place.postgres.connect(role_of(facts), alone.password(facts)) as session:
        alone.issue(2, 1)
        assert session.execute(b"SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("lost", ["credential", "rotate", "kv_write"])
@pytest.mark.parametrize("stored", [0, 1])
def test_a_lost_reply_leads_to_one_version(room: Room, lost: str, stored: int):
    """Whether Vault acted is not known; what it did is found and used."""
    if stored:
        room.issue(1, 0)
    pending = room.pending(stored + 1)
    room.engine.lose_next = room.wire.lose_next = lost
    with pytest.raises(Unavailable):
        room.kind.issue(room.spec, pending, stored, read_back=False)
    result = room.kind.issue(room.spec, pending, stored, read_back=True)
    assert room.newest() == stored + 1
    assert len(room.engine.rotated) == stored + 1
    assert result.adopted == (lost == "kv_write")
    room.kind.verify(room.spec, result.facts)


@pytest.mark.parametrize("point", ["K2", "K3", "K4", "K5"])
def test_death_at_any_point_leads_to_one_version_and_one_rotation(room: Room, point: str):
    """A process that is killed comes back with the same intent, and the half in use stays as it is."""
    current = room.issue(1, 0)
    pending = room.pending(2)
    room.points.deadly = point
    with pytest.raises(KeyboardInterrupt):
        room.kind.issue(room.spec, pending, 1, read_back=False)
    result = room.kind.issue(room.spec, pending, 1, read_back=True)
    assert (room.newest(), len(room.engine.rotated)) == (2, 2)
    room.kind.verify(room.spec, result.facts)
    if room.spec.settings.overlaps:
        room.kind.verify(room.spec, current)


def test_a_password_that_was_refused_once_is_not_taken_up_again(pair: Room):
    """It stands in a version already: the next rotation makes another one."""
    pair.issue(1, 0)
    pair.issue(2, 1)  # never published: verification refused it
    result = pair.kind.issue(pair.spec, pair.pending(3), 1, read_back=True)
    assert pair.engine.rotated == [*pair.roles, pair.roles[1]]
    assert result.facts.kv_version == 3
    pair.kind.verify(pair.spec, result.facts)


def test_a_rotation_from_long_before_the_intent_is_not_taken_up(alone: Room):
    """Whoever asked for it by hand knows that password; after a report of compromise it would be no cure."""
    alone.issue(1, 0)
    alone.admin.write(f"{MOUNT}/rotate-role/{alone.roles[0]}", {})
    pending = alone.pending(2)
    late = replace(pending, intended_at=pending.intended_at + timedelta(minutes=5))
    alone.kind.issue(alone.spec, late, 1, read_back=True)
    assert len(alone.engine.rotated) == 2


def test_a_foreign_version_in_between_keeps_the_turn(pair: Room):
    """Somebody's write makes no half free that is in use."""
    pair.issue(1, 0)
    pair.admin.write(f"kv/data/{pair.spec.kv_path}", {"data": {"password": "somebody's"}})
    pending = pair.pending(2)
    with pytest.raises(Conflict):
        pair.kind.issue(pair.spec, pending, 1, read_back=False)
    result = pair.kind.issue(pair.spec, pending, 1, read_back=True)
    assert result.facts.kv_version == 3
    assert pair.engine.rotated == list(pair.roles)


def test_without_the_current_version_the_half_that_rested_longer_is_taken(pair: Room):
    """Somebody destroyed it by hand: the other half may be in use all the same."""
    pair.issue(1, 0)
    pair.issue(2, 1)
    pair.wire.kv_destroy("kv", pair.spec.kv_path, (2,))
    assert role_of(pair.issue(3, 2)) == pair.roles[0]


def test_a_wrong_password_does_not_verify(room: Room):
    """Somebody changed it behind our back: what is stored must not be published."""
    facts = room.issue(1, 0)
    room.place.run(f"ALTER ROLE \"{role_of(facts)}\" PASSWORD 'another'")
    with pytest.raises(Rejected) as refusal:
        room.kind.verify(room.spec, facts)
    assert refusal.value.code is Code.MATERIAL_REJECTED
    assert room.password(facts).reveal() not in f"{refusal.value!r} {refusal.value.text} {refusal.value.hint}"


def test_an_equal_password_is_refused_and_not_stored(room: Room):
    """Vault says that it rotated, and did not."""
    room.issue(1, 0)
    room.engine.deaf = True
    with pytest.raises(Rejected, match="equals the old one"):
        room.kind.issue(room.spec, room.pending(2), 1, read_back=False)
    assert room.newest() == 1


def test_a_role_that_vault_changes_too_soon_is_refused_before_anything_changes(make_room: MakeRoom):
    """Its own rotation would break the stored copy in the middle of its life."""
    room = make_room(period=timedelta(hours=1))
    with pytest.raises(Denied, match="by itself") as refusal:
        room.kind.issue(room.spec, room.pending(), 0, read_back=False)
    assert refusal.value.code is Code.VAULT_NOT_CONFIGURED
    assert room.engine.rotated == []


def test_a_pair_on_one_account_is_refused_before_anything_changes(pair: Room):
    """Each turn would kill the version in use."""
    first = pair.issue(1, 0)
    pair.engine.account = role_of(first)
    with pytest.raises(Denied, match="one and the same account"):
        pair.kind.issue(pair.spec, pair.pending(2), 1, read_back=False)
    assert pair.engine.rotated == [pair.roles[0]]


def test_a_missing_role_is_named(pair: Room):
    """A misspelt role in the configuration."""
    settings = replace(pair.spec.settings, roles=("nobody",))
    with pytest.raises(Denied, match="static-creds/nobody") as refusal:
        pair.kind.issue(replace(pair.spec, settings=settings), pair.pending(), 0, read_back=False)
    assert refusal.value.code is Code.VAULT_NOT_CONFIGURED


def test_a_rotation_that_vault_could_not_finish_is_made_good(alone: Room):
    """The account was away; Vault says so and goes on by itself, and so do we."""
    alone.issue(1, 0)
    role = alone.roles[0]
    alone.place.run(f'ALTER ROLE "{role}" RENAME TO "{role}-away"')
    pending = alone.pending(2)
    with pytest.raises(Unavailable, match="goes on trying") as refusal:
        alone.kind.issue(alone.spec, pending, 1, read_back=False)
    assert refusal.value.code is Code.VAULT_ERROR
    alone.place.run(f'ALTER ROLE "{role}-away" RENAME TO "{role}"')
    alone.kind.verify(alone.spec, alone.kind.issue(alone.spec, pending, 1, read_back=True).facts)


def test_retiring_twice_is_success_and_leaves_the_account_alone(pair: Room):
    """K10: the copy goes, the password waits for its next turn."""
    first, _ = pair.issue(1, 0), pair.issue(2, 1)
    password = pair.password(first)
    pair.wire.lose_next = "kv_destroy"
    with pytest.raises(Unavailable):
        pair.kind.retire(pair.spec, first)
    pair.kind.retire(pair.spec, first)
    assert pair.wire.kv_read("kv", pair.spec.kv_path, 1) is None
    assert pair.place.accepts(role_of(first), password)
    with pytest.raises(Rejected, match="gone"):
        pair.kind.verify(pair.spec, first)


@pytest.mark.parametrize("interrupted", ["", "K11", "rotate", "credential", "kv_destroy"])
def test_a_compromised_password_dies_and_the_half_in_use_lives(pair: Room, interrupted: str):
    """Wherever it is interrupted, one more rotation of the leaked half and none of the other."""
    leaked, current = pair.issue(1, 0), pair.issue(2, 1)
    password = pair.password(leaked)
    pair.points.deadly = interrupted
    pair.engine.lose_next = pair.wire.lose_next = interrupted
    if interrupted:
        with pytest.raises((KeyboardInterrupt, Unavailable)):
            pair.kind.revoke(pair.spec, leaked)
    pair.kind.revoke(pair.spec, leaked)
    pair.kind.revoke(pair.spec, leaked)
    assert pair.engine.rotated == [*pair.roles, pair.roles[0]]
    assert not pair.place.accepts(role_of(leaked), password)
    assert pair.wire.kv_read("kv", pair.spec.kv_path, leaked.kv_version) is None
    pair.kind.verify(pair.spec, current)


def test_a_compromised_half_that_is_in_use_again_is_not_touched(pair: Room):
    """Version 1 leaked, version 3 uses its account: that password died when version 3 was made."""
    leaked, _ = pair.issue(1, 0), pair.issue(2, 1)
    current = pair.issue(3, 2)
    pair.wire.kv_destroy("kv", pair.spec.kv_path, (1,))  # also when somebody has been quicker with its copy
    pair.kind.revoke(pair.spec, leaked)
    assert len(pair.engine.rotated) == 3
    pair.kind.verify(pair.spec, current)


def test_a_compromised_password_dies_even_when_its_copy_is_gone(pair: Room):
    """The first thing a person does after a leak is to delete the copy: the account still takes it."""
    leaked, _ = pair.issue(1, 0), pair.issue(2, 1)
    password = pair.password(leaked)
    pair.kind.retire(pair.spec, leaked)
    pair.kind.revoke(pair.spec, leaked)
    assert not pair.place.accepts(role_of(leaked), password)


def test_one_role_has_nothing_more_to_revoke(alone: Room):
    """Its old password died when the new one was made."""
    leaked, current = alone.issue(1, 0), alone.issue(2, 1)
    alone.kind.revoke(alone.spec, leaked)
    assert len(alone.engine.rotated) == 2
    alone.kind.verify(alone.spec, current)


def test_facts_without_a_role_revoke_nothing(pair: Room):
    """Guessing would rotate the half in use."""
    facts = replace(pair.issue(1, 0), details=())
    with pytest.raises(Rejected, match="name no role"):
        pair.kind.revoke(pair.spec, facts)
    assert pair.place.accepts(pair.roles[0], pair.password(facts))


def test_no_secret_is_in_what_is_published(pair: Room):
    """Facts go to Consul."""
    facts = pair.issue(1, 0)
    assert pair.password(facts).reveal() not in repr(facts)
