"""Leadership: a Consul session lock with an epoch, and a local deadline that does not trust anybody's clock.

One *term* is one session. It ends when the session or the lock is gone, or when the local deadline has passed
(last good renewal, counted from before it was sent, plus two thirds of the TTL: LCK-1). A term that has ended never
comes back: the next one has a new session and a higher epoch, so whatever the old one left in flight is refused.

The session has its own TTL and no health check (LCK-3): a node's serfHealth flaps with gossip, which would depose a
leader that is well. The token needs `session_prefix "" write` and write on the lock key. The session belongs to the
agent that is asked: use a local client agent, because a server's restart ends its sessions (hashicorp/consul#20424).
"""

from __future__ import annotations

import base64
import json
import threading
from dataclasses import dataclass, replace
from typing import Any

from consul.exceptions import NotFound

from rotator.clients import consul_errors
from rotator.clients.consul import kv_operation, read_entry
from rotator.clients.consul_agent import Call, ConsulAgent, OnCall, library, unheard
from rotator.clients.consul_wire import open_wire
from rotator.config.settings import ConsulSettings
from rotator.core.errors import Code, Conflict, Fault, Rejected, Unavailable
from rotator.ports import Clock, Entry, Fence

_OK, _CONFLICT = 200, 409


@dataclass(frozen=True, slots=True)
class LockValue:
    """What stands in the lock key: who leads or led last, and in which epoch."""

    instance: str
    epoch: int
    acquired_at: str

    def encode(self) -> bytes:
        fields = {"instance": self.instance, "epoch": self.epoch, "acquired_at": self.acquired_at}
        return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()


def decode_lock_value(value: bytes) -> LockValue:
    """Raises Rejected for a foreign value: guessing an epoch would let it fall (LCK-5)."""
    try:
        raw = json.loads(value)
        return LockValue(str(raw["instance"]), int(raw["epoch"]), str(raw["acquired_at"]))
    except (ValueError, KeyError, TypeError):
        raise Rejected(
            Code.CONSUL_REPLY_MALFORMED,
            "the value of the leadership lock was not written by rotator",
            hint="see who wrote it; delete the key while no instance runs",
        ) from None


def lock_agent(settings: ConsulSettings, clock: Clock, on_call: OnCall = unheard) -> ConsulAgent:
    """The lock's own connection. A call may take a third of the TTL at most, else one slow call ends the term."""
    hasty = replace(settings, timeout=min(settings.timeout, settings.session_ttl / 3))
    return ConsulAgent(hasty, open_wire(hasty, clock), clock, on_call)


@dataclass(slots=True)
class _Term:
    fence: Fence
    deadline: float


class ConsulLock:
    """`ports.Lock` on a real Consul, over a connection of its own. Thread-safe; `fence` never waits for the network.

    predecessor_is_dead: an instance holds its state directory exclusively, so when the lock names our own instance
    at the first try, its holder is a dead predecessor: its session is released explicitly, which causes no lock-delay.
    Two processes under one instance name therefore depose each other once, when the second one starts.
    """

    def __init__(
        self,
        agent: ConsulAgent,
        settings: ConsulSettings,
        key: str,
        instance: str,
        clock: Clock,
        *,
        predecessor_is_dead: bool = False,
    ) -> None:
        """`agent`: from `lock_agent`; the lock owns it. `key`: `Layout.lock` (LCK-7)."""
        self._key = key
        self._instance = instance
        self._clock = clock
        self._settings = settings
        self._agent = agent
        self._library = library(agent)
        self._predecessor_is_dead = predecessor_is_dead
        self._calls = threading.RLock()  # acquire, renew and release one after the other
        self._state = threading.Lock()  # guards _term only, never held during a call
        self._term: _Term | None = None
        self._ended: set[str] = set()  # sessions of ours that may still hold the lock
        self._epoch = 0

    def fence(self) -> Fence | None:
        with self._state:
            term = self._term
            if term is None:
                return None
            if self._clock.monotonic() < term.deadline:
                return term.fence
            self._ended.add(term.fence.session)
            self._term = None
            return None

    def acquire(self) -> Fence | None:
        """See the port. Raises Unavailable, Denied, or Rejected when the key holds a foreign value."""
        with self._calls:
            if held := self.fence():
                return held
            entry = self._read()
            if entry is not None and entry.session and not self._may_take_over(entry):
                return None
            return self._begin_term(entry)

    def renew(self) -> bool:
        """See the port. Looks at the lock key too: a lock deleted by hand leaves the session alive.

        Raises Denied when the token may not renew any more; the deadline goes on running.
        """
        with self._calls:
            fence = self.fence()
            if fence is None:
                return False
            asked = self._clock.monotonic()
            try:
                held = self._is_held(fence)
            except Unavailable:
                # No leader or no answer is not a lost lock (LCK-6), until the deadline says so.
                return self.fence() is not None
            if not held:
                self._end_term()
                return False
            self._extend(fence, asked)
            return self.fence() is not None

    def release(self) -> None:
        """See the port. The term is over before the first call, whatever comes of it; safe to repeat.

        Raises Fault when Consul did not take it: the lock then falls by TTL and lock-delay.
        """
        with self._calls:
            self._end_term()
            if not self._ended:
                return
            entry = self._read()
            if entry is not None and entry.session in self._ended:
                self._transact([kv_operation("unlock", self._key, Session=entry.session, Value=_text(entry.value))])
            self._destroy_ended()
            self._predecessor_is_dead = False

    def close(self) -> None:
        """Closes the connection; the session is left as it is."""
        self._agent.close()

    def _may_take_over(self, entry: Entry) -> bool:
        if entry.session in self._ended:
            return True
        return self._predecessor_is_dead and decode_lock_value(entry.value).instance == self._instance

    def _begin_term(self, entry: Entry | None) -> Fence | None:
        """A new session, then the lock in one transaction with its new value. A lost reply is found out next time."""
        before = decode_lock_value(entry.value).epoch if entry is not None else 0
        value = LockValue(self._instance, max(before, self._epoch) + 1, self._clock.now().isoformat())
        asked = self._clock.monotonic()
        session = self._create_session()
        self._ended.add(session)  # until the lock is known to be ours; a lost reply leaves it here
        if not self._transact(_take(self._key, entry, session, value)):
            self._destroy_ended()
            return None
        if entry is not None and entry.session:
            self._ended.add(entry.session)
        self._ended.discard(session)
        self._epoch = value.epoch
        fence = Fence(self._key, session, value.epoch, self._instance)
        with self._state:
            self._term = _Term(fence, asked + self._span)
        self._predecessor_is_dead = False
        self._forget_ended()
        return self.fence()

    @property
    def _span(self) -> float:
        return self._settings.session_ttl.total_seconds() * 2 / 3

    def _extend(self, fence: Fence, asked: float) -> None:
        with self._state:
            if self._term is not None and self._term.fence == fence:
                self._term.deadline = asked + self._span

    def _end_term(self) -> None:
        with self._state:
            if self._term is not None:
                self._ended.add(self._term.fence.session)
            self._term = None

    def _is_held(self, fence: Fence) -> bool:
        try:
            self._library.session.renew(fence.session)
        except (NotFound, Conflict):
            return False
        entry = self._read()
        return entry is not None and entry.session == fence.session

    def _read(self) -> Entry | None:
        return read_entry(self._library, self._key)

    def _create_session(self) -> str:
        ttl, delay = self._settings.session_ttl, self._settings.lock_delay
        made: Any = self._library.session.create(
            name=f"rotator {self._instance}",
            checks=[],
            behavior="release",
            ttl=int(ttl.total_seconds()),
            lock_delay=int(delay.total_seconds()),
        )
        if not isinstance(made, str) or not made:
            raise consul_errors.malformed("session_create")
        return made

    def _transact(self, operations: list[dict[str, Any]]) -> bool:
        """True when Consul took it, False when somebody else was first or a lock-delay runs.

        Called without py-consul for the reasons given at `ConsulKeys.commit`.
        """
        body = json.dumps(operations, separators=(",", ":")).encode()
        reply = self._agent.call(Call("lock", "PUT", "/v1/txn", body=body, accept=(_OK, _CONFLICT)))
        if reply.status == _OK:
            return True
        fault = consul_errors.transaction_refusal(reply.body, [self._key] * len(operations), fenced=False)
        if isinstance(fault, Conflict):
            return False
        raise fault

    def _destroy_ended(self) -> None:
        """Destroys sessions that hold nothing any more. Consul calls an absent one destroyed as well."""
        for session in sorted(self._ended):
            self._library.session.destroy(session)
            self._ended.discard(session)

    def _forget_ended(self) -> None:
        """After a take-over this is tidiness only: what fails here ends by its TTL."""
        try:
            self._destroy_ended()
        except Fault:
            self._ended.clear()


def _take(key: str, entry: Entry | None, session: str, value: LockValue) -> list[dict[str, Any]]:
    """Creates the key, or hands it over, only if it is as it was read; then locks it with the new value.

    An empty read of a key that exists fails on `cas` 0, so the epoch cannot start anew by mistake (CON-4).
    """
    text = _text(value.encode())
    if entry is None:
        first = [kv_operation("cas", key, Index=0, Value=text)]
    else:
        first = [kv_operation("check-index", key, Index=entry.modify_index)]
        if entry.session:
            first.append(kv_operation("unlock", key, Session=entry.session, Value=_text(entry.value)))
    return [*first, kv_operation("lock", key, Session=session, Value=text)]


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()
