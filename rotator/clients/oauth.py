"""OAuth 2.0 authorization servers behind `ports.AuthorizationServers`: discovery, tokens, introspection, revocation.

https only, no redirect followed (it would carry the client secret away), replies of 256 KiB at most, one deadline for
each whole call. Every call has a connection of its own: rotations are rare, and a kept-alive connection that the
server closes just then would make a reply that matters ambiguous.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus, urlencode

from rotator.clients.http import HttpClient, HttpReply, Peer, TlsContextSettings
from rotator.clients.oauth_errors import body_of, error_of, malformed, refusal
from rotator.clients.oauth_metadata import ClientAuth, Endpoint, Metadata, Url, metadata, places
from rotator.core.errors import Code, Denied, Fault
from rotator.core.kind_settings import AuthorizationServer
from rotator.core.secret import Secret
from rotator.ports import Clock, OAuthClient, TokenReply, TokenState

TIMEOUT = timedelta(seconds=10)
METADATA_KEPT = timedelta(minutes=10)
# What a server says beyond this is no life of a token; timedelta would overflow.
LONGEST_LIFE = timedelta(days=100 * 366)
_HEADERS = {"Accept": "application/json", "User-Agent": "rotator", "Connection": "close"}
# 403: this client may not ask; RFC 7662 leaves that to the server. 404, 405: announced, and not there.
_NOT_FOR_US = (403, 404, 405)
_ACCESS = ("token_type_hint", "access_token")


class HttpAuthorizationServers:
    """Thread-safe. Metadata is kept for ten minutes, and forgotten with any failure."""

    def __init__(self, clock: Clock, timeout: timedelta = TIMEOUT) -> None:
        """timeout: of one HTTP call, from connect to last byte."""
        self._clock, self._timeout = clock, timeout
        self._mutex = threading.Lock()
        self._clients: dict[tuple[str, object], HttpClient] = {}
        self._known: dict[AuthorizationServer, tuple[float, Metadata]] = {}

    def client_credentials(self, client: OAuthClient, scope: str) -> TokenReply:
        form = {"grant_type": "client_credentials", **_scope(scope)}
        return self._token(client, form)

    def refresh(self, client: OAuthClient, refresh_token: Secret, scope: str) -> TokenReply:
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token.reveal(), **_scope(scope)}
        return self._token(client, form)

    def introspect(self, client: OAuthClient, token: Secret) -> TokenState | None:
        where = self._metadata(client.server).introspection
        if where is None:
            return None
        reply = self._ask(client, where, dict([("token", token.reveal()), _ACCESS]), idempotent=True)
        if reply.status in _NOT_FOR_US:
            return None
        body = self._good(client, where, reply)
        return TokenState(body.get("active") is True, _moment(body.get("exp")))

    def revoke(self, client: OAuthClient, token: Secret) -> bool:
        where = self._metadata(client.server).revocation
        if where is None:
            return False
        reply = self._ask(client, where, dict([("token", token.reveal()), _ACCESS]), idempotent=True)
        if 200 <= reply.status < 300:  # RFC 7009, 2.2: also for a token that is not alive, and with any body
            return True
        if error_of(reply) == "unsupported_token_type" or reply.status in _NOT_FOR_US:
            return False
        raise self._failed(client.server, refusal(reply, where.name))

    def _token(self, client: OAuthClient, form: Mapping[str, str]) -> TokenReply:
        where = self._metadata(client.server).token
        body = self._good(client, where, self._ask(client, where, form))
        refresh = body.get("refresh_token")
        return TokenReply(
            access_token=Secret(_bearer(body.get("access_token"))),
            token_type=_text(body.get("token_type")),
            expires_in=_life(body.get("expires_in")),
            refresh_token=Secret(refresh) if isinstance(refresh, str) and refresh else None,
            scope=_text(body.get("scope")),
        )

    def _good(self, client: OAuthClient, where: Endpoint, reply: HttpReply) -> Mapping[str, Any]:
        """The body of a success."""
        if not 200 <= reply.status < 300:
            raise self._failed(client.server, refusal(reply, where.name))
        body = body_of(reply)
        if body is None:
            raise self._failed(client.server, malformed(where.name))
        return body

    def _ask(
        self, client: OAuthClient, where: Endpoint, form: Mapping[str, str], idempotent: bool = False
    ) -> HttpReply:
        headers, body = _authenticated(client, where.auth, form)
        try:
            return self._http(client.server, where.url).request(
                "POST", where.url.path, headers, body, idempotent=idempotent
            )
        except Fault as fault:
            raise self._failed(client.server, fault) from None

    def _metadata(self, server: AuthorizationServer) -> Metadata:
        with self._mutex:
            until, known = self._known.get(server, (0.0, None))
        if known is not None and self._clock.monotonic() < until:
            return known
        found = self._discovered(server)
        with self._mutex:
            self._known[server] = (self._clock.monotonic() + METADATA_KEPT.total_seconds(), found)
        return found

    def _discovered(self, server: AuthorizationServer) -> Metadata:
        """Some servers answer every unknown path with 200 and a page: that is no metadata either."""
        what = "the metadata of the authorization server"
        for url in places(server.issuer):
            reply = self._http(server, url).request("GET", url.path, _HEADERS, idempotent=True)
            if reply.status == 429 or reply.status >= 500:
                raise refusal(reply, what)
            document = body_of(reply) if reply.status == 200 else None
            if document is not None:
                return metadata(document, server.issuer)
        raise Denied(
            Code.AUTHORIZATION_METADATA,
            "the authorization server publishes no metadata (RFC 8414, OpenID Connect Discovery)",
            hint="check `issuer` in [authorization_servers.NAME]",
        )

    def _failed(self, server: AuthorizationServer, fault: Fault) -> Fault:
        """The endpoints may have moved: the next try asks for them anew."""
        with self._mutex:
            self._known.pop(server, None)
        return fault

    def _http(self, server: AuthorizationServer, url: Url) -> HttpClient:
        """One for each host: metadata and endpoints may be on several."""
        with self._mutex:
            found = self._clients.get((url.origin, server.ca_file))
            if found is None:
                tls = TlsContextSettings(ca_file=Path(server.ca_file) if server.ca_file else None)
                found = HttpClient(url.origin, tls, self._timeout, Peer.AUTHORIZATION_SERVER, self._clock)
                self._clients[url.origin, server.ca_file] = found
            return found


def _authenticated(client: OAuthClient, auth: ClientAuth, form: Mapping[str, str]) -> tuple[Mapping[str, str], bytes]:
    """Headers and body. RFC 6749, 2.3.1: id and secret are form-encoded before they become a basic login."""
    headers = {**_HEADERS, "Content-Type": "application/x-www-form-urlencoded"}
    if auth is ClientAuth.POST:
        form = {**form, "client_id": client.client_id, "client_secret": client.secret.reveal()}
    else:
        pair = f"{quote_plus(client.client_id)}:{quote_plus(client.secret.reveal())}"
        headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
    return headers, urlencode(form).encode()


def _scope(scope: str) -> Mapping[str, str]:
    return {"scope": scope} if scope else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _bearer(value: Any) -> str:
    """Empty for what does not pass in a header unharmed (RFC 6749, A.12 allows these characters alone)."""
    text = _text(value)
    return text if all(" " < letter <= "~" for letter in text) else ""


def _life(value: Any) -> timedelta | None:
    """Some servers write the number as a text. None for anything that is no length of time."""
    try:
        seconds = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return timedelta(seconds=min(seconds, LONGEST_LIFE.total_seconds())) if seconds >= 0 else None


def _moment(value: Any) -> datetime | None:
    """`exp`, seconds since 1970."""
    since = _life(value)
    return None if since is None else datetime(1970, 1, 1, tzinfo=UTC) + since
