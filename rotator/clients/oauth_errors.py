"""What an authorization server says when it refuses (RFC 6749, 5.2), sorted into the families of `core/errors.py`.

Pure: a reply in, a Fault out. Of the reply only the status and an error word from the list below become part of a
Fault: everything else may quote what was sent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rotator.clients.http import HttpReply
from rotator.core.errors import Code, Denied, Fault, Unavailable

# 408, 425: the same request is welcome later.
_LATER = (408, 425)
_OF_CLIENT = ("invalid_client", "unauthorized_client")
# RFC 6749, 5.2; RFC 8707; RFC 7009.
_OF_REQUEST = (
    "invalid_request",
    "invalid_scope",
    "unsupported_grant_type",
    "invalid_target",
    "access_denied",
    "unsupported_token_type",
)


def body_of(reply: HttpReply) -> Mapping[str, Any] | None:
    """The JSON object of a reply; None when it is anything else."""
    try:
        found = json.loads(reply.body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def error_of(reply: HttpReply) -> str:
    """The error word, if it is one that we know; else empty."""
    word = (body_of(reply) or {}).get("error")
    known = ("invalid_grant", *_OF_CLIENT, *_OF_REQUEST)
    return word if isinstance(word, str) and word in known else ""


def refusal(reply: HttpReply, what: str) -> Fault:
    """The Fault for a reply that is no success. what: the endpoint in words."""
    if reply.status == 429:
        return Unavailable(
            Code.AUTHORIZATION_THROTTLED, f"{what} throttles us (429)", hint="see the limits that the server has for it"
        )
    if reply.status >= 500 or reply.status in _LATER:
        return Unavailable(
            Code.AUTHORIZATION_ERROR, f"{what} failed ({reply.status})", hint="the server's own log has the reason"
        )
    word = error_of(reply)
    if word == "invalid_grant":
        return _grant_dead(what)
    if word in _OF_CLIENT or (reply.status == 401 and not word):
        return Denied(
            Code.AUTHORIZATION_CLIENT_REFUSED,
            f"{what} refused the client ({word or reply.status})",
            hint="check client_id, client_secret at client_path, and the grants that the client is registered for",
        )
    return Denied(
        Code.AUTHORIZATION_REQUEST_REFUSED,
        f"{what} refused the request ({word or reply.status})",
        hint="check scope and grant, and what the client is registered for",
    )


def malformed(what: str) -> Fault:
    """HTML, an empty body, broken JSON: something stands between, and whether the server acted is not known."""
    return Unavailable(
        Code.AUTHORIZATION_REPLY_MALFORMED,
        f"the reply of {what} is no JSON object",
        hint="something stands between: a login page, a portal, a load balancer; see what",
    )


def _grant_dead(what: str) -> Fault:
    return Denied(
        Code.AUTHORIZATION_GRANT_DEAD,
        f"{what} says that the grant is dead (invalid_grant): it was used before, revoked, or has expired",
        hint="let a person grant consent again and write the new refresh_token to client_path; if nobody should have"
        " used it, treat it as stolen",
    )
