"""Where the tests' server programs come from, and what happens when one cannot be had."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

import pytest

from rotator.core.errors import Code, Denied
from rotator.dev.servers.locate import Server, find

MISSING = "no server: "
Made = TypeVar("Made")


def or_missing(make: Callable[[], Made]) -> Made:
    """Skips on a laptop, with the reason counted at the end; fails where CI=true."""
    try:
        return make()
    except Denied as fault:
        # A server that is there and does not start is Unavailable, and never skipped.
        if fault.code is not Code.SERVER_MISSING or os.environ.get("CI") == "true":
            raise
        pytest.skip(f"{MISSING}{fault.text} ({fault.hint})")


def binary(server: Server) -> str:
    """The program of a server, found as the product finds it."""
    return str(or_missing(lambda: find(server)))
