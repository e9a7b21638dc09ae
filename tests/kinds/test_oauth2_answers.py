"""What a real oidc-provider answers, bent where it is too well-behaved, and what ends an old token."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from rotator.core.errors import Code, Denied, Family, Rejected, Unavailable
from rotator.core.kind_settings import Grant, OAuth2Settings
from rotator.core.secret import Secret
from rotator.dev.servers.oauth import OAuthServer
from tests.kinds.oauth_room import LIFE, MakeRoom, Room, refused

pytestmark = pytest.mark.servers


@pytest.fixture(params=list(Grant))
def room(request: pytest.FixtureRequest, make_oauth_room: MakeRoom) -> Room:
    """Once with client credentials, once with a refresh token."""
    return make_oauth_room(request.param)


UNFIT: dict[str, tuple[dict[str, Any], Code]] = {
    "no access_token": ({"access_token": Secret("")}, Code.AUTHORIZATION_REPLY_MALFORMED),
    "another type": ({"token_type": "DPoP"}, Code.MATERIAL_REJECTED),
    "no type": ({"token_type": ""}, Code.MATERIAL_REJECTED),
    "less scope": ({"scope": "something"}, Code.MATERIAL_REJECTED),
    "too short a life": ({"expires_in": LIFE / 2 - timedelta(seconds=1)}, Code.MATERIAL_REJECTED),
}


@pytest.mark.parametrize(("changes", "code"), UNFIT.values(), ids=UNFIT)
def test_what_was_not_asked_for_is_never_stored(room: Room, changes: dict[str, Any], code: Code) -> None:
    """And the successor that came with it is kept, so that the next intent goes on."""
    room.servers.bend = lambda reply: replace(reply, **changes)
    fault = refused(lambda: room.issue(1, 0), Rejected, code)
    assert fault.hint
    assert room.newest() == 0
    room.servers.bend = lambda reply: reply
    room.issue(1, 0)


def test_a_refused_answer_is_not_taken_up_again(person: Room) -> None:
    """It is held with its successor, under the mark of the refused rotation."""
    pending = person.pending()
    person.servers.bend = lambda reply: replace(reply, expires_in=timedelta(seconds=5))
    for _ in range(2):
        with pytest.raises(Rejected):
            person.kind.issue(person.spec, pending, 0, read_back=True)
    assert person.tokens_asked_for() == 2


def test_the_end_comes_from_introspection_where_the_reply_has_none(room: Room) -> None:
    """`expires_in` is only recommended (RFC 6749, 5.1)."""
    room.servers.bend = lambda reply: replace(reply, expires_in=None)
    facts = room.issue(1, 0)
    assert timedelta(seconds=-30) < facts.not_after - facts.issued_at - LIFE <= timedelta(0)


def test_a_token_without_any_end_is_refused(room: Room) -> None:
    """Nobody could say when to renew it."""
    room.servers.bend = lambda reply: replace(reply, expires_in=None)
    room.servers.silent = True
    fault = refused(lambda: room.issue(1, 0), Rejected, Code.MATERIAL_REJECTED)
    assert "expires_in" in fault.text
    assert room.newest() == 0


def test_the_shorter_life_counts(room: Room) -> None:
    """The server's own end is what agents will meet; and a longer one is no reason to keep it longer."""
    room.want(ttl=LIFE * 3 / 2)
    first = room.issue(1, 0)
    assert first.not_after - first.issued_at == LIFE
    room.want(ttl=LIFE / 4)
    second = room.issue(2, 1)
    assert second.not_after - second.issued_at == LIFE / 4


def test_the_same_token_again_is_refused(room: Room) -> None:
    """Some servers hand out a cached one until it expires."""
    first = room.issue(1, 0)
    known = room.token(first)
    room.servers.bend = lambda reply: replace(reply, access_token=known)
    fault = refused(lambda: room.issue(2, 1), Rejected, Code.MATERIAL_REJECTED)
    assert "same access token" in fault.text
    assert room.newest() == 1


def test_a_revoked_token_is_refused(room: Room) -> None:
    """Its stored bytes are right; only the server knows."""
    facts = room.issue(1, 0)
    room.servers.revoke(room.who, room.token(facts))
    refused(lambda: room.kind.verify(room.spec, facts), Rejected, Code.MATERIAL_REJECTED)


def test_without_introspection_the_stored_bytes_decide(room: Room) -> None:
    """Many servers have none."""
    facts = room.issue(1, 0)
    room.servers.silent = True
    room.kind.verify(room.spec, facts)
    wrong = replace(facts, fingerprint="0" * 64)
    refused(lambda: room.kind.verify(room.spec, wrong), Rejected, Code.MATERIAL_REJECTED)


@pytest.mark.parametrize("ending", ["retire", "revoke"])
def test_old_client_credentials_end_at_the_server(service: Room, ending: str) -> None:
    """At its source (RFC 7009), and a second time is success."""
    first, second = service.issue(1, 0), service.issue(2, 1)
    old = service.token(first)
    for _ in range(2):
        getattr(service.kind, ending)(service.spec, first)
        assert not service.accepts(old)
    assert service.points.passed[-2:] == ["K11", "K10"]
    assert service.wire.kv_read("kv", first.kv_path, 1) is None
    service.kind.verify(service.spec, second)


@pytest.mark.parametrize("ending", ["retire", "revoke"])
def test_an_old_token_of_a_grant_is_left_to_expire(person: Room, ending: str) -> None:
    """Revoking it would end what its agent uses now, until a person consents again."""
    first, second = person.issue(1, 0), person.issue(2, 1)
    old = person.token(first)
    for _ in range(2):
        getattr(person.kind, ending)(person.spec, first)
    assert person.accepts(old)
    assert person.wire.kv_read("kv", first.kv_path, 1) is None
    person.kind.verify(person.spec, second)
    person.issue(3, 2)


def test_why_an_old_token_of_a_grant_is_not_revoked(person: Room) -> None:
    """RFC 7009, 2.1 allows a server to end the grant with it, and this one does."""
    first, second = person.issue(1, 0), person.issue(2, 1)
    person.servers.revoke(person.who, person.token(first))
    assert not person.accepts(person.token(second))
    refused(lambda: person.issue(3, 2), Denied, Code.AUTHORIZATION_GRANT_DEAD)


def test_used_refresh_tokens_are_destroyed(person: Room) -> None:
    """Only the newest is worth anything, to us and to a thief."""
    first, _ = person.issue(1, 0), person.issue(2, 1)
    person.kind.retire(person.spec, first)
    state = person.wire.kv_state("kv", person.held_path)
    assert state is not None
    assert set(state.versions) - set(state.gone) == {state.current_version}


def test_an_expired_token_needs_no_server_to_be_retired(service: Room) -> None:
    """A server that is gone for good must not keep old versions for ever."""
    first, _ = service.issue(1, 0), service.issue(2, 1)
    service.clock.ahead = LIFE * 2
    service.losses.calls.clear()
    service.kind.retire(service.spec, first)
    assert "revoke" not in service.losses.calls
    assert service.wire.kv_read("kv", first.kv_path, 1) is None


def test_a_missing_client_secret_is_named(room: Room) -> None:
    """Somebody else writes it, and must be told where."""
    room.admin.write(f"kv/data/{room.client_path}", {"data": {"other": "x"}})
    fault = refused(lambda: room.issue(1, 0), Denied, Code.VAULT_NOT_CONFIGURED)
    assert f"kv/{room.client_path}" in fault.text


def test_a_wrong_client_secret_is_denied(room: Room) -> None:
    """Retrying fast would lock the client out at many servers."""
    body = {"client_secret": "wrong", "refresh_token": "any"}
    room.admin.write(f"kv/data/{room.client_path}", {"data": body})
    fault = refused(lambda: room.issue(1, 0), Denied, Code.AUTHORIZATION_CLIENT_REFUSED)
    assert fault.family is Family.DENIED


def test_a_scope_beyond_the_consent_is_denied(person: Room) -> None:
    """invalid_scope: configuration, not weather. The refresh token stays good."""
    agreed = person.spec.settings
    assert isinstance(agreed, OAuth2Settings)
    person.want(settings=replace(agreed, scope="orders:read"))
    refused(lambda: person.issue(1, 0), Denied, Code.AUTHORIZATION_REQUEST_REFUSED)
    person.want(settings=agreed)
    person.issue(1, 0)


def test_a_frozen_server_is_unavailable(room: Room, oauth_server: OAuthServer) -> None:
    """Its connections stay open and nothing answers: the deadline ends it, and later it goes on."""
    room.issue(1, 0)
    room.servers.impatient(timedelta(milliseconds=300))
    oauth_server.pause()
    try:
        refused(lambda: room.issue(2, 1), Unavailable, Code.AUTHORIZATION_UNREACHABLE)
    finally:
        oauth_server.resume()
    room.servers.impatient(timedelta(seconds=5))
    room.issue(2, 1)
