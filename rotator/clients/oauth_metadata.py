"""Where an authorization server's endpoints are: its metadata by RFC 8414, else by OpenID Connect Discovery 1.0.

Pure: addresses to ask, and a document in, endpoints out. The `issuer` of a document must be the configured one letter
by letter (RFC 8414, 3.3): else another server could have client secrets sent to its own token endpoint (mix-up).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from rotator.core.errors import Code, Denied

RFC_8414 = "/.well-known/oauth-authorization-server"
OPENID = "/.well-known/openid-configuration"
_HINT = "compare `issuer` in [authorization_servers.NAME] with what the server publishes"


class ClientAuth(StrEnum):
    """RFC 6749, 2.3.1, by the names of RFC 7591."""

    BASIC = "client_secret_basic"
    POST = "client_secret_post"


@dataclass(frozen=True, slots=True)
class Url:
    """origin: `https://host[:port]`. path: with the query, begins with a slash."""

    origin: str
    path: str


@dataclass(frozen=True, slots=True)
class Endpoint:
    """name: in words, for messages."""

    name: str
    url: Url
    auth: ClientAuth


@dataclass(frozen=True, slots=True)
class Metadata:
    """Endpoints that the server has. introspection, revocation: None where it has none."""

    token: Endpoint
    introspection: Endpoint | None
    revocation: Endpoint | None


def places(issuer: str) -> tuple[Url, ...]:
    """Where the metadata may be, in the order to ask: RFC 8414, 3 inserts, OpenID appends."""
    where = url_of(issuer)
    if where is None or "?" in where.path:
        raise Denied(Code.AUTHORIZATION_METADATA, "an issuer must be an https URL without query", hint=_HINT)
    path = where.path.rstrip("/")
    return Url(where.origin, RFC_8414 + path), Url(where.origin, path + OPENID)


def url_of(text: Any) -> Url | None:
    """None for anything but an absolute https URL without a user and without a fragment."""
    if not isinstance(text, str) or not text.isascii() or any(letter <= " " or letter == "\x7f" for letter in text):
        return None
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if parts.scheme != "https" or not host or "@" in parts.netloc or "#" in text:
        return None
    name = f"[{host}]" if ":" in host else host
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Url(f"https://{name}:{port or 443}", path)


def metadata(document: Mapping[str, Any], issuer: str) -> Metadata:
    """Denied (AUTHORIZATION_METADATA) for a document of another issuer, or one that we cannot work with."""
    if document.get("issuer") != issuer:
        raise Denied(
            Code.AUTHORIZATION_METADATA,
            "the metadata of the authorization server is that of another issuer than the configured one",
            hint=_HINT,
        )
    token = _endpoint(document, "token")
    if token is None:
        raise Denied(Code.AUTHORIZATION_METADATA, "the authorization server has no token endpoint", hint=_HINT)
    return Metadata(token, _endpoint(document, "introspection"), _endpoint(document, "revocation"))


def _endpoint(document: Mapping[str, Any], name: str) -> Endpoint | None:
    given = document.get(f"{name}_endpoint")
    if given is None:
        return None
    url = url_of(given)
    if url is None:
        raise Denied(
            Code.AUTHORIZATION_METADATA,
            f"the {name} endpoint of the authorization server is no https URL",
            hint="a client secret is never sent without TLS; correct the server's metadata",
        )
    return Endpoint(f"the {name} endpoint of the authorization server", url, _auth(document, name))


def _auth(document: Mapping[str, Any], name: str) -> ClientAuth:
    """How the client logs in there. Not said means as at the token endpoint, and there client_secret_basic."""
    offered = document.get(f"{name}_endpoint_auth_methods_supported")
    if offered is None:
        offered = document.get("token_endpoint_auth_methods_supported", [ClientAuth.BASIC.value])
    for method in ClientAuth:
        if isinstance(offered, list) and method.value in offered:
            return method
    raise Denied(
        Code.AUTHORIZATION_METADATA,
        f"the {name} endpoint of the authorization server takes neither client_secret_basic nor client_secret_post",
        hint="other ways of client authentication are not supported",
    )
