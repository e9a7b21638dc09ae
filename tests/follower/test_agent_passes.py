"""Beside an agent: one swap, one command per change, adoption told."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

from rotator.core.errors import Code
from rotator.follower.actions import Action
from rotator.publish.report import NodeState
from tests.follower.world import World


def test_material_arrives_by_one_swap_and_is_reported(world: World) -> None:
    """Certificate, key and chain of one version, never mixed."""
    (issued,) = world.publish_agent(1)
    assert world.agent().run().settled
    folder = world.root / "current/tls"
    assert (folder / "fullchain.pem").read_text() == issued.certificate + issued.chain
    assert (folder / "private_key.pem").stat().st_mode & 0o777 == 0o600
    told = world.report("agent/billing")
    assert (told.state, told.version, told.credentials["tls"].serial) == (NodeState.APPLIED, 0, issued.serial)


def test_the_command_runs_once_per_change_and_is_repeated_when_it_fails(world: World, tmp_path: Path) -> None:
    """Also across a restart of the follower: what was not acted on is still owed."""
    log, ready = tmp_path / "log", tmp_path / "ready"
    action = Action(("sh", "-c", f"echo x >> {log}; test -f {ready}"))
    world.publish_agent(1)
    assert not world.agent(action).run().settled
    assert world.report("agent/billing").error_code == Code.HOOK_COMMAND_FAILED.value
    ready.touch()
    world.clock.advance(timedelta(seconds=2))
    follower = world.agent(action)
    assert follower.run().settled
    follower.run()
    assert log.read_text().split() == ["x", "x"]
    world.publish_agent(2)
    follower.run()
    assert log.read_text().split() == ["x", "x", "x"]


def test_children_see_no_token(world: World, tmp_path: Path, monkeypatch) -> None:
    """Invariant 6: no secret in the environment of children."""
    monkeypatch.setenv("VAULT_TOKEN", "s.example")
    seen = tmp_path / "seen"
    world.publish_agent(1)
    world.agent(Action(("sh", "-c", f"env > {seen}"))).run()
    assert "s.example" not in seen.read_text()


def test_somebody_elses_certificate_is_refused(world: World) -> None:
    """Names are checked against the owner that asked, whatever Consul says."""
    world.publish_agent(1)
    follower = world.agent()
    follower.run()
    before = os.readlink(world.root / "current")
    facts = world.store("agents/billing/tls", 2, world.ca.issue("spiffe://example.org/agent/reports"))
    from rotator.publish import canonical

    body = canonical.encode({"format": 1, "agent": "billing", "credentials": {"tls": facts}})
    world.consul.put("agent/billing/current", body)
    assert not follower.run().settled
    assert os.readlink(world.root / "current") == before
    assert world.report("agent/billing").credentials["tls"].version == 1
