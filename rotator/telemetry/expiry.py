"""The lines per credential, kept ready: a scrape of 100 000 series joins them instead of writing them.

Timestamps do not change between two rotations, so a line is written again only when the credential's record or spec
is another object than before, or when the moment has come at which it expires. The general writer of
prometheus_client formats and sorts the labels of every sample at every scrape.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from datetime import datetime

from rotator.core import due
from rotator.core.model import Facts, Record
from rotator.core.spec import Spec
from rotator.telemetry import names
from rotator.telemetry.names import Metric
from rotator.telemetry.snapshot import Snapshot

# What a metric says about one credential: the number, or None for no line. The last argument: it has expired.
Value = Callable[[Spec, Record, bool], float | None]


def _facts_at(pick: Callable[[Facts], float]) -> Value:
    """A number about the current version; no line while there is none."""
    return lambda spec, record, expired: None if record.current is None else pick(record.current)


def _renewal(spec: Spec, record: Record, expired: bool) -> float | None:
    at = due.renewal_at(spec, record)
    if at is None or record.current is None:
        return None
    return min(at, due.floor_at(spec, record.current)).timestamp()


def _ready(spec: Spec, record: Record, expired: bool) -> float:
    return float(record.current is not None and not expired)


def _failures(spec: Spec, record: Record, expired: bool) -> float:
    return max((one.count for one in (record.failure, record.retire_failure) if one), default=0)


def _adopted(spec: Spec, record: Record, expired: bool) -> float | None:
    return None if record.current is None else float(record.adopted_at is not None)


def _published(spec: Spec, record: Record, expired: bool) -> float | None:
    return None if record.published_at is None else record.published_at.timestamp()


_COLUMNS: tuple[tuple[Metric, Value], ...] = (
    (names.EXPIRATION, _facts_at(lambda facts: facts.not_after.timestamp())),
    (names.NOT_BEFORE, _facts_at(lambda facts: facts.not_before.timestamp())),
    (names.RENEWAL, _renewal),
    (names.READY, _ready),
    (names.INFO, _facts_at(lambda facts: 1.0)),
    (names.SUSPENDED, lambda spec, record, expired: float(spec.suspension is not None)),
    (names.FAILURES, _failures),
    (names.RETIRING, lambda spec, record, expired: len(record.retiring)),
    (names.ADOPTED, _adopted),
    (names.LAST_SUCCESS, _published),
)


class ExpiryLines:
    """Cached exposition lines of all credentials. Belongs to one thread (that of the web server)."""

    def __init__(self) -> None:
        self._columns: tuple[dict[str, bytes], ...] = tuple({} for _ in _COLUMNS)
        self._written: dict[str, tuple[Spec, Record | None]] = {}
        self._ends: list[tuple[datetime, str]] = []
        self._shown: Snapshot | None = None
        self._heads = tuple(_head(metric) for metric, _ in _COLUMNS)

    def parts(self, snapshot: Snapshot) -> Iterator[bytes]:
        """Exposition format 0.0.4, to be joined, for exactly the credentials of this snapshot."""
        if snapshot is not self._shown:
            self._follow(snapshot)
            self._expire(snapshot)
            self._shown = snapshot
        for head, lines in zip(self._heads, self._columns, strict=True):
            yield head
            yield from lines.values()

    def _follow(self, snapshot: Snapshot) -> None:
        records, written = snapshot.records, self._written
        for target, spec in snapshot.specs.items():
            record, known = records.get(target), written.get(target)
            if known is None or known[1] is not record or known[0] is not spec:
                written[target] = (spec, record)
                self._write(target, spec, record, expired=self._has_expired(target, record, snapshot))
        if len(written) != len(snapshot.specs):
            for target in written.keys() - snapshot.specs.keys():
                del written[target]
                for lines in self._columns:
                    lines.pop(target, None)

    def _has_expired(self, target: str, record: Record | None, snapshot: Snapshot) -> bool:
        """Whether it has; if not, the moment at which it will is noted."""
        if record is None or record.current is None:
            return False
        end = record.current.not_after
        expired = snapshot.at is not None and end <= snapshot.at
        if not expired:
            heapq.heappush(self._ends, (end, target))
        return expired

    def _expire(self, snapshot: Snapshot) -> None:
        """Writes again what has expired since the last snapshot; a heap entry of an older version says nothing."""
        while snapshot.at is not None and self._ends and self._ends[0][0] <= snapshot.at:
            end, target = heapq.heappop(self._ends)
            spec, record = self._written.get(target, (None, None))
            if spec is not None and record is not None and record.current and record.current.not_after == end:
                self._write(target, spec, record, expired=True)

    def _write(self, target: str, spec: Spec, record: Record | None, expired: bool) -> None:
        record = record or Record(spec.id)
        labels = f'target="{target}",kind="{spec.kind}"'
        for (metric, value), lines in zip(_COLUMNS, self._columns, strict=True):
            number = value(spec, record, expired)
            if number is None:
                lines.pop(target, None)
            else:
                lines[target] = f"{metric.name}{{{labels}{_facts(metric, record)}}} {number!r}\n".encode()


def _facts(metric: Metric, record: Record) -> str:
    if metric is not names.INFO or record.current is None:
        return ""
    facts = record.current
    return f',version="{facts.version}",serial="{_plain(facts.serial)}",fingerprint="{_plain(facts.fingerprint)}"'


def _plain(text: str) -> str:
    """Serials and fingerprints are hex; anything else in a record is escaped as the exposition format asks."""
    return text if text.isalnum() else text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _head(metric: Metric) -> bytes:
    return f"# HELP {metric.name} {metric.help}\n# TYPE {metric.name} {metric.type.value}\n".encode()
