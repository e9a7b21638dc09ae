"""`[authorization_servers.NAME]`, and `oauth2 = { server, client_id, … }` of a credential of kind `oauth2`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from rotator.config.fields import Model, Name
from rotator.core.kind_settings import AuthorizationServer, Grant, OAuth2Settings

# First folders below the KV mount that this service writes: agents and other credentials must not overwrite a client's.
OURS = ("agents", "proxies", "signers", "oauth2")
# Segments of a KV path that pass through URLs and policies unharmed; no `..`, no empty one, no glob.
_PATH = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(?:/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")
# RFC 6749, A.4: words of %x21, %x23-5B, %x5D-7E, one space between them.
_SCOPE = r"^([!#-\[\]-~]+( [!#-\[\]-~]+)*)?$"


def _issuer(value: str) -> str:
    """RFC 8414, 2."""
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    spelled = value.isascii() and value.isprintable() and not set(value) & set(" ?#@\\")
    if parts.scheme != "https" or not host or not spelled:
        raise ValueError("an issuer is an https URL without query and fragment, for example https://login.example.org")
    return value


Issuer = Annotated[str, AfterValidator(_issuer)]


class AuthorizationServerModel(Model):
    """issuer: its identifier as RFC 8414 has it, an https URL, letter by letter; the endpoints are discovered."""

    issuer: Issuer
    ca_file: Path | None = None


class OAuth2Model(Model):
    """client_path: below the KV mount, with `client_secret` and, for grant refresh_token, the first `refresh_token`.

    Somebody else writes it; this service only reads it.
    """

    server: Name
    client_id: Annotated[str, Field(pattern=r"^[ -~]{1,256}$")]
    client_path: str
    grant: Grant = Grant.CLIENT_CREDENTIALS
    scope: Annotated[str, Field(pattern=_SCOPE, max_length=1024)] = ""


def problems(model: OAuth2Model) -> Iterator[tuple[str, str, str]]:
    """(key, text, hint) for what a schema cannot say."""
    if _PATH.fullmatch(model.client_path) is None or len(model.client_path) > 256:
        text = "segments of letters, digits, inner dots, - and _ with slashes between them are wanted"
        yield "client_path", text, "it lies below the KV mount, for example clients/billing"
    elif model.client_path.split("/")[0] in OURS:
        text = "lies in a folder that this service writes, where agents read"
        yield "client_path", text, f"any other first folder than {', '.join(OURS)}, for example clients/billing"


def settings(model: OAuth2Model, servers: dict[str, AuthorizationServerModel]) -> OAuth2Settings:
    server = servers[model.server]
    known = AuthorizationServer(server.issuer, server.ca_file)
    return OAuth2Settings(known, model.grant, model.client_id, model.client_path, model.scope)
