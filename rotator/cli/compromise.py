"""`rotator compromise OWNER --reason TEXT`: it has leaked. Refuse it, replace it, end it, and say after how long."""

from __future__ import annotations

import threading
import uuid
from typing import Annotated, Any

import typer

from rotator.cli.asking import ReasonOption, TimeoutOption, asked, who
from rotator.cli.console import DEFAULT_CONFIG, Column, ConfigOption, Console, Exit, Output, OutputOption
from rotator.cli.looking import view_of
from rotator.core.errors import Code, Fault, Unavailable

LOOK_SECONDS = 0.1


def register(app: typer.Typer) -> None:
    @app.command()
    def compromise(
        owner: Annotated[str, typer.Argument(help="an agent by name, or agent/NAME, or proxy/NAME")],
        credential: Annotated[
            list[str] | None, typer.Option("--credential", help="only this one; may be given again")
        ] = None,
        reason: ReasonOption = "",
        wait: Annotated[bool, typer.Option("--wait/--no-wait", help="until it is refused, replaced and ended")] = True,
        timeout: TimeoutOption = 60.0,
        config: ConfigOption = DEFAULT_CONFIG,
        output: OutputOption = Output.TABLE,
    ) -> int:
        """Report that credentials have leaked: proxies refuse them at once, new ones replace them, the old are ended.

        Overrides pauses, windows, spacing and the overlap: consumers that do not follow lose access. Prints when each
        step was reached, counted from the command.
        """
        console = Console(output)
        name = owner if "/" in owner else f"agent/{owner}"
        targets = tuple(f"{name}/{one}" for one in credential or ()) or (name,)
        try:
            return _report(console, config, targets, reason, timeout if wait else None)
        except Fault as fault:
            console.fail(fault)


def _report(console: Console, config: str, targets: tuple[str, ...], reason: str, timeout: float | None) -> int:
    from rotator.clients.clock import SystemClock
    from rotator.records.requests import RequestKind
    from rotator.rotation.view import new_request

    clock = SystemClock()
    began, request_id = clock.monotonic(), uuid.uuid4().hex
    request = new_request(request_id, RequestKind.COMPROMISE, targets, reason, who(), clock.now())
    view = view_of(config)
    view.check_targets("compromise", targets)
    before = {row.spec.id: row.record.last_version for row in view.rows(clock.now()) if _is_meant(row.spec.id, targets)}
    view.ask(request)
    if timeout is None:
        return asked(console, request)
    progress = _Progress(view, request_id, before)
    with console.busy(f"waiting until {', '.join(targets)} is refused, replaced and ended"):
        while not progress.look(clock.monotonic() - began, clock.now()):
            if clock.monotonic() - began > timeout:
                _show(console, progress, request_id)
                raise Unavailable(
                    Code.REQUEST_TIMED_OUT,
                    f"the report {request_id} is not dealt with after {timeout:g} s",
                    hint="what was reached is shown above; rotator explain says what holds the rest back",
                )
            threading.Event().wait(LOOK_SECONDS)
    _show(console, progress, request_id)
    return Exit.OK if progress.good else Exit.FAILED


def _is_meant(target: Any, targets: tuple[str, ...]) -> bool:
    return bool({str(target), str(target.owner)} & set(targets))


class _Progress:
    """When each step was first seen, in seconds from the command."""

    def __init__(self, view: Any, request_id: str, before: dict[Any, int]) -> None:
        self._view, self._id, self._before = view, request_id, before
        self.steps: dict[str, float] = {}
        self._denied: set[str] = set()
        self.good = False
        self.outcome: tuple[tuple[str, str], ...] = ()

    def look(self, seconds: float, now: Any) -> bool:
        """True when nothing more is to come."""
        from rotator.records.requests import RequestState

        answer = self._view.answer_to(self._id)
        if answer is not None and answer.state is not RequestState.QUEUED:
            self._reached("taken up by the leader", seconds)
        rows = [row for row in self._view.rows(now) if row.spec.id in self._before]
        for row in rows:
            record = row.record
            if record.current is not None and record.current.version > self._before[row.spec.id]:
                self._reached(f"{row.spec.id} version {record.current.version} published", seconds)
        refused = self._refusals(rows, seconds, now)
        done = answer is not None and answer.state in (
            RequestState.SUCCEEDED,
            RequestState.FAILED,
            RequestState.REFUSED,
        )
        if done and answer is not None:
            self.good, self.outcome = answer.state is RequestState.SUCCEEDED, answer.outcome
            self._reached("old versions ended at their source" if self.good else answer.state.value, seconds)
        return done and (refused or not self.good)

    def _refusals(self, rows: Any, seconds: float, now: Any) -> bool:
        """Whether every node that reports runs a document that refuses all that was reported."""
        wanted = {one.facts.fingerprint for row in rows for one in row.record.denied if one.facts.not_after > now}
        everywhere = True
        for proxy, version, document, reports in self._view.in_force():
            known = {one["fingerprint"] for one in document.content["trust"].get("denied", [])}
            if not wanted & known:
                continue
            if proxy not in self._denied:
                self._denied.add(proxy)
                self._reached(f"denied in version {version} of the document of proxy/{proxy}", seconds)
            for report in reports:
                if report.digest == document.digest:
                    self._reached(f"refused by proxy/{proxy} node {report.node}", seconds)
                else:
                    everywhere = False
        return everywhere

    def _reached(self, step: str, seconds: float) -> None:
        self.steps.setdefault(step, round(seconds, 2))


def _show(console: Console, progress: _Progress, request_id: str) -> None:
    if console.json:
        outcome = [{"target": target, "text": text} for target, text in progress.outcome]
        console.data({"request": request_id, "good": progress.good, "seconds": progress.steps, "outcome": outcome})
        return
    lines = [(step, f"{seconds:.1f} s") for step, seconds in sorted(progress.steps.items(), key=lambda one: one[1])]
    console.table((Column("STEP", "bold"), Column("AFTER")), lines)
    if not progress.good:
        for target, text in progress.outcome:
            console.warn(f"{target}: {text}")
