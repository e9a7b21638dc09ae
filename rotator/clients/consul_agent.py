"""One Consul agent as we talk to it: token, datacenter, namespace, refusals, metrics; and py-consul on top of it.

py-consul 1.8 is used for sessions and KV reads, with this module as its HTTP client. That closes its holes, all
measured: `CONSUL_HTTP_TOKEN` overrides `token=`; most other `CONSUL_*` variables are ignored or misread; redirects are
followed with the token; all 500s are one exception that carries the reply body; 429 is a generic one; `dc` is left out
by some calls and namespaces by all. Nothing here reads the environment.
"""

from __future__ import annotations

import threading
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import consul.base
from consul.exceptions import ConsulException, NotFound

from rotator.clients import consul_errors
from rotator.config.settings import ConsulSettings
from rotator.core.errors import Code, Conflict, Denied, Fault, Unavailable
from rotator.core.secret import Secret
from rotator.ports import Clock

# (operation, HTTP status or error code, seconds). Operations: read, read_below, wait_for, commit, session_create,
# session_renew, session_destroy.
OnCall = Callable[[str, str, float], None]

_FORBIDDEN = 403
_NOT_FOUND = 404


@dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP reply, complete. `headers`: names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Call:
    """One request. `wait`: seconds for which Consul may hold the reply back. `accept`: statuses the caller handles."""

    operation: str
    method: str
    path: str
    params: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    wait: float = 0.0
    accept: tuple[int, ...] = (200, _NOT_FOUND)


class Wire(Protocol):
    """What is needed of a transport: verified TLS, no redirect followed, no environment read, whole-call timeout.

    Raises Unavailable when the reply did not come back whole, and Denied when TLS verification fails.
    """

    def send(self, method: str, target: str, headers: Mapping[str, str], body: bytes, timeout: float) -> Reply:
        """`target`: path and query. `timeout`: seconds from connect to last byte."""
        ...

    def close(self) -> None: ...


def unheard(operation: str, code: str, seconds: float) -> None:
    """The default of `on_call`: nobody counts."""


class Token:
    """The ACL token: a fixed one, or a file that somebody else keeps fresh. Thread-safe."""

    def __init__(self, token: Secret | None, file: Path | None) -> None:
        self._file = file
        self._mutex = threading.Lock()
        self._token = token
        if file is not None:
            self._token = _read_token(file)

    def current(self) -> Secret | None:
        with self._mutex:
            return self._token

    def renewed(self, refused: Secret | None) -> bool:
        """After a refusal of `refused`: reads the file again. True when there is another token to try."""
        with self._mutex:
            if self._file is not None:
                self._token = _read_token(self._file)
            if self._token is None or refused is None:
                return self._token is not refused
            return not self._token.matches(refused)


def _read_token(file: Path) -> Secret:
    try:
        text = file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeError) as error:
        reason = type(error).__name__
        raise Denied(
            Code.CONSUL_DENIED,
            f"the Consul token file {file} cannot be read ({reason})",
            hint="check [consul] token_file",
        ) from None
    if not text:
        raise Denied(Code.CONSUL_DENIED, f"the Consul token file {file} is empty", hint="check [consul] token_file")
    return Secret(text)


class ConsulAgent:
    """Sends calls over one Wire. As thread-safe as the Wire is."""

    def __init__(self, settings: ConsulSettings, wire: Wire, clock: Clock, on_call: OnCall = unheard) -> None:
        self._wire = wire
        self._clock = clock
        self._on_call = on_call
        self._timeout = settings.timeout.total_seconds()
        self._token = Token(settings.token, settings.token_file)
        scope = (("dc", settings.datacenter), ("ns", settings.namespace))
        self._scope = tuple((name, value) for name, value in scope if value)

    def call(self, call: Call) -> Reply:
        """The reply, with a status out of `call.accept`. Raises Unavailable, Conflict or Denied for every other one.

        Consul says `false` with status 200 when it did nothing (CON-6): that is a Conflict.
        """
        began, code = self._clock.monotonic(), "none"
        try:
            reply = self._authorised(call)
            code = str(reply.status)
            return self._checked(call, reply)
        except Fault as fault:
            code = code if code != "none" else fault.code.value
            raise
        finally:
            self._on_call(call.operation, code, self._clock.monotonic() - began)

    def close(self) -> None:
        self._wire.close()

    def _authorised(self, call: Call) -> Reply:
        """A 403 means that nothing was done, so one more try with a token that changed meanwhile is safe."""
        token = self._token.current()
        reply = self._send(call, token)
        if reply.status == _FORBIDDEN and self._token.renewed(token):
            return self._send(call, self._token.current())
        return reply

    def _send(self, call: Call, token: Secret | None) -> Reply:
        query = urllib.parse.urlencode(call.params + self._scope)
        target = urllib.parse.quote(call.path, safe="/:") + (f"?{query}" if query else "")
        headers = {"Accept": "application/json"}
        if token is not None:
            headers["X-Consul-Token"] = token.reveal()
        # Consul adds up to wait/16 of jitter to a blocking query (CON-1).
        return self._wire.send(call.method, target, headers, call.body, self._timeout + call.wait * 17 / 16)

    def _checked(self, call: Call, reply: Reply) -> Reply:
        if reply.status not in call.accept:
            raise consul_errors.refusal(reply.status, reply.body, call.operation)
        if call.method != "GET" and reply.body.strip() == b"false":
            raise Conflict(Code.CONSUL_CONFLICT, f"Consul did not {call.operation}")
        if reply.headers.get("x-consul-knownleader") == "false":
            raise Unavailable(Code.CONSUL_NO_LEADER, f"the Consul cluster has no leader ({call.operation})")
        if reply.headers.get("x-consul-results-filtered-by-acls") == "true":
            raise Denied(
                Code.CONSUL_DENIED,
                f"Consul left entries out of the reply to {call.operation} that the token may not read",
                hint="give the token read access to the whole prefix",
            )
        return reply


def library(agent: ConsulAgent) -> consul.base.Consul:
    """A py-consul client whose every byte goes through `agent`; reads are consistent (CON-3)."""
    client = _Library(agent)
    # The constructor lets CONSUL_HTTP_TOKEN win over its argument; the agent adds the token itself.
    client.token = None
    return client


class _Library(consul.base.Consul):  # type: ignore[misc]  # py-consul has no types
    def __init__(self, agent: ConsulAgent) -> None:
        self._agent = agent
        # All of these are given so that no environment variable is looked at; the agent's wire knows the real address.
        super().__init__(host="agent", port=1, scheme="http", verify=True, consistency="consistent")

    def http_connect(self, *_: object, **__: object) -> consul.base.HTTPClient:
        return _Transport(self._agent)


class _Transport(consul.base.HTTPClient):  # type: ignore[misc]  # py-consul has no types
    """py-consul's way to HTTP. Refusals become Faults before the library sees them; 404 it handles itself."""

    def __init__(self, agent: ConsulAgent) -> None:
        super().__init__()
        self._agent = agent

    def get(self, callback: Any, path: str, params: Any = None, headers: Any = None, raw: bool = False) -> Any:
        return self._do("GET", callback, path, params, b"")

    def put(self, callback: Any, path: str, params: Any = None, data: Any = "", headers: Any = None) -> Any:
        return self._do("PUT", callback, path, params, data)

    def delete(self, callback: Any, path: str, params: Any = None, data: Any = "", headers: Any = None) -> Any:
        return self._do("DELETE", callback, path, params, data)

    def post(self, callback: Any, path: str, params: Any = None, data: Any = "", headers: Any = None) -> Any:
        return self._do("POST", callback, path, params, data)

    def close(self) -> None:
        self._agent.close()

    def _do(self, method: str, callback: Any, path: str, params: Any, data: str | bytes) -> Any:
        pairs = tuple((str(name), str(value)) for name, value in params or ())
        body = data if isinstance(data, bytes) else data.encode()
        operation = _operation(path, dict(pairs))
        call = Call(operation, method, path, pairs, body, _wait_seconds(dict(pairs)))
        reply = self._agent.call(call)
        headers = {"X-Consul-Index": reply.headers["x-consul-index"]} if "x-consul-index" in reply.headers else {}
        try:
            return callback(consul.base.Response(reply.status, headers, reply.body.decode()))
        except NotFound:
            raise
        except (ConsulException, ValueError, KeyError, TypeError, AttributeError):
            # The library's message carries the body, and it lets foreign JSON fail anywhere: `from None` drops both.
            raise consul_errors.malformed(operation) from None


def _operation(path: str, params: Mapping[str, str]) -> str:
    if path.startswith("/v1/session/"):
        return f"session_{path.split('/')[3]}"
    if "index" in params:
        return "wait_for"
    return "read_below" if "recurse" in params else "read"


def _wait_seconds(params: Mapping[str, str]) -> float:
    """The inverse of `milliseconds` in `consul.py`: the only form in which we ask Consul to wait."""
    return int(params["wait"].removesuffix("ms")) / 1000 if "wait" in params else 0.0
