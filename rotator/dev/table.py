"""The live table of the demo: agents, expiries and the last reasons, as the service's own records say them."""

from __future__ import annotations

from datetime import datetime

from rich.console import Group
from rich.table import Table
from rich.text import Text

from rotator.core import due
from rotator.core.plan import Row
from rotator.dev.traffic import Score

SOON = 0.25


def draw(rows: tuple[Row, ...], score: Score, now: datetime, head: str) -> Group:
    """One frame."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("TARGET", "VERSION", "EXPIRES IN", "LIFE", "RENEWS IN", "ADOPTED", "LAST REASON", "NOW"):
        table.add_column(name, no_wrap=True)
    for row in sorted(rows, key=lambda one: one.spec.id):
        table.add_row(*_cells(row, now))
    wrong = score.wrongly_failed + score.wrongly_passed
    traffic = Text(
        f"{score.requests} requests, {score.refused} refused as they should be, {wrong} wrong",
        style="bold red" if wrong else "green",
    )
    mistakes = [Text(f"  {text}", style="red") for text in score.mistakes[-3:]]
    return Group(Text(head, style="bold"), table, traffic, *mistakes)


def _cells(row: Row, now: datetime) -> tuple[str | Text, ...]:
    record = row.record
    current = record.current
    reason = record.last_cause.reason.value if record.last_cause else "-"
    if current is None:
        return str(row.spec.id), "-", "-", "", "-", "", reason, row.decision.cause.reason.value
    left = (current.not_after - now).total_seconds()
    share = max(0.0, min(1.0, left / row.spec.ttl.total_seconds()))
    renewal = due.renewal_at(row.spec, record) or now
    return (
        str(row.spec.id),
        str(current.version),
        f"{max(left, 0):.0f}s",
        Text("█" * round(share * 20) + "░" * (20 - round(share * 20)), style="red" if share < SOON else "green"),
        f"{max((renewal - now).total_seconds(), 0):.0f}s",
        "yes" if record.adopted_at else "…",
        reason,
        row.decision.cause.reason.value,
    )
