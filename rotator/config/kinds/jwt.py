"""`[tokens]`, and `jwt = { audience }` of a credential of kind `jwt`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import astuple
from datetime import timedelta
from typing import TYPE_CHECKING

from rotator.config.fields import Model, Name, Span, text_of
from rotator.core.identity import CredentialId, Owner, OwnerKind, spiffe_id
from rotator.core.kind_settings import JwtSettings, ScopeClaim, SigningKeySettings

if TYPE_CHECKING:
    from rotator.config.schema import ScopeModel

SIGNER = CredentialId(Owner(OwnerKind.SIGNER, "tokens"), "key")
KIND, KEY_KIND = "jwt", "signing_key"
# How much longer than the longest token an old verify key stays: for a token that was under way when the new key was
# adopted, and for proxies whose clocks are behind.
MARGIN = timedelta(seconds=60)


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
        scopes=tuple(sorted((_claim(scope) for scope in scopes if scope.proxy in audience), key=astuple)),
    )


def signing_key(tokens: TokensModel, mount: str, lives: Iterable[timedelta]) -> SigningKeySettings:
    """lives: of the tokens that it signs."""
    return SigningKeySettings(mount, tokens.key, max(lives))


def _claim(scope: ScopeModel) -> ScopeClaim:
    methods = tuple(sorted({method.upper() for method in scope.methods}))
    path = scope.match.spelled(scope.path)
    return ScopeClaim(scope.proxy, path, scope.match.value, methods, scope.permission.value)


def audience_problems(model: JwtModel, scopes: tuple[ScopeModel, ...]) -> Iterator[tuple[str, str, str]]:
    """(key, text, hint): a token that no proxy would let do anything."""
    reached = sorted({scope.proxy for scope in scopes})
    if not reached:
        yield "", "the agent has no scopes, so there is nothing that a token could say", "add a scope, or remove it"
    for proxy in model.audience if reached else ():
        if proxy not in reached:
            yield "audience", f"the agent has no scope at {proxy}", f"its scopes are at {', '.join(reached)}"


def key_problems(tokens: TokensModel, longest: timedelta, left: timedelta) -> Iterator[tuple[str, str, str]]:
    """(key, text, hint). left: of the signing key's life after its renewal. longest: life of a token."""
    if left < longest + MARGIN:
        text = (
            f"{text_of(tokens.key_ttl)} leaves {text_of(left)} after the renewal, less than the longest token and its"
            f" margin, {text_of(longest + MARGIN)}"
        )
        yield "key_ttl", text, "make it longer: a token never outlives its verify key"
