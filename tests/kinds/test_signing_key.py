"""Versions of a transit key: one rotation makes one, none is used twice, none is published that does not sign."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from rotator.clients.vault_admin import VaultAdmin
from rotator.core.errors import Code, Denied, Rejected
from rotator.core.jwk import public_point
from rotator.core.kind_settings import SigningKeySettings
from rotator.core.material import FACTS, SALT
from rotator.kinds.signing_key import key_version, signed_by
from tests.fakes.clock import FakeClock
from tests.fakes.transit import FakeTransit
from tests.kinds.signing_room import Room

pytestmark = pytest.mark.servers


@pytest.fixture
def room(vault: tuple[str, VaultAdmin, object], unique: str) -> Room:
    return Room(vault[0], vault[1], unique)


def test_the_first_version_is_the_one_that_bootstrap_made(room: Room):
    """A rotation for nothing would leave a version that nobody ever names."""
    facts = room.new_key()
    (only,) = room.versions()
    assert key_version(facts) == only.version == 1
    assert facts.serial == public_point(only.pem).thumbprint
    assert facts.not_after - facts.issued_at == room.key.ttl
    room.key_kind.verify(room.key, facts)


def test_nothing_secret_is_stored(room: Room):
    """The key itself never leaves Vault."""
    facts = room.new_key()
    stored = room.vault.kv_read("kv", room.key.kv_path, facts.kv_version)
    assert stored is not None
    assert set(stored.fields) == {"public_key", "kid", FACTS, SALT}
    assert "PUBLIC KEY" in stored.fields["public_key"].reveal()
    assert [name for name, _ in facts.details] == ["kid", "key_version", "x", "y"]


def test_each_rotation_makes_one_version(room: Room):
    """And each old one still verifies what it signed: nothing here raises min_decryption_version."""
    made = [room.new_key(version) for version in (1, 2, 3)]
    assert [key_version(facts) for facts in made] == [1, 2, 3]
    assert len({facts.serial for facts in made}) == 3
    for facts in made:
        room.key_kind.verify(room.key, facts)


def test_a_version_of_an_interrupted_try_is_taken(room: Room):
    """Vault rotated and nobody heard of it: one more would be an orphan."""
    room.new_key()
    pending = room.pending(room.key, 2)
    room.transit.rotate("transit", room.name)
    facts = room.key_kind.issue(room.key, pending, 1, read_back=True).facts
    assert (key_version(facts), len(room.versions())) == (2, 2)


def test_a_version_from_before_the_intent_is_not_taken(room: Room):
    """Somebody rotated the key by hand, perhaps long ago: what was signed with that version is not known."""
    room.new_key()
    room.transit.rotate("transit", room.name)
    pending = room.pending(room.key, 2, ago=-timedelta(minutes=2))
    facts = room.key_kind.issue(room.key, pending, 1, read_back=True).facts
    assert key_version(facts) == 3


def test_without_any_known_version_one_more_is_made(room: Room):
    """The newest one could be in use."""
    first = room.new_key()
    room.key_kind.retire(room.key, first)
    facts = room.key_kind.issue(room.key, room.pending(room.key, 2), 1, read_back=True).facts
    assert key_version(facts) == 2
    assert facts.serial != first.serial


def test_other_published_coordinates_are_refused(room: Room):
    """Documents are made from facts alone: with a wrong key in them every token would be refused."""
    facts, other = room.new_key(), room.new_key(2)
    with pytest.raises(Rejected) as refusal:
        room.key_kind.verify(room.key, replace(facts, details=other.details))
    assert refusal.value.code is Code.MATERIAL_REJECTED


def test_a_key_that_was_replaced_in_vault_is_refused(room: Room):
    """Somebody deleted the transit key and made it anew: version 1 is another one now."""
    facts = room.new_key()
    room.admin.write(f"transit/keys/{room.name}/config", {"deletion_allowed": True})
    room.delete_key()
    room.admin.write(f"transit/keys/{room.name}", {"type": "ecdsa-p256"})
    with pytest.raises(Rejected, match="signs with another key"):
        room.key_kind.verify(room.key, facts)


def test_no_key_and_a_key_of_another_type_are_named(room: Room):
    """Both are for a person to repair: the text says which it is."""
    want = room.key.settings
    assert isinstance(want, SigningKeySettings)
    nowhere = replace(room.key, settings=replace(want, key=f"{room.name}-nowhere"))
    room.admin.write(f"transit/keys/{room.name}-aes", {"type": "aes256-gcm96"})
    other = replace(room.key, settings=replace(want, key=f"{room.name}-aes"))
    for spec, words in ((nowhere, "there is no signing key"), (other, "not of type ecdsa-p256")):
        with pytest.raises(Denied, match=words) as refusal:
            room.key_kind.issue(spec, room.pending(spec), 0, read_back=False)
        assert refusal.value.code is Code.VAULT_NOT_CONFIGURED


def test_the_key_in_memory_does_as_vault_does(room: Room):
    """What the street's tests stand on."""
    clock = FakeClock(room.ports.clock.now())
    for transit, name in ((room.transit, room.name), (FakeTransit(clock), "rotator-tokens")):
        transit.rotate("transit", name)
        keys = transit.verify_keys("transit", name)
        assert [one.version for one in keys] == [1, 2]
        for one in keys:
            signature = transit.sign("transit", name, one.version, b"a text")
            assert [signed_by(key.pem, signature, b"a text") for key in keys] == [key is one for key in keys]
        with pytest.raises(Denied):
            transit.verify_keys("transit", "nowhere")
