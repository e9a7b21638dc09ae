"""Failpoints: where the crash tests stop the process, and that service never does."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from rotator.clients.failpoint import (
    EnvironmentFailpoint,
    FailAction,
    FailpointOrder,
    NoFailpoint,
    from_environment,
    parse,
)
from rotator.core.errors import Code, Denied


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("kill:K4:agent/billing/*", FailpointOrder(FailAction.KILL, "K4", "agent/billing/*")),
        ("stop:K5W:*:3", FailpointOrder(FailAction.STOP, "K5W", "*", 3)),
        ("term:K0:agent/a/tls:1", FailpointOrder(FailAction.TERM, "K0", "agent/a/tls", 1)),
    ],
)
def test_an_order_is_read(text: str, order: FailpointOrder) -> None:
    """The crash tests write orders in this form."""
    assert parse(text) == order


@pytest.mark.parametrize("text", ["kill", "kill:K4", "kill:K4:", "die:K4:*", "kill::*", "kill:K4:*:0", "kill:K4:*:x"])
def test_a_misspelt_order_is_refused(text: str) -> None:
    """A crash test that never crashes would pass."""
    with pytest.raises(Denied) as raised:
        parse(text)
    assert raised.value.code is Code.CONFIG_INVALID


def test_it_fires_once_at_the_right_pass_of_the_right_target() -> None:
    """A process that survives its signal (term) must not be hit again while it shuts down."""
    sent: list[int] = []
    failpoint = EnvironmentFailpoint(FailpointOrder(FailAction.TERM, "K4", "agent/b*/tls", 2), sent.append)
    for point, target in (("K4", "agent/a/tls"), ("K3", "agent/b/tls"), ("K4", "agent/b/tls")):
        failpoint.reach(point, target)
    assert sent == []
    failpoint.reach("K4", "agent/billing/tls")
    failpoint.reach("K4", "agent/billing/tls")
    assert sent == [signal.SIGTERM]


def test_the_process_really_dies() -> None:
    """Nothing may run between the point and the death: no handler, no flush."""
    code = (
        "from rotator.clients.failpoint import from_environment as f\n"
        "p = f({'ROTATOR_FAILPOINT': 'kill:K4:*'})\n"
        "try:\n    p.reach('K4', 'x')\nfinally:\n    print('alive')"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=30, check=False)
    assert (ended.returncode, ended.stdout) == (-signal.SIGKILL, b"")


def test_without_an_order_nothing_happens() -> None:
    """The service in production."""
    failpoint = from_environment({})
    assert isinstance(failpoint, NoFailpoint)
    failpoint.reach("K4", "agent/a/tls")
