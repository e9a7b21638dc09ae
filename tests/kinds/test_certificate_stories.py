"""One rotation makes one version, whatever gets lost on the way. On a real OpenBao."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from rotator.clients.vault_admin import VaultAdmin
from rotator.core.errors import Code, Conflict, Rejected, Unavailable
from rotator.core.identity import OwnerKind
from rotator.core.model import Pending, Stage, rotation_id
from rotator.core.reasons import Cause, Reason
from rotator.core.secret import Secret
from rotator.core.spec import Spec
from rotator.kinds import catalog
from rotator.kinds.base import Kind, KindPorts
from tests.assets.fleet import spec as make_spec
from tests.assets.vault_wire import VaultWire
from tests.kinds.points import Points

pytestmark = pytest.mark.servers


class MachineClock:
    """The real time, moved by `shift`: certificates of a real server carry real times."""

    def __init__(self) -> None:
        self.shift = timedelta(0)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.shift

    def monotonic(self) -> float:
        return time.monotonic()


class Room:
    """A kind on a real server, for one credential that no other test uses."""

    def __init__(self, admin: VaultAdmin, spec: Spec) -> None:
        self.wire, self.clock, self.points, self.spec = VaultWire(admin), MachineClock(), Points(), spec
        self.kind: Kind = catalog.build(KindPorts(self.wire, self.clock, self.points))["certificate"]
        self.admin = admin

    def pending(self, version: int = 1) -> Pending:
        at = datetime(2026, 1, 1, tzinfo=UTC)
        mark = rotation_id(self.spec.id, version, at)
        return Pending(version, mark, Stage.INTENDED, Cause(Reason.DUE), at)

    def newest(self) -> int:
        state = self.wire.kv_state("kv", self.spec.kv_path)
        return state.current_version if state else 0

    def foreign(self) -> None:
        self.admin.write(f"kv/data/{self.spec.kv_path}", {"data": {"private_key": "somebody's"}})


@pytest.fixture
def room(vault: tuple[str, VaultAdmin, object], request: pytest.FixtureRequest) -> Room:
    name = f"billing-{zlib.crc32(request.node.name.encode())}"
    return Room(vault[1], make_spec(OwnerKind.AGENT, name))


def test_a_new_version_is_issued_checked_and_stored_in_two_calls(room: Room):
    """Two calls per rotation are what the speed of a fleet rests on."""
    result = room.kind.issue(room.spec, room.pending(), 0, read_back=False)
    assert room.wire.calls == ["issue_certificate", "kv_write"]
    assert room.points.passed == ["K2", "K3", "K4", "K5"]
    assert (result.adopted, result.verified, result.facts.kv_version) == (False, True, 1)
    room.kind.verify(room.spec, result.facts)


def test_the_stored_fields_are_what_followers_read(room: Room):
    """Followers and foreign tools read these names."""
    result = room.kind.issue(room.spec, room.pending(), 0, read_back=False)
    stored = room.wire.kv_read("kv", room.spec.kv_path, 1)
    assert stored is not None
    texts = {name: secret.reveal() for name, secret in stored.fields.items()}
    assert texts.pop("private_key").startswith("-----BEGIN")
    assert texts.pop("certificate").endswith("-----END CERTIFICATE-----\n")
    assert texts.pop("chain").count("-----BEGIN CERTIFICATE-----") == 1
    facts = result.facts
    assert texts == {
        "rotation_id": facts.rotation_id,
        "version": "1",
        "serial": facts.serial,
        "fingerprint": facts.fingerprint,
        "not_before": facts.not_before.isoformat(),
        "not_after": facts.not_after.isoformat(),
    }


def test_a_proxy_certificate_carries_its_host_names(vault: tuple[str, VaultAdmin, object]):
    """Agents check the proxy by name, so DNS and IP names must come through the role."""
    room = Room(vault[1], make_spec(OwnerKind.PROXY, "edge-names"))
    room.kind.verify(room.spec, room.kind.issue(room.spec, room.pending(), 0, read_back=False).facts)


@pytest.mark.parametrize("lost", ["issue_certificate", "kv_write"])
def test_a_lost_reply_leads_to_one_version(room: Room, lost: str):
    """K2 and K4: what may have happened is looked for first."""
    room.wire.lose_next = lost
    with pytest.raises(Unavailable):
        room.kind.issue(room.spec, room.pending(), 0, read_back=False)
    result = room.kind.issue(room.spec, room.pending(), 0, read_back=True)
    assert room.newest() == 1
    assert result.adopted == (lost == "kv_write")
    room.kind.verify(room.spec, result.facts)


@pytest.mark.parametrize("point", ["K2", "K3", "K4", "K5"])
def test_death_at_any_point_leads_to_one_version(room: Room, point: str):
    """A process that is killed comes back with the same intent."""
    room.points.deadly = point
    with pytest.raises(KeyboardInterrupt):
        room.kind.issue(room.spec, room.pending(), 0, read_back=False)
    result = room.kind.issue(room.spec, room.pending(), 0, read_back=True)
    assert room.newest() == 1
    room.kind.verify(room.spec, result.facts)


def test_adopted_facts_are_those_of_the_first_try(room: Room):
    """The record must describe what lies in Vault, not what would have been made."""
    first = room.kind.issue(room.spec, room.pending(), 0, read_back=False).facts
    again = room.kind.issue(room.spec, room.pending(), 0, read_back=True)
    assert (again.adopted, again.verified) == (True, False)
    assert replace(again.facts, issued_at=first.issued_at) == first
    assert abs(again.facts.issued_at - first.issued_at) < timedelta(seconds=5)


def test_a_repeated_write_that_is_refused_finds_its_own_version(room: Room):
    """A transport may send a request again whose reply it lost: the refusal is then our own success."""
    first = room.kind.issue(room.spec, room.pending(), 0, read_back=False).facts
    again = room.kind.issue(room.spec, room.pending(), 0, read_back=False)
    assert again.adopted
    assert again.facts.fingerprint == first.fingerprint
    assert room.newest() == 1


def test_a_foreign_version_is_a_conflict_and_then_left_below(room: Room):
    """Somebody else's write is named once, and does not keep the credential from being renewed."""
    room.foreign()
    with pytest.raises(Conflict) as refusal:
        room.kind.issue(room.spec, room.pending(), 0, read_back=False)
    assert refusal.value.code is Code.KV_CONFLICT
    result = room.kind.issue(room.spec, room.pending(), 0, read_back=True)
    assert result.facts.kv_version == 2
    assert room.wire.kv_read("kv", room.spec.kv_path, 1) is not None


def test_an_own_version_below_a_foreign_one_is_still_found(room: Room):
    """Else every such write would cost one orphan."""
    room.kind.issue(room.spec, room.pending(), 0, read_back=False)
    room.foreign()
    assert room.kind.issue(room.spec, room.pending(), 0, read_back=True).facts.kv_version == 1


@pytest.mark.parametrize(
    "bend",
    [
        lambda spec: replace(spec, settings=replace(spec.settings, server=True, key_bits=384)),
        lambda spec: replace(spec, ttl=timedelta(hours=9)),
    ],
)
def test_wrong_material_is_refused_and_never_stored(room: Room, bend: Callable[[Spec], Spec]):
    """F16: a key of another size, and a life that the role cut short without a word."""
    with pytest.raises(Rejected) as refusal:
        room.kind.issue(bend(room.spec), room.pending(), 0, read_back=False)
    assert refusal.value.code is Code.MATERIAL_REJECTED
    assert room.newest() == 0
    assert room.points.passed == ["K2"]


def test_facts_of_another_rotation_do_not_verify(room: Room):
    """A record that points to the wrong version must not be published."""
    facts = room.kind.issue(room.spec, room.pending(), 0, read_back=False).facts
    for wrong in (
        replace(facts, rotation_id="0" * 32),
        replace(facts, fingerprint="0" * 64),
        replace(facts, kv_version=7),
    ):
        with pytest.raises(Rejected):
            room.kind.verify(room.spec, wrong)


def test_a_certificate_that_is_too_new_waits(room: Room):
    """TIM-4: with a clock behind Vault's, peers would refuse it; the wait is a retry, not a rejection."""
    room.clock.shift = timedelta(seconds=-45)
    result = room.kind.issue(room.spec, room.pending(), 0, read_back=False)
    assert not result.verified
    with pytest.raises(Unavailable, match="slow clocks"):
        room.kind.verify(room.spec, result.facts)
    room.clock.shift = timedelta(0)
    room.kind.verify(room.spec, result.facts)


def test_retiring_twice_is_success_and_takes_the_key_away(room: Room):
    """K10: a lost reply of the retirement is repeated."""
    facts = room.kind.issue(room.spec, room.pending(), 0, read_back=False).facts
    room.wire.lose_next = "kv_destroy"
    with pytest.raises(Unavailable):
        room.kind.retire(room.spec, facts)
    room.kind.retire(room.spec, facts)
    assert room.points.passed[-1] == "K10"
    assert room.wire.kv_read("kv", room.spec.kv_path, 1) is None
    with pytest.raises(Rejected, match="gone"):
        room.kind.verify(room.spec, facts)


def test_the_next_version_follows_a_retired_one(room: Room):
    """CAS counts destroyed versions too."""
    facts = room.kind.issue(room.spec, room.pending(), 0, read_back=False).facts
    room.kind.retire(room.spec, facts)
    assert room.kind.issue(room.spec, room.pending(2), 1, read_back=True).facts.kv_version == 2


def test_no_secret_leaves_through_a_refusal(room: Room):
    """Words of a fault go to the audit log."""
    room.admin.write(
        f"kv/data/{room.spec.kv_path}", {"data": {"rotation_id": "m", "chain": "", "private_key": "hidden"}}
    )
    facts = room.kind.issue(room.spec, room.pending(), 1, read_back=False).facts
    with pytest.raises(Rejected) as refusal:
        room.kind.verify(room.spec, replace(facts, kv_version=1, rotation_id="m"))
    assert "hidden" not in f"{refusal.value!r} {refusal.value.text} {refusal.value.hint}"
    assert str(Secret("hidden")) not in refusal.value.text
