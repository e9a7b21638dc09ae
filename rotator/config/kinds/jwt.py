"""`[tokens]`, and `jwt = { audience }` of a credential of kind `jwt`."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING

from rotator.config.fields import Model, Name, Span
from rotator.core.identity import CredentialId, Owner, OwnerKind, spiffe_id
from rotator.core.kind_settings import JwtSettings, ScopeClaim, SigningKeySettings

if TYPE_CHECKING:
    from rotator.config.schema import ScopeModel

SIGNER = CredentialId(Owner(OwnerKind.SIGNER, "tokens"), "key")


class TokensModel(Model):
    """The one signing key of all agents' tokens, a key of `[vault] transit_mount` of type ecdsa-p256.

    issuer: the `iss` of every token; the trust domain when it is not said. key_ttl, policy: of the signing key.
    """

    issuer: str = ""
    key: Name = "rotator-tokens"
    key_ttl: Span = timedelta(days=30)
    policy: Name = "default"


class JwtModel(Model):
    """audience: the proxies at which the token is good; those of the agent's scopes when it is not said."""

    audience: tuple[Name, ...] = ()


def settings(
    model: JwtModel, tokens: TokensModel, mount: str, trust_domain: str, agent: str, scopes: tuple[ScopeModel, ...]
) -> JwtSettings:
    audience = model.audience or tuple(sorted({scope.proxy for scope in scopes}))
    return JwtSettings(
        signer=SIGNER,
        mount=mount,
        key=tokens.key,
        issuer=tokens.issuer or f"spiffe://{trust_domain}",
        subject=spiffe_id(trust_domain, Owner(OwnerKind.AGENT, agent)),
        audience=tuple(sorted(audience)),
        scopes=tuple(_claim(scope) for scope in scopes if scope.proxy in audience),
    )


def signing_key(tokens: TokensModel, mount: str, lives: Iterable[timedelta]) -> SigningKeySettings:
    """lives: of the tokens that it signs."""
    return SigningKeySettings(mount, tokens.key, max(lives))


def _claim(scope: ScopeModel) -> ScopeClaim:
    methods = tuple(sorted({method.upper() for method in scope.methods}))
    return ScopeClaim(scope.proxy, scope.path, scope.match.value, methods, scope.permission.value)
