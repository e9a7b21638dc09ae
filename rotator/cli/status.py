"""`rotator status`: one line per credential, sorted by urgency, and what the proxies run."""

from __future__ import annotations

import threading
from datetime import datetime
from typing import Annotated, Any

import typer

from rotator.cli.console import DEFAULT_CONFIG, Column, ConfigOption, Console, Output, OutputOption, moment
from rotator.cli.looking import view_of
from rotator.core.errors import Fault


def register(app: typer.Typer) -> None:
    @app.command()
    def status(
        config: ConfigOption = DEFAULT_CONFIG,
        output: OutputOption = Output.TABLE,
        watch: Annotated[bool, typer.Option("--watch", "-w", help="show it again every two seconds until ^C")] = False,
    ) -> None:
        """Show every credential: version, readiness, expiry, next renewal, last reason; and every proxy's nodes."""
        from rotator.clients.clock import SystemClock

        console, clock = Console(output), SystemClock()
        try:
            view = view_of(config)
            _show(console, view, clock.now())
            while watch:
                threading.Event().wait(2.0)
                if not console.json:
                    console.rich.clear()
                _show(console, view, clock.now())
        except Fault as fault:
            console.fail(fault)


def _show(console: Console, view: Any, now: datetime) -> None:
    rows = view.rows(now)
    leader = view.leader()
    proxies = [_proxy(view, row.spec.id.owner.name) for row in rows if row.spec.id.owner.kind.value == "proxy"]
    if console.json:
        console.data(
            {
                "at": now,
                "leader": {"instance": leader.instance, "epoch": leader.epoch},
                "credentials": [as_json(row) for row in rows],
                "proxies": proxies,
            }
        )
        return
    columns = ("TARGET", "VERSION", "READY", "EXPIRES", "RENEWS", "LAST REASON", "MESSAGE")
    console.table([Column(name) for name in columns], [_line(row, now) for row in sorted(rows, key=_urgency)])
    nodes = [(f"proxy/{p['name']}", str(p["version"]), *_node(node)) for p in proxies for node in p["nodes"]]
    if nodes:
        console.table([Column(name) for name in ("PROXY", "PUBLISHED", "NODE", "RUNS", "STATE", "ERROR")], nodes)
    console.say(f"leader: {leader.instance or 'none'} (epoch {leader.epoch})")


def _urgency(row: Any) -> tuple[int, float]:
    current = row.record.current
    return (0, 0.0) if current is None else (1, current.not_after.timestamp())


def _line(row: Any, now: datetime) -> tuple[str, ...]:
    fields = as_json(row)
    current = row.record.current
    return (
        fields["target"],
        str(fields["version"]),
        "yes" if fields["ready"] else "no",
        moment(current.not_after if current else None, now),
        "now" if row.acts else moment(fields["renews_at"], now),
        fields["last_reason"] or "-",
        fields["message"],
    )


def as_json(row: Any) -> dict[str, Any]:
    """One credential for programs."""
    from rotator.core import due

    record, cause = row.record, row.decision.cause
    current = record.current
    return {
        "target": str(row.spec.id),
        "kind": row.spec.kind,
        "version": current.version if current else 0,
        "ready": current is not None and record.failure is None,
        "serial": current.serial if current else "",
        "fingerprint": current.fingerprint if current else "",
        "not_after": current.not_after if current else None,
        "renews_at": due.renewal_at(row.spec, record),
        "published_at": record.published_at,
        "adopted_at": record.adopted_at,
        "suspended": row.spec.suspension is not None,
        "stage": record.pending.stage.value if record.pending else "",
        "retiring": [old.facts.version for old in record.retiring],
        "last_reason": record.last_cause.reason.value if record.last_cause else "",
        "reason": cause.reason.value,
        "message": f"{record.failure.code}: {record.failure.text}" if record.failure else cause.text,
    }


def _proxy(view: Any, name: str) -> dict[str, Any]:
    from rotator.core.identity import Owner, OwnerKind

    pointer = view.pointer(name)
    reports = view.reports(Owner(OwnerKind.PROXY, name))
    return {
        "name": name,
        "version": pointer.version if pointer else 0,
        "reason": pointer.reason if pointer else "",
        "nodes": [
            {
                "node": report.node,
                "version": report.version,
                "state": report.state.value,
                "at": report.at,
                "error": f"{report.error_code}: {report.error_text}" if report.error_code else "",
            }
            for report in reports
        ],
    }


def _node(node: dict[str, Any]) -> tuple[str, str, str, str]:
    return node["node"], str(node["version"]), node["state"], node["error"]
