"""Small specs and records for the tests of the core."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from rotator.core.identity import CredentialId
from rotator.core.kind_settings import CertificateSettings
from rotator.core.model import Facts, Record
from rotator.core.spec import Policy, Spec

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOUR, MINUTE, SECOND = timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)
TARGET = CredentialId.parse("agent/billing/tls")
DIGEST = "d" * 64


def make_spec(policy: Policy | None = None, ttl: timedelta = 12 * HOUR, target: CredentialId = TARGET) -> Spec:
    settings = CertificateSettings("pki_int", "rotator-agent", "billing", ())
    return Spec(target, "certificate", ttl, "kv", "agents/billing/tls", settings, policy or Policy(), DIGEST)


def make_facts(
    version: int = 1, issued: datetime = NOW, life: timedelta = 12 * HOUR, digest: str = DIGEST, mark: str = ""
) -> Facts:
    mark = mark or f"{version:032x}"
    end = issued + life
    return Facts(version, mark, "agents/billing/tls", version, issued, issued, end, f"S{version}", "f", "", digest)


def make_record(version: int = 2, issued: datetime = NOW, life: timedelta = 12 * HOUR) -> Record:
    """A credential in force, all consumers on it."""
    current = make_facts(version, issued, life)
    return Record(TARGET, last_version=version, current=current, published_at=issued, adopted_at=issued)
