"""Access tokens between a real OpenBao and a real oidc-provider: one version of each rotation, and no refresh token
lost that could have been kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import count
from typing import Any

import pytest

from rotator.clients.vault_admin import VaultAdmin
from rotator.core.errors import Code, Denied, Family, Fault, Rejected, Unavailable
from rotator.core.kind_settings import Grant, OAuth2Settings
from rotator.core.secret import Secret
from rotator.dev.servers.oauth import Client, OAuthServer
from tests.assets.servers import or_missing
from tests.kinds.oauth_room import LIFE, Room

pytestmark = pytest.mark.servers

MakeRoom = Callable[[Grant], Room]
_NUMBERS = count(1)


@pytest.fixture(scope="module")
def oauth(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OAuthServer]:
    folder, seconds = tmp_path_factory.mktemp("oauth"), int(LIFE.total_seconds())
    with or_missing(lambda: OAuthServer.start(folder, (), seconds)) as server:
        yield server


@pytest.fixture
def make_room(vault: tuple[str, VaultAdmin, object], oauth: OAuthServer) -> MakeRoom:
    return lambda grant: Room(vault[1], oauth, f"oauth-{next(_NUMBERS)}", grant)


@pytest.fixture(params=list(Grant))
def room(request: pytest.FixtureRequest, make_room: MakeRoom) -> Room:
    """Once with client credentials, once with a refresh token."""
    return make_room(request.param)


@pytest.fixture
def service(make_room: MakeRoom) -> Room:
    return make_room(Grant.CLIENT_CREDENTIALS)


@pytest.fixture
def person(make_room: MakeRoom) -> Room:
    return make_room(Grant.REFRESH_TOKEN)


def refused(call: Callable[[], object], family: type[Fault], code: Code) -> Fault:
    with pytest.raises(family) as raised:
        call()
    assert raised.value.code is code
    return raised.value


def test_a_token_is_made_stored_and_active(room: Room) -> None:
    """The whole life's beginning, with what followers read and what is published."""
    pending = room.pending()
    facts = room.kind.issue(room.spec, pending, 0, read_back=False).facts
    assert room.points.passed == ["K2", "K3", "K4", "K5"]
    stored = room.stored(facts).fields
    assert set(stored) == {"access_token", "token_type", "scope", "facts", "salt"}
    assert stored["token_type"].reveal() == "Bearer"
    assert [name for name, _ in facts.details] == ["server", "client_id", "expires_at"]
    assert timedelta(0) <= facts.issued_at - pending.intended_at < timedelta(seconds=30)
    assert facts.not_after - facts.issued_at == LIFE
    room.kind.verify(room.spec, facts)
    assert room.accepts(stored["access_token"])


def test_each_rotation_brings_another_token(room: Room) -> None:
    """Each refresh uses what the one before brought."""
    facts = [room.issue(number, number - 1) for number in (1, 2, 3)]
    assert len({room.token(one).reveal() for one in facts}) == 3
    assert room.newest() == 3


def test_old_and_new_overlap_with_client_credentials(service: Room) -> None:
    """So it is declared, and a slow agent relies on it."""
    first, second = service.issue(1, 0), service.issue(2, 1)
    assert service.spec.settings.overlaps  # type: ignore[union-attr]
    assert service.accepts(service.token(first))
    assert service.accepts(service.token(second))


def test_the_agent_never_sees_a_refresh_token(person: Room) -> None:
    """Its path, as followers read it, holds none, and neither do the facts, which are public."""
    facts = person.issue(1, 0)
    successor = person.held("refresh_token")
    assert not any(one.matches(successor) for one in person.stored(facts).fields.values())
    assert successor.reveal() not in repr(facts)


@pytest.mark.parametrize("point", ["K2", "K3", "K4", "K5"])
def test_death_at_any_point_leads_to_one_version(room: Room, point: str) -> None:
    """A process that is killed comes back with the same intent. Only the moment between the server's answer and the
    write costs anything: one more token, or with a refresh token the grant, until somebody consents again."""
    current = room.issue(1, 0)
    pending = room.pending(2)
    room.points.deadly = point
    with pytest.raises(KeyboardInterrupt):
        room.kind.issue(room.spec, pending, 1, read_back=False)
    if room.grant is Grant.REFRESH_TOKEN and point == "K2":
        again = lambda: room.kind.issue(room.spec, pending, 1, read_back=True)  # noqa: E731
        fault = refused(again, Denied, Code.AUTHORIZATION_GRANT_DEAD)
        assert "never arrived" in fault.text
        room.consent()
    result = room.kind.issue(room.spec, pending, 1, read_back=True)
    assert room.newest() == 2
    room.kind.verify(room.spec, result.facts)
    room.kind.retire(room.spec, current)
    room.kind.verify(room.spec, result.facts)


def test_any_lost_reply_leads_to_one_version(make_room: MakeRoom) -> None:
    """Reads, writes before and after the use, and the use itself, whose loss this strict server takes for a theft."""
    for grant in Grant:
        model = make_room(grant)
        model.issue(1, 0)
        model.losses.calls.clear()
        model.kind.issue(model.spec, model.pending(2), 1, read_back=True)
        for number, name in enumerate(tuple(model.losses.calls)):
            room = make_room(grant)
            room.issue(1, 0)
            room.losses.calls.clear()
            room.losses.lost = number
            pending = room.pending(2)
            refused(
                lambda: room.kind.issue(room.spec, pending, 1, read_back=True),  # noqa: B023
                Unavailable,
                Code.AUTHORIZATION_UNREACHABLE,
            )
            if name == "refresh":
                refused(
                    lambda: room.kind.issue(room.spec, pending, 1, read_back=True),  # noqa: B023
                    Denied,
                    Code.AUTHORIZATION_GRANT_DEAD,
                )
                continue
            result = room.kind.issue(room.spec, pending, 1, read_back=True)
            assert (room.newest(), result.facts.kv_version) == (2, 2), (grant, number, name)
            room.kind.verify(room.spec, result.facts)
            if grant is Grant.REFRESH_TOKEN:
                assert room.tokens_asked_for() == 1, (number, name)


def test_use_by_a_stranger_is_noticed_and_a_new_consent_heals_it(person: Room) -> None:
    """The server ends the grant (RFC 9700, 4.14.2); nobody has to clean up our side."""
    person.issue(1, 0)
    person.use_as_a_stranger(person.held("refresh_token"))
    refused(lambda: person.issue(2, 1), Denied, Code.AUTHORIZATION_GRANT_DEAD)
    refused(lambda: person.issue(2, 1), Denied, Code.AUTHORIZATION_GRANT_DEAD)
    person.consent()
    person.issue(2, 1)
    person.issue(3, 2)


def test_another_client_secret_is_no_new_consent(person: Room) -> None:
    """It is written beside the first refresh token, which was used up long ago."""
    person.issue(1, 0)
    fields = person.wire.kv_read("kv", person.client_path)
    assert fields is not None
    changed = Client(person.client.id, Secret("another secret"))
    person.server.set_client(changed)
    body = {"client_secret": "another secret", "refresh_token": fields.fields["refresh_token"].reveal()}
    person.admin.write(f"kv/data/{person.client_path}", {"data": body})
    person.issue(2, 1)


def test_nothing_is_used_that_could_not_be_kept(person: Room) -> None:
    """A policy without the path would otherwise cost the grant."""
    person.wire.denied = person.held_path
    refused(lambda: person.issue(1, 0), Denied, Code.VAULT_DENIED)
    assert person.tokens_asked_for() == 0
    person.wire.denied = ""
    person.issue(1, 0)


def test_a_successor_is_kept_whoever_wrote_meanwhile(person: Room) -> None:
    """Dropping it for a conflict would end the grant."""
    person.issue(1, 0)

    def interfere() -> None:
        person.admin.write(f"kv/data/{person.held_path}", {"data": {"somebody": "else"}})

    person.servers.after = interfere
    person.issue(2, 1)
    person.servers.after = lambda: None
    person.issue(3, 2)


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


def test_a_frozen_server_is_unavailable(room: Room, oauth: OAuthServer) -> None:
    """Its connections stay open and nothing answers: the deadline ends it, and later it goes on."""
    room.issue(1, 0)
    room.servers.impatient(timedelta(milliseconds=300))
    oauth.pause()
    try:
        refused(lambda: room.issue(2, 1), Unavailable, Code.AUTHORIZATION_UNREACHABLE)
    finally:
        oauth.resume()
    room.servers.impatient(timedelta(seconds=5))
    room.issue(2, 1)
