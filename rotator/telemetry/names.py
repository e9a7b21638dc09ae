"""Every metric that the service exports: name, type, labels, unit, meaning. Exposition and docs follow this list.

Naming follows the Prometheus conventions: one prefix, base units, `_total` for counters, and timestamps instead of
"time left", which would change at every scrape and freeze silently when the service dies.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

PREFIX = "rotator_"


class MetricType(StrEnum):
    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """`name` is complete, as scraped (for a counter with `_total`). `unit` is empty for plain numbers."""

    name: str
    type: MetricType
    help: str
    labels: tuple[str, ...] = ()
    unit: str = ""


_ALL: list[Metric] = []


def _metric(name: str, kind: MetricType, meaning: str, labels: str = "", unit: str = "") -> Metric:
    metric = Metric(PREFIX + name, kind, meaning, tuple(labels.split()), unit)
    _ALL.append(metric)
    return metric


def _gauge(name: str, meaning: str, labels: str = "", unit: str = "") -> Metric:
    return _metric(name, MetricType.GAUGE, meaning, labels, unit)


def _counter(name: str, meaning: str, labels: str = "", unit: str = "") -> Metric:
    return _metric(name, MetricType.COUNTER, meaning, labels, unit)


def _time(name: str, meaning: str, labels: str = "") -> Metric:
    return _gauge(name + "_timestamp_seconds", meaning, labels, "seconds since 1970")


_CREDENTIAL = "target kind"

# --- one line per credential, written by `expiry.py` --------------------------------------------------------------
EXPIRATION = _time("credential_expiration", "When the current version expires.", _CREDENTIAL)
NOT_BEFORE = _time("credential_not_before", "From when the current version is valid.", _CREDENTIAL)
RENEWAL = _time("credential_renewal", "When the current version should be renewed.", _CREDENTIAL)
READY = _gauge("credential_ready", "1 when a version that has not expired is in force, else 0.", _CREDENTIAL)
INFO = _gauge(
    "credential_info", "Always 1; public facts of the current version.", f"{_CREDENTIAL} version serial fingerprint"
)
SUSPENDED = _gauge("credential_suspended", "1 when somebody paused its rotation, else 0.", _CREDENTIAL)
FAILURES = _gauge("credential_failures", "Failed tries in a row of the step it stands at.", _CREDENTIAL)
RETIRING = _gauge("credential_retiring_versions", "Old versions that are still accepted.", _CREDENTIAL)
ADOPTED = _gauge("credential_adopted", "1 when all consumers are proven to run the current version.", _CREDENTIAL)
LAST_SUCCESS = _time("refresh_last_success", "When the current version was published.", _CREDENTIAL)

# --- the rest of the state, read at scrape by `state.py` -----------------------------------------------------------
CREDENTIALS = _gauge("credentials", "How many credentials are configured.")
PUBLISHED_VERSION = _gauge("published_version", "Number of the document version in force.", "proxy")
PUBLISHED_AT = _time("published", "When the document version in force was published.", "proxy")
APPLIED_VERSION = _gauge("applied_version", "Number of the document version that a node runs.", "proxy node")
NODE_REFUSED = _gauge("node_refused", "1 when a node refused what it should run, else 0.", "owner node")
NODE_REPORT = _time("node_report", "When a node last reported what it runs.", "owner node")
SERVED_EXPIRATION = _time(
    "served_expiration", "When the version expires that a node really serves or holds.", "target node"
)
ISSUER_EXPIRATION = _time("issuer_expiration", "When the issuing CA certificate expires.", "mount")
VAULT_TOKEN_EXPIRATION = _time("vault_token_expiration", "When the service's own Vault token ends.")
CLOCK_SKEW = _gauge("clock_skew_seconds", "This machine's time less Vault's.", unit="seconds")
AUDIT_HEAD = _gauge("audit_head_sequence", "Sequence number of the last audit record.")
LEADER = _gauge("leader", "1 when this instance leads, else 0.")
EPOCH = _gauge("epoch", "Count of leaderships so far, as known to this instance.")
CONFIG_OK = _gauge("config_last_reload_successful", "1 when the last load of the configuration succeeded, else 0.")
CONFIG_AT = _time("config_last_reload_success", "When the configuration was last loaded with success.")
BUILD_INFO = _gauge("build_info", "Always 1; the version of the service.", "version")

# --- counted as it happens, by `counters.py` -----------------------------------------------------------------------
REFRESHES = _counter("refreshes_total", "Rotations that ended.", "kind reason outcome")
ATTEMPTS = _counter("refresh_attempts_total", "Tries of one step of a rotation.", "kind action outcome")
DURATION = _metric(
    "refresh_duration_seconds",
    MetricType.HISTOGRAM,
    "From the intent of a rotation to its publication.",
    "kind",
    "seconds",
)
PROPAGATION = _metric(
    "propagation_seconds", MetricType.HISTOGRAM, "From a publication to the proof that all run it.", "what", "seconds"
)
PUBLISHES = _counter("publishes_total", "Publications of proxy documents.", "proxy outcome")
VAULT_REQUESTS = _counter("vault_requests_total", "Calls to Vault.", "operation code")
VAULT_DURATION = _metric(
    "vault_request_duration_seconds", MetricType.HISTOGRAM, "Duration of calls to Vault.", "operation", "seconds"
)
CONSUL_REQUESTS = _counter("consul_requests_total", "Calls to Consul.", "operation code")
CONSUL_DURATION = _metric(
    "consul_request_duration_seconds", MetricType.HISTOGRAM, "Duration of calls to Consul.", "operation", "seconds"
)
SCHEDULER_LAG = _gauge("scheduler_lag_seconds", "How late the last tick began.", unit="seconds")
SCHEDULER_TICK = _time("scheduler_last_tick", "When the last tick ended.")
SCHEDULER_MISSES = _counter("scheduler_misses_total", "Ticks that were skipped because one took too long.")
AUDIT_RECORDS = _counter("audit_records_total", "Audit records written.")
AUDIT_ERRORS = _counter("audit_write_errors_total", "Audit writes that failed; nothing is changed meanwhile.")
FLEET_EVENTS = _counter("fleet_events_total", "Events of the service, of documents and of the fleet.", "name")
OBSERVER_ERRORS = _counter("observer_errors_total", "Events or calls that could not be counted.")

ALL: tuple[Metric, ...] = tuple(_ALL)


def markdown_table() -> str:
    """The table of `docs/metrics.md`; a test holds the file equal to it."""
    head = "| name | type | labels | unit | meaning |\n|---|---|---|---|---|\n"
    return head + "".join(_row(metric) for metric in ALL)


def _row(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    return f"| `{metric.name}` | {metric.type.value} | {labels} | {metric.unit} | {metric.help} |\n"
