"""Authorization servers (OAuth 2.0): tokens from the token endpoint, introspection, revocation."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from rotator.core.kind_settings import AuthorizationServer
from rotator.core.secret import Secret


@dataclass(frozen=True, slots=True)
class OAuthClient:
    """A client as it is registered at a server. secret: `client_secret`."""

    server: AuthorizationServer
    client_id: str
    secret: Secret


@dataclass(frozen=True, slots=True)
class TokenReply:
    """RFC 6749, 5.1, as it came: nothing in it is judged yet, because a new refresh token must be kept in any case.

    access_token, token_type, scope: empty where the server says nothing usable. expires_in: None where it does not
    say. refresh_token: None where none came.
    """

    access_token: Secret
    token_type: str
    expires_in: timedelta | None
    refresh_token: Secret | None = None
    scope: str = ""


@dataclass(frozen=True, slots=True)
class TokenState:
    """RFC 7662, 2.2. expires_at: None where the server does not say."""

    active: bool
    expires_at: datetime | None = None


class AuthorizationServers(Protocol):
    """Finds endpoints by discovery (RFC 8414, OpenID Connect Discovery); https only. Raises only Fault families.

    Denied: the client was refused, or the request; a person must look. Unavailable: it may have had its effect.
    """

    def client_credentials(self, client: OAuthClient, scope: str) -> TokenReply:
        """RFC 6749, 4.4. Not idempotent: a lost reply leaves a token that nobody knows, until it expires."""
        ...

    def refresh(self, client: OAuthClient, refresh_token: Secret, scope: str) -> TokenReply:
        """RFC 6749, 6. Denied (AUTHORIZATION_GRANT_DEAD) when the token is used, revoked or expired."""
        ...

    def introspect(self, client: OAuthClient, token: Secret) -> TokenState | None:
        """RFC 7662; None where the server has no introspection, or none for this client."""
        ...

    def revoke(self, client: OAuthClient, token: Secret) -> bool:
        """RFC 7009; safe to repeat. False where the server has no revocation for access tokens."""
        ...
