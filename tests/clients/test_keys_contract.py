"""The contract of `ports.Keys`, for Consul in memory and for a real one."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from rotator.core.errors import Code, Conflict, Denied, LeadershipLost
from rotator.ports import VALUE_LIMIT, WRITES_PER_TRANSACTION, Delete, Fence, Put
from tests.clients.conftest import World


def test_a_written_key_is_read_back_with_the_index_that_commit_returned(world: World) -> None:
    """The next compare-and-set uses that index without another read."""
    key = f"{world.prefix}a"
    indexes = world.keys.commit([Put(key, b"one", 0)], None)
    entry = world.keys.read(key)
    assert entry is not None
    assert (entry.value, entry.modify_index) == (b"one", indexes[key])
    world.keys.commit([Put(key, b"", indexes[key])], None)
    assert world.keys.read(key).value == b""  # type: ignore[union-attr]


def test_absent_keys_are_none_and_empty(world: World) -> None:
    """Absence is a value, not an error."""
    assert world.keys.read(f"{world.prefix}absent") is None
    assert world.keys.read_below(f"{world.prefix}absent/") == ()


def test_a_prefix_is_read_in_key_order(world: World) -> None:
    """Parts of a document are joined in this order."""
    below = f"{world.prefix}p/"
    world.keys.commit([Put(below + name, name.encode(), 0) for name in ("b", "a", "c")], None)
    assert [entry.value for entry in world.keys.read_below(below)] == [b"a", b"b", b"c"]


def test_one_stale_index_stops_the_whole_transaction_and_is_named(world: World) -> None:
    """Only the credential that somebody else changed is loaded again."""
    old, new = f"{world.prefix}old", f"{world.prefix}new"
    world.keys.commit([Put(old, b"1", 0)], None)
    with pytest.raises(Conflict) as caught:
        world.keys.commit([Put(new, b"1", 0), Put(old, b"2", 0)], None)
    assert caught.value.keys == (old,)
    assert caught.value.code is Code.CONSUL_CONFLICT
    assert world.keys.read(new) is None


def test_a_delete_needs_the_index_and_may_be_repeated(world: World) -> None:
    """A lost reply to a deletion must not become a conflict."""
    key = f"{world.prefix}d"
    index = world.keys.commit([Put(key, b"1", 0)], None)[key]
    with pytest.raises(Conflict):
        world.keys.commit([Delete(key, index + 1000)], None)
    assert world.keys.commit([Delete(key, index)], None) == {}
    assert world.keys.commit([Delete(key, index)], None) == {}
    assert world.keys.read(key) is None


def test_sixty_three_writes_fit_beside_the_fence_and_one_more_does_not(world: World) -> None:
    """Consul 1.8 takes 64 operations."""
    fence = world.lock("one", False).acquire()
    writes = [Put(f"{world.prefix}w/{number:02d}", b"x", 0) for number in range(WRITES_PER_TRANSACTION)]
    assert len(world.keys.commit(writes, fence)) == WRITES_PER_TRANSACTION
    with pytest.raises(Denied) as caught:
        world.keys.commit([*writes, Put(f"{world.prefix}w/more", b"x", 0)], fence)
    assert caught.value.code is Code.CONSUL_TOO_LARGE


@pytest.mark.parametrize("values", [(VALUE_LIMIT + 1,), (200_000, 200_000)])
def test_too_large_values_are_refused_before_they_are_sent(world: World, values: tuple[int, ...]) -> None:
    """Consul's 413 comes only after half a megabyte has travelled, again with every retry."""
    with pytest.raises(Denied) as caught:
        world.keys.commit([Put(f"{world.prefix}{size}{n}", b"x" * size, 0) for n, size in enumerate(values)], None)
    assert caught.value.code is Code.CONSUL_TOO_LARGE


def test_a_fence_that_nobody_holds_stops_the_write(world: World) -> None:
    """Also when the lock key does not exist."""
    key = f"{world.prefix}k"
    for fence_key in (world.lock_key, f"{world.prefix}nowhere"):
        fence = Fence(fence_key, "00000000-0000-4000-8000-000000000000", 1, "one")
        with pytest.raises(LeadershipLost):
            world.keys.commit([Put(key, b"1", 0)], fence)
    assert world.keys.read(key) is None


def test_a_deposed_instance_changes_nothing(world: World) -> None:
    """Invariant 4: its session is gone, another instance leads, its write arrives late."""
    first, second = world.lock("one", False), world.lock("two", False)
    old = first.acquire()
    assert old is not None
    world.destroy(old)
    new = second.acquire()
    assert new is not None
    with pytest.raises(LeadershipLost):
        world.keys.commit([Put(f"{world.prefix}k", b"late", 0)], old)
    world.keys.commit([Put(f"{world.prefix}k", b"new", 0)], new)


def test_a_blocking_query_returns_at_once_first_and_wakes_on_change(world: World) -> None:
    """A follower sees a publication within moments, without polling."""
    key = f"{world.prefix}watched"
    written = world.keys.commit([Put(key, b"1", 0)], None)[key]
    entry, index = world.keys.wait_for(key, 0, timedelta(seconds=30))
    assert entry is not None
    assert index >= 1
    timer = threading.Timer(0.1, lambda: world.keys.commit([Put(key, b"2", written)], None))
    timer.start()
    entry, later = world.keys.wait_for(key, index, timedelta(seconds=30))
    timer.join()
    assert entry is not None
    assert entry.value == b"2"
    assert later > index


def test_a_blocking_query_ends_without_a_change(world: World) -> None:
    """A return is no proof of change."""
    key = f"{world.prefix}still"
    index = world.keys.commit([Put(key, b"1", 0)], None)[key]
    entry, same = world.keys.wait_for(key, index, timedelta(milliseconds=50))
    assert entry is not None
    assert same == index


def test_an_index_that_went_backwards_starts_again_from_zero(world: World) -> None:
    """CON-2: after a restore Consul counts from a lower index; a kept one would wait for years."""
    key = f"{world.prefix}back"
    world.keys.commit([Put(key, b"1", 0)], None)
    _entry, index = world.keys.wait_for(key, 2**40, timedelta(milliseconds=50))
    assert index == 0
