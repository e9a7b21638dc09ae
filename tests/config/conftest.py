"""A configuration to spoil, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from rotator.config.load import Loaded, load
from rotator.config.problems import ConfigErrors, Problem

GOOD = """\
trust_domain = "example.org"

[service]
state_dir = "/var/lib/rotator"
tick = "5s"

[vault]
address = "https://vault.example.org:8200"
auth = { method = "approle", role = "role-id", secret_id_file = "/nowhere/secret-id" }

[consul]
address = "http://127.0.0.1:8500"
token_file = "/nowhere/consul-token"

[policies.nightly]
renew_at = "50%"
windows = [{ days = ["mon"], start = "22:00", end = "04:00", timezone = "Europe/Berlin" }]

[proxies.edge]
kind = "envoy"
listener = "0.0.0.0:8443"
[proxies.edge.upstreams.orders]
prefix = "/orders"
address = "127.0.0.1:8080"
[proxies.edge.credentials.tls]
ttl = "24h"
dns_sans = ["api.example.org"]

[agents.billing]
owner = "team-payments"
scopes = [
  { proxy = "edge", path = "/orders", methods = ["GET"], rate = "100/1m" },
]
[agents.billing.credentials.tls]
ttl = "24h"
policy = "nightly"
"""


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """write(text, name) -> path of a file that only its owner may change, whatever the umask."""

    def write(text: str, name: str = "rotator.toml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(mode=0o700, exist_ok=True)
        path.write_text(text)
        path.chmod(0o600)
        return path

    return write


def accepted(path: Path, environment: Mapping[str, str] | None = None) -> Loaded:
    return load(path, environment or {})


def problems(path: Path, environment: Mapping[str, str] | None = None) -> tuple[Problem, ...]:
    """What is refused; fails when nothing is."""
    with pytest.raises(ConfigErrors) as refused:
        load(path, environment or {})
    return refused.value.problems


def line_of(text: str, fragment: str) -> int:
    """The line, counted from 1, of the only line with this fragment."""
    found = [number for number, line in enumerate(text.splitlines(), 1) if fragment in line]
    assert len(found) == 1, f"{fragment!r} stands in {len(found)} lines"
    return found[0]
