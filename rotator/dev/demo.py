"""The demo: the sample world under traffic, for a while or until it is stopped, and what came of it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rotator.clients.append_file import archives, read_lines
from rotator.clients.clock import SystemClock
from rotator.core.identity import Owner, OwnerKind, spiffe_id
from rotator.dev import acceptors, fleet, strangers
from rotator.dev.caller import Answer, Identity
from rotator.dev.probes import Tally, Watch
from rotator.dev.traffic import Score, Traffic, Try, of_agent
from rotator.dev.world import World
from rotator.records import chain
from rotator.records.verify import Checks, Result, Source, Verdict, verify

# Each caller makes about five requests a second.
PAUSE = 0.2


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run came to. rotations: versions published after the first of each. audit: the verifier's verdict.

    probes: of the agent that has a credential of every kind, by the credential's name.
    """

    seconds: int
    agents: int
    rotations: int
    score: Score
    audit: Result
    probes: Mapping[str, Tally] = field(default_factory=dict)

    @property
    def refusals(self) -> int:
        """Uses of a credential that its system refused although it was the one delivered."""
        return sum(tally.tries - tally.accepted for tally in self.probes.values())

    @property
    def good(self) -> bool:
        """No request wrongly failed or passed, no credential refused, and the audit chain verifies."""
        wrong = self.score.wrongly_failed + self.score.wrongly_passed + self.refusals
        return not wrong and self.audit.verdict is Verdict.GOOD

    def line(self) -> str:
        score = self.score
        audit = "ok" if self.audit.verdict is Verdict.GOOD else f"BROKEN ({self.audit.verdict.name.lower()})"
        return (
            f"demo: {self.seconds} s, {self.agents} agents, {self.rotations} rotations, {score.requests} requests, "
            f"{score.wrongly_failed} wrongly failed, {score.wrongly_passed} wrongly passed, {self._probed()}"
            f"audit {audit} ({self.audit.lines} lines)"
        )

    def _probed(self) -> str:
        if not self.probes:
            return ""
        tries = sum(tally.tries for tally in self.probes.values())
        return f"{len(self.probes)} kinds used {tries} times with {self.refusals} refused, "


def traffic(world: World) -> Traffic:
    """A caller per agent that goes round what it may do and what it may not, and one that has no right to be there."""
    names = world.options.size.names
    callers = [_agent_tries(world, name, names[(number + 1) % len(names)]) for number, name in enumerate(names)]
    callers.append(_stranger_tries(world, names[0]))
    return Traffic(world.door, callers, PAUSE)


def run(world: World, seconds: float | None, stop: threading.Event, each: Callable[[Score], None]) -> Summary:
    """Traffic until `seconds` are over or `stop` is set; `each` is called about once a second."""
    clock = SystemClock()
    began = clock.monotonic()
    going, watch = traffic(world), probes(world)
    going.start()
    try:
        with watch:
            while not stop.wait(1.0) and (seconds is None or clock.monotonic() - began < seconds):
                each(going.score())
    finally:
        going.stop()
    took = int(clock.monotonic() - began)
    # The service ends first, so that the audit is complete when it is verified.
    world.service.stop()
    return summarise(world, took, going.score(), watch.tallies)


def probes(world: World) -> Watch:
    """Uses every credential of the agent that has all kinds; nothing where no agent has."""
    accepting = acceptors.of(world) if world.options.kinds else {}
    return Watch(world.agent_directory(fleet.ALL_KINDS), accepting)


def summarise(world: World, seconds: int, score: Score, used: Mapping[str, Tally]) -> Summary:
    published = Counter(line["target"] for line in world.audit_lines() if line["event"] == "published")
    rotations = sum(count - 1 for count in published.values())
    return Summary(seconds, len(world.options.size.names), rotations, score, verify_audit(world.audit_file), used)


def verify_audit(file: Path) -> Result:
    """The whole chain with the strict rules: one outcome per intent, no effect without."""
    files = (*archives(file), file)
    return verify((Source(str(one), read_lines(one, chain.LINE_LIMIT)) for one in files), Checks(strict=True))


def _agent_tries(world: World, name: str, other: str) -> Sequence[Try]:
    identity, own = of_agent(world.agent_directory(name)), fleet.own_path(name)
    return (
        Try(f"{name} reads its own", identity, "GET", own, Answer.PASSED),
        Try(f"{name} writes its own", identity, "POST", f"{own}/entries", Answer.PASSED),
        Try(f"{name} reads below its own", identity, "GET", f"{own}/items/7", Answer.PASSED),
        Try(f"{name} reads what is {other}'s", identity, "GET", fleet.own_path(other), Answer.DENIED),
        Try(f"{name} deletes its own", identity, "DELETE", own, Answer.DENIED),
    )


def _stranger_tries(world: World, name: str) -> Sequence[Try]:
    """No certificate, and certificates of a CA of its own with an agent's name in them."""
    directory = world.directory / "stranger"
    made = strangers.make(directory, spiffe_id(fleet.TRUST_DOMAIN, Owner(OwnerKind.AGENT, name)))
    known = of_agent(world.agent_directory(name))

    def nobody() -> Identity:
        return Identity(known().ca)

    def impostor() -> Identity:
        return Identity(known().ca, made.certificate, made.key)

    path = fleet.own_path(name)
    return (
        Try("somebody without a certificate", nobody, "GET", path, Answer.REFUSED),
        Try("somebody with another CA's certificate", impostor, "GET", path, Answer.REFUSED),
    )
