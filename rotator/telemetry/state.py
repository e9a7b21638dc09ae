"""The state of documents, nodes and the service itself, read from the board at every scrape.

A collector that yields from the current state has nothing to forget: what is gone from the snapshot is gone from the
answer (labelled gauges of prometheus_client linger for ever, prometheus/client_python#277).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from rotator import __version__
from rotator.core.model import Record
from rotator.publish.report import NodeState, Report, Running
from rotator.telemetry import names
from rotator.telemetry.board import Board
from rotator.telemetry.names import Metric
from rotator.telemetry.snapshot import Snapshot

Row = tuple[tuple[str, ...], float]


class StateCollector(Collector):
    def __init__(self, board: Board) -> None:
        self._board = board

    def collect(self) -> Iterator[GaugeMetricFamily]:
        snapshot = self._board.snapshot()
        for metric, rows in (*_service(snapshot), *_documents(snapshot), *_nodes(snapshot)):
            yield _family(metric, rows)


def _family(metric: Metric, rows: Iterable[Row]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
    for labels, value in rows:
        family.add_metric(labels, value)
    return family


def _service(snapshot: Snapshot) -> Iterator[tuple[Metric, list[Row]]]:
    yield names.CREDENTIALS, [((), len(snapshot.specs))]
    yield names.LEADER, [((), float(snapshot.leader))]
    yield names.EPOCH, [((), snapshot.epoch)]
    yield names.AUDIT_HEAD, [((), snapshot.audit_head)]
    yield names.CONFIG_OK, [((), float(snapshot.config_ok))]
    yield names.CONFIG_AT, _moment(snapshot.config_loaded_at)
    yield names.VAULT_TOKEN_EXPIRATION, _moment(snapshot.vault_token_expires)
    skew = snapshot.clock_skew
    yield names.CLOCK_SKEW, [] if skew is None else [((), skew.total_seconds())]
    yield names.ISSUER_EXPIRATION, [((mount,), end.timestamp()) for mount, end in snapshot.issuers.items()]
    yield names.BUILD_INFO, [((__version__,), 1.0)]


def _moment(at: datetime | None) -> list[Row]:
    return [] if at is None else [((), at.timestamp())]


def _documents(snapshot: Snapshot) -> Iterator[tuple[Metric, list[Row]]]:
    documents = snapshot.documents.items()
    yield names.PUBLISHED_VERSION, [((proxy,), pointer.version) for proxy, pointer in documents]
    yield names.PUBLISHED_AT, [((proxy,), pointer.issued_at.timestamp()) for proxy, pointer in documents]


def _nodes(snapshot: Snapshot) -> Iterator[tuple[Metric, list[Row]]]:
    reports = [(owner, report) for owner, listed in snapshot.nodes.items() for report in listed]
    applied = [(owner.removeprefix("proxy/"), report) for owner, report in reports if owner.startswith("proxy/")]
    yield names.APPLIED_VERSION, [((proxy, report.node), report.version) for proxy, report in applied]
    yield (
        names.NODE_REFUSED,
        [((owner, report.node), float(report.state is NodeState.REFUSED)) for owner, report in reports],
    )
    yield names.NODE_REPORT, [((owner, report.node), report.at.timestamp()) for owner, report in reports]
    yield names.SERVED_EXPIRATION, [row for owner, report in reports for row in _served(snapshot, owner, report)]


def _served(snapshot: Snapshot, owner: str, report: Report) -> Iterator[Row]:
    """The expiry of what a node really runs, where the record still knows that version (requirement OBS-1)."""
    for name, running in report.credentials.items():
        target = f"{owner}/{name}"
        record = snapshot.records.get(target)
        end = None if record is None else _end_of(record, running)
        if end is not None:
            yield (target, report.node), end.timestamp()


def _end_of(record: Record, running: Running) -> datetime | None:
    known = [old.facts for old in record.retiring] + ([record.current] if record.current else [])
    ends = (facts.not_after for facts in known if (facts.version, facts.serial) == (running.version, running.serial))
    return next(ends, None)
