"""Consul in memory: `FakeKeys` and `FakeLock` over one `FakeConsul`, held to the real one by the contract suite."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import Enum
from typing import Any

from rotator.core.errors import Code, Conflict, Denied, Fault, LeadershipLost, Unavailable
from rotator.ports import TRANSACTION_BYTES, VALUE_LIMIT, WRITES_PER_TRANSACTION, Clock, Entry, Fence, Put, Write


class When(Enum):
    BEFORE = "before"  # the effect does not happen
    AFTER = "after"  # the effect happens and its reply is lost


@dataclass(frozen=True, slots=True)
class Planned:
    operation: str
    fault: Fault
    when: When


class FakeConsul:
    """The store. ModifyIndex as in Consul: one index per transaction; writing the same value again changes nothing."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.changed = threading.Condition()
        self.index = 1
        self.entries: dict[str, Entry] = {}
        self.sessions: dict[str, float] = {}
        self.delayed: dict[str, float] = {}
        self.calls: list[str] = []
        self._names = itertools.count(1)
        self._planned: list[Planned] = []

    def fail_next(self, operation: str, fault: Fault | None = None, when: When = When.BEFORE) -> None:
        """The next `operation` (read, read_below, commit, wait_for, acquire, renew, release) fails with `fault`."""
        lost = Unavailable(Code.CONSUL_UNREACHABLE, "Consul did not answer")
        self._planned.append(Planned(operation, fault or lost, when))

    def reach(self, operation: str, when: When) -> None:
        if when is When.BEFORE:
            self.calls.append(operation)
        for planned in self._planned:
            if planned.operation == operation and planned.when is when:
                self._planned.remove(planned)
                raise planned.fault

    def put(self, key: str, value: bytes, session: str | None = None) -> None:
        """Writes without any check, as an operator would."""
        with self.changed:
            self.index += 1
            self.store(key, value, self.index, session)
            self.changed.notify_all()

    def store(self, key: str, value: bytes, index: int, session: str | None = None) -> int:
        old = self.entries.get(key)
        holder = session if session is not None else (old.session if old else "")
        if old is not None and (old.value, old.session) == (value, holder):
            return old.modify_index
        self.entries[key] = Entry(key, value, index, holder)
        return index

    def new_session(self, ttl: timedelta) -> str:
        session = f"session-{next(self._names)}"
        self.sessions[session] = self.clock.monotonic() + ttl.total_seconds()
        return session

    def destroy_session(self, session: str, lock_delay: timedelta = timedelta(0)) -> None:
        """What holds a lock is released; the key cannot be locked again before the delay is over."""
        with self.changed:
            self.sessions.pop(session, None)
            for entry in list(self.entries.values()):
                if session and entry.session == session:
                    self.index += 1
                    self.entries[entry.key] = replace(entry, session="", modify_index=self.index)
                    self.delayed[entry.key] = self.clock.monotonic() + lock_delay.total_seconds()
            self.changed.notify_all()


class FakeKeys:
    """`ports.Keys`."""

    def __init__(self, consul: FakeConsul) -> None:
        self.consul = consul

    def read(self, key: str) -> Entry | None:
        self.consul.reach("read", When.BEFORE)
        return self.consul.entries.get(key)

    def read_below(self, prefix: str) -> tuple[Entry, ...]:
        self.consul.reach("read_below", When.BEFORE)
        return tuple(entry for key, entry in sorted(self.consul.entries.items()) if key.startswith(prefix))

    def read_below_surely(self, prefix: str) -> tuple[Entry, ...]:
        for _ in range(3):
            if entries := self.read_below(prefix):
                return entries
        raise Denied(Code.CONSUL_EMPTY_READ, f"Consul shows nothing below {prefix}, where entries were before")

    def commit(self, writes: Sequence[Write], fence: Fence | None) -> Mapping[str, int]:
        if not writes:
            return {}
        _check_size(writes)
        with self.consul.changed:
            self.consul.reach("commit", When.BEFORE)
            self._check_fence(fence)
            self._check_indexes(writes)
            indexes = self._apply(writes)
            self.consul.changed.notify_all()
        self.consul.reach("commit", When.AFTER)
        return indexes

    def wait_for(self, key: str, index: int, wait: timedelta) -> tuple[Entry | None, int]:
        self.consul.reach("wait_for", When.BEFORE)
        with self.consul.changed:
            if 0 < index == self._seen(key):
                self.consul.changed.wait_for(lambda: self._seen(key) != index, wait.total_seconds())
            seen = self._seen(key)
            return self.consul.entries.get(key), 0 if seen < index else seen

    def _seen(self, key: str) -> int:
        entry = self.consul.entries.get(key)
        return entry.modify_index if entry else max(1, self.consul.index)

    def _check_fence(self, fence: Fence | None) -> None:
        if fence is None:
            return
        entry = self.consul.entries.get(fence.key)
        if entry is None or entry.session != fence.session:
            raise LeadershipLost(Code.LEADERSHIP_LOST, "the leadership lock is no longer held by this session")

    def _check_indexes(self, writes: Sequence[Write]) -> None:
        keys = [write.key for write in writes]
        stale = [key for key in keys if keys.count(key) > 1]
        for write in writes:
            old = self.consul.entries.get(write.key)
            index = old.modify_index if old else 0
            # Deleting what is not there succeeds in Consul, whatever the index.
            if index != write.cas and (old is not None or isinstance(write, Put)):
                stale.append(write.key)
        if stale:
            changed = tuple(dict.fromkeys(stale))
            raise Conflict(Code.CONSUL_CONFLICT, f"{len(changed)} key(s) were changed by somebody else", keys=changed)

    def _apply(self, writes: Sequence[Write]) -> Mapping[str, int]:
        self.consul.index += 1
        indexes: dict[str, int] = {}
        for write in writes:
            if isinstance(write, Put):
                indexes[write.key] = self.consul.store(write.key, write.value, self.consul.index)
            else:
                self.consul.entries.pop(write.key, None)
        return indexes


def _check_size(writes: Sequence[Write]) -> None:
    sizes = [len(write.value) if isinstance(write, Put) else 0 for write in writes]
    if len(writes) > WRITES_PER_TRANSACTION or max(sizes) > VALUE_LIMIT or sum(sizes) * 4 // 3 > TRANSACTION_BYTES:
        raise Denied(Code.CONSUL_TOO_LARGE, "the transaction is too large")


class FakeLock:
    """`ports.Lock`, with the terms, the epoch and the local deadline of the real one."""

    def __init__(
        self,
        consul: FakeConsul,
        key: str = "rotator/lock",
        instance: str = "one",
        ttl: timedelta = timedelta(seconds=15),
        predecessor_is_dead: bool = False,
    ) -> None:
        self.consul = consul
        self._key, self._instance, self._ttl = key, instance, ttl
        self._predecessor_is_dead = predecessor_is_dead
        self._fence: Fence | None = None
        self._deadline = 0.0
        self._ended = ""

    def acquire(self) -> Fence | None:
        self.consul.reach("acquire", When.BEFORE)
        if held := self.fence():
            return held
        entry = self.consul.entries.get(self._key)
        raw: dict[str, Any] = json.loads(entry.value) if entry else {"epoch": 0, "instance": ""}
        holder = entry.session if entry else ""
        mine = holder == self._ended or (self._predecessor_is_dead and raw["instance"] == self._instance)
        delayed = self.consul.delayed.get(self._key, 0.0) > self.consul.clock.monotonic()
        if (holder and not mine) or (not holder and delayed):
            return None
        return self._begin(raw["epoch"] + 1, holder)

    def _begin(self, epoch: int, old: str) -> Fence:
        session = self.consul.new_session(self._ttl)
        value = {"instance": self._instance, "epoch": epoch, "acquired_at": self.consul.clock.now().isoformat()}
        self.consul.put(self._key, json.dumps(value, sort_keys=True).encode(), session)
        self.consul.sessions.pop(old, None)
        self._ended = session
        self.consul.reach("acquire", When.AFTER)
        self._predecessor_is_dead = False
        self._fence = Fence(self._key, session, epoch, self._instance)
        self._deadline = self.consul.clock.monotonic() + self._ttl.total_seconds() * 2 / 3
        return self._fence

    def renew(self) -> bool:
        fence, asked = self.fence(), self.consul.clock.monotonic()
        if fence is None:
            return False
        try:
            self.consul.reach("renew", When.BEFORE)
        except Unavailable:
            return True
        entry = self.consul.entries.get(self._key)
        if fence.session not in self.consul.sessions or entry is None or entry.session != fence.session:
            self._fence = None
            return False
        self.consul.sessions[fence.session] = asked + self._ttl.total_seconds()
        self._deadline = asked + self._ttl.total_seconds() * 2 / 3
        return True

    def fence(self) -> Fence | None:
        if self._fence is not None and self.consul.clock.monotonic() >= self._deadline:
            self._fence = None
        return self._fence

    def release(self) -> None:
        self._fence = None
        self.consul.reach("release", When.BEFORE)
        entry = self.consul.entries.get(self._key)
        if entry is not None and self._ended and entry.session == self._ended:
            self.consul.put(self._key, entry.value, session="")
        self.consul.sessions.pop(self._ended, None)
