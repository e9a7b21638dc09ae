"""Authorization servers that misbehave: each way is one family and one code, and nothing secret is in the words."""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from rotator.clients.clock import SystemClock
from rotator.clients.oauth import METADATA_KEPT, HttpAuthorizationServers
from rotator.core.errors import Code, Family, Fault
from rotator.core.kind_settings import AuthorizationServer
from rotator.core.secret import Secret
from rotator.dev.servers import ports, tls
from rotator.ports import OAuthClient
from tests.clients.canned_server import CannedServer, read_message, reply
from tests.fakes.clock import FakeClock

SECRET, TOKEN, REFRESH = "s3cret: 100% +/&=ü", "access-token-1234567", "refresh-token-1234567"
TIMEOUT = timedelta(seconds=5)


class SecureServer(CannedServer):
    """`CannedServer` over TLS that answers by the path of the request. drips: the path whose answer comes byte by byte,
    one each 50 ms, so that no read of the client ever waits long."""

    def __init__(self, folder: Path) -> None:
        self.files = tls.make(folder, "canned")
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(self.files.certificate, self.files.key)
        self.by_path: dict[str, bytes] = {}
        self.drips, self._pause = "", threading.Event()
        super().__init__(b"")
        self.issuer = self.address.replace("http:", "https:")

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            plain.settimeout(5)
            with plain, suppress(OSError), self._context.wrap_socket(plain, server_side=True) as connection:
                request = read_message(connection)
                self.requests.append(request)
                answer = self.by_path.get(path_of(request), reply("404 Not Found"))
                if path_of(request) == self.drips:
                    self._drip(connection, answer)
                connection.sendall(answer)

    def _drip(self, connection: ssl.SSLSocket, answer: bytes) -> None:
        for number in range(len(answer)):
            connection.sendall(answer[number : number + 1])
            self._pause.wait(0.05)

    def paths(self) -> list[str]:
        return [path_of(request) for request in self.requests]


def path_of(request: bytes) -> str:
    return request.split(b" ")[1].decode() if b" " in request else ""


def as_json(body: object, status: str = "200 OK") -> bytes:
    return reply(status, json.dumps(body).encode(), "Content-Type: application/json")


def html(status: str) -> bytes:
    return reply(status, f"<html>{SECRET} {TOKEN}</html>".encode(), "Content-Type: text/html")


def document(server: SecureServer, **changes: object) -> dict[str, object]:
    return {
        "issuer": server.issuer,
        "token_endpoint": f"{server.issuer}/token",
        "introspection_endpoint": f"{server.issuer}/introspect",
        "revocation_endpoint": f"{server.issuer}/revoke",
        **changes,
    }


GOOD = {"access_token": TOKEN, "token_type": "bearer", "expires_in": 600, "refresh_token": REFRESH, "scope": "a b"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SecureServer]:
    made = SecureServer(tmp_path)
    made.by_path["/.well-known/oauth-authorization-server"] = as_json(document(made))
    made.by_path["/token"] = as_json(GOOD)
    yield made
    made.close()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(datetime(2026, 1, 1, tzinfo=UTC))


@pytest.fixture
def client(server: SecureServer) -> OAuthClient:
    return OAuthClient(AuthorizationServer(server.issuer, server.files.ca), "some client", Secret(SECRET))


@pytest.fixture
def servers(clock: FakeClock) -> HttpAuthorizationServers:
    return HttpAuthorizationServers(clock, TIMEOUT)


def refused(call: Callable[[], object]) -> Fault:
    """The Fault of a call; no secret may be in it or in what caused it."""
    with pytest.raises(Fault) as raised:
        call()
    fault = raised.value
    shown = f"{fault.text} {fault.hint} {fault!r} {fault.__cause__!r}"
    assert not any(secret in shown for secret in (SECRET, TOKEN, REFRESH))
    assert fault.__suppress_context__ or fault.__context__ is None
    return fault


def test_a_token_is_read_as_it_came(servers: HttpAuthorizationServers, client: OAuthClient) -> None:
    """The other tests would pass with a client that refuses everything."""
    found = servers.client_credentials(client, "a b")
    assert found.access_token.reveal() == TOKEN
    assert found.refresh_token is not None
    assert found.refresh_token.reveal() == REFRESH
    assert (found.token_type, found.expires_in, found.scope) == ("bearer", timedelta(minutes=10), "a b")


def test_id_and_secret_are_encoded_before_they_become_a_login(
    server: SecureServer, servers: HttpAuthorizationServers, client: OAuthClient
) -> None:
    """RFC 6749, 2.3.1: a colon or a percent sign in a secret would otherwise make another login of it."""
    servers.refresh(client, Secret(REFRESH), "a")
    head, _, body = server.requests[-1].partition(b"\r\n\r\n")
    shown = next(line.split(b" ")[2] for line in head.split(b"\r\n") if line.startswith(b"Authorization:"))
    assert base64.b64decode(shown) == b"some+client:s3cret%3A+100%25+%2B%2F%26%3D%C3%BC"
    assert parse_qs(body.decode()) == {"grant_type": ["refresh_token"], "refresh_token": [REFRESH], "scope": ["a"]}


def test_a_server_that_takes_the_secret_in_the_body_only_gets_it_there(
    server: SecureServer, servers: HttpAuthorizationServers, client: OAuthClient
) -> None:
    """client_secret_post, as its metadata says."""
    changed = document(server, token_endpoint_auth_methods_supported=["private_key_jwt", "client_secret_post"])
    server.by_path["/.well-known/oauth-authorization-server"] = as_json(changed)
    servers.client_credentials(client, "")
    head, _, body = server.requests[-1].partition(b"\r\n\r\n")
    assert b"Authorization" not in head
    assert parse_qs(body.decode()) == {
        "grant_type": ["client_credentials"],
        "client_id": ["some client"],
        "client_secret": [SECRET],
    }


@pytest.mark.parametrize("page", [reply("404 Not Found"), html("200 OK")], ids=["absent", "a page for every path"])
def test_openid_metadata_is_asked_for_next(
    server: SecureServer, servers: HttpAuthorizationServers, client: OAuthClient, page: bytes
) -> None:
    """RFC 8414 inserts its place before the path of the issuer, OpenID appends it."""
    issuer = f"{server.issuer}/tenant"
    server.by_path["/.well-known/oauth-authorization-server/tenant"] = page
    server.by_path["/tenant/.well-known/openid-configuration"] = as_json(document(server, issuer=issuer))
    servers.client_credentials(replace(client, server=replace(client.server, issuer=issuer)), "")
    assert server.paths() == [
        "/.well-known/oauth-authorization-server/tenant",
        "/tenant/.well-known/openid-configuration",
        "/token",
    ]


def test_metadata_is_kept_for_a_while(
    server: SecureServer, servers: HttpAuthorizationServers, client: OAuthClient, clock: FakeClock
) -> None:
    """Each token would cost two calls more; and endpoints that moved are found without a restart."""
    for _ in range(2):
        servers.client_credentials(client, "")
    assert server.paths() == ["/.well-known/oauth-authorization-server", "/token", "/token"]
    clock.advance(METADATA_KEPT)
    servers.client_credentials(client, "")
    assert server.paths()[3:] == ["/.well-known/oauth-authorization-server", "/token"]


def test_metadata_is_forgotten_with_a_failure(
    server: SecureServer, servers: HttpAuthorizationServers, client: OAuthClient
) -> None:
    """The endpoint may have moved."""
    servers.client_credentials(client, "")
    server.by_path["/token"] = reply("503 Service Unavailable")
    refused(lambda: servers.client_credentials(client, ""))
    server.by_path["/token"] = as_json(GOOD)
    servers.client_credentials(client, "")
    assert server.paths().count("/.well-known/oauth-authorization-server") == 2


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
    server: SecureServer, servers: HttpAuthorizationServers, client: OAuthClient, changes: dict[str, object]
) -> None:
    """Before the client secret is sent anywhere (RFC 8414, 3.3 and 6.2)."""
    changes = {name: f"{server.issuer}/" if value == "SLASH" else value for name, value in changes.items()}
    server.by_path["/.well-known/oauth-authorization-server"] = as_json(document(server, **changes))
    fault = refused(lambda: servers.client_credentials(client, ""))
    assert (fault.family, fault.code) == (Family.DENIED, Code.AUTHORIZATION_METADATA)
    assert len(server.requests) == 1


def test_a_server_without_metadata_is_named(
    server: SecureServer, servers: HttpAuthorizationServers, client: OAuthClient
) -> None:
    """Most likely the issuer is misspelt."""
    server.by_path.clear()
    assert refused(lambda: servers.client_credentials(client, "")).code is Code.AUTHORIZATION_METADATA


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
    server: SecureServer,
    servers: HttpAuthorizationServers,
    client: OAuthClient,
    answer: bytes,
    family: Family,
    code: Code,
) -> None:
    """The core knows from the family when to try again, a person from the code what to do. Asked once each time."""
    server.by_path["/token"] = answer
    fault = refused(lambda: servers.refresh(client, Secret(REFRESH), ""))
    assert (fault.family, fault.code) == (family, code)
    assert server.paths().count("/token") == 1


@pytest.mark.parametrize("slow", ["/.well-known/oauth-authorization-server", "/token"])
def test_a_server_that_drips_is_given_up_in_time(server: SecureServer, client: OAuthClient, slow: str) -> None:
    """One byte before each socket timeout would hold a worker for ever."""
    server.drips = slow
    impatient = HttpAuthorizationServers(SystemClock(), timedelta(milliseconds=300))
    fault = refused(lambda: impatient.client_credentials(client, ""))
    assert (fault.family, fault.code) == (Family.UNAVAILABLE, Code.AUTHORIZATION_UNREACHABLE)
    assert server.paths()[-1] == slow


def test_nobody_listens(servers: HttpAuthorizationServers, client: OAuthClient) -> None:
    """Down, or another address."""
    issuer = f"https://127.0.0.1:{ports.take(1)[0]}"
    elsewhere = replace(client, server=replace(client.server, issuer=issuer))
    fault = refused(lambda: servers.client_credentials(elsewhere, ""))
    assert (fault.family, fault.code) == (Family.UNAVAILABLE, Code.AUTHORIZATION_UNREACHABLE)


def test_another_ca_is_final(
    server: SecureServer, servers: HttpAuthorizationServers, client: OAuthClient, tmp_path: Path
) -> None:
    """Nothing is sent, and never without verification."""
    other = tmp_path / "other"
    other.mkdir()
    distrusting = replace(client, server=replace(client.server, ca_file=tls.make(other, "other").ca))
    fault = refused(lambda: servers.client_credentials(distrusting, ""))
    assert (fault.family, fault.code) == (Family.DENIED, Code.AUTHORIZATION_TLS)
    assert server.requests == []


@pytest.mark.parametrize(
    ("told", "seconds"),
    [("600", 600), (0, 0), (1e300, 36600 * 86400), (None, None), (-1, None), ("soon", None), ([600], None)],
)
def test_lives_are_read_or_left_out(
    server: SecureServer,
    servers: HttpAuthorizationServers,
    client: OAuthClient,
    told: object,
    seconds: int | None,
) -> None:
    """Some servers write a text; and no number may break the arithmetic of times."""
    server.by_path["/token"] = as_json({**GOOD, "expires_in": told})
    found = servers.client_credentials(client, "").expires_in
    assert found == (None if seconds is None else timedelta(seconds=seconds))


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity"])
def test_what_python_alone_calls_a_number_breaks_nothing(
    server: SecureServer, servers: HttpAuthorizationServers, client: OAuthClient, number: bytes
) -> None:
    """json.loads takes them."""
    server.by_path["/token"] = reply("200 OK", b'{"access_token": "a", "token_type": "b", "expires_in": %s}' % number)
    found = servers.client_credentials(client, "").expires_in
    assert found in (None, timedelta(days=36600))


@pytest.mark.parametrize("token", [None, "", 5, {"a": 1}, "two\r\nlines", "smörgås"])
def test_a_refresh_token_comes_through_beside_an_unusable_access_token(
    server: SecureServer, servers: HttpAuthorizationServers, client: OAuthClient, token: object
) -> None:
    """It is the only way on, so the kind must get it before anything is judged."""
    server.by_path["/token"] = as_json({**GOOD, "access_token": token})
    found = servers.refresh(client, Secret(REFRESH), "")
    assert not found.access_token
    assert found.refresh_token is not None


@pytest.mark.parametrize(
    ("told", "active"), [({"active": True}, True), ({"active": False}, False), ({"active": "true"}, False), ({}, False)]
)
def test_only_a_plain_yes_is_active(
    server: SecureServer, servers: HttpAuthorizationServers, client: OAuthClient, told: object, active: bool
) -> None:
    """RFC 7662, 2.2: a boolean."""
    server.by_path["/introspect"] = as_json(told)
    state = servers.introspect(client, Secret(TOKEN))
    assert state is not None
    assert (state.active, state.expires_at) == (active, None)


def test_the_end_is_read_from_introspection(
    server: SecureServer, servers: HttpAuthorizationServers, client: OAuthClient
) -> None:
    """For servers that leave expires_in out."""
    server.by_path["/introspect"] = as_json({"active": True, "exp": 1767225600})
    state = servers.introspect(client, Secret(TOKEN))
    assert state is not None
    assert state.expires_at == datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("status", ["403 Forbidden", "404 Not Found", "405 Not Allowed"])
def test_what_is_not_for_this_client_is_as_if_it_were_not_there(
    server: SecureServer, servers: HttpAuthorizationServers, client: OAuthClient, status: str
) -> None:
    """Many servers let only resource servers introspect."""
    server.by_path["/introspect"] = server.by_path["/revoke"] = html(status)
    assert servers.introspect(client, Secret(TOKEN)) is None
    assert not servers.revoke(client, Secret(TOKEN))


def test_a_server_without_these_endpoints_is_not_asked(
    server: SecureServer, servers: HttpAuthorizationServers, client: OAuthClient
) -> None:
    """Both are optional."""
    bare = document(server, introspection_endpoint=None, revocation_endpoint=None)
    server.by_path["/.well-known/oauth-authorization-server"] = as_json(bare)
    assert servers.introspect(client, Secret(TOKEN)) is None
    assert not servers.revoke(client, Secret(TOKEN))
    assert server.paths() == ["/.well-known/oauth-authorization-server"]


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
    server: SecureServer,
    servers: HttpAuthorizationServers,
    client: OAuthClient,
    answer: bytes,
    outcome: bool | Code,
) -> None:
    """RFC 7009, 2.2: success also for a token that nobody knows."""
    server.by_path["/revoke"] = answer
    if isinstance(outcome, Code):
        assert refused(lambda: servers.revoke(client, Secret(TOKEN))).code is outcome
    else:
        assert servers.revoke(client, Secret(TOKEN)) is outcome
    assert parse_qs(server.requests[-1].partition(b"\r\n\r\n")[2].decode())["token_type_hint"] == ["access_token"]
