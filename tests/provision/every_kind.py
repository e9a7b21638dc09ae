"""A configuration with a credential of every kind, and a real Vault that is prepared for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from rotator.clients.vault_admin import Endpoint, VaultAdmin
from rotator.config.load import load_settings
from rotator.config.settings import Settings
from rotator.core.secret import Secret
from rotator.dev.servers.openbao import OpenBao
from rotator.provision import vault_bootstrap, wanted
from rotator.provision.changes import Change
from rotator.provision.principals import SERVICE

_CONFIGURATION = """\
trust_domain = "example.test"
[vault]
address = "https://127.0.0.1:8200"
auth = { method = "approle", role = "role-id", secret_id_file = "/nowhere/secret-id" }
[consul]
address = "http://127.0.0.1:8500"
[databases.orders]
address = "db.example.test:5432"
database = "orders"
[authorization_servers.login]
issuer = "https://login.example.test"
[proxies.edge]
kind = "envoy"
listener = "127.0.0.1:8443"
[proxies.edge.upstreams.orders]
prefix = "/orders"
address = "127.0.0.1:8080"
[proxies.edge.credentials.tls]
ttl = "24h"
dns_sans = ["localhost"]
[agents.billing]
owner = "team"
scopes = [{ proxy = "edge", path = "/orders", methods = ["GET"] }]
[agents.billing.credentials]
tls = { ttl = "24h", local_key = true }
token = { kind = "jwt", ttl = "12h" }
key = { kind = "api_key", ttl = "24h" }
login = { kind = "approle", ttl = "24h", approle = { num_uses = 2, token_policies = ["app"] } }
db = { kind = "database", ttl = "24h", database = { server = "orders", roles = ["app_a", "app_b"] } }
api = { kind = "oauth2", ttl = "24h", oauth2 = { server = "login", client_id = "c", client_path = "clients/billing" } }
grant = { kind = "oauth2", ttl = "24h", oauth2 = { server = "login", client_id = "d", client_path = "clients/grant", \
grant = "refresh_token" } }
"""


def settings(folder: Path) -> Settings:
    file = folder / "rotator.toml"
    file.write_text(_CONFIGURATION)
    file.chmod(0o600)
    return load_settings(file, {})


@dataclass(frozen=True)
class Prepared:
    """A Vault after `rotator bootstrap --apply`. first: what that did."""

    server: OpenBao
    settings: Settings
    admin: VaultAdmin
    first: tuple[Change, ...]
    session: requests.Session = field(default_factory=requests.Session)

    def call(self, token: Secret, method: str, path: str, body: object = None, wrap: str = "") -> requests.Response:
        headers = {"X-Vault-Token": token.reveal(), **({"X-Vault-Wrap-TTL": wrap} if wrap else {})}
        if method == "PATCH":
            headers["Content-Type"] = "application/merge-patch+json"
        url, verify = f"{self.server.address}/v1/{path}", str(self.server.ca_file)
        return self.session.request(method, url, json=body, headers=headers, verify=verify, timeout=10)

    def service(self) -> Secret:
        """A token as the service has it."""
        login = vault_bootstrap.login_for(self.admin, SERVICE)
        body = {"role_id": login.role_id, "secret_id": login.secret_id.reveal()}
        return self._token(self.call(Secret(""), "POST", "auth/approle/login", body).json())

    def with_policy(self, text: str) -> Secret:
        self.admin.write("sys/policies/acl/tried", {"policy": text})
        body = {"policies": ["tried"], "no_default_policy": True, "no_parent": True}
        return self._token(self.call(self.server.root_token, "POST", "auth/token/create", body).json())

    def every_path(self) -> dict[str, Any]:
        """Path template -> its methods, of all mounts, as the server itself describes them (OpenAPI)."""
        reply = self.call(self.server.root_token, "GET", "sys/internal/specs/openapi")
        found: dict[str, Any] = reply.json()["paths"]
        return found

    @staticmethod
    def _token(reply: Any) -> Secret:
        return Secret(reply["auth"]["client_token"])


def prepare(server: OpenBao, folder: Path) -> Prepared:
    wants, admin = settings(folder), VaultAdmin(Endpoint(server.address, bundle=str(server.ca_file)), server.root_token)
    return Prepared(server, wants, admin, vault_bootstrap.bootstrap(admin, wanted.vault(wants), apply=True))
