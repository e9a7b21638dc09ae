"""Authorization servers (OAuth 2.0): tokens from the token endpoint, introspection, revocation."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from rotator.core.kind_settings import AuthorizationServer
from rotator.core.secret import Secret


@dataclass(frozen=True, slots=True)
class TokenReply:
    """RFC 6749, 5.1. expires_in: None where the server does not say. refresh_token: None where none came."""

    access_token: Secret
    expires_in: timedelta | None
    refresh_token: Secret | None = None
    scope: str = ""


class AuthorizationServers(Protocol):
    """Finds endpoints by discovery (RFC 8414, OpenID Connect Discovery); https only. Raises only Fault families."""

    def client_credentials(self, server: AuthorizationServer, client_id: str, secret: Secret, scope: str) -> TokenReply:
        """RFC 6749, 4.4."""
        ...

    def refresh(self, server: AuthorizationServer, client_id: str, secret: Secret, refresh_token: Secret) -> TokenReply:
        """RFC 6749, 6. Denied when the server says invalid_grant: the token is used, revoked or expired."""
        ...

    def is_active(self, server: AuthorizationServer, client_id: str, secret: Secret, token: Secret) -> bool | None:
        """RFC 7662; None where the server has no introspection."""
        ...

    def revoke(self, server: AuthorizationServer, client_id: str, secret: Secret, token: Secret) -> bool:
        """RFC 7009; safe to repeat. False where the server has no revocation endpoint."""
        ...
