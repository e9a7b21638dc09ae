"""Beside an agent: credentials of any kind become files, and only if they are what was published."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from rotator.core.errors import Code
from rotator.core.material import FACTS, SALT, fingerprint
from rotator.core.secret import Secret
from rotator.publish import canonical
from rotator.publish.report import NodeState
from tests.follower.world import World

SALTED = Secret("5a" * 16)
SHAPES: Mapping[str, Mapping[str, str]] = {
    "api_key": {"api_key": "key_abc"},
    "approle": {"role_id": "r", "secret_id": "s"},
    "database": {"username": "billing_a", "password": "p\u00e4ss word\n"},
    "oauth2": {"access_token": "t", "scope": ""},
    "jwt": {"token": "e30.e30.c2ln"},
    "a_kind_of_another_package": {"seed.base32": "JBSWY3DP", "issuer": "x"},
}


def stored(world: World, kind: str, texts: Mapping[str, str], version: int = 1) -> dict[str, Any]:
    """Puts material of a kind on the shelf, as the service stores it, and returns its published facts."""
    fields = {name: Secret(text) for name, text in texts.items()}
    path = f"agents/billing/{kind}"
    world.shelf.kept[(path, version)] = {**fields, SALT: SALTED, FACTS: Secret("{}")}
    now = world.clock.now()
    return {
        "kind": kind, "version": version, "kv_mount": "kv", "kv_path": path, "kv_version": version, "serial": "",
        "fingerprint": fingerprint(fields, SALTED),
        "not_before": now.isoformat(), "not_after": (now + timedelta(hours=1)).isoformat(),
    }  # fmt: skip


def publish(world: World, credentials: Mapping[str, Mapping[str, Any]]) -> None:
    body = canonical.encode({"format": 1, "agent": "billing", "credentials": credentials})
    world.consul.put("agent/billing/current", body)


def refused(world: World, facts: Mapping[str, Any]) -> str:
    """What the node tells when these facts are published; nothing of them is in force."""
    publish(world, {"first": stored(world, "api_key", SHAPES["api_key"])})
    assert world.agent().run().settled
    before = os.readlink(world.root / "current")
    publish(world, {"first": facts})
    assert not world.agent().run().settled
    assert os.readlink(world.root / "current") == before
    told = world.report("agent/billing")
    assert told.state is NodeState.REFUSED
    assert told.credentials["first"].version == 1
    return f"{told.error_code} {told.error_text}"


@pytest.mark.parametrize("kind", SHAPES)
def test_each_field_becomes_a_file_that_only_its_owner_reads(world: World, kind: str) -> None:
    """Byte for byte: a password with a newline at its end is another password."""
    facts = stored(world, kind, SHAPES[kind]) | {"serial": "an-accessor"}
    publish(world, {"main": facts})
    assert world.agent().run().settled
    folder = world.root / "current/main"
    assert {one.name: one.read_bytes().decode() for one in folder.iterdir()} == SHAPES[kind]
    assert {one.stat().st_mode & 0o777 for one in folder.iterdir()} == {0o600}
    running = world.report("agent/billing").credentials["main"]
    assert (running.version, running.serial, running.fingerprint) == (1, "an-accessor", facts["fingerprint"])


def test_all_kinds_of_an_agent_change_by_one_swap(world: World) -> None:
    """Or none: a new password never lies beside a certificate that was refused."""
    issued = world.ca.issue("spiffe://example.org/agent/billing")
    certificate = world.store("agents/billing/tls", 1, issued)
    publish(world, {"tls": certificate, "db": stored(world, "database", SHAPES["database"])})
    assert world.agent().run().settled
    before = os.readlink(world.root / "current")
    foreign = world.store("agents/billing/tls", 2, world.ca.issue("spiffe://example.org/agent/reports"))
    fresh = stored(world, "database", {"username": "billing_b", "password": "q"}, 2)
    publish(world, {"tls": foreign, "db": fresh})
    assert not world.agent().run().settled
    assert os.readlink(world.root / "current") == before
    publish(world, {"tls": certificate, "db": fresh})
    assert world.agent().run().settled
    assert (world.root / "current/db/username").read_text() == "billing_b"
    assert (world.root / "current/tls/certificate.pem").read_text() == issued.certificate


@pytest.mark.parametrize("change", [{"api_key": "key_other"}, {"more": "x"}, {SALT: "00"}, {SALT: ""}])
def test_material_that_was_changed_is_refused(world: World, change: Mapping[str, str]) -> None:
    """Whoever writes to Vault but not to Consul changes nothing on a node."""
    facts = stored(world, "api_key", {"api_key": "key_new"}, 2)
    kept = world.shelf.kept[("agents/billing/api_key", 2)]
    fields = {**kept, **{name: Secret(text) for name, text in change.items()}}
    world.shelf.kept[("agents/billing/api_key", 2)] = {name: one for name, one in fields.items() if one}
    told = refused(world, facts)
    assert told.startswith(Code.MATERIAL_REJECTED.value)
    assert "key_" not in told


@pytest.mark.parametrize("name", ["../x", "a/b", ".hidden", "..", "", "a\nb", "x" * 65])
def test_a_field_that_is_no_plain_file_name_is_refused(world: World, name: str) -> None:
    """A kind of another package could write anywhere the follower may."""
    told = refused(world, stored(world, "api_key", {"fine": "1", name: "2"}, 2))
    assert "plain file name" in told
    assert not (world.root / "x").exists()


@pytest.mark.parametrize(
    ("changed", "code", "words"),
    [
        ({"kv_version": 9}, Code.MATERIAL_REJECTED, "does not exist any more"),
        ({"kind": "unheard_of", "fingerprint": ""}, Code.DOCUMENT_UNSUPPORTED, "no published fingerprint"),
        ({"kv_version": None}, Code.DOCUMENT_CORRUPT, "incomplete"),
        ({"version": "x"}, Code.DOCUMENT_CORRUPT, "incomplete"),
        ({"not_after": "2000-01-01T00:00:00+00:00"}, Code.MATERIAL_REJECTED, "it expired"),
        ({"not_before": "2999-01-01T00:00:00+00:00"}, Code.MATERIAL_REJECTED, "not valid before"),
        ({"not_after": "soon"}, Code.MATERIAL_REJECTED, "times cannot be read"),
        ({"not_after": "2999-01-01T00:00:00"}, Code.MATERIAL_REJECTED, "times cannot be read"),
    ],
)
def test_facts_that_do_not_fit_are_refused(world: World, changed: Mapping[str, Any], code: Code, words: str) -> None:
    """What is in force stays in force, and the report says what is wrong."""
    told = refused(world, stored(world, "api_key", {"api_key": "key_new"}, 2) | changed)
    assert told.startswith(code.value)
    assert words in told


def test_nothing_at_all_is_refused(world: World) -> None:
    """An empty folder would look like a credential."""
    assert "holds nothing" in refused(world, stored(world, "api_key", {}, 2))


def test_a_machine_that_is_a_little_slow_places_what_was_just_issued(world: World) -> None:
    """Only certificates begin in the past; the others begin now, by the service's clock."""
    now = world.clock.now()
    early = {"not_before": (now + timedelta(seconds=20)).isoformat()}
    publish(world, {"main": stored(world, "api_key", SHAPES["api_key"]) | early})
    assert world.agent().run().settled
