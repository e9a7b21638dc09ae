"""`rotator follow`: keeps proxies and agents of this node at what is published."""

from __future__ import annotations

import os
import signal
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rotator.cli.console import Console, Exit, Output, OutputOption

if TYPE_CHECKING:
    from rotator.follower.converge import Outcome
    from rotator.follower.watch import OnOutcome

DEFAULT_CONFIG = "/etc/rotator/follower.toml"
ConfigOption = Annotated[
    Path, typer.Option("-c", "--config", envvar="ROTATOR_FOLLOWER_CONFIG", help="the follower's own file")
]
ProxyOption = Annotated[list[str] | None, typer.Option("--proxy", help="follow only this proxy; repeatable")]
AgentOption = Annotated[list[str] | None, typer.Option("--agent", help="follow only this agent; repeatable")]


def register(app: typer.Typer) -> None:
    app.command("follow")(follow)


def follow(
    config: ConfigOption = Path(DEFAULT_CONFIG),
    proxy: ProxyOption = None,
    agent: AgentOption = None,
    exec_: Annotated[str, typer.Option("--exec", help="with one --agent: run this once per change")] = "",
    signal_: Annotated[str, typer.Option("--signal", help="with one --agent: send this once per change")] = "",
    pid_file: Annotated[Path | None, typer.Option("--pid-file", help="whose process gets the signal")] = None,
    once: Annotated[bool, typer.Option("--once", help="one pass, then exit: 0 when everything is in force")] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Follow what is published for proxies and agents on this node, and put it into force here."""
    from rotator.clients.clock import SystemClock
    from rotator.clients.hardening import give_up_core_files
    from rotator.clients.systemd import from_process
    from rotator.config import follower as configuration
    from rotator.connect import open_keys, open_vault
    from rotator.follower import wiring

    give_up_core_files()
    settings = configuration.load(config, os.environ, socket.gethostname())
    settings = configuration.with_action(settings, agent or [], exec_, signal_, pid_file)
    stop, clock = threading.Event(), SystemClock()
    opened = wiring.Opened(open_vault, open_keys, clock, stop)
    followed = wiring.build(settings, opened, configuration.owners(proxy or [], agent or []))
    console = Console(output)
    watch = wiring.watch(followed, opened, teller(console))
    if once:
        settled = all(outcome.settled for outcome in watch.once())
        raise typer.Exit(Exit.OK if settled else Exit.FAILED)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    notifier = from_process()
    notifier.ready(f"following {len(followed)} subjects")
    watch.run()
    notifier.stopping()


def teller(console: Console) -> OnOutcome:
    """Says what changed and what failed, once each: a failure that repeats is not news."""
    told: dict[str, str] = {}

    def tell(owner: str, outcome: Outcome) -> None:
        problem = str(outcome.fault) if outcome.fault else ""
        if outcome.changed or told.get(owner) != problem:
            told[owner] = problem
            if console.json:
                line = {"subject": owner, "version": outcome.version, "settled": outcome.settled, "error": problem}
                console.line(line)
            elif problem:
                console.warn(f"{owner}: {problem}")
            else:
                console.say(f"{owner}: version {outcome.version} is {'in force' if outcome.settled else 'under way'}")

    return tell
