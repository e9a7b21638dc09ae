"""Tokens and the key that signs them: whatever happens, no proxy meets a token whose key it does not know.

`TokenStreet` asserts that at each signature and after each step; the tests here make the trouble.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from rotator.core.errors import Code
from rotator.records.requests import RequestKind
from tests.fakes.transit import TransitCall
from tests.fakes.vault import Operation

from .tokens import KEY_TTL, MINUTE, OVERLAP, SIGNER, TOKEN, TOKEN_TTL, Deadly, Killed, TokenStreet
from .world import Instance


@pytest.fixture
def street() -> Iterator[TokenStreet]:
    made = TokenStreet()
    yield made
    made.close()


def enrolled(street: TokenStreet) -> Instance:
    one = street.start()
    street.run(one)
    street.clock.advance(timedelta(seconds=10))  # the first try of the token came before the key was adopted
    street.run(one)
    assert street.version(TOKEN) == 1
    return one


def until_key_is_due(street: TokenStreet, one: Instance) -> None:
    street.live(one, int(KEY_TTL * 2 / 3 / MINUTE) - 12)
    assert street.version(SIGNER) == 1
    street.ask(RequestKind.ROTATE, str(SIGNER))


def test_the_first_token_waits_for_every_proxy(street: TokenStreet) -> None:
    """The key is published and one proxy knows it: that is not enough, and status says what is awaited."""
    street.lagging.add("west")
    one = street.start()
    for _ in range(5):
        street.run(one)
        street.clock.advance(timedelta(seconds=30))
    assert street.version(SIGNER) == 1
    assert street.tokens == []
    failure = street.record(TOKEN).failure
    assert failure is not None
    assert failure.code == Code.SIGNER_NOT_READY.value
    street.lagging.clear()
    street.run(one)
    street.clock.advance(failure.retry_at - street.clock.now() + timedelta(minutes=1))
    street.run(one)
    assert street.version(TOKEN) == 1
    (adopted,) = one.events("adopted", SIGNER)
    assert [name for name, _ in adopted.cause.evidence] == ["proxy/edge/n1", "proxy/west/n1"]


def test_a_lagging_proxy_keeps_the_old_key_signing(street: TokenStreet) -> None:
    """The new key is in both documents and in force at one proxy; tokens go on to be renewed with the old one."""
    one = enrolled(street)
    old = street.kid()
    until_key_is_due(street, one)
    street.lagging.add("west")
    street.live(one, 30)
    assert street.version(SIGNER) == 2
    assert street.record(SIGNER).adopted_at is None
    assert {token.kid for token in street.tokens} == {old}
    assert street.kid() == old
    assert len(street.kids("edge")) == 2
    street.lagging.clear()
    street.live(one, 10)
    assert street.kid() != old
    assert street.record(SIGNER).adopted_at is not None


def test_the_old_key_stays_until_the_last_old_token_is_gone(street: TokenStreet) -> None:
    """Counted from the adoption of the new one: until then the old one signed."""
    one = enrolled(street)
    old = street.kid()
    until_key_is_due(street, one)
    street.lagging.add("west")
    street.live(one, 30)
    street.lagging.clear()
    street.run(one)
    adopted_at = street.record(SIGNER).adopted_at
    assert adopted_at is not None
    last = max(token.ends for token in street.tokens if token.kid == old)
    while old in street.kids("edge") | street.kids("west"):
        street.live(one, 1)
        assert street.clock.now() < adopted_at + OVERLAP + 3 * MINUTE
    assert last <= street.clock.now()
    assert street.clock.now() >= adopted_at + OVERLAP
    assert street.kv_versions(SIGNER) == (2,)


def test_a_key_that_is_never_adopted_is_replaced_by_the_one_before(street: TokenStreet) -> None:
    """Two rotations of the key while a proxy lags: the oldest one, the only one that all know, still signs."""
    one = enrolled(street)
    first = street.kid()
    street.lagging.add("west")
    for _ in range(2):
        street.ask(RequestKind.ROTATE, str(SIGNER))
        street.live(one, 15)
    assert street.version(SIGNER) == 3
    assert {token.kid for token in street.tokens} == {first}
    street.lagging.clear()
    street.live(one, 30)
    current = street.record(SIGNER).current
    assert current is not None
    assert street.kid() == current.serial
    assert street.kids("edge") == street.kids("west") == {current.serial}


def test_a_key_runs_out_before_its_successor_is_known(street: TokenStreet) -> None:
    """No token outlives its key: the last ones are shorter, then none is signed, and the fault says why."""
    one = enrolled(street)
    street.lagging.add("west")
    street.live(one, int(KEY_TTL / MINUTE) + 5)
    ends = [token.ends for token in street.tokens]
    assert max(ends) <= street.clock.now()
    failure = street.record(TOKEN).failure
    assert failure is not None
    assert failure.code == Code.SIGNER_NOT_READY.value
    street.lagging.clear()
    street.live(one, 10)
    current = street.record(TOKEN).current
    assert current is not None
    assert current.not_after > street.clock.now()


def test_years_of_ordinary_life(street: TokenStreet) -> None:
    """Several keys, each adopted, each gone in its time; never a minute without a token."""
    one = enrolled(street)
    for _ in range(int(3 * KEY_TTL / MINUTE)):
        street.live(one, 1)
        current = street.record(TOKEN).current
        assert current is not None
        assert current.not_after > street.clock.now()
        assert len(street.kids("edge")) <= 2
    assert street.version(SIGNER) >= 4
    assert len({token.kid for token in street.tokens}) >= 4


@pytest.mark.parametrize("call", list(TransitCall))
@pytest.mark.parametrize("lost", [False, True])
def test_a_silent_vault_makes_at_most_one_version_more(street: TokenStreet, call: TransitCall, lost: bool) -> None:
    """The first call of a rotation fails, or its reply is lost: read back first, then go on."""
    one = enrolled(street)
    street.ask(RequestKind.ROTATE, str(SIGNER))
    (street.transit.lose_reply if lost else street.transit.fail)(call)
    street.live(one, 5)
    assert street.version(SIGNER) == 2
    assert street.transit.calls.count(TransitCall.ROTATE) == (2 if call is TransitCall.ROTATE and not lost else 1)
    current = street.record(SIGNER).current
    assert current is not None
    assert dict(current.details)["key_version"] == "2"


@pytest.mark.parametrize("deadly", range(14))
def test_killed_between_any_two_steps(street: TokenStreet, deadly: int) -> None:
    """A rotation of the key and the renewals after it, the process killed at each failpoint in turn."""
    one = enrolled(street)
    old = street.kid()
    street.ask(RequestKind.ROTATE, str(SIGNER))
    street.end(one)
    two, point = street.start("two"), Deadly(deadly)
    two.failpoint = point  # type: ignore[assignment]
    two.cycle.change_realm(two.realm(street.fleet))
    try:
        street.live(two, 12)
    except Killed:
        street.end(two)
    three = street.start("three")
    street.live(three, 25)
    assert street.version(SIGNER) == 2, point.at
    assert street.kid() != old, point.at
    assert street.kids("edge") == street.kids("west") == {street.kid()}, point.at
    assert street.transit.calls.count(TransitCall.ROTATE) == 1, point.at


def test_a_compromised_key_is_neither_trusted_nor_used(street: TokenStreet) -> None:
    """Documents drop it at once, nothing more is signed with it, and tokens follow with the next key."""
    one = enrolled(street)
    old = street.kid()
    street.compromise(one, SIGNER)
    street.tokens = []  # from now on refused on purpose
    street.run(one)
    assert old not in street.kids("edge") | street.kids("west")
    street.live(one, 3)
    assert street.kid() != old
    assert {token.kid for token in street.tokens} == {street.kid()}
    requested = one.events("requested", TOKEN)
    assert [event.request.id for event in requested] == ["r-compromise"]
    assert 1 not in street.kv_versions(TOKEN)
    assert street.kv_versions(SIGNER) == (2,)


def test_a_document_rolled_back_keeps_the_verify_keys(street: TokenStreet) -> None:
    """The old content names only the old key; a token of the new one must not be refused for a moment."""
    one = enrolled(street)
    before = street.pointer("edge")
    until_key_is_due(street, one)
    street.live(one, 13)
    known = street.kids("edge")
    street.ask(RequestKind.ROLLBACK, "edge", to_version=before)
    one.run()
    published = [street.shelf.document("edge", number) for number in street.shelf.numbers("edge")]
    newest = published[-1].content["trust"]["jwks"]["keys"]
    assert {key["kid"] for key in newest} == known
    assert street.secrets.count(Operation.WRITE) > 0
    assert TOKEN_TTL < KEY_TTL
