"""One credential of one kind under test: every socket on a wire that loses replies, and failpoints that kill."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from itertools import count
from typing import Any

from rotator.clients.clock import SystemClock
from rotator.core.errors import Code, Fault, Unavailable
from rotator.core.model import Facts, Pending, Stage, rotation_id
from rotator.core.reasons import Cause, Reason
from rotator.core.secret import Secret
from rotator.kinds.base import IssueResult, Kind, KindPorts
from tests.kinds.contract.site import Material, Site

_NUMBERS = count(1)


class Death(BaseException):
    """The process was killed: nothing may catch this."""


class Points:
    """Remembers which failpoints were passed, and dies at number `deadly` of them (0: the first)."""

    def __init__(self) -> None:
        self.passed: list[str] = []
        self.deadly: int | None = None

    def reach(self, point: str, target: str) -> None:
        self.passed.append(point)
        if self.deadly is not None and len(self.passed) > self.deadly:
            self.deadly = None
            raise Death(point)


class Wire:
    """`calls`: `socket.method` of each call. The reply of number `lost` (0: the first) does not arrive; its effect has
    happened. `replayed`: methods that answer what they answered first. `secrets`: all that went over it."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.lost: int | None = None
        self.replayed: tuple[str, ...] = ()
        self.secrets: set[str] = set()
        self._first: dict[str, Any] = {}

    def over(self, socket: str, client: Any) -> Any:
        return _Wired(self, socket, client)

    def carry(self, name: str, call: Callable[[], Any], given: Any) -> Any:
        self.secrets.update(_secrets_in(given))
        reply = self._first[name] if name in self.replayed else call()
        self._first.setdefault(name, reply)
        self.secrets.update(_secrets_in(reply))
        self.calls.append(name)
        if self.lost is not None and len(self.calls) > self.lost:
            self.lost = None
            raise Unavailable(Code.VAULT_UNREACHABLE, "the reply was lost")
        return reply


class _Wired:
    def __init__(self, wire: Wire, socket: str, client: Any) -> None:
        self._wire, self._socket, self._client = wire, socket, client

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)

        def sent(*args: Any, **kwargs: Any) -> Any:
            return self._wire.carry(f"{self._socket}.{name}", lambda: method(*args, **kwargs), (args, kwargs))

        return sent


class Stand:
    """Every call is made by a kind that was built anew, as after a restart."""

    def __init__(self, site: Site) -> None:
        self.site, self.wire, self.points = site, Wire(), Points()
        self.spec = site.spec(f"contract-{next(_NUMBERS)}")
        self.faults: list[Fault] = []

    @property
    def kind(self) -> Kind:
        sockets = {"secrets": self.site.ground.secrets, **self.site.sockets()}
        wired = {name: self.wire.over(name, client) for name, client in sockets.items()}
        return self.site.build(KindPorts(**wired, clock=SystemClock(), failpoint=self.points))

    def pending(self, version: int = 1) -> Pending:
        at = datetime.now(UTC)
        mark = rotation_id(self.spec.id, version, at)
        return Pending(version, mark, Stage.INTENDED, Cause(Reason.DUE), at)

    def issue(self, pending: Pending, stored: int = 0, *, again: bool = False) -> IssueResult:
        return self.kind.issue(self.spec, pending, stored, read_back=again)

    def first(self) -> Facts:
        """Version 1, without any disturbance."""
        return self.issue(self.pending()).facts

    def calm(self) -> None:
        """What was passed so far no longer counts."""
        self.points.passed.clear()
        self.wire.calls.clear()

    def newest(self) -> int:
        state = self.site.ground.secrets.kv_state(self.spec.kv_mount, self.spec.kv_path)
        return state.current_version if state else 0

    def stored(self, version: int) -> Material | None:
        """All fields of a KV version, its marks too."""
        found = self.site.ground.secrets.kv_read(self.spec.kv_mount, self.spec.kv_path, version)
        return None if found is None else found.fields

    def write(self, texts: Mapping[str, str]) -> int:
        """By another hand than the kind's."""
        path = f"{self.spec.kv_mount}/data/{self.spec.kv_path}"
        return int(self.site.ground.admin.write(path, {"data": dict(texts)})["version"])

    def leaks(self, fault: BaseException) -> list[str]:
        """Every secret that shows in a fault, in its causes or in its traceback as it would be printed."""
        shown = "".join(traceback.format_exception(fault)) + repr(fault)
        if isinstance(fault, Fault):
            shown += fault.text + fault.hint + repr(vars(fault))
        return [text for text in self.wire.secrets if len(text) >= 8 and text in shown]


def _secrets_in(value: Any) -> Iterator[str]:
    """The texts of all Secrets in a call or a reply, however deep."""
    if isinstance(value, Secret):
        yield value.reveal()
    elif isinstance(value, Mapping):
        yield from _secrets_in(tuple(value.values()))
    elif isinstance(value, tuple | list):
        for one in value:
            yield from _secrets_in(one)
    elif is_dataclass(value):
        yield from _secrets_in(tuple(getattr(value, one.name) for one in fields(value)))
