"""What can go wrong, in the few families that say what to do next, and the closed list of error codes.

A client translates a foreign error once, at the border, into a `Fault`. The core answers *when to try again* from
the family alone (`core/retry.py`); people look up the code in `docs/runbook.md`, which a test holds complete.
"""

from __future__ import annotations

from enum import StrEnum


class Family(StrEnum):
    """What to do next. The core answers from this alone."""

    UNAVAILABLE = "unavailable"  # unreachable, sealed, throttled, reply lost: try again, read back first
    CONFLICT = "conflict"  # somebody wrote first: load again, then decide again
    REJECTED = "rejected"  # what came back is not what was asked for: never publish it
    DENIED = "denied"  # refused by policy or configuration: slow retry, alert, heals when repaired
    BUG = "bug"  # unforeseen: this credential slows down, the others go on


class Code(StrEnum):
    """Every error a user can meet: E1 config, E2 Vault, E3 Consul, E4 material, E5 files, E6 proxy, E7 command,
    E8 authorization server, E9 bug."""

    CONFIG_INVALID = "E1001"
    CONFIG_UNREADABLE = "E1002"
    VAULT_UNREACHABLE = "E2001"
    VAULT_SEALED = "E2002"
    VAULT_THROTTLED = "E2003"
    VAULT_ERROR = "E2004"
    VAULT_TLS = "E2005"
    VAULT_LOGIN_REFUSED = "E2006"
    VAULT_DENIED = "E2007"
    VAULT_NOT_CONFIGURED = "E2008"
    VAULT_REDIRECT = "E2009"
    VAULT_REPLY_MALFORMED = "E2010"
    VAULT_WRAPPING_SUSPECT = "E2011"
    VAULT_ISSUER_UNUSABLE = "E2012"
    KV_CONFLICT = "E2013"
    CONSUL_UNREACHABLE = "E3001"
    CONSUL_NO_LEADER = "E3002"
    CONSUL_ERROR = "E3003"
    CONSUL_TLS = "E3004"
    CONSUL_DENIED = "E3005"
    CONSUL_CONFLICT = "E3006"
    CONSUL_TOO_LARGE = "E3007"
    CONSUL_REDIRECT = "E3008"
    CONSUL_REPLY_MALFORMED = "E3009"
    CONSUL_EMPTY_READ = "E3010"
    LEADERSHIP_LOST = "E3011"
    MATERIAL_REJECTED = "E4001"
    FACTS_UNREADABLE = "E4002"
    RECORD_TOO_NEW = "E4003"
    DATABASE_UNREACHABLE = "E4004"
    DATABASE_TLS = "E4005"
    DATABASE_DENIED = "E4006"
    SIGNER_NOT_READY = "E4020"
    AUDIT_BLOCKED = "E5001"
    FILE_WRITE_FAILED = "E5002"
    FILE_UNSAFE = "E5003"
    STATE_DIR_LOCKED = "E5004"
    PROXY_CHECK_FAILED = "E6001"
    PROXY_PROBE_FAILED = "E6002"
    DOCUMENT_CORRUPT = "E6003"
    DOCUMENT_UNSUPPORTED = "E6004"
    HOOK_COMMAND_FAILED = "E6005"
    ROLLBACK_REFUSED = "E7001"
    TARGET_UNKNOWN = "E7002"
    REASON_MISSING = "E7003"
    NOT_LEADER = "E7004"
    REQUEST_TIMED_OUT = "E7005"
    SERVER_MISSING = "E7006"
    AUTHORIZATION_UNREACHABLE = "E8001"
    AUTHORIZATION_THROTTLED = "E8002"
    AUTHORIZATION_ERROR = "E8003"
    AUTHORIZATION_TLS = "E8004"
    AUTHORIZATION_REDIRECT = "E8005"
    AUTHORIZATION_REPLY_MALFORMED = "E8006"
    AUTHORIZATION_METADATA = "E8007"
    AUTHORIZATION_CLIENT_REFUSED = "E8008"
    AUTHORIZATION_GRANT_DEAD = "E8009"
    AUTHORIZATION_REQUEST_REFUSED = "E8010"
    BUG = "E9001"


class Fault(Exception):
    """A failure with a family, a code, and words that are safe to show.

    `text` says what failed and why, `hint` what to do next. Neither may carry a reply body, a header or a secret:
    both go to the audit log, to metrics labels (the code only) and to people.
    """

    family: Family = Family.BUG

    def __init__(self, code: Code, text: str, *, hint: str = "") -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.code.value}: {self.text}"


class Unavailable(Fault):
    """The other side could not be reached or could not answer; the effect may have happened (read back first)."""

    family = Family.UNAVAILABLE


class Conflict(Fault):
    """Somebody wrote first: nothing was changed by us. `keys` names what they changed, where that is known."""

    family = Family.CONFLICT

    def __init__(self, code: Code, text: str, *, hint: str = "", keys: tuple[str, ...] = ()) -> None:
        super().__init__(code, text, hint=hint)
        self.keys = keys


class Rejected(Fault):
    """Something came back that is not what was asked for. It must never be published."""

    family = Family.REJECTED


class Denied(Fault):
    """Refused by policy or by configuration; only a person can repair it."""

    family = Family.DENIED


class LeadershipLost(Conflict):
    """The fence did not hold: this instance is deposed and may not cause any further effect."""
