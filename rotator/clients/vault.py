"""Vault or OpenBao behind `ports.Secrets`. The common subset of both; every refusal leaves as a Fault."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import hvac
from cryptography import x509

from rotator.clients.http import HttpClient, Peer
from rotator.clients.vault_adapter import OnCall, VaultRefusedError, VaultTransport, hvac_client
from rotator.clients.vault_calls import VaultCalls, shaped
from rotator.clients.vault_errors import (
    VaultReply,
    is_absent,
    issue_refusal,
    nothing_mounted,
    refusal,
    write_refusal,
)
from rotator.clients.vault_login import VaultLogin
from rotator.clients.vault_options import VaultOptions, context_settings
from rotator.core.errors import Code, Fault
from rotator.core.secret import Secret
from rotator.ports import CertificateMaterial, CertificateRequest, Clock, KvState, KvVersion

# Below the folder of agents, where the service's own policy reaches; nothing is ever stored there.
_PROBE = "agents/rotator/readiness"


def _not_counted(operation: str, code: str, seconds: float) -> None:
    """Default of `on_call`."""


class VaultSecrets:
    """`ports.Secrets`, thread-safe: one kept connection per thread, one token for all. Nothing is sent before the
    first call. Reads are sent again after a connection that was closed meanwhile; writes never."""

    def __init__(self, options: VaultOptions, clock: Clock, on_call: OnCall = _not_counted) -> None:
        """options: `config.settings.VaultSettings`. on_call(operation, HTTP status or error code, seconds): per call.

        Raises Denied (CONFIG_INVALID) for an address that cannot be used.
        """
        tls = context_settings(options.tls)
        http = HttpClient(options.address, tls, options.timeout, Peer.VAULT, clock)
        self._options, self._clock = options, clock
        self._transport = VaultTransport(http, options.namespace, clock, on_call)
        self._login = VaultLogin(self._transport, options.auth, clock)
        self.calls = VaultCalls(self._transport, self._login)  # for the engines that have a file of their own
        self._hvac = {
            name: hvac_client(self._transport, self._login.token, name, idempotent)
            for name, idempotent in (("issue", False), ("kv_read", True), ("kv_state", True), ("kv_write", False))
        }
        # Destroying twice is harmless, so a lost reply may be asked for again.
        self._hvac["kv_destroy"] = hvac_client(self._transport, self._login.token, "kv_destroy", True)

    def issue_certificate(self, request: CertificateRequest) -> CertificateMaterial:
        path = f"{request.mount}/issue/{request.role}"
        wanted_until = self._clock.now() + request.ttl
        try:
            body = self._asked(path, lambda: _issue(self._hvac["issue"], request))
        except VaultRefusedError as refused:
            raise self._why_not_issued(refused.reply, request.mount, path, wanted_until) from None
        return shaped(path, lambda: _material(body["data"]))

    def kv_read(self, mount: str, path: str, version: int | None = None) -> KvVersion | None:
        kv = self._hvac["kv_read"].secrets.kv.v2
        body = self._read(
            f"{mount}/data/{path}",
            lambda: kv.read_secret_version(path, version, mount_point=mount, raise_on_deleted_version=True),
        )
        return None if body is None else shaped(f"{mount}/data/{path}", lambda: _version(body["data"]))

    def kv_state(self, mount: str, path: str) -> KvState | None:
        kv = self._hvac["kv_state"].secrets.kv.v2
        body = self._read(f"{mount}/metadata/{path}", lambda: kv.read_secret_metadata(path, mount_point=mount))
        return (
            None
            if body is None
            else shaped(f"{mount}/metadata/{path}", lambda: _state(body["data"], self._clock.now()))
        )

    def kv_write(self, mount: str, path: str, fields: Mapping[str, Secret], cas: int) -> int:
        kv = self._hvac["kv_write"].secrets.kv.v2
        place = f"{mount}/data/{path}"
        revealed = {name: secret.reveal() for name, secret in fields.items()}
        try:
            body = self._asked(place, lambda: kv.create_or_update_secret(path, revealed, cas=cas, mount_point=mount))
        except VaultRefusedError as refused:
            raise write_refusal(refused.reply, place) from None
        return shaped(place, lambda: int(body["data"]["version"]))

    def kv_destroy(self, mount: str, path: str, versions: Sequence[int]) -> None:
        kv = self._hvac["kv_destroy"].secrets.kv.v2
        self._read(
            f"{mount}/destroy/{path}", lambda: kv.destroy_secret_versions(path, list(versions), mount_point=mount)
        )

    def ca_chain(self, mount: str) -> tuple[str, ...]:
        path = f"{mount}/issuer/default/json"  # hvac knows only paths that ignore the default issuer
        reply = self._transport.send("ca_chain", "GET", path, idempotent=True)
        if reply.status == 403:
            # Open to everybody where a PKI is mounted: without a token, a mount that is not there looks like this.
            raise nothing_mounted(path)
        if not reply.ok or reply.body is None:
            raise refusal(reply, path)
        body = reply.body
        return shaped(path, lambda: _chain(body["data"]))

    def ready(self) -> None:
        """Raises the Fault that a rotation would meet now: reachability, login, rights, or the life of the CA.

        Two real calls, because health endpoints lie: with its audit device full, OpenBao answers 500 to every call and
        200 on `sys/health`. Needs `sys/capabilities-self`, which the service's policy grants.
        """
        known = self._options
        issue = [f"{known.pki_mount}/issue/{role}" for role in (known.agent_role, known.proxy_role)]
        held = self._capabilities([*issue, f"{known.kv_mount}/data/{_PROBE}"])
        for path, capabilities in held.items():
            if not {"update", "root"} & capabilities:
                raise refusal(VaultReply(403, {}), path)
        ends = self._ca_ends(known.pki_mount)
        if ends <= self._clock.now():
            raise issue_refusal(VaultReply(400, {}), known.pki_mount, ends, self._clock.now())

    def server_time(self) -> datetime | None:
        """Vault's clock, whole seconds, asked now without a token; None when it does not tell. Works while sealed."""
        self._transport.send("health", "GET", "sys/health", idempotent=True)
        skew = self._transport.clock_skew()
        return None if skew is None else (self._clock.now() - skew).replace(microsecond=0)

    def clock_skew(self) -> timedelta | None:
        """This machine's clock less Vault's at the last reply, to about a second; None before one."""
        return self._transport.clock_skew()

    def upkeep(self) -> None:
        """Token life, see `VaultLogin.upkeep`: for a recurring job. Calls do what is due by themselves as well."""
        self._login.upkeep()

    def token_expires_at(self) -> datetime | None:
        """None without a token and for a token without end."""
        return self._login.expires_at()

    def close(self) -> None:
        """Revokes the token that this process logged in for, and closes the connections."""
        self._login.close()
        self._transport.close()

    def _read(self, path: str, call: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any] | None:
        """None when there is nothing."""
        try:
            return self._asked(path, call)
        except VaultRefusedError as refused:
            if is_absent(refused.reply):
                return None
            raise refusal(refused.reply, path) from None

    def _asked(self, path: str, call: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
        """One fresh login and one more try if the token has died; a 403 had no effect, so this is safe for writes."""
        try:
            return call()
        except VaultRefusedError as refused:
            if refused.reply.status != 403:
                raise
            used = refused.token
        self._login.after_denial(used, path)
        return call()

    def _why_not_issued(self, reply: VaultReply, mount: str, path: str, wanted_until: datetime) -> Fault:
        """Asks for the CA where the answer depends on it; if it cannot be had, the plain refusal stands."""
        ends = None
        if reply.status == 400 and not reply.says("unknown role"):
            try:
                ends = self._ca_ends(mount)
            except Fault as fault:
                if fault.code is Code.VAULT_ISSUER_UNUSABLE:
                    return fault
        return issue_refusal(reply, path, ends, wanted_until)

    def _ca_ends(self, mount: str) -> datetime:
        chain = self.ca_chain(mount)
        path = f"{mount}/issuer/default/json"
        return shaped(path, lambda: x509.load_pem_x509_certificate(chain[0].encode()).not_valid_after_utc)

    def _capabilities(self, paths: Sequence[str]) -> Mapping[str, frozenset[str]]:
        path = "sys/capabilities-self"

        def ask() -> Mapping[str, Any]:
            token = self._login.token()
            reply = self._transport.send("capabilities", "POST", path, {"paths": list(paths)}, token, idempotent=True)
            if not reply.ok:
                raise VaultRefusedError(reply, path, token)
            return reply.body or {}

        try:
            body = self._asked(path, ask)
        except VaultRefusedError as refused:
            raise refusal(refused.reply, path) from None
        return shaped(path, lambda: {one: frozenset(body["data"][one]) for one in paths})


def _issue(client: hvac.Client, request: CertificateRequest) -> Mapping[str, Any]:
    given = {
        "uri_sans": ",".join(request.uri_sans),
        "alt_names": ",".join(request.dns_sans),
        "ip_sans": ",".join(request.ip_sans),
        "exclude_cn_from_sans": True,
        "ttl": f"{int(request.ttl.total_seconds())}s",
    }
    found: Mapping[str, Any] = client.secrets.pki.generate_certificate(
        request.role, request.common_name, extra_params=given, mount_point=request.mount
    )
    return found


def _material(data: Mapping[str, Any]) -> CertificateMaterial:
    chain = _pems(data.get("ca_chain") or [data["issuing_ca"]])
    return CertificateMaterial(_pem(data["certificate"]), chain, Secret(_pem(data["private_key"])))


def _chain(data: Mapping[str, Any]) -> tuple[str, ...]:
    return _pems(data.get("ca_chain") or [data["certificate"]])


def _version(data: Mapping[str, Any]) -> KvVersion:
    about = data["metadata"]
    fields = {name: Secret(text if isinstance(text, str) else json.dumps(text)) for name, text in data["data"].items()}
    return KvVersion(int(about["version"]), datetime.fromisoformat(about["created_time"]), fields)


def _state(data: Mapping[str, Any], now: datetime) -> KvState:
    """A deletion time may lie ahead: with `delete_version_after` every version is born with one."""
    versions = {int(number): one for number, one in data["versions"].items()}
    ends = {number: one["deletion_time"] for number, one in versions.items()}
    past = {number for number, end in ends.items() if end and datetime.fromisoformat(end) <= now}
    gone = past | {number for number, one in versions.items() if one["destroyed"]}
    return KvState(int(data["current_version"]), tuple(sorted(versions)), tuple(sorted(gone)))


def _pems(texts: Iterable[Any]) -> tuple[str, ...]:
    return tuple(_pem(text) for text in texts)


def _pem(text: Any) -> str:
    if not isinstance(text, str) or "-----BEGIN " not in text:
        raise ValueError
    return text
