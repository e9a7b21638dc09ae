"""The way to Vault: JSON over our own transport, and the adapter that puts hvac on top of it.

hvac's own adapters use requests (0.9 ms of processor time a call, against 0.26 here), follow redirects with the token,
and fold all 400s into one exception that carries the reply. hvac here only builds paths and bodies.
"""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import hvac
from hvac.adapters import Adapter

from rotator.clients.http import HttpClient, HttpReply
from rotator.clients.vault_errors import VaultReply, malformed
from rotator.core.errors import Fault
from rotator.core.secret import Secret
from rotator.ports import Clock

# operation, HTTP status or code of the transport failure, seconds
OnCall = Callable[[str, str, float], None]
# The Date header has whole seconds, cut off: on average it is half a second behind.
_CUT_OFF = timedelta(milliseconds=500)


class VaultTransport:
    """Requests with an explicit token, replies of any status. Thread-safe."""

    def __init__(self, http: HttpClient, namespace: str, clock: Clock, on_call: OnCall) -> None:
        self._http = http
        self._headers = {"X-Vault-Request": "true", "Accept": "application/json"}
        if namespace:
            self._headers["X-Vault-Namespace"] = namespace
        self._clock = clock
        self._on_call = on_call
        self._skew: timedelta | None = None

    def send(  # noqa: PLR0913 - one request as it goes out, all of it by name at its callers
        self,
        operation: str,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        token: Secret | None = None,
        idempotent: bool = False,
        *,
        wrap_ttl: str = "",
    ) -> VaultReply:
        """path: below /v1/, quoted where needed. operation: the word under which the call is counted.
        wrap_ttl: asks for a wrapped reply of this life.

        Raises what `HttpClient.request` raises, and Unavailable for a success that is no JSON object.
        """
        headers = dict(self._headers)
        if token is not None:
            headers["X-Vault-Token"] = token.reveal()
        if wrap_ttl:
            headers["X-Vault-Wrap-TTL"] = wrap_ttl
        content = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            content = json.dumps(body, separators=(",", ":")).encode()
        begun = self._clock.monotonic()
        code = "?"
        try:
            reply = self._http.request(method, f"/v1/{path}", headers, content, idempotent=idempotent)
            self._measure(reply)
            code = str(reply.status)
            return _read(reply, path)
        except Fault as fault:
            code = fault.code.value
            raise
        finally:
            self._on_call(operation, code, self._clock.monotonic() - begun)

    def clock_skew(self) -> timedelta | None:
        """This machine's clock less Vault's at the last reply, to about a second; None before one."""
        return self._skew

    def forget_connections(self) -> None:
        """For a login with a client certificate that may have been renewed on disk."""
        self._http.forget_connections()

    def close(self) -> None:
        self._http.close()

    def _measure(self, reply: HttpReply) -> None:
        server = server_date(reply.headers)
        if server is not None:
            self._skew = self._clock.now() - (server + _CUT_OFF)


def server_date(headers: Mapping[str, str]) -> datetime | None:
    """The Date header (RFC 9110, 6.6.1); None when it is missing or cannot be read."""
    try:
        found = parsedate_to_datetime(headers.get("date", ""))
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


class VaultRefusedError(Exception):
    """Inside this room only: a reply that is no success, with the token it was given to. Its text is empty."""

    def __init__(self, reply: VaultReply, path: str, token: Secret) -> None:
        super().__init__()
        self.reply = reply
        self.path = path
        self.token = token


class VaultAdapter(Adapter):  # type: ignore[misc]
    """hvac over `VaultTransport`, for one operation. Returns the JSON object; raises VaultRefusedError and Faults."""

    def __init__(
        self, transport: VaultTransport, token: Callable[[], Secret], operation: str, idempotent: bool
    ) -> None:
        super().__init__(token="", allow_redirects=False)
        self._transport = transport
        self._token_now = token
        self._operation = operation
        self._idempotent = idempotent

    def get_login_token(self, response: Any) -> str:
        """hvac never logs in here: `VaultLogin` does."""
        raise NotImplementedError

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        raise_exception: bool = True,
        **given: Any,
    ) -> Mapping[str, Any]:
        path = url.removeprefix("/v1/")
        query = {name: value for name, value in (given.get("params") or {}).items() if value is not None}
        target = f"{path}?{urllib.parse.urlencode(query)}" if query else path
        token = self._token_now()
        reply = self._transport.send(
            self._operation, method.upper(), target, given.get("json"), token, self._idempotent
        )
        if not reply.ok:
            raise VaultRefusedError(reply, path, token)
        return reply.body or {}


def hvac_client(
    transport: VaultTransport, token: Callable[[], Secret], operation: str, idempotent: bool
) -> hvac.Client:
    """Everything is given, because hvac fills gaps from the environment and from the user's token file."""
    return hvac.Client(
        url="http://127.0.0.1",  # never used: the transport knows the address
        token="",
        verify=True,
        adapter=lambda **_: VaultAdapter(transport, token, operation, idempotent),
    )


def _read(reply: HttpReply, path: str) -> VaultReply:
    try:
        body = json.loads(reply.body) if reply.body else None
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        if 200 <= reply.status < 300 and reply.status != 204:
            raise malformed(path.partition("?")[0])
        return VaultReply(reply.status, None)
    errors = body.get("errors")
    texts = tuple(str(error).lower() for error in errors) if isinstance(errors, list) else ()
    return VaultReply(reply.status, body, texts)
