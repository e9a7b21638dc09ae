"""The table of Vault's refusals, without a server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from rotator.clients.vault_errors import (
    TokenState,
    VaultReply,
    is_absent,
    issue_refusal,
    login_refusal,
    refusal,
    token_state,
    write_refusal,
)
from rotator.core.errors import Code, Conflict, Denied, Fault, Unavailable

NOW = datetime(2026, 1, 1, tzinfo=UTC)
UNTIL = NOW + timedelta(hours=1)
CANARY = "canary-text-of-the-reply"


def told(status: int, *errors: str) -> VaultReply:
    return VaultReply(status, {"errors": list(errors)}, tuple(error.lower() for error in errors))


@pytest.mark.parametrize(
    ("reply", "family", "code"),
    [
        (told(403, "permission denied"), Denied, Code.VAULT_DENIED),
        (told(404, 'no handler for route "x". route entry not found.'), Denied, Code.VAULT_NOT_CONFIGURED),
        (VaultReply(404, None), Unavailable, Code.VAULT_REPLY_MALFORMED),
        (told(400, "unknown role: x"), Denied, Code.VAULT_NOT_CONFIGURED),
        (told(400, "common name x not allowed by this role"), Denied, Code.VAULT_NOT_CONFIGURED),
        (told(400, "ciphertext version is disallowed by policy (too old)"), Denied, Code.VAULT_NOT_CONFIGURED),
        (told(405), Denied, Code.VAULT_NOT_CONFIGURED),
        (told(412), Unavailable, Code.VAULT_ERROR),
        (told(413, "http: request body too large"), Denied, Code.VAULT_NOT_CONFIGURED),
        (told(429, "request path: rate limit quota exceeded"), Unavailable, Code.VAULT_THROTTLED),
        (told(472), Unavailable, Code.VAULT_ERROR),
        (told(473), Unavailable, Code.VAULT_ERROR),
        (told(500, "internal error"), Unavailable, Code.VAULT_ERROR),
        (told(500, "no default issuer currently configured"), Denied, Code.VAULT_ISSUER_UNUSABLE),
        (told(501), Unavailable, Code.VAULT_SEALED),
        (told(502), Unavailable, Code.VAULT_ERROR),
        (told(503, "Vault is sealed"), Unavailable, Code.VAULT_SEALED),
        (told(503, "Service Unavailable"), Unavailable, Code.VAULT_ERROR),
        (VaultReply(503, None), Unavailable, Code.VAULT_ERROR),
    ],
)
def test_a_refusal_has_its_family(reply: VaultReply, family: type[Fault], code: Code) -> None:
    """What to do next depends on the family alone."""
    fault = refusal(reply, "kv/data/x")
    assert (type(fault), fault.code) == (family, code)
    assert "kv/data/x" in fault.text


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (told(400, "check-and-set parameter did not match the current version"), Code.KV_CONFLICT),
        (told(400, "check-and-set parameter required for this call"), Code.KV_CONFLICT),
        (told(400, "error parsing JSON"), Code.VAULT_NOT_CONFIGURED),
        (told(500, "internal error"), Code.VAULT_ERROR),
    ],
)
def test_only_a_lost_race_is_a_conflict(reply: VaultReply, code: Code) -> None:
    """Every other 400 of a write would be read back for ever."""
    fault = write_refusal(reply, "kv/data/x")
    assert fault.code is code
    assert isinstance(fault, Conflict) == (code is Code.KV_CONFLICT)


@pytest.mark.parametrize(
    ("ends", "errors", "code"),
    [
        (
            NOW - timedelta(days=1),
            "TTL would result in notAfter",
            Code.VAULT_ISSUER_UNUSABLE,
        ),
        (UNTIL - timedelta(minutes=1), "the same text", Code.VAULT_ISSUER_UNUSABLE),
        (UNTIL + timedelta(minutes=1), "name not allowed", Code.VAULT_NOT_CONFIGURED),
        (None, "name not allowed", Code.VAULT_NOT_CONFIGURED),
        (None, "unable to find PKI issuer for reference: x", Code.VAULT_ISSUER_UNUSABLE),
    ],
)
def test_only_the_ca_tells_why_nothing_is_issued(ends: datetime | None, errors: str, code: Code) -> None:
    """An expired CA and a TTL past its end have one text, and no text is stable over releases."""
    assert issue_refusal(told(400, errors), "pki/issue/x", ends, UNTIL).code is code


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (told(400, "invalid role or secret ID"), Code.VAULT_LOGIN_REFUSED),
        (told(403, "permission denied"), Code.VAULT_LOGIN_REFUSED),
        (told(404, "no handler for route"), Code.VAULT_NOT_CONFIGURED),
        (told(503, "Vault is sealed"), Code.VAULT_SEALED),
        (told(429), Code.VAULT_THROTTLED),
    ],
)
def test_a_login_refused_is_not_an_outage(reply: VaultReply, code: Code) -> None:
    """A used-up secret-id answers 400: only a new one helps, while a sealed server heals by itself."""
    assert login_refusal(reply, "approle").code is code


@pytest.mark.parametrize(
    ("reply", "absent"),
    [
        (VaultReply(404, {"errors": []}), True),
        (VaultReply(404, {"data": {"data": None, "metadata": {"deletion_time": "x"}}}), True),
        (told(404, "no handler for route"), False),
        (VaultReply(404, None), False),
        (VaultReply(404, {"message": "not found"}), False),
        (VaultReply(200, {"data": {}}), False),
    ],
)
def test_absent_is_only_what_vault_itself_calls_absent(reply: VaultReply, absent: bool) -> None:
    """The dangerous read is the empty one: a gateway's 404 must not look like a key that was never written."""
    assert is_absent(reply) is absent


@pytest.mark.parametrize(
    ("status", "state"),
    [(200, TokenState.ALIVE), (403, TokenState.DEAD), (503, TokenState.UNKNOWN), (429, TokenState.UNKNOWN)],
)
def test_an_outage_does_not_prove_a_token_dead(status: int, state: TokenState) -> None:
    """Otherwise every restart of Vault would be followed by a storm of logins."""
    assert token_state(VaultReply(status, {})) is state


@pytest.mark.parametrize("status", [400, 403, 404, 405, 412, 413, 429, 500, 503])
def test_no_text_of_a_reply_is_repeated(status: int) -> None:
    """A reply may quote a secret back; a Fault goes into logs and the audit."""
    reply = told(status, CANARY)
    for fault in (
        refusal(reply, "p"),
        write_refusal(reply, "p"),
        issue_refusal(reply, "p", None, UNTIL),
        login_refusal(reply, "m"),
    ):
        assert CANARY not in f"{fault} {fault.text} {fault.hint} {fault!r} {fault.args} {reply!r}"
