"""Access tokens between a real OpenBao and a real oidc-provider: one version of each rotation, and no refresh token
lost that could have been kept."""

from __future__ import annotations

from datetime import timedelta

import pytest

from rotator.core.errors import Code, Denied, Unavailable
from rotator.core.kind_settings import Grant
from rotator.core.secret import Secret
from rotator.dev.servers.oauth import Client
from tests.kinds.oauth_room import LIFE, MakeRoom, Room, refused

pytestmark = pytest.mark.servers


@pytest.fixture(params=list(Grant))
def room(request: pytest.FixtureRequest, make_oauth_room: MakeRoom) -> Room:
    """Once with client credentials, once with a refresh token."""
    return make_oauth_room(request.param)


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


def test_any_lost_reply_leads_to_one_version(make_oauth_room: MakeRoom) -> None:
    """Reads, writes before and after the use, and the use itself, whose loss this strict server takes for a theft."""
    for grant in Grant:
        model = make_oauth_room(grant)
        model.issue(1, 0)
        model.losses.calls.clear()
        model.kind.issue(model.spec, model.pending(2), 1, read_back=True)
        for number, name in enumerate(tuple(model.losses.calls)):
            room = make_oauth_room(grant)
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
    for _ in range(2):
        fault = refused(lambda: person.issue(2, 1), Denied, Code.AUTHORIZATION_GRANT_DEAD)
        assert "never arrived" not in fault.text
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
