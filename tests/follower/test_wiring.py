"""From settings to passes, as the command line builds them."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from rotator.config import follower
from rotator.core.errors import Code, Denied, Fault
from rotator.core.identity import Owner, OwnerKind
from rotator.follower import wiring
from tests.fakes.consul import FakeKeys
from tests.follower.envoy_site import envoy_binary
from tests.follower.world import World


def _settings(world: World, **proxy: str) -> follower.FollowerSettings:
    raw = {
        "vault": {"address": "https://127.0.0.1:1"},
        "proxy": [{"name": "edge", "directory": str(world.root / "edge"), **proxy}],
        "agent": [{"name": "billing", "directory": str(world.root / "billing")}],
    }
    return follower.build(raw, {"VAULT_TOKEN": "s.t"}, "node-1", "test")


def _opened(world: World) -> wiring.Opened:
    return wiring.Opened(
        lambda _settings, _clock: world.shelf,
        lambda _settings, _clock: FakeKeys(world.consul),
        world.clock,
        threading.Event(),
    )


@pytest.mark.servers
def test_both_subjects_are_followed_with_their_own_directories(world: World) -> None:
    """The proxy does not run yet: its files are there, its bootstrap too, and the agent is done."""
    issued = world.server()
    world.publish(1, issued)
    world.publish_agent(1)
    opened = _opened(world)
    opened.stop.set()
    followed = wiring.build(_settings(world, binary=envoy_binary(), settle="0s"), opened)
    told: dict[str, bool] = {}
    wiring.watch(followed, opened, lambda owner, outcome: told.update({owner: outcome.settled})).once()
    assert told == {"proxy/edge": False, "agent/billing": True}
    assert (world.root / "edge/current/tls/certificate.pem").read_text() == issued.certificate + issued.chain
    assert (world.root / "edge/bootstrap.json").is_file()


def test_only_the_named_subject_is_followed(world: World) -> None:
    """And a name that is not configured is an error, not silence."""
    billing = Owner(OwnerKind.AGENT, "billing")
    (one,) = wiring.build(_settings(world), _opened(world), frozenset({billing}))
    assert one.convergence.subject.owner == billing
    with pytest.raises(Denied) as refused:
        wiring.build(_settings(world), _opened(world), frozenset({Owner(OwnerKind.AGENT, "other")}))
    assert refused.value.code is Code.TARGET_UNKNOWN


@pytest.mark.parametrize("text", ["{", "[]", '{"bootstrap": {}}'])
def test_an_unusable_template_is_refused_before_anything_is_followed(world: World, tmp_path: Path, text: str) -> None:
    """A site's own base document is checked like ours."""
    own = tmp_path / "own.json"
    own.write_text(text)
    with pytest.raises(Fault) as refused:
        wiring.build(_settings(world, template=str(own)), _opened(world))
    assert "Envoy base document" in str(refused.value) or "template" in str(refused.value)
