"""What is sent to an authorization server, and how its answers are read."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs

import pytest

from rotator.clients.oauth import METADATA_KEPT, HttpAuthorizationServers
from rotator.core.errors import Code, Family
from rotator.core.secret import Secret
from rotator.ports import OAuthClient
from tests.clients.authorization_server import (
    GOOD,
    REFRESH,
    SECRET,
    TOKEN,
    SecureServer,
    as_json,
    document,
    html,
    refused,
)
from tests.clients.canned_server import reply
from tests.fakes.clock import FakeClock


def test_a_token_is_read_as_it_came(oauth: HttpAuthorizationServers, registered: OAuthClient) -> None:
    """The other tests would pass with a client that refuses everything."""
    found = oauth.client_credentials(registered, "a b")
    assert found.access_token.reveal() == TOKEN
    assert found.refresh_token is not None
    assert found.refresh_token.reveal() == REFRESH
    assert (found.token_type, found.expires_in, found.scope) == ("bearer", timedelta(minutes=10), "a b")


def test_id_and_secret_are_encoded_before_they_become_a_login(
    canned: SecureServer, oauth: HttpAuthorizationServers, registered: OAuthClient
) -> None:
    """RFC 6749, 2.3.1: a colon or a percent sign in a secret would otherwise make another login of it."""
    oauth.refresh(registered, Secret(REFRESH), "a")
    head, _, body = canned.requests[-1].partition(b"\r\n\r\n")
    shown = next(line.split(b" ")[2] for line in head.split(b"\r\n") if line.startswith(b"Authorization:"))
    assert base64.b64decode(shown) == b"some+client:s3cret%3A+100%25+%2B%2F%26%3D%C3%BC"
    assert parse_qs(body.decode()) == {"grant_type": ["refresh_token"], "refresh_token": [REFRESH], "scope": ["a"]}


def test_a_server_that_takes_the_secret_in_the_body_only_gets_it_there(
    canned: SecureServer, oauth: HttpAuthorizationServers, registered: OAuthClient
) -> None:
    """client_secret_post, as its metadata says."""
    changed = document(canned, token_endpoint_auth_methods_supported=["private_key_jwt", "client_secret_post"])
    canned.by_path["/.well-known/oauth-authorization-server"] = as_json(changed)
    oauth.client_credentials(registered, "")
    head, _, body = canned.requests[-1].partition(b"\r\n\r\n")
    assert b"Authorization" not in head
    assert parse_qs(body.decode()) == {
        "grant_type": ["client_credentials"],
        "client_id": ["some client"],
        "client_secret": [SECRET],
    }


@pytest.mark.parametrize("page", [reply("404 Not Found"), html("200 OK")], ids=["absent", "a page for every path"])
def test_openid_metadata_is_asked_for_next(
    canned: SecureServer, oauth: HttpAuthorizationServers, registered: OAuthClient, page: bytes
) -> None:
    """RFC 8414 inserts its place before the path of the issuer, OpenID appends it."""
    issuer = f"{canned.issuer}/tenant"
    canned.by_path["/.well-known/oauth-authorization-server/tenant"] = page
    canned.by_path["/tenant/.well-known/openid-configuration"] = as_json(document(canned, issuer=issuer))
    oauth.client_credentials(replace(registered, server=replace(registered.server, issuer=issuer)), "")
    assert canned.paths() == [
        "/.well-known/oauth-authorization-server/tenant",
        "/tenant/.well-known/openid-configuration",
        "/token",
    ]


def test_metadata_is_kept_for_a_while(
    canned: SecureServer, oauth: HttpAuthorizationServers, registered: OAuthClient, clock: FakeClock
) -> None:
    """Each token would cost two calls more; and endpoints that moved are found without a restart."""
    for _ in range(2):
        oauth.client_credentials(registered, "")
    assert canned.paths() == ["/.well-known/oauth-authorization-server", "/token", "/token"]
    clock.advance(METADATA_KEPT)
    oauth.client_credentials(registered, "")
    assert canned.paths()[3:] == ["/.well-known/oauth-authorization-server", "/token"]


def test_metadata_is_forgotten_with_a_failure(
    canned: SecureServer, oauth: HttpAuthorizationServers, registered: OAuthClient
) -> None:
    """The endpoint may have moved."""
    oauth.client_credentials(registered, "")
    canned.by_path["/token"] = reply("503 Service Unavailable")
    refused(lambda: oauth.client_credentials(registered, ""))
    canned.by_path["/token"] = as_json(GOOD)
    oauth.client_credentials(registered, "")
    assert canned.paths().count("/.well-known/oauth-authorization-server") == 2


BAD_METADATA = {
    "other issuer": {"issuer": "https://login.example.org"},
    "issuer with a slash more": {"issuer": "SLASH"},
    "no issuer": {"issuer": None},
    "no token endpoint": {"token_endpoint": None},
    "token endpoint without TLS": {"token_endpoint": "http://127.0.0.1/token"},
    "token endpoint of another kind": {"token_endpoint": ["https://127.0.0.1/token"]},
    "token endpoint with a user": {"token_endpoint": "https://me@127.0.0.1/token"},
    "token endpoint with a line break": {"token_endpoint": "https://127.0.0.1/token\r\nX: y"},
    "token endpoint with a wrong port": {"token_endpoint": "https://127.0.0.1:99999/token"},
    "revocation without TLS": {"revocation_endpoint": "http://127.0.0.1/revoke"},
    "no way to log in": {"token_endpoint_auth_methods_supported": ["private_key_jwt"]},
}


@pytest.mark.parametrize("changes", BAD_METADATA.values(), ids=BAD_METADATA)
def test_metadata_that_cannot_be_trusted_is_refused(
    canned: SecureServer, oauth: HttpAuthorizationServers, registered: OAuthClient, changes: dict[str, object]
) -> None:
    """Before the client secret is sent anywhere (RFC 8414, 3.3 and 6.2)."""
    changes = {name: f"{canned.issuer}/" if value == "SLASH" else value for name, value in changes.items()}
    canned.by_path["/.well-known/oauth-authorization-server"] = as_json(document(canned, **changes))
    fault = refused(lambda: oauth.client_credentials(registered, ""))
    assert (fault.family, fault.code) == (Family.DENIED, Code.AUTHORIZATION_METADATA)
    assert len(canned.requests) == 1


def test_a_server_without_metadata_is_named(
    canned: SecureServer, oauth: HttpAuthorizationServers, registered: OAuthClient
) -> None:
    """Most likely the issuer is misspelt."""
    canned.by_path.clear()
    assert refused(lambda: oauth.client_credentials(registered, "")).code is Code.AUTHORIZATION_METADATA


@pytest.mark.parametrize(
    ("told", "seconds"),
    [("600", 600), (0, 0), (1e300, 36600 * 86400), (None, None), (-1, None), ("soon", None), ([600], None)],
)
def test_lives_are_read_or_left_out(
    canned: SecureServer,
    oauth: HttpAuthorizationServers,
    registered: OAuthClient,
    told: object,
    seconds: int | None,
) -> None:
    """Some servers write a text; and no number may break the arithmetic of times."""
    canned.by_path["/token"] = as_json({**GOOD, "expires_in": told})
    found = oauth.client_credentials(registered, "").expires_in
    assert found == (None if seconds is None else timedelta(seconds=seconds))


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity"])
def test_what_python_alone_calls_a_number_breaks_nothing(
    canned: SecureServer, oauth: HttpAuthorizationServers, registered: OAuthClient, number: bytes
) -> None:
    """json.loads takes them."""
    canned.by_path["/token"] = reply("200 OK", b'{"access_token": "a", "token_type": "b", "expires_in": %s}' % number)
    found = oauth.client_credentials(registered, "").expires_in
    assert found in (None, timedelta(days=36600))


@pytest.mark.parametrize("token", [None, "", 5, {"a": 1}, "two\r\nlines", "smörgås"])
def test_a_refresh_token_comes_through_beside_an_unusable_access_token(
    canned: SecureServer, oauth: HttpAuthorizationServers, registered: OAuthClient, token: object
) -> None:
    """It is the only way on, so the kind must get it before anything is judged."""
    canned.by_path["/token"] = as_json({**GOOD, "access_token": token})
    found = oauth.refresh(registered, Secret(REFRESH), "")
    assert not found.access_token
    assert found.refresh_token is not None


@pytest.mark.parametrize(
    ("told", "active"), [({"active": True}, True), ({"active": False}, False), ({"active": "true"}, False), ({}, False)]
)
def test_only_a_plain_yes_is_active(
    canned: SecureServer, oauth: HttpAuthorizationServers, registered: OAuthClient, told: object, active: bool
) -> None:
    """RFC 7662, 2.2: a boolean."""
    canned.by_path["/introspect"] = as_json(told)
    state = oauth.introspect(registered, Secret(TOKEN))
    assert state is not None
    assert (state.active, state.expires_at) == (active, None)


def test_the_end_is_read_from_introspection(
    canned: SecureServer, oauth: HttpAuthorizationServers, registered: OAuthClient
) -> None:
    """For servers that leave expires_in out."""
    canned.by_path["/introspect"] = as_json({"active": True, "exp": 1767225600})
    state = oauth.introspect(registered, Secret(TOKEN))
    assert state is not None
    assert state.expires_at == datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("status", ["403 Forbidden", "404 Not Found", "405 Not Allowed"])
def test_what_is_not_for_this_client_is_as_if_it_were_not_there(
    canned: SecureServer, oauth: HttpAuthorizationServers, registered: OAuthClient, status: str
) -> None:
    """Many servers let only resource servers introspect."""
    canned.by_path["/introspect"] = canned.by_path["/revoke"] = html(status)
    assert oauth.introspect(registered, Secret(TOKEN)) is None
    assert not oauth.revoke(registered, Secret(TOKEN))


def test_a_server_without_these_endpoints_is_not_asked(
    canned: SecureServer, oauth: HttpAuthorizationServers, registered: OAuthClient
) -> None:
    """Both are optional."""
    bare = document(canned, introspection_endpoint=None, revocation_endpoint=None)
    canned.by_path["/.well-known/oauth-authorization-server"] = as_json(bare)
    assert oauth.introspect(registered, Secret(TOKEN)) is None
    assert not oauth.revoke(registered, Secret(TOKEN))
    assert canned.paths() == ["/.well-known/oauth-authorization-server"]


REVOCATIONS = {
    "plain": (reply("200 OK"), True),
    "any body": (html("200 OK"), True),
    "not for access tokens": (as_json({"error": "unsupported_token_type"}, "400 x"), False),
    "throttled": (reply("429 x"), Code.AUTHORIZATION_THROTTLED),
    "down": (reply("503 x"), Code.AUTHORIZATION_ERROR),
    "client refused": (as_json({"error": "invalid_client"}, "401 x"), Code.AUTHORIZATION_CLIENT_REFUSED),
}


@pytest.mark.parametrize(("answer", "outcome"), REVOCATIONS.values(), ids=REVOCATIONS)
def test_revocation_is_done_impossible_or_a_fault(
    canned: SecureServer,
    oauth: HttpAuthorizationServers,
    registered: OAuthClient,
    answer: bytes,
    outcome: bool | Code,
) -> None:
    """RFC 7009, 2.2: success also for a token that nobody knows."""
    canned.by_path["/revoke"] = answer
    if isinstance(outcome, Code):
        assert refused(lambda: oauth.revoke(registered, Secret(TOKEN))).code is outcome
    else:
        assert oauth.revoke(registered, Secret(TOKEN)) is outcome
    assert parse_qs(canned.requests[-1].partition(b"\r\n\r\n")[2].decode())["token_type_hint"] == ["access_token"]
