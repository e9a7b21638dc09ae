"""`rotator watch-handler`: what `consul watch -type=key -key=… rotator watch-handler --proxy NAME` calls.

Consul's contract: one JSON object or `null` on stdin, CONSUL_INDEX in the environment, the last 4 KiB of output kept
in the agent's log, no second call after a failure. So the payload is only a hint that something may have changed:
the pass reads the pointer itself, and tries again for a while before it gives up.

Give `consul watch` its address, CA and token by CONSUL_HTTP_ADDR, CONSUL_CACERT and CONSUL_HTTP_TOKEN_FILE: 1.8.7 does
not use `-ca-file` for the watch itself, and asks `/v1/agent/self` first, for which the token needs `agent_prefix` read.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
from pathlib import Path
from typing import Annotated

import typer

from rotator.cli.console import Console, Exit
from rotator.cli.follow import DEFAULT_CONFIG, ConfigOption

INPUT_LIMIT = 2 * 1024 * 1024


def register(app: typer.Typer) -> None:
    app.command("watch-handler")(watch_handler)


def watch_handler(
    config: ConfigOption = Path(DEFAULT_CONFIG),
    proxy: Annotated[str, typer.Option("--proxy", help="the proxy whose pointer is watched")] = "",
    agent: Annotated[str, typer.Option("--agent", help="the agent whose pointer is watched")] = "",
    retry_for: Annotated[int, typer.Option("--retry-for", min=0, max=600, help="seconds to keep trying")] = 60,
) -> None:
    """Handle one call of `consul watch`: put what is published into force, or do nothing when it already is."""
    if bool(proxy) == bool(agent):
        raise typer.BadParameter("name either --proxy or --agent")
    from rotator.clients.clock import SystemClock
    from rotator.config import follower as configuration
    from rotator.connect import open_keys, open_vault
    from rotator.core.errors import Code, Fault
    from rotator.follower import watch_handler as handler
    from rotator.follower import wiring

    console, clock = Console(), SystemClock()
    payload = sys.stdin.buffer.read(INPUT_LIMIT)
    settings = configuration.load(config, os.environ, socket.gethostname())
    opened = wiring.Opened(open_vault, open_keys, clock, threading.Event())
    owners = configuration.owners([proxy] if proxy else [], [agent] if agent else [])
    (followed,) = wiring.build(settings, opened, owners)
    try:
        answer = handler.handle(followed.convergence, payload, clock, opened.stop.wait, retry_for)
    except Fault as fault:
        if fault.code is not Code.STATE_DIR_LOCKED:
            raise
        console.say("another follower is at work here and will see this change")
        return
    index = os.environ.get("CONSUL_INDEX", "")
    note = f" (index {index})" if index.isdigit() else ""
    if answer.fault is not None:
        console.warn(f"{followed.convergence.subject.owner}{note}: {answer.fault}")
    elif answer.changed:
        console.say(f"{followed.convergence.subject.owner}{note}: version {answer.version} is in force")
    raise typer.Exit(Exit.OK if answer.settled else Exit.FAILED)
