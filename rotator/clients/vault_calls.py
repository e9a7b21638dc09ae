"""Calls with the service's own token for the engines that have a file of their own: read, write, list, by path.

One fresh login and one more try when the token has died; every other refusal leaves as a Fault. Thread-safe.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from rotator.clients.vault_adapter import VaultTransport
from rotator.clients.vault_errors import VaultReply, is_absent, malformed, refusal
from rotator.clients.vault_login import VaultLogin
from rotator.core.errors import Fault
from rotator.core.secret import Secret

Data = Mapping[str, Any]
_Found = TypeVar("_Found")


@dataclass(frozen=True, slots=True)
class Ask:
    """One call. operation: the word under which it is counted. path: below /v1/, quoted where needed.

    idempotent: may be sent again after a connection that broke; never for what makes something. wrap_ttl: asks for a
    wrapped reply of this life, such as `60s`.
    """

    operation: str
    path: str
    body: Data | None = None
    idempotent: bool = False
    wrap_ttl: str = ""


class VaultCalls:
    """Built on the transport and the login of `VaultSecrets`."""

    def __init__(self, transport: VaultTransport, login: VaultLogin) -> None:
        self._transport, self._login = transport, login

    def read(self, ask: Ask) -> Data | None:
        """`data` of the reply; None when there is nothing at this path."""
        reply = self._send("GET", ask)
        if is_absent(reply):
            return None
        return shaped(ask.path, lambda: dict(self._good(reply, ask)["data"]))

    def listing(self, ask: Ask) -> tuple[str, ...]:
        """The keys below a path; empty when there are none."""
        reply = self._send("LIST", ask)
        if is_absent(reply):
            return ()
        return shaped(ask.path, lambda: tuple(str(key) for key in self._good(reply, ask)["data"]["keys"]))

    def write(self, ask: Ask) -> Data:
        """The whole body of the reply, empty for 204."""
        return self._good(self._send("POST", ask), ask)

    def delete(self, ask: Ask) -> None:
        """What is gone already is no error."""
        reply = self._send("DELETE", ask)
        if not is_absent(reply):
            self._good(reply, ask)

    def try_write(self, ask: Ask) -> VaultReply:
        """As `write`, for callers who tell refusals apart themselves. 403 comes back when the token is good."""
        return self._send("POST", ask)

    def without_token(self, ask: Ask) -> VaultReply:
        """POST with no token of ours: a login of somebody else's credential. Any status."""
        return self._transport.send(ask.operation, "POST", ask.path, ask.body, idempotent=ask.idempotent)

    def with_token(self, ask: Ask, token: Secret) -> VaultReply:
        """POST with another token than ours: a wrapping token, or one that a test login brought. Any status."""
        return self._transport.send(ask.operation, "POST", ask.path, ask.body, token, ask.idempotent)

    def _good(self, reply: VaultReply, ask: Ask) -> Data:
        if not reply.ok:
            raise refusal(reply, ask.path)
        return reply.body or {}

    def _send(self, method: str, ask: Ask) -> VaultReply:
        reply, token = self._once(method, ask)
        if reply.status != 403:
            return reply
        # A 403 had no effect, so this is safe for writes. Raises when the token is good: then the policy is not.
        self._login.after_denial(token, ask.path)
        return self._once(method, ask)[0]

    def _once(self, method: str, ask: Ask) -> tuple[VaultReply, Secret]:
        token = self._login.token()
        reply = self._transport.send(
            ask.operation, method, ask.path, ask.body, token, ask.idempotent, wrap_ttl=ask.wrap_ttl
        )
        return reply, token


def shaped(path: str, parse: Callable[[], _Found]) -> _Found:
    """Takes a reply apart. One that lacks what it must have is Unavailable, and nothing of it is shown."""
    try:
        return parse()
    except Fault:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        raise malformed(path) from None
