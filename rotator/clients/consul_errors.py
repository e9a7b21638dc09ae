"""What Consul says when it refuses, sorted into the families of `core/errors.py`.

Measured on Consul 1.8.7; the texts are the same in 1.22. Consul answers most refusals with a plain text, folds very
different ones into status 500, and reports the operations of a refused transaction by their number. The reply text is
only looked at here: it never becomes part of a Fault, because a proxy in between may put anything into it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rotator.core.errors import Code, Conflict, Denied, Fault, LeadershipLost, Unavailable

_ACL_HINT = "check the ACL policy of the token that [consul] names; `rotator policies` prints what it needs"


def refusal(status: int, body: bytes, operation: str) -> Fault:
    """The Fault for a reply that is neither success nor an expected "absent" or "conflict"."""
    text = body[:4096].decode(errors="replace").lower()
    if 300 <= status < 400:
        return Denied(
            Code.CONSUL_REDIRECT,
            f"Consul answered {operation} with a redirect ({status}), never followed: it would carry the token",
            hint="give the final address of a Consul agent in [consul] address",
        )
    if status in (401, 403) or "permission denied" in text or "acl not found" in text:
        return _denied(text, operation)
    if status == 413:
        return too_large(f"Consul refused {operation} as too large")
    if status == 429:
        return Unavailable(Code.CONSUL_ERROR, f"Consul throttles: {operation} was refused with 429")
    if status >= 500:
        return _server_error(status, text, operation)
    return Denied(Code.CONSUL_ERROR, f"Consul refused {operation} as a bad request ({status})", hint=_bad_request(text))


def too_large(text: str) -> Denied:
    """For values and transactions above Consul's limits: trying again cannot help."""
    return Denied(
        Code.CONSUL_TOO_LARGE,
        text,
        hint="make the proxy's configuration smaller, or raise kv_max_value_size and txn_max_req_len in Consul",
    )


def malformed(operation: str) -> Unavailable:
    """A reply that cannot be read. The effect may have happened, so it is treated like a lost reply."""
    return Unavailable(
        Code.CONSUL_REPLY_MALFORMED,
        f"the reply to {operation} is not what Consul sends",
        hint="see whether [consul] address names a Consul agent, and not a proxy or a login page before it",
    )


def transaction_refusal(body: bytes, keys: Sequence[str], fenced: bool) -> Fault:
    """The Fault for a 409 of /v1/txn. `keys`: by operation number; operation 0 is the fence when `fenced`."""
    errors = _operation_errors(body)
    if not errors:
        return malformed("commit")
    texts = [text.lower() for text in errors.values()]
    if any("permission denied" in text for text in texts):
        return _denied("permission denied", "commit")
    if (fenced and 0 in errors) or any("invalid session" in text for text in texts):
        return LeadershipLost(Code.LEADERSHIP_LOST, "the leadership lock is no longer held by this instance's session")
    changed = tuple(dict.fromkeys(keys[number] for number in errors if number < len(keys)))
    return Conflict(Code.CONSUL_CONFLICT, f"{len(changed)} key(s) were changed by somebody else", keys=changed)


def _operation_errors(body: bytes) -> Mapping[int, str]:
    try:
        raw: Any = json.loads(body)
        return {int(error["OpIndex"]): str(error["What"]) for error in raw["Errors"]}
    except (ValueError, KeyError, TypeError):
        return {}


def _denied(text: str, operation: str) -> Denied:
    if "acl not found" in text:
        return Denied(Code.CONSUL_DENIED, f"Consul does not know the token ({operation})", hint=_ACL_HINT)
    return Denied(Code.CONSUL_DENIED, f"the token may not {operation}", hint=_ACL_HINT)


def _server_error(status: int, text: str, operation: str) -> Fault:
    if "no cluster leader" in text:
        return Unavailable(Code.CONSUL_NO_LEADER, f"the Consul cluster has no leader ({operation})")
    if "invalid session ttl" in text:
        return Denied(
            Code.CONSUL_ERROR,
            "Consul refuses the session TTL",
            hint="session_ttl must lie between 10 s (or the server's session_ttl_min) and 24 h",
        )
    if "invalid session" in text:
        return Conflict(Code.CONSUL_CONFLICT, f"the session is gone ({operation})")
    if "no path to datacenter" in text:
        return Denied(
            Code.CONSUL_ERROR,
            "Consul does not know the datacenter",
            hint="check [consul] datacenter against `consul members -wan`",
        )
    return Unavailable(Code.CONSUL_ERROR, f"Consul failed to {operation} ({status})")


def _bad_request(text: str) -> str:
    if "namespace" in text:
        return "namespaces exist in Consul Enterprise only: leave [consul] namespace empty"
    return "check datacenter, namespace and prefix in [consul]"
