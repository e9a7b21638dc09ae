"""What a scrape says: exactly the current state, in a format that Prometheus reads, under the documented names."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from rotator.core import events
from rotator.core.apply import apply
from rotator.core.errors import Code, Family
from rotator.core.events import FleetEvent, FleetEventName
from rotator.core.model import Action, Record
from rotator.core.reasons import Cause, Reason
from rotator.core.spec import Suspension
from rotator.publish.report import NodeState, Report, Running
from rotator.publish.versions import Pointer
from rotator.telemetry import names
from rotator.telemetry.board import Board
from rotator.telemetry.counters import Counters
from rotator.telemetry.exposition import Exposition
from rotator.telemetry.snapshot import Snapshot

from .samples import HOUR, NOW, facts, record, scraped, spec

TLS, WEB = "agent/billing/tls", "proxy/edge/server"


class Scrape:
    def __init__(self) -> None:
        self.board, registry = Board(), CollectorRegistry()
        self.counters = Counters(self.board, registry)
        self.exposition = Exposition(self.board, registry)

    def text(self) -> str:
        return self.exposition.render().decode()

    def value(self, metric: names.Metric | str, **labels: str) -> float | None:
        name = metric if isinstance(metric, str) else metric.name
        return scraped(self.text()).get((name, frozenset(labels.items())))

    def expiry(self, metric: names.Metric, target: str = TLS) -> float | None:
        return self.value(metric, target=target, kind="certificate")


@pytest.fixture
def scrape() -> Scrape:
    return Scrape()


def full_snapshot() -> Snapshot:
    report = Report("n1", NOW, NodeState.APPLIED, 7, "x", {"server": Running(1, "AB01", "f")})
    return Snapshot(
        at=NOW,
        specs={TLS: spec(), WEB: spec(WEB)},
        records={TLS: record(), WEB: record(WEB)},
        documents={"edge": Pointer(7, "x", NOW, "due", "")},
        nodes={"proxy/edge": (report,)},
        leader=True,
        epoch=3,
        issuers={"pki_int": NOW + HOUR},
        vault_token_expires=NOW + HOUR,
        clock_skew=timedelta(milliseconds=20),
        audit_head=9,
        config_loaded_at=NOW,
    )


def test_documents_names_and_exposition_are_one_list(scrape: Scrape) -> None:
    """A metric that is exported but not documented, or documented but not exported, misleads whoever alerts on it."""
    scrape.counters.expect(["certificate"], ["edge"])
    scrape.board.show(full_snapshot())
    exported = {}
    for family in text_string_to_metric_families(scrape.text()):
        name = family.name + ("_total" if family.type == "counter" else "")
        exported[name] = (family.type, family.documentation)
    assert exported == {metric.name: (metric.type.value, metric.help) for metric in names.ALL}
    for name, _ in scraped(scrape.text()):
        assert name.startswith(names.PREFIX)
        assert not name.endswith("_created")
    page = (Path(__file__).parents[2] / "docs/metrics.md").read_text()
    assert page.endswith("\n\n" + names.markdown_table())


def test_labels_are_those_that_are_documented(scrape: Scrape) -> None:
    """A label that is missing in the documents breaks the `by (...)` of an alert rule."""
    scrape.counters.expect(["certificate"], ["edge"])
    scrape.board.show(full_snapshot())
    listed = {metric.name: set(metric.labels) for metric in names.ALL}
    for family in text_string_to_metric_families(scrape.text()):
        for sample in family.samples:
            name = family.name + ("_total" if family.type == "counter" else "")
            assert set(sample.labels) - {"le"} == listed[name], name


def test_expiry_is_a_timestamp_that_time_does_not_change(scrape: Scrape) -> None:
    """A value that is "time left" freezes at a healthy number when the service dies."""
    scrape.board.show(full_snapshot())
    first = scrape.text()
    assert scrape.expiry(names.EXPIRATION) == (NOW + HOUR).timestamp()
    assert scrape.expiry(names.NOT_BEFORE) == NOW.timestamp()
    assert scrape.expiry(names.RENEWAL) is not None
    scrape.board.show(replace(full_snapshot(), at=NOW + timedelta(minutes=5)))
    assert scrape.text() == first


def test_removed_credential_disappears_at_the_next_scrape(scrape: Scrape) -> None:
    """A series that lingers keeps alerting about something that nobody has any more."""
    scrape.board.show(full_snapshot())
    assert scrape.expiry(names.READY) == 1
    scrape.board.show(replace(full_snapshot(), specs={WEB: spec(WEB)}, records={WEB: record(WEB)}))
    assert TLS not in scrape.text()
    assert scrape.expiry(names.READY, WEB) == 1


def test_rotation_replaces_the_facts_of_the_old_version(scrape: Scrape) -> None:
    """Two `info` series for one credential would double every join."""
    scrape.board.show(full_snapshot())
    scrape.text()
    scrape.board.show(replace(full_snapshot(), records={TLS: record(version=2, issued=NOW + HOUR), WEB: record(WEB)}))
    infos = [key for key in scraped(scrape.text()) if key[0] == names.INFO.name and ("target", TLS) in key[1]]
    assert [dict(labels)["version"] for _, labels in infos] == ["2"]
    assert scrape.expiry(names.EXPIRATION) == (NOW + 2 * HOUR).timestamp()


def test_ready_falls_when_the_version_expires_though_nothing_was_written(scrape: Scrape) -> None:
    """The record of a credential that nobody can renew does not change; its readiness must."""
    scrape.board.show(full_snapshot())
    assert scrape.expiry(names.READY) == 1
    late = replace(full_snapshot(), at=NOW + HOUR, records=scrape.board.snapshot().records)
    scrape.board.show(late)
    assert scrape.expiry(names.READY) == 0
    rewritten = replace(late, records={TLS: replace(record(), phase=0.5), WEB: record(WEB)})
    scrape.board.show(rewritten)
    assert scrape.expiry(names.READY) == 0


def test_credential_without_a_version_is_not_ready_and_has_no_expiry(scrape: Scrape) -> None:
    """A zero timestamp would be an expiry in 1970."""
    scrape.board.show(Snapshot(at=NOW, specs={TLS: spec()}))
    assert scrape.expiry(names.READY) == 0
    assert scrape.expiry(names.EXPIRATION) is None
    assert scrape.expiry(names.FAILURES) == 0


def test_suspension_is_shown(scrape: Scrape) -> None:
    """A pause that nobody sees is how certificates expire."""
    paused = replace(spec(), suspension=Suspension(own=True, reason="freeze", actor="ann", at=NOW))
    scrape.board.show(Snapshot(at=NOW, specs={TLS: spec()}, records={TLS: record()}))
    assert scrape.expiry(names.SUSPENDED) == 0
    scrape.board.show(Snapshot(at=NOW, specs={TLS: paused}, records={TLS: record()}))
    assert scrape.expiry(names.SUSPENDED) == 1


def test_expiry_of_what_a_node_serves_differs_from_what_is_stored(scrape: Scrape) -> None:
    """Google Voice, February 2021: the new certificate was issued and stored, the old one was served and expired."""
    snapshot = full_snapshot()
    stored = events.Published(NOW + HOUR / 2, spec(WEB).id, Cause(Reason.DUE), facts(2, NOW + HOUR / 2))
    scrape.board.show(replace(snapshot, records={TLS: record(), WEB: apply(record(WEB), stored)}))
    assert scrape.expiry(names.EXPIRATION, WEB) == (NOW + 1.5 * HOUR).timestamp()
    assert scrape.value(names.SERVED_EXPIRATION, target=WEB, node="n1") == (NOW + HOUR).timestamp()


def test_known_series_begin_at_zero(scrape: Scrape) -> None:
    """`increase()` sees no increase in a counter that is born with 1."""
    scrape.counters.expect(["certificate"], ["edge"])
    labels = {"kind": "certificate", "reason": "due", "outcome": "published"}
    assert scrape.value(names.REFRESHES, **labels) == 0
    assert scrape.value(names.PUBLISHES, proxy="edge", outcome="failed") == 0
    assert scrape.value(names.FLEET_EVENTS, name="drift_found") == 0


def test_rotation_is_counted_with_reason_outcome_and_duration(scrape: Scrape) -> None:
    """The numbers behind the dashboards come from the same events as the audit."""
    scrape.board.show(full_snapshot())
    target, cause, second = spec().id, Cause(Reason.DUE), timedelta(seconds=1)
    scrape.counters.observe(
        [
            events.Intended(NOW, target, cause, 2, "x" * 32),
            events.Failed(NOW, target, cause, Action.ISSUE, Family.UNAVAILABLE, "E2001", "gone", NOW + second),
            events.Issued(NOW + second, target, cause, facts(2)),
            events.Verified(NOW + second, target, cause, facts(2)),
            events.Published(NOW + 3 * second, target, cause, facts(2)),
            events.Adopted(NOW + 10 * second, target, Cause(Reason.ADOPTED), facts(2)),
        ]
    )
    of_kind = {"kind": "certificate"}
    assert scrape.value(names.REFRESHES, **of_kind, reason="due", outcome="published") == 1
    assert scrape.value(names.ATTEMPTS, **of_kind, action="issue", outcome="unavailable") == 1
    assert scrape.value(names.ATTEMPTS, **of_kind, action="issue", outcome="done") == 1
    assert scrape.value("rotator_refresh_duration_seconds_sum", **of_kind) == 3
    assert scrape.value("rotator_propagation_seconds_sum", what="credential") == 7
    assert scrape.value(names.AUDIT_RECORDS) == 6


def test_document_publication_is_counted_per_proxy(scrape: Scrape) -> None:
    """A proxy whose documents fail must be told from its neighbours."""
    published = FleetEvent(NOW, FleetEventName.DOCUMENT_PUBLISHED, "proxy/edge", Cause(Reason.CONFIG_CHANGED))
    adopted = replace(published, name=FleetEventName.DOCUMENT_ADOPTED, at=NOW + timedelta(seconds=2))
    scrape.counters.observe([published, adopted])
    assert scrape.value(names.PUBLISHES, proxy="edge", outcome="published") == 1
    assert scrape.value("rotator_propagation_seconds_sum", what="document") == 2


def test_calls_and_ticks_are_counted(scrape: Scrape) -> None:
    """Attempts are counted beside failures, so that a share can be computed."""
    scrape.counters.on_vault_call("issue", "200", 0.01)
    scrape.counters.on_consul_call("commit", Code.CONSUL_UNREACHABLE.value, 0.01)
    scrape.counters.on_tick(NOW, 0.25)
    scrape.counters.on_missed_tick()
    scrape.counters.on_audit_error()
    assert scrape.value(names.VAULT_REQUESTS, operation="issue", code="200") == 1
    assert scrape.value(names.CONSUL_REQUESTS, operation="commit", code="E3001") == 1
    assert scrape.value(names.SCHEDULER_TICK) == NOW.timestamp()
    assert scrape.value(names.SCHEDULER_LAG) == 0.25
    assert scrape.value(names.SCHEDULER_MISSES) == 1
    assert scrape.value(names.AUDIT_ERRORS) == 1


def test_observer_never_raises_into_the_street(scrape: Scrape) -> None:
    """A bug in counting must not stop a rotation; it is counted itself."""
    scrape.counters.observe([None])  # type: ignore[list-item]
    scrape.counters.on_tick(None, 0)  # type: ignore[arg-type]
    assert scrape.value(names.OBSERVER_ERRORS) == 2


def test_two_services_in_one_process_do_not_share_metrics() -> None:
    """Nothing is registered globally: tests and embedders would meet each other's numbers."""
    one, other = Scrape(), Scrape()
    one.counters.on_missed_tick()
    assert other.value(names.SCHEDULER_MISSES) == 0


def test_unchanged_credentials_are_not_written_again(scrape: Scrape, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scrape of a large fleet is a join; a full rewrite would hold the interpreter for seconds."""
    specs = {f"agent/a{number}/tls": spec(f"agent/a{number}/tls") for number in range(300)}
    records = {target: record(target) for target in specs}
    scrape.board.show(Snapshot(at=NOW, specs=specs, records=records))
    scrape.text()
    written: list[str] = []
    lines = scrape.exposition._lines
    write = lines._write

    def counting(target: str, known: object, state: Record | None, expired: bool) -> None:
        written.append(target)
        write(target, specs[target], state, expired)

    monkeypatch.setattr(lines, "_write", counting)
    changed = {**records, "agent/a7/tls": record("agent/a7/tls", version=2)}
    scrape.board.show(Snapshot(at=NOW, specs=specs, records=changed))
    scrape.text()
    assert written == ["agent/a7/tls"]
