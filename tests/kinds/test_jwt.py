"""Tokens: exactly what the agent may do, signed by the key that every proxy knows. On a real OpenBao."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from rotator.clients.vault_admin import VaultAdmin
from rotator.core.errors import Code, Rejected, Unavailable
from rotator.core.jwk import base64url, jwk
from rotator.core.kind_settings import JwtSettings, ScopeClaim
from rotator.core.secret import Secret
from rotator.core.spec import Spec
from rotator.kinds.jwt import check_token
from tests.kinds.signing import accepted, part
from tests.kinds.signing_room import Room

pytestmark = pytest.mark.servers


@pytest.fixture
def room(vault: tuple[str, VaultAdmin, object], unique: str) -> Room:
    """With one verify key that proxies know."""
    made = Room(vault[0], vault[1], unique)
    made.tell(made.new_key())
    return made


def settings(room: Room, **changes: Any) -> Spec:
    want = room.token.settings
    assert isinstance(want, JwtSettings)
    return replace(room.token, settings=replace(want, **changes))


def test_a_token_says_what_the_agent_may_do(room: Room):
    """The claims of RFC 9068, scope words, and the endpoints as the proxies' documents name them."""
    facts = room.new_token()
    token = room.text(facts)
    subject = f"spiffe://example.test/agent/{room.name}"
    times = {name: int(at.timestamp()) for name, at in (("iat", facts.issued_at), ("exp", facts.not_after))}
    assert part(token, 1) == {
        "iss": "spiffe://example.test",
        "sub": subject,
        "client_id": subject,
        "aud": ["edge"],
        "scope": "read:edge write:edge",
        "endpoints": [
            {"proxy": "edge", "path": "/orders", "match": "prefix", "methods": ["GET", "POST"], "permission": "write"},
            {"proxy": "edge", "path": "/stock", "match": "exact", "methods": ["GET"], "permission": "read"},
        ],
        **times,
        "nbf": times["iat"] - 60,
        "jti": facts.serial,
    }
    assert facts.not_after - facts.issued_at == room.token.ttl


def test_its_header_names_key_and_type(room: Room):
    """A proxy finds the key by `kid`; `at+jwt` keeps it from being taken for another kind of token (RFC 9068, 4)."""
    facts = room.new_token()
    kid = room.signers.published(room.key.id)[0].serial
    assert part(room.text(facts), 0) == {"alg": "ES256", "typ": "at+jwt", "kid": kid}
    assert dict(facts.details)["kid"] == kid


def test_a_proxy_that_knows_the_keys_accepts_it_and_another_does_not(room: Room):
    """Checked here without the product's own library."""
    facts, now = room.new_token(), room.ports.clock.now()
    token, keys = room.text(facts), room.signers.published(room.key.id)
    room.token_kind.verify(room.token, facts)
    assert accepted(token, keys, "edge", now)
    assert accepted(token, keys, "edge", now - timedelta(seconds=30))  # a clock that is behind
    assert not accepted(token, keys, "west", now)
    assert not accepted(token, (), "edge", now)
    assert not accepted(token, keys, "edge", facts.not_after)


def test_nothing_is_signed_before_the_key_is_adopted(room: Room):
    """Published is not enough."""
    room.signers.unready.add(room.key.id)
    with pytest.raises(Unavailable, match="that every proxy verifies") as refusal:
        room.new_token()
    assert refusal.value.code is Code.SIGNER_NOT_READY
    assert room.vault.kv_state("kv", room.token.kv_path) is None


def test_the_active_version_signs_and_old_tokens_stay_good(room: Room):
    """The one before goes on being verified: that is the overlap."""
    (old,) = room.signers.published(room.key.id)
    first = room.new_token()
    new = room.new_key(2)
    room.tell(new, old)
    second = room.new_token(2)
    assert (dict(first.details)["kid"], dict(second.details)["kid"]) == (old.serial, new.serial)
    for facts in (first, second):
        room.token_kind.verify(room.token, facts)


def test_a_token_of_a_key_that_is_not_published_is_refused(room: Room):
    """Its key was reported as compromised between signature and check: the next one is signed with another."""
    facts = room.new_token()
    room.tell(room.new_key(2))
    with pytest.raises(Rejected, match="not published any more"):
        room.token_kind.verify(room.token, facts)


def test_a_token_never_outlives_its_key(room: Room):
    """An old verify key goes at its end at the latest, adopted successor or not."""
    (key,) = room.signers.published(room.key.id)
    ends = room.ports.clock.now() + timedelta(minutes=2)
    room.tell(replace(key, not_after=ends))
    facts = room.new_token()
    assert facts.not_after == ends.replace(microsecond=0)
    room.token_kind.verify(room.token, facts)
    room.tell(replace(key, not_after=room.ports.clock.now() + timedelta(seconds=5)))
    with pytest.raises(Unavailable, match="has run out"):
        room.new_token(2)


@pytest.mark.parametrize(
    ("change", "claim"),
    [
        ({"issuer": "spiffe://other.test"}, "iss"),
        ({"subject": "spiffe://example.test/agent/other"}, "client_id, sub"),
        ({"audience": ("edge", "west")}, "aud"),
        ({"scopes": (ScopeClaim("edge", "/orders", "prefix", ("GET",), "read"),)}, "endpoints, scope"),
    ],
)
def test_a_token_that_says_something_else_is_refused(room: Room, change: dict[str, Any], claim: str):
    """Well signed, and not what the configuration asks for now."""
    facts = room.new_token()
    with pytest.raises(Rejected, match=f"asked for in {claim}"):
        room.token_kind.verify(settings(room, **change), facts)


@pytest.mark.parametrize(("name", "by"), [("not_after", 1), ("not_before", -1), ("issued_at", 1)])
def test_times_other_than_the_facts_are_refused(room: Room, name: str, by: int):
    """The record decides when it is renewed: it must know the real end."""
    facts = room.new_token()
    wrong = replace(facts, **{name: getattr(facts, name) + timedelta(seconds=by)})
    with pytest.raises(Rejected, match="asked for in"):
        room.token_kind.verify(room.token, wrong)


def unsigned(header: dict[str, Any], claims: str, signature: str) -> str:
    return f"{base64url(json.dumps({**header, 'alg': 'none'}).encode())}.{claims}."


def symmetric(header: dict[str, Any], claims: str, signature: str) -> str:
    return f"{base64url(json.dumps({**header, 'alg': 'HS256'}).encode())}.{claims}.{signature}"


def own_key(header: dict[str, Any], claims: str, signature: str) -> str:
    """Brings its own key, as `jwk` in the header (RFC 7515, 4.1.3)."""
    numbers = ec.generate_private_key(ec.SECP256R1()).public_key().public_numbers()
    x, y = (base64url(number.to_bytes(32, "big")) for number in (numbers.x, numbers.y))
    brought = {**header, "jwk": {"kty": "EC", "crv": "P-256", "x": x, "y": y}}
    return f"{base64url(json.dumps(brought).encode())}.{claims}.{signature}"


def swapped(header: dict[str, Any], claims: str, signature: str) -> str:
    raw = json.loads(base64.urlsafe_b64decode(claims + "=="))
    more = base64url(json.dumps({**raw, "scope": "admin:edge"}).encode())
    return f"{base64url(json.dumps(header).encode())}.{more}.{signature}"


def plain_type(header: dict[str, Any], claims: str, signature: str) -> str:
    return f"{base64url(json.dumps({**header, 'typ': 'JWT'}).encode())}.{claims}.{signature}"


def nothing(header: dict[str, Any], claims: str, signature: str) -> str:
    return "no.token"


@pytest.mark.parametrize("forge", [unsigned, symmetric, own_key, swapped, plain_type, nothing])
def test_a_forged_token_is_refused_and_not_shown(room: Room, forge: Callable[[dict[str, Any], str, str], str]):
    """The key binds the algorithm; nothing in a token chooses how it is checked."""
    facts = room.new_token()
    token = room.text(facts)
    _, claims, signature = token.split(".")
    forged = forge(part(token, 0), claims, signature)
    key = jwk(room.signers.published(room.key.id)[0])
    check_token(room.token, facts, Secret(token), key, room.ports.clock.now())
    with pytest.raises(Rejected) as refusal:
        check_token(room.token, facts, Secret(forged), key, room.ports.clock.now())
    assert signature not in str(refusal.value)
