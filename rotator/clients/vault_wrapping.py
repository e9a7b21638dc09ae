"""Opening of wrapped replies: looked at first, opened once, and every doubt is a security event.

Unwrapping what an attacker has wrapped would make us use, or hand out, a credential of the attacker's choice. So the
path at which the wrapping was made is asked from Vault and must be exactly the expected one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from rotator.clients.vault_errors import VaultReply, malformed, refusal, wrapping_suspect
from rotator.core.errors import Denied
from rotator.core.secret import Secret

LOOKUP, UNWRAP = "sys/wrapping/lookup", "sys/wrapping/unwrap"


class Post(Protocol):
    """Sends one POST that is never repeated: operation, path, body, token. Any status."""

    def __call__(
        self, operation: str, path: str, body: Mapping[str, Any] | None, token: Secret | None, /
    ) -> VaultReply: ...


@dataclass(frozen=True, slots=True)
class Wrapping:
    """One wrapped reply. token: opens it, once. made_at: the only creation path that is accepted. what: its content in
    words. note: asked for what to add when it turns out to be used.

    Raises Denied (VAULT_WRAPPING_SUSPECT), Unavailable, and what `vault_errors.refusal` makes of other refusals.
    """

    post: Post
    token: Secret
    made_at: str
    what: str
    note: Callable[[], str] = str

    def check(self) -> None:
        """Does not use it up."""
        lookup = self.post("wrapping_lookup", LOOKUP, {"token": self.token.reveal()}, None)
        if lookup.status in (400, 403):
            raise self._used()
        if not lookup.ok or lookup.body is None:
            raise refusal(lookup, LOOKUP)
        if text_in(lookup.body, "data", "creation_path") != self.made_at:
            raise wrapping_suspect(f"{self.what} was not made at {self.made_at}: it is not used")

    def open(self) -> Mapping[str, Any]:
        """The body of the wrapped reply. After a lost reply it may be used up, and is not asked for again."""
        reply = self.post("unwrap", UNWRAP, None, self.token)
        if reply.status in (400, 403):
            raise self._used()
        if not reply.ok:
            raise refusal(reply, UNWRAP)
        if reply.body is None:
            raise malformed(UNWRAP)
        return reply.body

    def _used(self) -> Denied:
        return wrapping_suspect(f"{self.what} has been used already, or has run out{self.note()}")


def text_in(body: Mapping[str, Any], *keys: str) -> str:
    """A text inside a reply; empty when it is not there, or no text."""
    found: Any = body
    for key in keys:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found if isinstance(found, str) else ""
