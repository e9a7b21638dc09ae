"""Consul KV behind `ports.Keys`.

What the token needs (default deny): `key_prefix "<prefix>rotator/" write`, `key_prefix "<prefix>proxy/" write`,
`key_prefix "<prefix>agent/" write`, and `session_prefix "" write` for the lock. A follower needs `key_prefix` read on
its own owner and write on its own `nodes/`. Talk to a local client agent, not to a server, where there is one.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from rotator.clients import consul_errors
from rotator.clients.consul_agent import Call, ConsulAgent, OnCall, Wire, library, unheard
from rotator.clients.consul_wire import open_wire
from rotator.config.settings import ConsulSettings
from rotator.core.errors import Code, Denied
from rotator.ports import (
    TRANSACTION_BYTES,
    VALUE_LIMIT,
    WRITES_PER_TRANSACTION,
    Clock,
    Delete,
    Entry,
    Fence,
    Put,
    Write,
)

_CONFLICT = 409
# Reads that must all be empty before an empty answer is believed where entries are expected (F25, CON-4).
_READS_BEFORE_BELIEF = 3


class ConsulKeys:
    """`ports.Keys` on a real Consul. Thread-safe; `wait_for` has a connection of its own and starves nobody.

    Every read is consistent. Raises Unavailable, Conflict, LeadershipLost and Denied as the port says; a lost or
    unreadable reply is Unavailable and the caller reads back.
    """

    def __init__(
        self, settings: ConsulSettings, clock: Clock, on_call: OnCall = unheard, wires: tuple[Wire, Wire] | None = None
    ) -> None:
        """`wires`: for calls and for blocking queries; opened from the settings when not given."""
        calls, waits = wires or (open_wire(settings, clock), open_wire(settings, clock))
        self._agent = ConsulAgent(settings, calls, clock, on_call)
        self._waiting = ConsulAgent(settings, waits, clock, on_call)
        self._library = library(self._agent)
        self._waiting_library = library(self._waiting)

    def read(self, key: str) -> Entry | None:
        return read_entry(self._library, key)

    def read_below(self, prefix: str) -> tuple[Entry, ...]:
        _index, items = self._library.kv.get(prefix, recurse=True)
        return _in_key_order(items)

    def read_below_surely(self, prefix: str) -> tuple[Entry, ...]:
        """`read_below` for a prefix that is known to hold something. Never returns an empty tuple.

        A starting server (hashicorp/consul#3975) and a token without rights both answer with an empty list, which
        must never pass for a first run. Raises Denied (CONSUL_EMPTY_READ) when three reads in a row are empty.
        """
        for _ in range(_READS_BEFORE_BELIEF):
            entries = self.read_below(prefix)
            if entries:
                return entries
        raise Denied(
            Code.CONSUL_EMPTY_READ,
            f"Consul shows nothing below {prefix}, where entries were before",
            hint="check that the token may read it and that Consul was not restored empty",
        )

    def commit(self, writes: Sequence[Write], fence: Fence | None) -> Mapping[str, int]:
        """See the port. A deleted key is not in the result; deleting an absent key succeeds, whatever its `cas`.

        Called without py-consul: its `txn.put` sends no token and no datacenter, and turns the 409 that names the
        failed operation into an exception text (python-consul#260, still so in py-consul 1.8).
        """
        if not writes:
            return {}
        body = encode_transaction(writes, fence)
        call = Call("commit", "PUT", "/v1/txn", body=body, accept=(200, _CONFLICT))
        reply = self._agent.call(call)
        if reply.status == _CONFLICT:
            raise consul_errors.transaction_refusal(reply.body, _operation_keys(writes, fence), fence is not None)
        return _new_indexes(reply.body, writes)

    def wait_for(self, key: str, index: int, wait: timedelta) -> tuple[Entry | None, int]:
        limit = f"{max(1, int(wait.total_seconds() * 1000))}ms"
        seen, item = self._waiting_library.kv.get(key, index=index if index > 0 else None, wait=limit)
        entry = _entry(item, "wait_for") if item is not None else None
        return entry, next_index(index, _number(seen, "wait_for"))

    def close(self) -> None:
        """Closes both connections."""
        self._agent.close()
        self._waiting.close()


def read_entry(client: Any, key: str) -> Entry | None:
    """One key through a py-consul client of `consul_agent.library`."""
    _index, item = client.kv.get(key)
    return _entry(item, "read") if item is not None else None


def next_index(asked: int, answered: int) -> int:
    """What to pass next (CON-2): 0 after a step backwards, so that everything is read again; never below 1 else.

    An index of 0 sent back to Consul answers at once, which would turn the wait into a busy loop.
    """
    return 0 if answered < asked else max(1, answered)


def encode_transaction(writes: Sequence[Write], fence: Fence | None) -> bytes:
    """The body of /v1/txn, the fence first. Raises Denied (CONSUL_TOO_LARGE) for what Consul would refuse."""
    if len(writes) > WRITES_PER_TRANSACTION:
        raise consul_errors.too_large(f"{len(writes)} writes do not fit into one transaction")
    for write in writes:
        if isinstance(write, Put) and len(write.value) > VALUE_LIMIT:
            raise consul_errors.too_large(f"the value of {write.key} has {len(write.value)} bytes")
    operations = [_check_session(fence)] if fence else []
    operations += [_operation(write) for write in writes]
    body = json.dumps(operations, separators=(",", ":")).encode()
    if len(body) > TRANSACTION_BYTES:
        raise consul_errors.too_large(f"a transaction of {len(body)} bytes ({writes[0].key} ...) is too large")
    return body


def kv_operation(verb: str, key: str, **fields: object) -> dict[str, Any]:
    """One operation of a transaction. Fields as Consul spells them: Index, Session, Value (base64)."""
    return {"KV": {"Verb": verb, "Key": key, **fields}}


def _check_session(fence: Fence) -> dict[str, Any]:
    return kv_operation("check-session", fence.key, Session=fence.session)


def _operation(write: Write) -> dict[str, Any]:
    match write:
        case Put(key, value, cas):
            return kv_operation("cas", key, Index=cas, Value=base64.b64encode(value).decode())
        case Delete(key, cas):
            return kv_operation("delete-cas", key, Index=cas)


def _operation_keys(writes: Sequence[Write], fence: Fence | None) -> list[str]:
    return ([fence.key] if fence else []) + [write.key for write in writes]


def _new_indexes(body: bytes, writes: Sequence[Write]) -> Mapping[str, int]:
    """The ModifyIndex of every Put. Consul reports no result for a deletion."""
    put = {write.key for write in writes if isinstance(write, Put)}
    try:
        results = [result["KV"] for result in json.loads(body)["Results"] or ()]
        indexes = {str(item["Key"]): int(item["ModifyIndex"]) for item in results if item["Key"] in put}
    except (ValueError, KeyError, TypeError):
        raise consul_errors.malformed("commit") from None
    if indexes.keys() != put:
        raise consul_errors.malformed("commit")
    return indexes


def _in_key_order(items: Any) -> tuple[Entry, ...]:
    if items is None:
        return ()
    if not isinstance(items, list):
        raise consul_errors.malformed("read_below")
    return tuple(sorted((_entry(item, "read_below") for item in items), key=lambda entry: entry.key))


def _entry(item: Any, operation: str) -> Entry:
    try:
        value = item["Value"]
        return Entry(str(item["Key"]), bytes(value or b""), int(item["ModifyIndex"]), str(item.get("Session", "")))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise consul_errors.malformed(operation) from None


def _number(index: Any, operation: str) -> int:
    """py-consul hands the index over as text, which compares as text."""
    try:
        return int(index)
    except (TypeError, ValueError):
        raise consul_errors.malformed(operation) from None
