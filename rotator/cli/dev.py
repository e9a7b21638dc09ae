"""`rotator dev`: everything on this machine in one go, with real servers and traffic."""

from __future__ import annotations

import shutil
import signal
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from rotator.cli.console import Console, Exit, Output, OutputOption
from rotator.core.errors import Fault


def register(app: typer.Typer) -> None:
    app.command("dev")(dev)


def dev(
    seconds: Annotated[float, typer.Option("--for", help="end by itself after so many seconds; 0: until ^C")] = 0.0,
    directory: Annotated[Path | None, typer.Option("--dir", help="keep everything in this folder")] = None,
    output: OutputOption = Output.TABLE,
) -> int:
    """Start OpenBao, Consul, Envoy, the service, followers and traffic here, and show what happens.

    Certificates live for a minute, and so do a JWT, an API key, a secret-id, a database password and an OAuth2 token.
    Ends with a summary; exit 1 when a request failed that should have passed, passed that should have been refused, a
    credential was refused by the system that it is for, or the audit chain does not verify.
    """
    from rotator.dev import demo
    from rotator.dev.world import Options, World

    console = Console(output)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    place = directory or Path(tempfile.mkdtemp(prefix="rotator-dev-"))
    console.say(f"everything lies below {place}")
    try:
        with World(place, console.say, Options(kinds=True, missing_allowed=True)) as world:
            for line in _welcome(world):
                console.say(line)
            with _shown(console, world) as each:
                summary = demo.run(world, seconds or None, stop, each)
    except Fault as fault:
        console.fail(fault)
    _tell(console, summary)
    if directory is None and summary.good:
        shutil.rmtree(place, ignore_errors=True)  # it holds keys; after a bad end it stays, to be looked at
    return Exit.OK if summary.good else Exit.FAILED


def _welcome(world: Any) -> tuple[str, ...]:
    return (
        f"the proxy listens on https://{world.door.host}:{world.door.port}, metrics are at {world.http}/metrics",
        f"try: rotator status -c {world.config}",
        f'     rotator rotate agent/billing/tls --wait --reason "to see it" -c {world.config}',
    )


class _Quiet:
    """Plain lines where nobody sees a table move."""

    def __init__(self, console: Console) -> None:
        self._console, self._seconds = console, 0

    def __enter__(self) -> Callable[[Any], None]:
        return self.each

    def __exit__(self, *_: object) -> None:
        """Nothing to put back."""

    def each(self, score: Any) -> None:
        self._seconds += 1
        if self._seconds % 15 == 0:
            wrong = score.wrongly_failed + score.wrongly_passed
            self._console.say(f"{self._seconds} s: {score.requests} requests, {score.refused} refused, {wrong} wrong")


class _Live:
    """The table, drawn anew about once a second."""

    def __init__(self, console: Console, world: Any) -> None:
        from rich.live import Live

        from rotator import app as wiring
        from rotator.clients.clock import SystemClock

        self._view, self._clock = wiring.open_view(world.settings()), SystemClock()
        self._live = Live(console=console.rich, refresh_per_second=4, transient=True)

    def __enter__(self) -> Callable[[Any], None]:
        self._live.__enter__()
        return self.each

    def __exit__(self, *left: Any) -> None:
        self._live.__exit__(*left)

    def each(self, score: Any) -> None:
        from rotator.dev.table import draw

        now = self._clock.now()
        try:
            self._live.update(draw(self._view.rows(now), score, now, "rotator dev: ^C ends it with a summary"))
        except Fault:
            return  # Consul may be away for a moment; the next frame shows it again


def _shown(console: Console, world: Any) -> Any:
    moving = console.rich.is_terminal and console.animated and not console.json
    return _Live(console, world) if moving else _Quiet(console)


def _tell(console: Console, summary: Any) -> None:
    if console.json:
        score = summary.score
        console.data(
            {
                "seconds": summary.seconds,
                "agents": summary.agents,
                "rotations": summary.rotations,
                "requests": score.requests,
                "refused": score.refused,
                "wrongly_failed": score.wrongly_failed,
                "wrongly_passed": score.wrongly_passed,
                "mistakes": score.mistakes,
                "kinds": {name: {"uses": one.tries, "accepted": one.accepted} for name, one in summary.probes.items()},
                "audit": {"verdict": summary.audit.verdict.name.lower(), "lines": summary.audit.lines},
                "good": summary.good,
            }
        )
        return
    for mistake in summary.score.mistakes:
        console.warn(mistake)
    for name, tally in summary.probes.items():
        for refusal in tally.refusals:
            console.warn(f"{name}: {refusal}")
    console.text(summary.line())
