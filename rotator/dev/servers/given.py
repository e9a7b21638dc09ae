"""Servers that somebody else runs, named in the environment. They come before every server of our own.

ROTATOR_TEST_VAULT_ADDR   ROTATOR_TEST_VAULT_TOKEN   ROTATOR_TEST_VAULT_CACERT (optional, a file)
ROTATOR_TEST_CONSUL_ADDR  ROTATOR_TEST_CONSUL_TOKEN  ROTATOR_TEST_CONSUL_CACERT (optional, a file)
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rotator.clients.consul_admin import ConsulAdmin
from rotator.clients.vault_admin import Endpoint
from rotator.core.errors import Code, Denied
from rotator.core.secret import Secret
from rotator.dev.servers.consul import ensure_token


@dataclass(frozen=True, slots=True)
class GivenVault:
    """`ca_file`: None means the system's authorities."""

    address: str
    root_token: Secret
    ca_file: Path | None = None


@dataclass(frozen=True, slots=True)
class GivenConsul:
    """`ca_file`: None means the system's authorities."""

    address: str
    management_token: Secret
    ca_file: Path | None = None
    datacenter: str = "dc1"

    def create_token(self, policy_name: str, rules: str) -> Secret:
        """As Consul.create_token."""
        bundle = str(self.ca_file) if self.ca_file else None
        return ensure_token(
            ConsulAdmin(Endpoint(self.address, bundle=bundle), self.management_token), policy_name, rules
        )


def vault(environment: Mapping[str, str] = os.environ) -> GivenVault | None:
    """None when no address is given. Denied when the address comes without a token."""
    found = _read("VAULT", environment)
    return GivenVault(*found) if found else None


def consul(environment: Mapping[str, str] = os.environ) -> GivenConsul | None:
    """None when no address is given. Denied when the address comes without a token."""
    found = _read("CONSUL", environment)
    return GivenConsul(*found) if found else None


def _read(name: str, environment: Mapping[str, str]) -> tuple[str, Secret, Path | None] | None:
    prefix = f"ROTATOR_TEST_{name}"
    address = environment.get(f"{prefix}_ADDR")
    if not address:
        return None
    token = environment.get(f"{prefix}_TOKEN")
    if not token:
        text = f"{prefix}_ADDR is set and {prefix}_TOKEN is not"
        raise Denied(Code.SERVER_MISSING, text, hint="set both, or neither to start a server here")
    authority = environment.get(f"{prefix}_CACERT")
    return address, Secret(token), Path(authority) if authority else None
