"""`rotator explain TARGET`: why this credential was, will be or is not rotated."""

from __future__ import annotations

from collections import deque
from datetime import datetime
from typing import Annotated, Any

import typer

from rotator.cli.console import DEFAULT_CONFIG, ConfigOption, Console, Output, OutputOption, moment
from rotator.cli.looking import complete_target, view_of
from rotator.cli.plan import as_json as decision_json
from rotator.cli.plan import old_one
from rotator.cli.status import as_json as status_json
from rotator.core.errors import Fault


def register(app: typer.Typer) -> None:
    @app.command()
    def explain(
        target: Annotated[
            str, typer.Argument(help="a credential, for example agent/billing/tls", autocompletion=complete_target)
        ],
        config: ConfigOption = DEFAULT_CONFIG,
        output: OutputOption = Output.TABLE,
    ) -> None:
        """Explain one credential: the rule that holds, its inputs, the next decision times, the last cause."""
        from rotator.clients.clock import SystemClock
        from rotator.rotation.view import unknown

        console = Console(output)
        try:
            credential = _parse(target, unknown)
            now = SystemClock().now()
            row = view_of(config).row(credential, now)
        except Fault as fault:
            console.fail(fault)
        told = recent(config, str(credential))
        if console.json:
            console.data(
                {
                    "at": now,
                    "decision": decision_json(row),
                    "state": status_json(row),
                    "times": times(row),
                    "history": history(row),
                    "audit": told,
                }
            )
        else:
            _words(console, row, now)
            for line in told:
                console.text(f"  audit     {line['at']} {line['event']}: {line['reason']} {line['text']}".rstrip())


def _parse(target: str, unknown: Any) -> Any:
    from rotator.core.identity import CredentialId

    try:
        return CredentialId.parse(target)
    except ValueError:
        raise unknown(target) from None


def _words(console: Console, row: Any, now: datetime) -> None:
    decision, record = decision_json(row), row.record
    verb = f"would {decision['action']} now" if row.acts else f"waits until {moment(decision['until'], now)}"
    console.text(f"{decision['target']} {verb}")
    console.text(f"  because   {decision['reason']}: {decision['text']}")
    for name, value in decision["evidence"].items():
        console.text(f"            {name} = {value}")
    console.text("  times")
    for name, at in times(row).items():
        console.text(f"            {name:<14} {moment(at, now)}")
    policy = row.spec.policy
    console.text(
        f"  policy    renew at {policy.renew_at:.1%} of {row.spec.ttl}, spread {policy.spread:.1%}, "
        f"attempts {policy.attempt_budget} per {policy.attempt_window}"
    )
    console.text(f"  old one   {old_one(row.spec)} when a new {row.spec.kind} is there")
    if record.pending is not None:
        console.text(f"  in flight version {record.pending.version} is {record.pending.stage.value}")
    for old in record.retiring:
        state = "adopted, in overlap" if old.adopted_at else "waiting for adoption"
        console.text(f"  retiring  version {old.facts.version}: {state}")
    for line in history(row):
        console.text(f"  {line['what']:<9} {line['reason']}: {line['text']} ({line['actor']})")


def times(row: Any) -> dict[str, Any]:
    """The moments that decisions hang on."""
    from rotator.core import due

    record = row.record
    current = record.current
    moments = {"renewal_at": due.renewal_at(row.spec, record)}
    if current is not None:
        moments |= {"floor_at": due.floor_at(row.spec, current), "not_after": current.not_after}
        moments |= {
            "issued_at": current.issued_at,
            "published_at": record.published_at,
            "adopted_at": record.adopted_at,
        }
    if record.failure is not None:
        moments["retry_at"] = record.failure.retry_at
    return moments


def history(row: Any) -> list[dict[str, Any]]:
    """The last causes that the record remembers; the audit log has all of them."""
    record = row.record
    causes = [("last", record.last_cause), ("now", record.pending.cause if record.pending else None)]
    lines = [
        {
            "what": what,
            "reason": cause.reason.value,
            "text": cause.text,
            "actor": f"{cause.actor.kind.value}/{cause.actor.id}",
            "request": cause.request,
        }
        for what, cause in causes
        if cause is not None
    ]
    for failure in (record.failure, record.retire_failure):
        if failure is not None:
            text = f"{failure.code} {failure.text}, {failure.count} in a row"
            lines.append({"what": "failure", "reason": failure.family.value, "text": text, "actor": "-", "request": ""})
    return lines


def recent(config: str, target: str, count: int = 5) -> list[dict[str, Any]]:
    """The last audit lines about a credential, where the log of this machine can be read; else none."""
    from rotator import app as wiring
    from rotator.clients.append_file import read_lines
    from rotator.records import chain

    found: deque[dict[str, Any]] = deque(maxlen=count)
    try:
        for line in read_lines(wiring.load(config).audit.file, chain.LINE_LIMIT):
            if f'"{target}"'.encode() in line and (record := chain.parse(line.rstrip(b"\n"))):
                found.append({name: record[name] for name in ("at", "event", "version", "reason", "text", "request")})
    except (Fault, KeyError):
        return []
    return list(found)
