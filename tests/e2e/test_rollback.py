"""A change that turned out wrong is taken back by one command, and nothing expired comes back with it.

The tests of this file are one story, told in order.
"""

from __future__ import annotations

from typing import Any

import pytest

from rotator.dev import fleet
from rotator.dev.caller import Answer
from rotator.dev.fleet import PROXY, Size
from rotator.dev.world import Options, World
from tests.e2e.asking import answer, audited, grant
from tests.e2e.command import Said, rotator

pytestmark = pytest.mark.servers

# Long-lived, so that the only rotations are those that the story asks for, but for the first of each.
OPTIONS = Options(size=Size(agents=2, ttl=3600))
AGENT, NEW_PATH = "billing", fleet.own_path("ledger")
TLS = f"proxy/{PROXY}/tls"


@pytest.fixture(scope="module")
def before(world: World) -> int:
    """Number of the version in force before the change, which Envoy runs by the time of the first test."""
    number = _history(world)["current"]
    assert answer(world, AGENT, NEW_PATH) is Answer.DENIED
    grant(world, AGENT, NEW_PATH)
    world.await_("the new path", lambda: answer(world, AGENT, NEW_PATH) is Answer.PASSED, 15)
    return int(number)


def test_without_a_reason_nothing_is_asked(world: World, before: int) -> None:
    """Every change is logged with why; a missing reason is refused before anything is sent."""
    said = _roll_back(world, "--to", str(before))
    assert said.code == 1
    assert "E7003" in said.err
    assert answer(world, AGENT, NEW_PATH) is Answer.PASSED


def test_the_old_content_comes_back_as_a_new_version(world: World, before: int) -> None:
    """Envoy refuses the path again; history says who, why and which content."""
    withdrawn = _history(world)["current"]
    said = _roll_back(world, "--to", str(before), "--reason", "the new path was a mistake", "-o", "json")
    assert said.code == 0, said.err
    assert said.data["state"] == "succeeded"
    world.await_("the old rule in Envoy", lambda: answer(world, AGENT, NEW_PATH) is Answer.DENIED, 15)
    told = _history(world)
    newest, versions = told["versions"][0], {one["version"]: one for one in told["versions"]}
    assert told["current"] == newest["version"] == withdrawn + 1
    assert newest["digest"] == versions[before]["digest"] != versions[withdrawn]["digest"]
    assert (newest["reason"], newest["actor"]) == ("rollback", "operator/ops")
    assert newest["text"] == "the new path was a mistake"
    assert newest["request"] == said.data["request"]
    (line,) = audited(world, "document_published")[-1:]
    assert (line["reason"], line["actor"]["id"], line["request"]) == ("rollback", "ops", said.data["request"])


def test_a_rotation_keeps_the_held_configuration(world: World, before: int) -> None:
    """Certificates move on underneath; the withdrawn configuration does not slip back in with them."""
    count = len(audited(world, "retired", TLS))
    said = rotator(world, "rotate", TLS, "--reason", "rotate while held", "--wait")
    assert said.code == 0, said.err
    world.await_("the retirement of the old certificate", lambda: len(audited(world, "retired", TLS)) > count, 20)
    told = _history(world)
    newest, versions = told["versions"][0], {one["version"]: one for one in told["versions"]}
    assert newest["reason"] == "credential_rotated"
    assert newest["config_digest"] == versions[before]["config_digest"]
    assert answer(world, AGENT, NEW_PATH) is Answer.DENIED
    assert answer(world, AGENT, fleet.own_path(AGENT)) is Answer.PASSED


def test_a_version_with_a_retired_certificate_is_refused(world: World, before: int) -> None:
    """Invariant 9: the first version names a certificate whose key no longer exists."""
    known = _history(world)["current"]
    said = _roll_back(world, "--to", str(before), "--reason", "too late", "-o", "json")
    assert said.code == 1
    assert said.data["state"] == "refused"
    assert "E7001" in said.data["outcome"][0]["text"]
    assert _history(world)["current"] == known
    assert any("E7001" in str(line["error"]) for line in audited(world, "request_refused"))


def test_a_version_that_does_not_exist_is_refused(world: World, before: int) -> None:
    """A typing mistake is answered with words, not with a crash of the leader."""
    said = _roll_back(world, "--to", "999", "--reason", "typed wrong", "-o", "json")
    assert said.code == 1
    assert said.data["state"] == "refused"
    assert rotator(world, "status").code == 0


def test_release_brings_the_withdrawn_configuration_back(world: World, before: int) -> None:
    """The hold ends by a command of its own."""
    said = _roll_back(world, "--release", "--reason", "it was right after all")
    assert said.code == 0, said.err
    world.await_("the new path", lambda: answer(world, AGENT, NEW_PATH) is Answer.PASSED, 15)
    assert _history(world)["versions"][0]["reason"] == "config_changed"


def _roll_back(world: World, *arguments: str) -> Said:
    return rotator(world, "rollback", PROXY, *arguments)


def _history(world: World) -> dict[str, Any]:
    said = rotator(world, "history", PROXY, "-o", "json")
    assert said.code == 0, said.err
    return said.data
