"""Consul's own `consul watch` calls our handler: no follower process stands beside this proxy."""

from __future__ import annotations

import pytest

from rotator.dev import fleet
from rotator.dev.caller import Answer
from rotator.dev.fleet import PROXY, Size
from rotator.dev.world import Options, World
from tests.e2e.asking import answer, audited, grant
from tests.e2e.command import rotator

pytestmark = pytest.mark.servers

OPTIONS = Options(size=Size(agents=2), consul_watch=True)
AGENT, NEW_PATH = "billing", fleet.own_path("ledger")
TLS = f"proxy/{PROXY}/tls"


def test_the_first_configuration_came_through_the_handler(world: World) -> None:
    """The world stands, so the watch has called; nothing else follows this proxy."""
    assert not (world.logs / "follow-edge.log").exists()
    assert world.followers["edge"].alive
    world.await_("the handler's word", lambda: "is in force" in _told(world), 15)


def test_a_new_scope_reaches_envoy(world: World) -> None:
    """A change of the inventory travels: file, SIGHUP, Consul, watch, handler, Envoy."""
    assert answer(world, AGENT, NEW_PATH) is Answer.DENIED
    grant(world, AGENT, NEW_PATH)
    world.await_("the new scope", lambda: answer(world, AGENT, NEW_PATH) is Answer.PASSED, 15)


def test_a_rotated_certificate_is_served_and_reported(world: World) -> None:
    """The old one is retired on the handler's report of what Envoy serves: invariant 2 holds without a follower."""
    said = rotator(world, "rotate", TLS, "--wait", "--reason", "the watch must carry it")
    assert said.code == 0, said.err
    (published,) = (line for line in audited(world, "published", TLS) if line["reason"] == "operator")
    new, old = published["after"]["serial"], published["before"]["serial"]
    world.await_("its adoption", lambda: new in _serials(world, "adopted", "after"), 15)
    world.await_("the retirement of the old one", lambda: old in _serials(world, "retired", "before"), 15)
    assert answer(world, AGENT, fleet.own_path(AGENT)) is Answer.PASSED


def _told(world: World) -> str:
    return (world.logs / "consul-watch.log").read_text()


def _serials(world: World, event: str, side: str) -> list[str]:
    return [line[side]["serial"] for line in audited(world, event, TLS)]
