"""One run: the contenders turn by turn against the same servers, and what came of it."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from benchmarks import template_agent
from benchmarks.ceiling import Ceiling
from benchmarks.figures import Figure, Sample
from benchmarks.ours import Service
from benchmarks.site import Site, Size
from rotator.dev.servers import locate

OURS, RAW, PEER = "rotator", "raw calls", "bao agent"
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """concurrencies: of the raw calls, the best is taken. raw_seconds: of one raw round. peer_seconds: after these
    `bao agent` is ended, and what it has rendered counts."""

    size: Size
    repeats: int
    concurrencies: Sequence[int]
    raw_seconds: int
    peer_seconds: float


@dataclass(frozen=True, slots=True)
class Result:
    """figures: OURS, RAW and PEER. sweep: median raw rate by number of connections. load: of the machine before."""

    plan: Plan
    figures: Mapping[str, Figure]
    sweep: Mapping[int, float]
    generator: str
    load: float
    versions: Mapping[str, str]

    def ratio(self, other: str) -> float:
        """Our rate over another's, of the same run."""
        rate = self.figures[other].rate
        return self.figures[OURS].rate / rate if rate else 0.0

    def bound(self, other: str) -> float:
        """What `ratio` would be if CPU alone decided: another's CPU for a certificate over ours, all processes."""
        return self.figures[other].total_cpu_ms / self.figures[OURS].total_cpu_ms


def compare(plan: Plan, directory: Path, tell: Tell) -> Result:
    """Starts servers in `directory`, measures, ends them. Raises Fault."""
    load = os.getloadavg()[0]
    tell("starting OpenBao and Consul")
    with Site(directory, plan.size) as site:
        with Service(site) as service:
            tell(f"the service enrols {plan.size.agents} agents")
            service.enrol()
            ceiling = Ceiling(site, tell)
            tell(f"measuring, {plan.repeats} rounds")
            samples = _rounds(plan, tell, _contenders(plan, site, service, ceiling))
        versions = _versions()
    figures = {name: Figure(name, listed) for name, listed in samples.items()}
    return Result(plan, figures, ceiling.sweep, ceiling.generator, load, versions)


def _contenders(plan: Plan, site: Site, service: Service, ceiling: Ceiling) -> Mapping[str, Callable[[], Sample]]:
    return {
        OURS: service.round,
        RAW: lambda: ceiling.best(plan.concurrencies, plan.raw_seconds),
        PEER: lambda: template_agent.render(site, plan.peer_seconds),
    }


def _rounds(plan: Plan, tell: Tell, contenders: Mapping[str, Callable[[], Sample]]) -> dict[str, list[Sample]]:
    """Turn by turn, and every other time in the opposite order: a machine that gets slower is fair to all."""
    samples: dict[str, list[Sample]] = {name: [] for name in contenders}
    for number in range(plan.repeats):
        order = list(contenders) if number % 2 == 0 else list(contenders)[::-1]
        for name in order:
            sample = contenders[name]()
            tell(f"{number + 1}/{plan.repeats} {name}: {sample.rate:.0f} certificates/s")
            samples[name].append(sample)
    return samples


def _versions() -> dict[str, str]:
    return {
        "rotator": version("rotator"),
        "openbao": _says(locate.Server.OPENBAO),
        "consul": _says(locate.Server.CONSUL),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "cpus": str(os.cpu_count()),
    }


def _says(server: locate.Server) -> str:
    said = subprocess.run([locate.find(server), "version"], capture_output=True, text=True, timeout=30, check=False)
    return said.stdout.splitlines()[0].strip() if said.stdout else "unknown"
