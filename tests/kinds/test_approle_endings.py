"""The end of secret-ids: retired ones, and what rotations left that never came to their end. On a real OpenBao."""

from __future__ import annotations

import pytest

from rotator.clients.vault_admin import VaultAdmin
from rotator.core.errors import Unavailable
from tests.kinds.approle_room import MOUNT, Room, accessors

pytestmark = pytest.mark.servers


@pytest.fixture
def room(vault: tuple[str, VaultAdmin, object], unique: str) -> Room:
    return Room(vault[0], vault[1], unique)


@pytest.mark.parametrize("ending", ["retire", "revoke"])
@pytest.mark.parametrize("point", ["K11", "K10"])
def test_ending_is_finished_after_a_death(room: Room, ending: str, point: str):
    """Between the secret-id and its copy, and after both."""
    first, second = room.issue(1, 0), room.issue(2, 1)
    role_id, secret_id = room.material(first)
    room.points.deadly = point
    with pytest.raises(KeyboardInterrupt):
        getattr(room.kind, ending)(room.spec, first)
    for _ in range(2):
        getattr(room.kind, ending)(room.spec, first)
    assert not room.admits(role_id, secret_id)
    assert room.vault.kv_read("kv", room.spec.kv_path, 1) is None
    assert (room.alive(), room.accepts(second)) == (accessors(second), True)


@pytest.mark.parametrize("lost", ["destroy_secret_id", "secret_ids", "kv_destroy"])
def test_ending_is_finished_after_a_lost_reply(room: Room, lost: str):
    """'Already gone' is success."""
    first, second = room.issue(1, 0), room.issue(2, 1)
    room.wire.lose_next = room.vault.lose_next = lost
    with pytest.raises(Unavailable):
        room.kind.retire(room.spec, first)
    room.kind.retire(room.spec, first)
    assert room.alive() == accessors(second)
    assert room.vault.kv_read("kv", room.spec.kv_path, 1) is None


def test_a_retirement_takes_along_what_older_rotations_left_and_nothing_else(room: Room):
    """Without our mark, of another credential of the same role, of a later version, or in its overlap: untouched."""
    overlapping, second, third = room.issue(1, 0), room.issue(2, 1), room.issue(3, 2)
    left = {room.plant(0), room.plant(1)}
    others = {
        room.foreign(),
        room.plant(1, credential="agent/other/login"),
        room.plant(2, mark="later"),
        room.plant(4, mark="under way"),
    }
    assert left <= room.alive()
    room.kind.retire(room.spec, second)
    assert room.alive() == others | accessors(overlapping, third)
    assert room.accepts(overlapping)


def test_the_next_try_takes_along_only_its_own(room: Room):
    """Other rotations of the same credential may be in their overlap."""
    first, others = room.issue(1, 0), {room.foreign(), room.plant(2, mark="another")}
    room.plant(2, mark=room.pending(2).rotation_id)
    second = room.kind.issue(room.spec, room.pending(2), 1, read_back=True).facts
    assert room.alive() == others | accessors(first, second)


def test_it_is_destroyed_where_it_was_made(room: Room):
    """The configuration may name another role since."""
    first = room.issue(1, 0)
    room.set_role(f"{room.role}-new", token_policies=["default"])
    room.want(role=f"{room.role}-new")
    room.issue(2, 1)
    room.kind.retire(room.spec, first)
    assert room.alive() == set()


def test_a_role_that_is_gone_does_not_hold_up_a_retirement(room: Room):
    """Its secret-ids went with it."""
    first = room.issue(1, 0)
    room.admin._adapter.delete(f"/v1/auth/{MOUNT}/role/{room.role}")
    room.kind.retire(room.spec, first)
    assert room.vault.kv_read("kv", room.spec.kv_path, 1) is None


def test_retiring_ends_no_session_of_the_agent(room: Room):
    """Tokens of earlier logins run to their own end, so that nothing stops in the middle of its work."""
    facts = room.issue(1, 0)
    role_id, secret_id = room.material(facts)
    body = {"role_id": role_id, "secret_id": secret_id.reveal()}
    token = room.admin._adapter.request("post", f"/v1/auth/{MOUNT}/login", json=body).json()["auth"]["client_token"]
    room.kind.retire(room.spec, facts)
    assert room.admin.write("auth/token/lookup", {"token": token})["display_name"] == MOUNT
