"""Paths, methods and listeners: what one proxy could read in another way than the next is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rotator.config.access import path_problem

from .conftest import GOOD, accepted, problems

Write = Callable[..., Path]
SCOPE = '{ proxy = "edge", path = "/orders", methods = ["GET"], rate = "100/1m" }'
SCOPES = "agents.billing.scopes"

SECOND = """
[proxies.west]
listener = "{listener}"
nodes = {nodes}
upstreams.orders = {{ prefix = "/", address = "o:1" }}
credentials.tls = {{ ttl = "24h", ip_sans = ["10.0.0.2"] }}
"""


@pytest.mark.parametrize("path", ["/", "/orders", "/orders/", "/a/b.c/~d_e-1", "/a:b;c=1,2@x"])
def test_plain_paths_are_accepted(path: str) -> None:
    """RFC 3986 `pchar` without escapes."""
    assert path_problem(path) == ""


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("", "begin with /"),
        ("orders", "begin with /"),
        ("*", "begin with /"),
        ("//orders", "empty segment"),
        ("/orders//open", "empty segment"),
        ("/orders/..", "dot segment"),
        ("/./orders", "dot segment"),
        ("/orders/%2e%2e/x", "escape"),
        ("/orders%2Fopen", "escape"),
        ("/orders?x=1", "query"),
        ("/orders#x", "fragment"),
        ("/orders\\x", "character"),
        ("/orders open", "character"),
        ("/bestellungen/größe", "character"),
        ("/orders\n", "character"),
        ("/" + "a" * 3000, "longer"),
    ],
)
def test_other_paths_are_refused(path: str, words: str) -> None:
    """A scope that two programs read differently lets through what nobody meant."""
    assert words in path_problem(path)


@pytest.mark.parametrize(
    ("scope", "place", "words"),
    [
        ('{ proxy = "edge", path = "/orders-old" }', "0.path", "no upstream"),
        ('{ proxy = "edge", path = "/orders", methods = ["GET", "put"] }', "0.methods", "permission read"),
        ('{ proxy = "edge", path = "/orders", permission = "write" }', "0.permission", "no method that writes"),
        ('{ proxy = "edge", path = "/orders", methods = ["TRACE"], permission = "admin" }', "0.methods", "are wanted"),
        ('{ proxy = "edge", path = "/orders", methods = [] }', "0.methods", "are wanted"),
        (f"{SCOPE}, {SCOPE}", "1", "scope 0 says the same path and GET"),
    ],
)
def test_scopes_that_say_two_things_are_refused(write: Write, scope: str, place: str, words: str) -> None:
    """RFC 9110 section 9.2.1 says which methods only read."""
    (found,) = problems(write(GOOD.replace(SCOPE, scope)))
    assert (found.path, words in found.text) == (f"{SCOPES}.{place}", True), found


@pytest.mark.parametrize(
    "scope",
    [
        '{ proxy = "edge", path = "/orders", methods = ["get", "head"] }',
        '{ proxy = "edge", path = "/orders", methods = ["POST"], permission = "write" }',
        '{ proxy = "edge", path = "/orders/7", match = "exact", methods = ["GET"], permission = "admin" }',
        '{ proxy = "edge", path = "/" }',
        f'{SCOPE}, {{ proxy = "edge", path = "/orders", methods = ["HEAD"] }}',
    ],
)
def test_scopes_that_make_sense_are_accepted(write: Write, scope: str) -> None:
    """The neighbours of what is refused."""
    assert accepted(write(GOOD.replace(SCOPE, scope))).settings.fleet.agents[0].scopes


def test_methods_and_prefixes_have_one_spelling(write: Write) -> None:
    """`/orders/` and `/orders`, `get` and `GET` mean the same and give the same document."""
    spelt = '{ proxy = "edge", path = "/orders/", methods = ["head", "GET"] }'
    scope = accepted(write(GOOD.replace(SCOPE, spelt))).settings.fleet.agents[0].scopes[0]
    assert (scope.path, scope.methods) == ("/orders", ("GET", "HEAD"))


@pytest.mark.parametrize(
    ("first", "second", "nodes", "same"),
    [
        ("10.0.0.1:8443", "10.0.0.1:8443", "[]", True),
        ("10.0.0.1:8443", "10.0.0.1:9443", "[]", False),
        ("10.0.0.1:8443", "10.0.0.2:8443", "[]", False),
        ("0.0.0.0:8443", "0.0.0.0:8443", "[]", False),
        ("0.0.0.0:8443", "0.0.0.0:8443", '["n1"]', True),
        ("0.0.0.0:8443", "10.0.0.2:8443", '["n1"]', True),
        ("127.0.0.1:8443", "127.0.0.1:8443", '["n2"]', False),
    ],
)
def test_one_listener_serves_one_proxy(write: Write, first: str, second: str, nodes: str, same: bool) -> None:
    """A wildcard address is another one on each host, so only a common node makes it a collision."""
    text = GOOD.replace('listener = "0.0.0.0:8443"', f'listener = "{first}"' + '\nnodes = ["n1"]' * (nodes != "[]"))
    path = write(text + SECOND.format(listener=second, nodes=nodes))
    if not same:
        assert len(accepted(path).settings.fleet.proxies) == 2
        return
    assert [(one.path, "same listener" in one.text) for one in problems(path)] == [("proxies.west.listener", True)]


def test_a_broken_proxy_does_not_blame_its_agents(write: Write) -> None:
    """It exists, though it cannot be judged: one mistake, one message."""
    text = GOOD.replace('prefix = "/orders"', 'prefix = "/orders"\nport = 1').replace('listener = "0.0.0.0:8443"\n', "")
    assert {one.path for one in problems(write(text))} == {
        "proxies.edge.upstreams.orders.port",
        "proxies.edge.listener",
    }
