"""Authorization servers that misbehave: each way is one family and one code, and nothing secret is in the words."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from rotator.clients.clock import SystemClock
from rotator.clients.oauth import HttpAuthorizationServers
from rotator.core.errors import Code, Family
from rotator.core.secret import Secret
from rotator.dev.servers import ports, tls
from rotator.ports import OAuthClient
from tests.clients.authorization_server import (
    GOOD,
    REFRESH,
    SECRET,
    TOKEN,
    SecureServer,
    as_json,
    html,
    refused,
)
from tests.clients.canned_server import reply

U, D = Family.UNAVAILABLE, Family.DENIED
REPLIES = {
    "429": (reply("429 Too Many Requests"), U, Code.AUTHORIZATION_THROTTLED),
    "500": (html("500 Internal Server Error"), U, Code.AUTHORIZATION_ERROR),
    "503": (as_json({"error": "temporarily_unavailable"}, "503 x"), U, Code.AUTHORIZATION_ERROR),
    "invalid_grant": (as_json({"error": "invalid_grant"}, "400 x"), D, Code.AUTHORIZATION_GRANT_DEAD),
    "invalid_client": (as_json({"error": "invalid_client"}, "401 x"), D, Code.AUTHORIZATION_CLIENT_REFUSED),
    "unauthorized_client": (as_json({"error": "unauthorized_client"}, "400 x"), D, Code.AUTHORIZATION_CLIENT_REFUSED),
    "401 without words": (reply("401 Unauthorized"), D, Code.AUTHORIZATION_CLIENT_REFUSED),
    "invalid_scope": (as_json({"error": "invalid_scope"}, "400 x"), D, Code.AUTHORIZATION_REQUEST_REFUSED),
    "unknown word": (as_json({"error": TOKEN}, "400 x"), D, Code.AUTHORIZATION_REQUEST_REFUSED),
    "error of another kind": (as_json({"error": [SECRET]}, "400 x"), D, Code.AUTHORIZATION_REQUEST_REFUSED),
    "403 page": (html("403 Forbidden"), D, Code.AUTHORIZATION_REQUEST_REFUSED),
    "page with 200": (html("200 OK"), U, Code.AUTHORIZATION_REPLY_MALFORMED),
    "list with 200": (as_json([GOOD]), U, Code.AUTHORIZATION_REPLY_MALFORMED),
    "nothing with 204": (reply("204 No Content"), U, Code.AUTHORIZATION_REPLY_MALFORMED),
    "deep nesting": (reply("200 OK", b"[" * 200_000), U, Code.AUTHORIZATION_REPLY_MALFORMED),
    "no text": (reply("200 OK", b"\xff\xfe{}"), U, Code.AUTHORIZATION_REPLY_MALFORMED),
    "too large": (reply("200 OK", b" " * 300_000), U, Code.AUTHORIZATION_REPLY_MALFORMED),
    "too large, chunked": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        + b"FFFF\r\n"
        + b" " * 65535
        + b"\r\n" * 1
        + (b"FFFF\r\n" + b" " * 65535 + b"\r\n") * 5,
        U,
        Code.AUTHORIZATION_REPLY_MALFORMED,
    ),
    "cut short": (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", U, Code.AUTHORIZATION_REPLY_MALFORMED),
    "no HTTP": (b"SSH-2.0-OpenSSH\r\n", U, Code.AUTHORIZATION_REPLY_MALFORMED),
    "hung up": (b"", U, Code.AUTHORIZATION_UNREACHABLE),
    "redirect": (reply("307 x", b"", "Location: https://127.0.0.1/token"), D, Code.AUTHORIZATION_REDIRECT),
}


@pytest.mark.parametrize(("answer", "family", "code"), REPLIES.values(), ids=REPLIES)
def test_every_bad_reply_is_one_family_and_one_code(
    canned: SecureServer,
    oauth: HttpAuthorizationServers,
    registered: OAuthClient,
    answer: bytes,
    family: Family,
    code: Code,
) -> None:
    """The core knows from the family when to try again, a person from the code what to do. Asked once each time."""
    canned.by_path["/token"] = answer
    fault = refused(lambda: oauth.refresh(registered, Secret(REFRESH), ""))
    assert (fault.family, fault.code) == (family, code)
    assert canned.paths().count("/token") == 1


@pytest.mark.parametrize("slow", ["/.well-known/oauth-authorization-server", "/token"])
def test_a_server_that_drips_is_given_up_in_time(canned: SecureServer, registered: OAuthClient, slow: str) -> None:
    """One byte before each socket timeout would hold a worker for ever."""
    canned.drips = slow
    impatient = HttpAuthorizationServers(SystemClock(), timedelta(milliseconds=300))
    fault = refused(lambda: impatient.client_credentials(registered, ""))
    assert (fault.family, fault.code) == (Family.UNAVAILABLE, Code.AUTHORIZATION_UNREACHABLE)
    assert canned.paths()[-1] == slow


def test_nobody_listens(oauth: HttpAuthorizationServers, registered: OAuthClient) -> None:
    """Down, or another address."""
    issuer = f"https://127.0.0.1:{ports.take(1)[0]}"
    elsewhere = replace(registered, server=replace(registered.server, issuer=issuer))
    fault = refused(lambda: oauth.client_credentials(elsewhere, ""))
    assert (fault.family, fault.code) == (Family.UNAVAILABLE, Code.AUTHORIZATION_UNREACHABLE)


def test_another_ca_is_final(
    canned: SecureServer, oauth: HttpAuthorizationServers, registered: OAuthClient, tmp_path: Path
) -> None:
    """Nothing is sent, and never without verification."""
    other = tmp_path / "other"
    other.mkdir()
    distrusting = replace(registered, server=replace(registered.server, ca_file=tls.make(other, "other").ca))
    fault = refused(lambda: oauth.client_credentials(distrusting, ""))
    assert (fault.family, fault.code) == (Family.DENIED, Code.AUTHORIZATION_TLS)
    assert canned.requests == []
