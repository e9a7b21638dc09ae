"""Places where the crash tests stop the process: `ROTATOR_FAILPOINT=<action>:<point>:<target glob>[:<count>]`.

For example `kill:K4:agent/billing/*` dies the first time that K4 is reached for a credential of that agent, and
`stop:K4:*:3` freezes at the third time. Only tests set the variable; in service there is `NoFailpoint`.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase

from rotator.core.errors import Code, Denied
from rotator.ports import Failpoint

VARIABLE = "ROTATOR_FAILPOINT"


class FailAction(StrEnum):
    KILL = "kill"
    STOP = "stop"
    TERM = "term"


_SIGNALS = {FailAction.KILL: signal.SIGKILL, FailAction.STOP: signal.SIGSTOP, FailAction.TERM: signal.SIGTERM}


@dataclass(frozen=True, slots=True)
class FailpointOrder:
    """`count`: at which matching pass it fires, counted from 1."""

    action: FailAction
    point: str
    target: str
    count: int = 1


class NoFailpoint:
    """`ports.Failpoint` in service."""

    def reach(self, point: str, target: str) -> None:
        """Nothing."""


class EnvironmentFailpoint:
    """`ports.Failpoint` under test. Fires once in the life of the process; thread-safe."""

    def __init__(self, order: FailpointOrder, send: Callable[[int], None] | None = None) -> None:
        """`send` delivers a signal number to this process."""
        self._order = order
        self._send = send or _signal_self
        self._left = order.count
        self._mutex = threading.Lock()

    def reach(self, point: str, target: str) -> None:
        if point != self._order.point or not fnmatchcase(target, self._order.target):
            return
        with self._mutex:
            self._left -= 1
            fires = self._left == 0
        if fires:
            self._send(_SIGNALS[self._order.action])


def from_environment(environment: Mapping[str, str]) -> Failpoint:
    """What the environment asks for. Denied (CONFIG_INVALID) for an order that cannot be read."""
    text = environment.get(VARIABLE, "")
    return EnvironmentFailpoint(parse(text)) if text else NoFailpoint()


def parse(text: str) -> FailpointOrder:
    """Reads an order; a misspelt one is refused, because a crash test that never crashes would pass."""
    action, _, rest = text.partition(":")
    point, _, rest = rest.partition(":")
    target, _, count = rest.partition(":")
    known = action in FailAction.__members__.values()
    if not (known and point and target) or (count and not (count.isascii() and count.isdigit() and int(count) > 0)):
        raise Denied(
            Code.CONFIG_INVALID,
            f"{VARIABLE} cannot be read",
            hint="write <kill|stop|term>:<point>:<target glob>[:<count>], for example kill:K4:agent/billing/*",
        )
    return FailpointOrder(FailAction(action), point, target, int(count or 1))


def _signal_self(number: int) -> None:
    """To this very thread: a signal to the process is taken by any thread, and this one would run on a little, past the
    point and into the effect that it stands before. What Python handles goes to the process: only its main thread does
    that, and a signal to another thread does not wake it."""
    if callable(signal.getsignal(number)):
        os.kill(os.getpid(), number)
    else:
        signal.pthread_kill(threading.get_ident(), number)
