"""Consul's ACL API with a management token, for `rotator bootstrap`, and the questions of `rotator doctor`.

py-consul has no call that finds a token by its description and keeps its secret readable, so these few calls are made
over the same library that it uses. No call is repeated, no redirect followed, no reply body reaches an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import requests

from rotator.clients.vault_admin import Endpoint
from rotator.core.errors import Code, Denied, Fault, Unavailable
from rotator.core.secret import Secret


class ConsulAdmin:
    """One keep-alive session. Raises Denied and Unavailable only."""

    def __init__(self, endpoint: Endpoint, token: Secret) -> None:
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy or .netrc of the environment must not see the token
        self._session.verify = endpoint.bundle or True
        self._session.cert = endpoint.client
        if token:
            self._session.headers["X-Consul-Token"] = token.reveal()
        self._endpoint = endpoint

    def policy(self, name: str) -> Mapping[str, Any] | None:
        """ID, Name and Rules of a policy; None when there is none of this name."""
        found = [one for one in self._call("GET", "acl/policies") if one["Name"] == name]
        return self._call("GET", f"acl/policy/{found[0]['ID']}") if found else None

    def save_policy(self, name: str, rules: str, policy_id: str = "") -> None:
        """Creates it, or replaces the rules of the one with `policy_id`."""
        body = {"Name": name, "Rules": rules, "Description": "made by rotator bootstrap"}
        if policy_id:
            self._call("PUT", f"acl/policy/{policy_id}", {**body, "ID": policy_id})
        else:
            self._call("PUT", "acl/policy", body)

    def token(self, description: str, policy: str) -> Secret | None:
        """The secret of the token that has exactly this description and this one policy; None without one."""
        tokens: Sequence[Mapping[str, Any]] = self._call("GET", "acl/tokens")
        for one in tokens:
            policies = [link["Name"] for link in one.get("Policies") or ()]
            if one["Description"] == description and policies == [policy]:
                return Secret(str(self._call("GET", f"acl/token/{one['AccessorID']}")["SecretID"]))
        return None

    def make_token(self, description: str, policy: str) -> Secret:
        """A new token with this one policy, valid until it is deleted."""
        body = {"Description": description, "Policies": [{"Name": policy}], "Local": False}
        return Secret(str(self._call("PUT", "acl/token", body)["SecretID"]))

    def leader(self) -> str:
        """host:port of the leader, empty when there is none."""
        return str(self._call("GET", "status/leader"))

    def try_session(self) -> None:
        """Makes a session and ends it at once. Denied when the token may not."""
        made = self._call("PUT", "session/create", {"Name": "rotator doctor", "TTL": "10s", "Behavior": "delete"})
        self._call("PUT", f"session/destroy/{made['ID']}")

    def may_read(self, key: str) -> bool:
        """Whether the token may read a key, present or absent. Not asked as a list, which Consul filters silently."""
        try:
            self._call("GET", f"kv/{key}")
        except Denied:
            return False
        return True

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        try:
            reply = self._session.request(
                method,
                f"{self._endpoint.address.rstrip('/')}/v1/{path}",
                json=body,
                timeout=self._endpoint.timeout,
                allow_redirects=False,
            )
            if reply.status_code == 200:
                return reply.json()
            if reply.status_code == 404 and path.startswith("kv/"):
                return None
        except requests.exceptions.SSLError:
            raise Denied(Code.CONSUL_TLS, "Consul's certificate is not accepted", hint="check [consul.tls]") from None
        except requests.exceptions.RequestException as problem:
            text = f"Consul does not answer ({type(problem).__name__})"
            raise Unavailable(Code.CONSUL_UNREACHABLE, text, hint="check [consul] address") from None
        raise _refusal(reply, path)


def _refusal(reply: requests.Response, path: str) -> Fault:
    area = "/".join(path.split("/")[:2])  # never an accessor
    if "ACL support disabled" in reply.text[:4096]:
        hint = "set acl { enabled = true, default_policy = deny } in Consul's configuration, then consul acl bootstrap"
        return Denied(Code.CONSUL_DENIED, "ACLs are switched off in Consul", hint=hint)
    if reply.status_code == 403:
        return Denied(Code.CONSUL_DENIED, f"the token may not use {area}", hint="it needs acl = write")
    if reply.status_code >= 500:
        return Unavailable(Code.CONSUL_ERROR, f"Consul failed at {area} ({reply.status_code})")
    return Denied(Code.CONSUL_ERROR, f"Consul refused {area} ({reply.status_code})")
