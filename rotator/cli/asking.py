"""How commands ask the leader: put a request into the inbox, and wait for its answer if told to."""

from __future__ import annotations

import getpass
import os
import threading
import uuid
from datetime import datetime
from typing import Annotated, Any

import typer

from rotator.cli.console import Column, Console, Exit
from rotator.cli.looking import view_of
from rotator.core.errors import Code, Fault, Unavailable

ReasonOption = Annotated[str, typer.Option("--reason", "-r", help="why; it goes into the audit log")]
WaitOption = Annotated[bool, typer.Option("--wait/--no-wait", help="wait until the leader has answered")]
TimeoutOption = Annotated[float, typer.Option("--timeout", help="seconds to wait at most")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="say what would be asked, and ask nothing")]
IdOption = Annotated[str, typer.Option("--request-id", help="the same id again is the same request")]


def who() -> Any:
    """The operator, by login name; `ROTATOR_ACTOR` says it for shared accounts."""
    from rotator.core.reasons import Actor, ActorKind

    return Actor(ActorKind.OPERATOR, os.environ.get("ROTATOR_ACTOR") or getpass.getuser())


def ask(
    console: Console, config: str, kind: str, targets: tuple[str, ...], reason: str, options: dict[str, Any]
) -> int:
    """Asks the leader. `options`: wait, timeout, dry_run, request_id, to_version. Returns the exit code."""
    from rotator import app as wiring
    from rotator.clients.clock import SystemClock
    from rotator.records.requests import RequestKind
    from rotator.rotation.view import new_request

    clock = SystemClock()
    try:
        request_id = options.get("request_id") or uuid.uuid4().hex
        request = new_request(request_id, RequestKind(kind), targets, reason, who(), clock.now())
        request = wiring.with_version(request, options.get("to_version"))
        if options.get("dry_run"):
            console.say(f"would ask the leader to {kind} {', '.join(targets)}; nothing was asked")
            return Exit.OK
        view = view_of(config)
        view.check_targets(kind, targets)
        view.ask(request)
        if not options.get("wait"):
            return asked(console, request)
        with console.busy(f"waiting for the leader to {kind} {', '.join(targets)}"):
            answer = _wait(view, request_id, clock, float(options.get("timeout") or 60))
        return _answered(console, answer)
    except Fault as fault:
        console.fail(fault)


def _wait(view: Any, request_id: str, clock: Any, seconds: float) -> Any:
    from rotator.records.requests import RequestState

    deadline = clock.monotonic() + seconds
    while clock.monotonic() < deadline:
        answer = view.answer_to(request_id)
        if answer is not None and answer.state not in (RequestState.QUEUED, RequestState.RUNNING):
            return answer
        threading.Event().wait(0.2)
    raise Unavailable(
        Code.REQUEST_TIMED_OUT,
        f"request {request_id} has no answer after {seconds:g} s",
        hint="it stays in the inbox; rotator status shows who leads, rotator explain what holds the target back",
    )


def asked(console: Console, request: Any) -> int:
    """Says that the request is in, without waiting for its answer."""
    if console.json:
        console.data({"request": request.id, "state": request.state.value})
    else:
        console.text(request.id)
        console.say("asked; add --wait to see the outcome")
    return Exit.OK


def _answered(console: Console, answer: Any) -> int:
    from rotator.records.requests import RequestState

    if console.json:
        took: datetime | None = answer.finished_at
        outcome = [{"target": target, "text": text} for target, text in answer.outcome]
        console.data({"request": answer.id, "state": answer.state.value, "outcome": outcome, "finished_at": took})
    else:
        console.table((Column("TARGET", "bold"), Column("OUTCOME")), [tuple(line) for line in answer.outcome])
    return Exit.OK if answer.state is RequestState.SUCCEEDED else Exit.FAILED
