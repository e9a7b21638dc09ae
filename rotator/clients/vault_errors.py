"""What Vault and OpenBao say when they refuse, sorted into the families of `core/errors.py`.

Pure: a reply in, a Fault out. Measured on OpenBao 2.7. The status alone says little: a bad token and a missing policy
are both 403; a lost CAS race, a used-up secret-id, a missing role and an expired CA are all 400. Where a second
question is needed (`lookup-self`, the CA), the client asks it and passes the answer in. The reply's text is looked at
here and never becomes part of a Fault, because a proxy in between may put anything into it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from rotator.core.errors import Code, Conflict, Denied, Fault, Unavailable


@dataclass(frozen=True, slots=True, repr=False)
class VaultReply:
    """One reply. body: the JSON object, None when there was none. errors: of the body, in lower case."""

    status: int
    body: Mapping[str, Any] | None
    errors: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    def says(self, *words: str) -> bool:
        return any(word in error for error in self.errors for word in words)


class TokenState(StrEnum):
    """What `lookup-self` tells about the token that it was asked with."""

    ALIVE = "alive"
    DEAD = "dead"
    UNKNOWN = "unknown"


def token_state(lookup: VaultReply) -> TokenState:
    """403 is dead (bogus, expired, revoked), unless the token may not ask; the caller knows that from its login."""
    if lookup.status == 200:
        return TokenState.ALIVE
    return TokenState.DEAD if lookup.status == 403 else TokenState.UNKNOWN


def is_absent(reply: VaultReply) -> bool:
    """Nothing at this path, in a reply that only Vault gives: a 404 of a proxy or a missing mount is another fact."""
    if reply.status != 404 or reply.body is None:
        return False
    return not reply.errors and ("errors" in reply.body or "data" in reply.body)


def refusal(reply: VaultReply, path: str) -> Fault:
    """The Fault for a refusal whose meaning does not depend on what was asked. 403: the token has been found good."""
    if reply.status >= 500:
        return _server_error(reply, path)
    if reply.status == 403:
        return Denied(
            Code.VAULT_DENIED,
            f"the token is good and may not use {path}",
            hint="compare its policy with the one that `rotator policy vault` prints",
        )
    if reply.status in (412, 472, 473):
        return Unavailable(Code.VAULT_ERROR, f"Vault is not able to answer {path} now ({reply.status})")
    if reply.status == 429:
        return Unavailable(Code.VAULT_THROTTLED, f"Vault throttles {path}", hint="see its rate limit quotas")
    if reply.status == 413:
        return _not_configured(f"Vault refuses {path} as too large", "see max_request_size of its listener")
    if reply.status == 404 and reply.body is None:
        return malformed(path)
    return _bad_request(reply, path)


def write_refusal(reply: VaultReply, path: str) -> Fault:
    """Of a KV v2 write."""
    if reply.status == 400 and reply.says("check-and-set"):
        return Conflict(Code.KV_CONFLICT, f"the current version of {path} is not the expected one")
    return refusal(reply, path)


def issue_refusal(reply: VaultReply, path: str, ca_ends: datetime | None, wanted_until: datetime) -> Fault:
    """Of a PKI issue. `ca_ends`: end of the issuing CA's life, None when it could not be learnt.

    Vault gives the same text for a CA that has expired and for a TTL past its end; only the CA itself tells.
    """
    if reply.status in (400, 500) and (reply.says(*_NO_ISSUER) or _outlives(reply, ca_ends, wanted_until)):
        ends = "" if ca_ends is None else f", which ends {ca_ends.isoformat(timespec='seconds')}"
        return Denied(
            Code.VAULT_ISSUER_UNUSABLE,
            f"the issuing CA behind {path} cannot sign for this lifetime{ends}",
            hint="renew the CA, or ask for shorter lifetimes",
        )
    return refusal(reply, path)


def login_refusal(reply: VaultReply, mount: str) -> Fault:
    """Of a login. A used-up or expired secret-id is a 400, wrong JWTs and certificates are 400 or 403."""
    if reply.status == 404 or reply.says("no handler for route", "unsupported path"):
        return _not_configured(f"there is no login at auth/{mount}", "check mount in [vault.auth]")
    if reply.status in (400, 401, 403):
        return Denied(
            Code.VAULT_LOGIN_REFUSED,
            f"Vault refuses the login at auth/{mount}",
            hint="the credential of [vault.auth] is wrong, used up or expired: deliver a new one",
        )
    return refusal(reply, f"auth/{mount}/login")


def wrapping_suspect(text: str) -> Denied:
    """A security event: somebody else may have unwrapped what was meant for us. Never tried a second time."""
    return Denied(
        Code.VAULT_WRAPPING_SUSPECT,
        text,
        hint="find out who used it (Vault's audit log), destroy that secret-id, then deliver a new wrapped one",
    )


def nothing_mounted(path: str) -> Denied:
    """No secrets engine of the expected kind answers there."""
    return _not_configured(f"there is nothing mounted at {path}", "check the mount names in [vault]")


def malformed(path: str) -> Unavailable:
    """A reply that cannot be read. The effect may have happened, so it is treated like a lost reply."""
    return Unavailable(
        Code.VAULT_REPLY_MALFORMED,
        f"the reply at {path} is not what Vault sends; whether it acted is not known",
        hint="see whether [vault] address names Vault, and not a proxy or a login page before it",
    )


def _outlives(reply: VaultReply, ca_ends: datetime | None, wanted_until: datetime) -> bool:
    return reply.status == 400 and ca_ends is not None and ca_ends < wanted_until


_NO_ISSUER = (
    "no default issuer",
    "unable to fetch corresponding issuer",
    "unable to find pki issuer",
    "could not fetch the ca certificate",
)


def _server_error(reply: VaultReply, path: str) -> Fault:
    if reply.status == 501 or (reply.status == 503 and reply.says("sealed")):
        return Unavailable(Code.VAULT_SEALED, f"Vault is sealed or not initialised ({path})", hint="unseal it")
    if reply.says(*_NO_ISSUER):
        return Denied(
            Code.VAULT_ISSUER_UNUSABLE,
            f"there is no usable issuer behind {path}",
            hint="set the mount's default issuer",
        )
    return Unavailable(
        Code.VAULT_ERROR,
        f"Vault failed at {path} ({reply.status})",
        hint="see its log; with a full audit device it fails every call while its health endpoint says 200",
    )


def _bad_request(reply: VaultReply, path: str) -> Denied:
    if reply.says("no handler for route", "unsupported path"):
        return nothing_mounted(path)
    if reply.says("unknown role"):
        return _not_configured(f"the role of {path} does not exist", "`rotator bootstrap` makes it")
    return _not_configured(
        f"Vault refused {path} as a bad request ({reply.status})",
        "compare names, lifetimes and key type with the role; `rotator doctor` does it",
    )


def _not_configured(text: str, hint: str) -> Denied:
    return Denied(Code.VAULT_NOT_CONFIGURED, text, hint=hint)
