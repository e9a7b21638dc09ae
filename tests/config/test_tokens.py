"""Tokens and their signing key: made where there are tokens, refused where nobody could verify them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from rotator.config.kinds.jwt import MARGIN, SIGNER
from rotator.core.kind_settings import JwtSettings, SigningKeySettings
from rotator.core.spec import Spec

from .conftest import GOOD, accepted, problems

Write = Callable[..., Path]
TOKEN = '[agents.billing.credentials.token]\nkind = "jwt"\nttl = "4h"\n'
PROXY = GOOD[GOOD.index("[proxies.edge]") : GOOD.index("[agents.billing]")]
SCOPE = '  { proxy = "edge", path = "/orders", methods = ["GET"], rate = "100/1m" },\n'


def token_of(path: Path) -> Spec:
    (agent,) = accepted(path).settings.fleet.agents
    return next(spec for spec in agent.credentials if spec.kind == "jwt")


def signer_of(path: Path) -> Spec:
    (spec,) = accepted(path).settings.fleet.signers
    return spec


def test_without_tokens_there_is_no_signing_key(write: Write) -> None:
    """Nobody needs transit who has none; documents say nothing of verify keys then."""
    assert accepted(write(GOOD)).settings.fleet.signers == ()


def test_a_token_brings_its_signing_key(write: Write) -> None:
    """The last of all specs; its overlap begins with the adoption of the next key and outlasts every token."""
    path = write(GOOD + TOKEN)
    fleet, spec = accepted(path).settings.fleet, signer_of(path)
    assert fleet.specs()[-1] == spec
    assert (spec.id, spec.kind, spec.ttl, spec.kv_path) == (
        SIGNER,
        "signing_key",
        timedelta(days=30),
        "signers/tokens/key",
    )
    assert spec.settings == SigningKeySettings("transit", "rotator-tokens", timedelta(hours=4))
    assert (spec.policy.overlap, spec.policy.overlap_from_adoption) == (timedelta(hours=4) + MARGIN, True)


def test_claims_follow_the_agents_scopes(write: Write) -> None:
    """Audience: the proxies of the scopes, when none is said."""
    want = token_of(write(GOOD + TOKEN)).settings
    assert isinstance(want, JwtSettings)
    assert (want.signer, want.audience, want.issuer) == (SIGNER, ("edge",), "spiffe://example.org")
    assert want.subject == "spiffe://example.org/agent/billing"
    assert [(scope.proxy, scope.path, scope.methods) for scope in want.scopes] == [("edge", "/orders", ("GET",))]


@pytest.mark.parametrize(
    ("scope", "changes"),
    [
        ('{ proxy = "edge", path = "/orders", methods = ["GET", "POST"], permission = "write" }', True),
        ('{ proxy = "edge", path = "/orders/archive", methods = ["GET"] }', True),
        ('{ proxy = "edge", path = "/orders/", methods = ["get"] }', False),
        ('{ proxy = "edge", path = "/orders", methods = ["GET"], rate = "7/1s" }', False),
    ],
)
def test_a_token_is_outdated_when_its_scopes_change(write: Write, scope: str, changes: bool) -> None:
    """Another spelling of the same thing, and what is not in a token, renews nothing."""
    before = token_of(write(GOOD + TOKEN)).digest
    after = token_of(write((GOOD + TOKEN).replace(SCOPE, f"  {scope},\n"))).digest
    assert (before != after) is changes


def test_the_order_of_scopes_is_no_change(write: Write) -> None:
    """Sorting a file must not renew a fleet's tokens."""
    other = '  { proxy = "edge", path = "/orders/archive", methods = ["GET"] },\n'
    first = token_of(write((GOOD + TOKEN).replace(SCOPE, SCOPE + other)))
    second = token_of(write((GOOD + TOKEN).replace(SCOPE, other + SCOPE)))
    assert first.digest == second.digest


def test_a_longer_token_keeps_the_signing_key(write: Write) -> None:
    """It changes how long the old key stays, not the key."""
    short, longer = (signer_of(write(GOOD + TOKEN.replace("4h", life))) for life in ("4h", "8h"))
    assert short.digest == longer.digest
    assert longer.policy.overlap == timedelta(hours=8) + MARGIN


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        (
            (GOOD + TOKEN).replace(PROXY, "").replace(SCOPE, ""),
            "agents.billing.credentials.token.kind",
            "no proxy that could verify",
        ),
        ((GOOD + TOKEN).replace(SCOPE, ""), "agents.billing.credentials.token", "no scopes"),
        (
            f'{GOOD}{TOKEN}jwt = {{ audience = ["west"] }}\n',
            "agents.billing.credentials.token.jwt.audience",
            "no scope at west",
        ),
        (
            f'{GOOD}{TOKEN}[tokens]\nkey_ttl = "8h"\n',
            "tokens.key_ttl",
            "less than the longest token",
        ),
        (f'{GOOD}{TOKEN}[tokens]\npolicy = "never"\n', "tokens.policy", "no policy of that name"),
        (
            f'{GOOD}[agents.billing.credentials.key]\nkind = "signing_key"\nttl = "24h"\n',
            "agents.billing.credentials.key.kind",
            "no kind of that name",
        ),
    ],
)
def test_what_nobody_could_verify_is_refused_at_load(write: Write, text: str, path: str, words: str) -> None:
    """Found here and not by an agent whose every request is refused."""
    found = {problem.path: problem.text for problem in problems(write(text))}
    assert words in found.get(path, str(found))
    assert path in found
