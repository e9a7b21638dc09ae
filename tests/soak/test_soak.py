"""All kinds together on real servers, with lives of half a minute: nobody is ever without, and nothing grows.

ROTATOR_SOAK_SECONDS: how long, 75 s in `make test`, ten minutes in `make soak`.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pytest

from rotator.dev import acceptors, demo
from rotator.dev.fleet import ALL_KINDS, PROXY, Size
from rotator.dev.probes import Tally, Watch
from rotator.dev.traffic import Score
from rotator.dev.world import Options, World
from rotator.records.verify import Verdict
from tests.assets.servers import or_missing
from tests.soak.footprint import Footprint, growth, of_service

pytestmark = [pytest.mark.servers, pytest.mark.timeout(1200)]

SECONDS = float(os.environ.get("ROTATOR_SOAK_SECONDS", "75"))
WARM_UP = max(25.0, SECONDS / 5)
# Probes come every 200 ms; on a machine with two cores one may have to wait for its turn.
LONGEST_GAP = 2.0
OPTIONS = Options(size=Size(agents=4, ttl=30, renew_at=0.5, overlap="4s", outage_budget="10s"), kinds=True)


@dataclass(frozen=True, slots=True)
class Soaked:
    world: World
    tallies: Mapping[str, Tally]
    score: Score
    before: Footprint
    after: Footprint


@pytest.fixture(scope="module")
def soaked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Soaked]:
    made = World(tmp_path_factory.mktemp("soak"), lambda words: None, OPTIONS)
    or_missing(made.__enter__)
    try:
        yield _soak(made)
    finally:
        made.__exit__(None, None, None)


def _soak(world: World) -> Soaked:
    accepting = acceptors.of(world)
    traffic = demo.traffic(world)
    traffic.start()
    try:
        with Watch(world.agent_directory(ALL_KINDS), accepting) as watch:
            world.pause(WARM_UP)
            before = of_service(world, world.consul_keys)
            world.pause(SECONDS - WARM_UP)
            after = of_service(world, world.consul_keys)
    finally:
        traffic.stop()
    world.service.stop()
    return Soaked(world, watch.tallies, traffic.score(), before, after)


def test_every_credential_is_accepted_at_every_moment(soaked: Soaked) -> None:
    """Invariant 1, for every kind: a probe uses each credential for real, five times a second."""
    for name, tally in sorted(soaked.tallies.items()):
        print(f"{name:<8} {tally.tries:>5} probes, {tally.accepted} accepted, longest gap {tally.gap:.2f} s")
    assert {name: tally.refusals for name, tally in soaked.tallies.items() if tally.refusals} == {}
    assert all(tally.accepted > SECONDS / 2 for tally in soaked.tallies.values())
    assert max(tally.gap for tally in soaked.tallies.values()) < LONGEST_GAP


def test_no_request_is_wrongly_answered(soaked: Soaked) -> None:
    assert soaked.score.mistakes == ()
    assert soaked.score.requests > SECONDS * 5


def test_every_credential_was_rotated_again_and_again(soaked: Soaked) -> None:
    """A soak in which nothing rotates would pass everything else."""
    published = Counter(line["target"] for line in soaked.world.audit_lines() if line["event"] == "published")
    expected = {f"agent/{ALL_KINDS}/{name}" for name in soaked.tallies} | {f"proxy/{PROXY}/tls"}
    assert expected <= published.keys()
    # Renewed at half of 30 s; a start-up and the first phase take their time.
    assert min(published[target] for target in expected) >= SECONDS / 30


def test_nothing_that_nobody_holds_is_left(soaked: Soaked) -> None:
    """Secret-ids, KV versions: at the source lives what the records name, and nothing else."""
    assert acceptors.orphans(soaked.world) == []


def test_nothing_grows(soaked: Soaked) -> None:
    print(f"before {soaked.before}")
    print(f"after  {soaked.after}")
    assert growth(soaked.before, soaked.after) == []


def test_the_audit_verifies(soaked: Soaked) -> None:
    result = demo.verify_audit(soaked.world.audit_file)
    assert result.verdict is Verdict.GOOD, result
    failed = [line for line in soaked.world.audit_lines() if line["event"] in ("failed", "abandoned")]
    assert [line for line in failed if line["error"] and line["error"].get("family") == "bug"] == []
