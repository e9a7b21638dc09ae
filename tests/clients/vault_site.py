"""A corner of a real OpenBao for one test: own mounts, roles, policy and logins, all named after `unique`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

import pytest

from rotator.clients.clock import SystemClock
from rotator.clients.vault import VaultSecrets
from rotator.clients.vault_admin import Endpoint, VaultAdmin
from rotator.config.settings import TlsSettings, VaultAuth, VaultAuthMethod, VaultSettings
from rotator.core.errors import Fault
from rotator.core.secret import Secret
from rotator.ports import CertificateRequest, Clock

URI = "spiffe://example.test/agent/billing"
RULES = """
path "auth/token/lookup-self" { capabilities = ["read"] }
path "auth/token/renew-self" { capabilities = ["update"] }
path "auth/token/revoke-self" { capabilities = ["update"] }
path "sys/capabilities-self" { capabilities = ["update"] }
path "%(pki)s/issue/+" { capabilities = ["update"] }
path "%(kv)s/data/agents/+/+" { capabilities = ["create", "update", "read"] }
path "%(kv)s/metadata/agents/+/+" { capabilities = ["read"] }
path "%(kv)s/destroy/agents/+/+" { capabilities = ["update"] }
"""


def raised(act: Callable[[], object]) -> Fault:
    """The Fault that this ends with."""
    with pytest.raises(Fault) as caught:
        act()
    return caught.value


class Server(Protocol):
    @property
    def address(self) -> str: ...
    @property
    def ca_file(self) -> Path: ...
    @property
    def root_token(self) -> Secret: ...


@dataclass(frozen=True)
class Calls:
    """`on_call` that remembers (operation, code)."""

    made: list[tuple[str, str]]

    def __call__(self, operation: str, code: str, seconds: float) -> None:
        assert seconds >= 0
        self.made.append((operation, code))

    def count(self, operation: str) -> int:
        return sum(1 for name, _ in self.made if name == operation)


class VaultSite:
    def __init__(self, server: Server, name: str, ca_ttl: str = "24h") -> None:
        self.server, self.name = server, name
        self.kv, self.pki, self.approle = f"kv-{name}", f"pki-{name}", f"approle-{name}"
        self.admin = VaultAdmin(Endpoint(server.address, bundle=str(server.ca_file)), server.root_token)
        self.write(f"sys/mounts/{self.kv}", type="kv", options={"version": "2"})
        self.write(f"sys/mounts/{self.pki}", type="pki")
        self.write(f"{self.pki}/root/generate/internal", common_name="root", ttl=ca_ttl, key_type="ec", key_bits=256)
        self.role("rotator-agent")
        self.role("rotator-proxy")
        self.write(f"sys/policies/acl/{name}", policy=RULES % {"kv": self.kv, "pki": self.pki})

    def write(self, path: str, **body: Any) -> Mapping[str, Any]:
        return self.admin.write(path, body)

    def role(self, name: str) -> None:
        self.write(
            f"{self.pki}/roles/{name}",
            key_type="ec",
            key_bits=256,
            allow_any_name=True,
            enforce_hostnames=False,
            allowed_uri_sans="spiffe://example.test/*",
            max_ttl="2h",
            not_before_duration="60s",
        )

    def settings(self, auth: VaultAuth | None = None) -> VaultSettings:
        """With the root token, unless a login is given."""
        root = VaultAuth(VaultAuthMethod.TOKEN, token=self.server.root_token)
        return VaultSettings(
            self.server.address,
            auth or root,
            TlsSettings(ca_file=self.server.ca_file),
            timeout=timedelta(seconds=5),
            kv_mount=self.kv,
            pki_mount=self.pki,
        )

    def open(self, auth: VaultAuth | None = None, clock: Clock | None = None) -> tuple[VaultSecrets, Calls]:
        calls = Calls([])
        return VaultSecrets(self.settings(auth), clock or SystemClock(), calls), calls

    def at(self, address: str) -> VaultSettings:
        """The same with another address, without TLS files."""
        return replace(self.settings(), address=address, tls=TlsSettings())

    def child_token(self, **given: Any) -> Secret:
        body = {"policies": [self.name], "no_default_policy": True, "ttl": "1h", **given}
        return Secret(self.raw("POST", "auth/token/create", body)["auth"]["client_token"])

    def revoke(self, token: Secret) -> None:
        self.write("auth/token/revoke", token=token.reveal())

    def make_approle(self, **role: Any) -> str:
        """Mounts AppRole; returns the role id of role `service`."""
        self.write(f"sys/auth/{self.approle}", type="approle")
        given = {"token_policies": [self.name], "token_no_default_policy": True, "token_ttl": "1h", **role}
        self.write(f"auth/{self.approle}/role/service", **given)
        found = self.admin.read(f"auth/{self.approle}/role/service/role-id")
        assert found is not None
        return str(found["role_id"])

    def secret_id(self) -> str:
        return str(self.write(f"auth/{self.approle}/role/service/secret-id")["secret_id"])

    def wrapped(self, path: str, **body: Any) -> str:
        """The wrapping token around what this path answers."""
        return str(self.raw("POST", path, body, wrap="60s")["wrap_info"]["token"])

    def raw(self, method: str, path: str, body: Mapping[str, Any], wrap: str = "") -> Mapping[str, Any]:
        """A whole reply, for what `VaultAdmin` takes apart."""
        headers = {"X-Vault-Wrap-TTL": wrap} if wrap else {}
        reply = self.admin._adapter.request(method.lower(), f"/v1/{path}", json=dict(body), headers=headers)
        found: Mapping[str, Any] = reply.json()
        return found

    def approle_auth(self, role_id: str, file: Path, wrapped: bool = False) -> VaultAuth:
        return VaultAuth(
            VaultAuthMethod.APPROLE,
            mount=self.approle,
            role=role_id,
            secret_id_file=file,
            secret_id_wrapped=wrapped,
            role_name="service" if wrapped else "",
        )

    def request(self, role: str = "rotator-agent", ttl: timedelta = timedelta(minutes=10)) -> CertificateRequest:
        return CertificateRequest(self.pki, role, "billing", (URI,), (), (), ttl)
