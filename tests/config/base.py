"""A small valid configuration that each test of this room breaks in one way."""

from __future__ import annotations

from pathlib import Path

from rotator.config.load import load
from rotator.config.problems import ConfigErrors, Problem

BASE = """\
trust_domain = "example.org"
[service]
tick = "5s"
[vault]
address = "https://vault.example.org:8200"
auth = { method = "approle", role = "r", secret_id_file = "/nonexistent/secret-id" }
[consul]
address = "http://127.0.0.1:8500"
[policies.calm]
renew_at = "50%"
[proxies.edge]
listener = "10.0.0.1:8443"
upstreams.orders = { prefix = "/orders", address = "orders.internal:80" }
credentials.tls = { ttl = "24h", dns_sans = ["edge.example.org"] }
[agents.billing]
owner = "team-billing"
scopes = [
  { proxy = "edge", path = "/orders/open" },
]
[agents.billing.credentials.tls]
ttl = "24h"
policy = "calm"
"""


def write(directory: Path, text: str, name: str = "rotator.toml") -> Path:
    path = directory / name
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    return path


def refused(path: Path, environment: dict[str, str] | None = None) -> tuple[Problem, ...]:
    """The problems that loading this file raises; fails when it loads."""
    try:
        load(path, environment or {})
    except ConfigErrors as errors:
        return errors.problems
    raise AssertionError("the configuration was accepted")
