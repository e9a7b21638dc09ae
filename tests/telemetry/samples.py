"""Small states for the telemetry tests."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from prometheus_client.parser import text_string_to_metric_families

from rotator.core.identity import CredentialId
from rotator.core.kind_settings import CertificateSettings
from rotator.core.model import Facts, Record
from rotator.core.spec import Policy, Spec

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def spec(target: str = "agent/billing/tls") -> Spec:
    settings = CertificateSettings("pki_int", "rotator-agent", "billing", ())
    return Spec(
        CredentialId.parse(target), "certificate", HOUR, "kv", "agents/billing/tls", settings, Policy(), "d" * 64
    )


def facts(version: int = 1, issued: datetime = NOW, life: timedelta = HOUR) -> Facts:
    return Facts(
        version, "r" * 32, "agents/billing/tls", version, issued, issued, issued + life, f"AB{version:02d}", "f" * 64
    )


def record(target: str = "agent/billing/tls", version: int = 1, issued: datetime = NOW) -> Record:
    return Record(CredentialId.parse(target), last_version=version, current=facts(version, issued), published_at=issued)


def without_current(known: Record) -> Record:
    return replace(known, current=None, published_at=None)


def scraped(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """(sample name, labels) -> value, as Prometheus' own parser reads it; a sample that comes twice is an error."""
    found: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found, key
            found[key] = sample.value
    return found
