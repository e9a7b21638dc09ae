"""The throw-away certificates pass the strictest check that a client of this project may make."""

from __future__ import annotations

import stat
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store

from rotator.dev.servers import tls


def test_the_certificate_holds_for_loopback_and_its_own_names(tmp_path: Path) -> None:
    """Tests that loosen TLS to reach their servers would prove nothing about TLS."""
    files = tls.make(tmp_path, "openbao", dns=("server.dc1.consul",))
    ca = x509.load_pem_x509_certificate(files.ca.read_bytes())
    leaf = x509.load_pem_x509_certificate(files.certificate.read_bytes())
    policy = PolicyBuilder().store(Store([ca])).time(datetime.now(UTC))
    names = (x509.IPAddress(ip_address("127.0.0.1")), x509.DNSName("localhost"), x509.DNSName("server.dc1.consul"))
    for name in names:
        assert policy.build_server_verifier(name).verify(leaf, [])[-1] == ca


def test_the_key_is_for_its_owner_alone(tmp_path: Path) -> None:
    """Other users of a shared machine must not read the key of a demo's server."""
    assert stat.S_IMODE(tls.make(tmp_path, "openbao").key.stat().st_mode) == 0o600
