"""The promise itself: everything is rotated, again and again, and no request notices."""

from __future__ import annotations

from collections import Counter

import pytest

from rotator.dev import demo
from rotator.dev.fleet import NAMES, PROXY, Size
from rotator.dev.traffic import Traffic
from rotator.dev.world import Options, World
from rotator.provision.endpoints import vault_admin
from rotator.records.verify import Verdict

pytestmark = pytest.mark.servers

# Half a minute is the shortest life that the configuration accepts.
OPTIONS = Options(size=Size(ttl=30, renew_at=0.5, overlap="4s", outage_budget="10s"))
REPLACED = 3
TARGETS = [*(f"agent/{name}/tls" for name in NAMES), f"proxy/{PROXY}/tls"]


@pytest.fixture(scope="module")
def traffic(world: World) -> Traffic:
    """A world whose traffic went on while every certificate was replaced three times, then stopped in order."""
    going = demo.traffic(world)
    going.start()
    try:
        world.await_("three replacements of every certificate", lambda: _replaced_thrice(world), 120)
    finally:
        going.stop()
    world.service.stop()
    return going


def _replaced_thrice(world: World) -> bool:
    """Counted by retirements: the old one is gone and its successor is in use."""
    retired = Counter(line["target"] for line in world.audit_lines() if line["event"] == "retired")
    return all(retired[target] >= REPLACED for target in TARGETS)


def test_no_request_is_wrongly_answered(traffic: Traffic) -> None:
    """Invariant 1: at every instant each consumer holds a credential that is accepted, and nobody else does."""
    score = traffic.score()
    assert score.mistakes == ()
    assert (score.wrongly_failed, score.wrongly_passed) == (0, 0)
    assert score.requests > 1000
    assert score.refused > score.requests / 4


def test_every_certificate_was_replaced_and_the_new_ones_differ(world: World, traffic: Traffic) -> None:
    """A rotation that publishes the same serial again would pass all traffic, and be none."""
    serials: dict[str, list[str]] = {target: [] for target in TARGETS}
    for line in world.audit_lines():
        if line["event"] == "published":
            serials[line["target"]].append(line["after"]["serial"])
    for target, seen in serials.items():
        assert len(seen) > REPLACED, target
        assert len(set(seen)) == len(seen), target


def test_the_audit_verifies_by_its_strict_rules(world: World, traffic: Traffic) -> None:
    """Invariant 5: intent before effect, exactly one outcome each, an unbroken chain."""
    result = demo.verify_audit(world.audit_file)
    assert result.verdict is Verdict.GOOD, result


def test_nothing_was_retired_without_evidence(world: World, traffic: Traffic) -> None:
    """Invariant 2: the version that replaced it was reported by its consumers before the old one went."""
    adopted: dict[str, int] = {}
    for line in world.audit_lines():
        if line["event"] == "adopted":
            assert line["evidence"], line
            adopted[line["target"]] = int(line["after"]["version"])
        if line["event"] == "retired":
            assert line["reason"] == "adopted", line
            assert adopted[line["target"]] > int(line["before"]["version"]), line


def test_what_is_retired_is_gone_from_vault(world: World, traffic: Traffic) -> None:
    """A retired key that can still be fetched is not retired: only the last versions are left, by Vault's own word."""
    admin = vault_admin(world.settings().vault, world.openbao.root_token)
    retired: dict[str, set[str]] = {}
    for line in world.audit_lines():
        if line["event"] == "retired":
            retired.setdefault(line["before"]["kv_path"], set()).add(str(line["before"]["kv_version"]))
    assert len(retired) == len(TARGETS)
    for path, gone in retired.items():
        found = admin.read(f"kv/metadata/{path}")
        assert found is not None
        assert {number for number, one in found["versions"].items() if one["destroyed"]} == gone
