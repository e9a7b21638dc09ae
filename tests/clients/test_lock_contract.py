"""The contract of `ports.Lock`, for Consul in memory and for a real one."""

from __future__ import annotations

import json
from datetime import timedelta

from rotator.ports import Delete
from tests.clients.conftest import TTL, World


def test_one_instance_leads_and_the_second_is_refused(world: World) -> None:
    """Invariant 4."""
    first, second = world.lock("one", False), world.lock("two", False)
    fence = first.acquire()
    assert fence is not None
    assert (fence.key, fence.epoch, fence.instance) == (world.lock_key, 1, "one")
    assert second.acquire() is None
    assert second.fence() is None
    assert first.fence() == fence == first.acquire()


def test_a_release_hands_over_at_once_and_the_epoch_rises(world: World) -> None:
    """An orderly restart causes no gap in leadership."""
    first, second = world.lock("one", False), world.lock("two", False)
    first.acquire()
    first.release()
    first.release()
    assert first.fence() is None
    fence = second.acquire()
    assert fence is not None
    assert fence.epoch == 2
    entry = world.keys.read(world.lock_key)
    assert entry is not None
    assert entry.session == fence.session
    assert json.loads(entry.value)["instance"] == "two"


def test_a_destroyed_session_is_lost_for_certain(world: World) -> None:
    """The instance forgets its term and leads again later, in a new one."""
    lock = world.lock("one", False)
    old = lock.acquire()
    assert old is not None
    world.destroy(old)
    assert lock.renew() is False
    assert lock.fence() is None
    new = lock.acquire()
    assert new is not None
    assert new.epoch == 2
    assert new.session != old.session


def test_a_lock_deleted_by_hand_is_noticed_by_the_renewal(world: World) -> None:
    """The session lives on, so only a look at the key tells; otherwise every write would fail for ever."""
    lock = world.lock("one", False)
    lock.acquire()
    entry = world.keys.read(world.lock_key)
    assert entry is not None
    world.keys.commit([Delete(entry.key, entry.modify_index)], None)
    assert lock.renew() is False
    assert lock.fence() is None


def test_renewals_move_the_local_deadline(world: World) -> None:
    """Two thirds of the TTL after the last good renewal, and not a moment later."""
    lock = world.lock("one", False)
    fence = lock.acquire()
    world.clock.advance(TTL / 2)
    assert lock.renew() is True
    world.clock.advance(TTL * 2 / 3 - timedelta(milliseconds=1))
    assert lock.fence() == fence
    world.clock.advance(timedelta(milliseconds=2))
    assert lock.fence() is None


def test_a_term_that_passed_its_deadline_never_comes_back(world: World) -> None:
    """What it left in flight is refused, because the next term has another session."""
    lock = world.lock("one", False)
    old = lock.acquire()
    world.clock.advance(TTL)
    assert lock.fence() is None
    assert lock.renew() is False
    new = lock.acquire()
    assert old is not None
    assert new is not None
    assert new.epoch == old.epoch + 1
    assert new.session != old.session


def test_a_restarted_instance_takes_over_from_its_dead_predecessor_at_once(world: World) -> None:
    """A crash costs neither the TTL nor the lock-delay."""
    crashed = world.lock("one", False)
    crashed.acquire()
    fence = world.lock("one", True).acquire()
    assert fence is not None
    assert fence.epoch == 2
    assert crashed.renew() is False


def test_another_instance_is_never_taken_for_a_predecessor(world: World) -> None:
    """Only the own name proves that the holder is dead."""
    leader = world.lock("two", False)
    leader.acquire()
    assert world.lock("one", True).acquire() is None
    assert leader.renew() is True


def test_a_deposed_twin_does_not_steal_back(world: World) -> None:
    """Two processes under one name must not depose each other in turns for ever."""
    twin = world.lock("one", True)
    twin.acquire()
    second = world.lock("one", True)
    assert second.acquire() is not None
    assert twin.renew() is False
    assert twin.acquire() is None
    assert second.renew() is True
