"""`python -m benchmarks`: runs the comparison and prints it. `--help` lists the settings."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from benchmarks import report
from benchmarks.comparison import Plan, compare
from benchmarks.site import Size
from rotator.core.errors import Fault
from rotator.dev.servers.openbao import Storage


def main(arguments: Sequence[str] | None = None) -> int:
    """0: measured. 1: could not be measured, with the reason on standard error."""
    given = _parser().parse_args(arguments)
    progress = Console(stderr=True)

    def tell(text: str) -> None:
        if progress.is_terminal or not text[:1].isdigit():
            progress.print(text, highlight=False)

    with tempfile.TemporaryDirectory(prefix="rotator-bench-", dir=given.directory) as folder:
        try:
            result = compare(_plan(given), Path(folder), tell)
        except Fault as fault:
            progress.print(f"{fault.text}\n{fault.hint}", style="red", highlight=False)
            return 1
    if given.json:
        text = json.dumps(report.as_json(result), indent=2)
        if given.json == "-":
            sys.stdout.write(text + "\n")
        else:
            Path(given.json).write_text(text + "\n", encoding="utf-8")
    if given.json != "-":
        report.show(result, Console(width=None if sys.stdout.isatty() else 140))
    return 0


def _plan(given: argparse.Namespace) -> Plan:
    agents = given.agents or (300 if given.quick else 1000)
    size = Size(agents, given.workers, Storage(given.storage), given.vault_audit)
    return Plan(
        size=size,
        repeats=given.repeats or (3 if given.quick else 5),
        concurrencies=[int(number) for number in given.connections.split(",")],
        raw_seconds=given.raw_seconds or (2 if given.quick else 5),
        peer_seconds=given.peer_seconds or (60.0 if given.quick else 300.0),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--agents", type=int, help="due at once (1000; 300 with --quick)")
    parser.add_argument("--repeats", type=int, help="rounds of each contender (5; 3 with --quick)")
    parser.add_argument("--quick", action="store_true", help="about a minute")
    parser.add_argument("--storage", choices=[one.value for one in Storage], default=Storage.RAFT.value)
    parser.add_argument("--vault-audit", action="store_true", help="OpenBao writes an audit file, for all contenders")
    parser.add_argument("--workers", type=int, default=8, help="[vault] workers of the service (8)")
    parser.add_argument("--connections", default="4,8,16,32", help="of the raw calls; the best is taken")
    parser.add_argument("--raw-seconds", type=int, help="of one raw round (5; 2 with --quick)")
    parser.add_argument("--peer-seconds", type=float, help="bao agent is ended then (300; 60 with --quick)")
    parser.add_argument("--json", metavar="FILE", help="also write every figure as JSON; - for standard output alone")
    parser.add_argument("--directory", type=Path, help="where the servers keep their data (the temporary directory)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
