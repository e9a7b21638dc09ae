"""`[authorization_servers.NAME]`, and `oauth2 = { server, client_id, … }` of a credential of kind `oauth2`."""

from __future__ import annotations

from pathlib import Path

from rotator.config.fields import Model, Name
from rotator.core.kind_settings import AuthorizationServer, Grant, OAuth2Settings


class AuthorizationServerModel(Model):
    """issuer: its identifier as RFC 8414 has it, an https URL; the endpoints are discovered."""

    issuer: str
    ca_file: Path | None = None


class OAuth2Model(Model):
    """client_path: below the KV mount, with `client_secret` and, for grant refresh_token, the first `refresh_token`.

    Somebody else writes it; this service only reads it.
    """

    server: Name
    client_id: str
    client_path: str
    grant: Grant = Grant.CLIENT_CREDENTIALS
    scope: str = ""


def settings(model: OAuth2Model, servers: dict[str, AuthorizationServerModel]) -> OAuth2Settings:
    server = servers[model.server]
    known = AuthorizationServer(server.issuer, server.ca_file)
    return OAuth2Settings(known, model.grant, model.client_id, model.client_path, model.scope)
