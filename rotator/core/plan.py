"""All credentials at once: what is to be done now, in which order, and when to look again. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from rotator.core.decide import Decision, Do, decide
from rotator.core.identity import CredentialId
from rotator.core.model import Record
from rotator.core.spec import Spec


@dataclass(frozen=True, slots=True)
class Row:
    """One credential with its answer: a line of `rotator plan`."""

    spec: Spec
    record: Record
    decision: Decision

    @property
    def acts(self) -> bool:
        return isinstance(self.decision, Do)


def plan(specs: Iterable[Spec], records: Mapping[CredentialId, Record], now: datetime) -> tuple[Row, ...]:
    """A row for every credential: first what acts now, by expiry; then what waits, by the time of the next look."""
    rows = []
    for spec in specs:
        record = records.get(spec.id) or Record(spec.id)
        rows.append(Row(spec, record, decide(spec, record, now)))
    return tuple(sorted(rows, key=lambda row: _order(row, now)))


def by_urgency(rows: Iterable[Row], now: datetime) -> tuple[Row, ...]:
    """Earliest expiry first, so that after an outage the backlog drains in the order of danger, not of arrival."""
    return tuple(sorted(rows, key=lambda row: _expiry(row.record, now)))


def next_look(rows: Iterable[Row], now: datetime) -> datetime | None:
    """The earliest moment at which an answer can change by itself; `now` when something acts; None without rows."""
    moments = [now if isinstance(row.decision, Do) else row.decision.until for row in rows]
    return min(moments, default=None)


def renewals_per_second(specs: Iterable[Spec]) -> float:
    """The mean renewal rate that this fleet needs, every credential at its renewal share."""
    return sum(1 / max((spec.ttl * spec.policy.renew_at).total_seconds(), 1.0) for spec in specs)


def _expiry(record: Record, now: datetime) -> datetime:
    """A credential without any version is the most urgent of all."""
    return record.current.not_after if record.current else now - timedelta(days=36500)


def _order(row: Row, now: datetime) -> tuple[int, datetime, CredentialId]:
    if isinstance(row.decision, Do):
        return 0, _expiry(row.record, now), row.spec.id
    return 1, row.decision.until, row.spec.id
