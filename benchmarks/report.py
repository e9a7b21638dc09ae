"""The result as a table for people and as JSON."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.comparison import OURS, PEER, RAW, Result
from benchmarks.figures import Figure

_PROCESSES = ("ours", "openbao", "consul", "generator", "bao agent")


def show(result: Result, console: Console) -> None:
    """Rates, ratios and CPU milliseconds for each certificate."""
    size = result.plan.size
    table = Table(title=f"{size.agents} agents due at once, {result.plan.repeats} rounds, storage {size.storage.value}")
    table.add_column("")
    for title in ("certs/s", "spread", "rotator is", *(f"{name} CPU ms" for name in _PROCESSES)):
        table.add_column(title, justify="right")
    for name in (OURS, RAW, PEER):
        figure = result.figures[name]
        ratio = "" if name == OURS else f"{result.ratio(name):.2f}x"
        costs = [_cost(figure, process) for process in _PROCESSES]
        mark = "" if figure.complete else " (not all)"
        table.add_row(name + mark, f"{figure.rate:.0f}", f"{figure.spread:.0%}", ratio, *costs)
    console.print(table)
    sweep = ", ".join(f"{number}: {rate:.0f}/s" for number, rate in result.sweep.items())
    console.print(f"raw calls by {result.generator}, median by connections: {sweep}", highlight=False)
    bounds = f"{result.bound(RAW):.2f}x of the raw calls and {result.bound(PEER):.2f}x of bao agent"
    console.print(f"if CPU alone decided, rotator would be {bounds}; load before: {result.load:.1f}", highlight=False)
    console.print("; ".join(f"{name} {text}" for name, text in result.versions.items()), highlight=False)


def as_json(result: Result) -> dict[str, Any]:
    """Everything, each round included. Rates in certificates a second, CPU in seconds."""
    plan, size = result.plan, result.plan.size
    return {
        "format": 1,
        "settings": {
            "agents": size.agents,
            "workers": size.workers,
            "storage": size.storage.value,
            "vault_audit": size.vault_audit,
            "repeats": plan.repeats,
            "raw_seconds": plan.raw_seconds,
            "peer_seconds": plan.peer_seconds,
        },
        "versions": dict(result.versions),
        "ratios": {"rotator/raw": round(result.ratio(RAW), 3), "rotator/bao agent": round(result.ratio(PEER), 3)},
        "cpu_bounds": {"rotator/raw": round(result.bound(RAW), 3), "rotator/bao agent": round(result.bound(PEER), 3)},
        "load_before": result.load,
        "raw": {"generator": result.generator, "sweep": {str(number): rate for number, rate in result.sweep.items()}},
        "contenders": {name: _contender(figure) for name, figure in result.figures.items()},
    }


def _contender(figure: Figure) -> dict[str, Any]:
    return {
        "rate": round(figure.rate, 1),
        "spread": round(figure.spread, 3),
        "complete": figure.complete,
        "total_cpu_ms_per_certificate": round(figure.total_cpu_ms, 3),
        "cpu_ms_per_certificate": {name: round(figure.cpu_ms(name) or 0.0, 3) for name in figure.processes},
        "rounds": [
            {"certificates": one.certificates, "seconds": round(one.seconds, 3), "cpu": dict(one.cpu), "done": one.done}
            for one in figure.samples
        ],
    }


def _cost(figure: Figure, process: str) -> str:
    cost = figure.cpu_ms(process)
    return "" if cost is None else f"{cost:.2f}"
