"""Vault with an administrator's token, for `rotator bootstrap` and `rotator doctor`: plain reads and writes.

The service never uses this client. No call is repeated, no redirect followed, no reply body reaches an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

import hvac
import requests
from hvac.adapters import RawAdapter

from rotator.core.errors import Code, Denied, Fault, Unavailable
from rotator.core.secret import Secret


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a server is and how it is recognised. `bundle`: CA file or folder; None means the system's.

    client: (certificate, key) files for mutual TLS. timeout: seconds, of connect and of each read.
    """

    address: str
    namespace: str = ""
    bundle: str | None = None
    client: tuple[str, str] | None = None
    timeout: float = 10.0


class VaultAdmin:
    """One keep-alive session. Raises Denied and Unavailable only."""

    def __init__(self, endpoint: Endpoint, token: Secret) -> None:
        session = requests.Session()
        session.trust_env = False  # a proxy or .netrc of the environment must not see the token
        # hvac drops its own `verify` when a session is given, so the session itself must carry it.
        session.verify = endpoint.bundle or True
        session.cert = endpoint.client
        client = hvac.Client(
            url=endpoint.address,
            token=token.reveal(),
            timeout=endpoint.timeout,
            allow_redirects=False,
            session=session,
            namespace=endpoint.namespace or None,
            adapter=RawAdapter,
        )
        self._adapter = client.adapter

    def read(self, path: str) -> Mapping[str, Any] | None:
        """The `data` of the reply; None when there is nothing at this path."""
        reply = self._call("get", path)
        return None if _absent(reply) else _data(reply, path)

    def listing(self, path: str) -> tuple[str, ...]:
        """The keys below a path; empty when there is none."""
        reply = self._call("list", path)
        return () if _absent(reply) else tuple(_data(reply, path).get("keys", ()))

    def write(self, path: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """The `data` of the reply, empty when there is none."""
        reply = self._call("post", path, dict(body))
        if reply.status_code == 204:
            return {}
        return _data(reply, path)

    def status(self) -> tuple[int, datetime | None]:
        """(HTTP status of sys/health, the server's time): 200 active, 429 standby, 501 new, 503 sealed."""
        reply = self._call("get", "sys/health")
        date = reply.headers.get("Date")
        return reply.status_code, parsedate_to_datetime(date) if date else None

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> requests.Response:
        try:
            reply: requests.Response = self._adapter.request(method, f"/v1/{path}", json=body, raise_exception=False)
        except requests.exceptions.SSLError:
            raise Denied(
                Code.VAULT_TLS, "Vault's certificate is not accepted", hint="check [vault.tls] ca_file and the address"
            ) from None
        except requests.exceptions.RequestException as problem:
            raise Unavailable(
                Code.VAULT_UNREACHABLE,
                f"Vault does not answer ({type(problem).__name__})",
                hint="check [vault] address and that the server runs",
            ) from None
        return reply


def approle_token(endpoint: Endpoint, mount: str, role_id: str, secret_id: Secret) -> Secret:
    """One login, for a command that ends soon. Denied when Vault refuses it."""
    reply = VaultAdmin(endpoint, Secret(""))._call(
        "post", f"auth/{mount}/login", {"role_id": role_id, "secret_id": secret_id.reveal()}
    )
    if reply.status_code in (400, 403):
        hint = "check role id and secret-id; `rotator bootstrap --apply --hand-out` makes new ones"
        raise Denied(Code.VAULT_LOGIN_REFUSED, f"Vault refuses the login at auth/{mount}", hint=hint)
    if reply.status_code != 200:
        raise _refusal(reply.status_code, f"auth/{mount}/login")
    return Secret(str(reply.json()["auth"]["client_token"]))


def _absent(reply: requests.Response) -> bool:
    return reply.status_code == 404


def _data(reply: requests.Response, path: str) -> Mapping[str, Any]:
    if reply.status_code not in (200, 204):
        raise _refusal(reply.status_code, path)
    try:
        value = reply.json()
    except ValueError:
        raise Unavailable(Code.VAULT_REPLY_MALFORMED, f"the reply at {path} is not what Vault sends") from None
    found: Mapping[str, Any] = value.get("data") or {}
    return found


def _refusal(status: int, path: str) -> Fault:
    if status == 403:
        return Denied(Code.VAULT_DENIED, f"the token may not use {path}", hint="give the policy that the command names")
    if status == 503:
        return Unavailable(Code.VAULT_SEALED, "Vault is sealed", hint="unseal it first")
    if status == 429:
        return Unavailable(Code.VAULT_THROTTLED, f"Vault throttles {path}")
    if 300 <= status < 400:
        return Denied(Code.VAULT_REDIRECT, f"Vault redirects {path}", hint="give the final address in [vault] address")
    if status >= 500:
        return Unavailable(Code.VAULT_ERROR, f"Vault failed at {path} ({status})")
    return Denied(Code.VAULT_NOT_CONFIGURED, f"Vault refused {path} ({status})", hint="see Vault's audit log for why")
