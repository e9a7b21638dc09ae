"""Invariant 6: no secret byte in Consul, logs, audit, metrics, answers, arguments and environments of processes.

Every secret of a world in which things also went wrong, searched for in everything that the world has said.
"""

from __future__ import annotations

import os
import signal
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import replace

import pytest

from rotator.clients.clock import SystemClock
from rotator.connect import open_keys
from rotator.dev import fleet
from rotator.dev.fleet import PROXY, Size
from rotator.dev.world import Options, World
from rotator.provision.endpoints import vault_admin
from tests.e2e.asking import audited, end_service_tokens
from tests.e2e.command import rotator
from tests.e2e.leaks import key_bytes, leaks, spellings
from tests.e2e.processes import watched

pytestmark = pytest.mark.servers

OPTIONS = Options(size=Size(agents=3), environment={"ROTATOR_SERVICE__LOG_LEVEL": "debug"})
AGENT = "billing"
MISPLACED = "wrong-line-0123456789abcdef0123456789"
# Meant to hold secrets: what is handed out to log in with, what the servers keep, and the delivered keys.
MEANT, DELIVERED = ("secrets", "openbao", "consul"), "private_key.pem"
Story = tuple[Mapping[str, bytes], Mapping[str, bytes]]


@pytest.fixture(scope="module")
def story(world: World) -> Story:
    """(secrets, everything said) of a world in which things were asked, refused, broken and mended."""
    pids = [world.service.pid, *(child.pid for child in world.followers.values()), world.envoy.pid]
    answers: dict[str, bytes] = {}
    with watched(pids) as processes:
        secrets = _keys(world)
        _ask_and_err(world, answers)
        _break_and_mend(world, answers)
        secrets |= _keys(world) | _identities(world)
        _web(world, answers)
    return secrets, {**processes, **answers, **_consul(world), **_files(world)}


def test_no_secret_is_anywhere(story: Story) -> None:
    """The gate."""
    secrets, places = story
    assert leaks(secrets, places) == []


def test_the_search_has_seen_what_it_should(world: World, story: Story) -> None:
    """An empty hand finds nothing: secrets of every sort, and places of every sort."""
    secrets, places = story
    for start in ("key of agents/billing/tls", "key of proxies/edge/tls", "secret-id of ", "consul token of ", "root"):
        assert any(name.startswith(start) for name in secrets), start
    for start in (
        "cmdline",
        "environ",
        "rotator status",
        "rotator explain",
        "/metrics",
        "/readyz",
        "consul key agent/",
    ):
        assert any(name.startswith(start) for name in places), start
    assert any(b"validate" in content for name, content in places.items() if name.startswith("cmdline"))
    for file in (
        "logs/service.log",
        "logs/follow-edge.log",
        "logs/envoy.log",
        "state/audit.jsonl",
        "openbao/server.log",
    ):
        assert places[file], file
    assert audited(world, "config_refused")
    assert b"E2" in places["logs/service.log"]


@pytest.mark.parametrize("form", [form for form, _ in spellings(b"x" * 32)])
def test_the_search_bites(world: World, story: Story, form: str) -> None:
    """One secret, planted into a real log in one spelling, is found there."""
    secrets, places = story
    for name in ("key of proxies/edge/tls version 1", "secret-id of service"):
        text = dict(spellings(secrets[name]))[form]
        log = places["logs/service.log"]
        planted = {**places, "logs/service.log": log[:100] + b'"' + text + b'"' + log[100:]}
        assert any(hit.startswith(f"{name} as ") for hit in leaks(secrets, planted))


def test_the_search_knows_tokens_that_nobody_told_it(story: Story) -> None:
    """What the processes got at their logins is known by its shape alone."""
    _, places = story
    assert leaks({}, {"log": b'{"x": "s.' + b"Ab3" * 8 + b'"}'})
    assert leaks({}, places) == []


def _ask_and_err(world: World, answers: dict[str, bytes]) -> None:
    """Commands that work and commands that are refused, and a reload with a secret in the wrong line."""
    for words in (
        ("status", "-o", "json"),
        ("explain", f"agent/{AGENT}/tls", "-o", "json"),
        ("plan", "--all", "-o", "json"),
        ("doctor", "-o", "json"),
        ("rotate", f"agent/{AGENT}/tls", f"proxy/{PROXY}/tls", "--wait", "--reason", "canary"),
        ("rotate", "agent/nobody", "--reason", "canary"),
        ("rollback", PROXY, "--to", "999", "--reason", "canary"),
        ("history", PROXY, "-o", "json"),
    ):
        said = rotator(world, *words)
        answers[f"rotator {' '.join(words)}"] = f"{said.out}{said.err}".encode()
    good = fleet.agent_file(AGENT, OPTIONS.size)
    world.write_agent(AGENT, f'{good}secret_id = "{MISPLACED}"\n')
    answers["rotator validate"] = "".join((rotator(world, "validate").out, rotator(world, "validate").err)).encode()
    os.kill(world.service.pid, signal.SIGHUP)
    world.await_("the refusal of the configuration", lambda: bool(audited(world, "config_refused")), 15)
    world.write_agent(AGENT, good)
    os.kill(world.service.pid, signal.SIGHUP)


def _break_and_mend(world: World, answers: dict[str, bytes]) -> None:
    """A revoked token, and a sealed Vault in the middle of a rotation that somebody asked for."""
    assert end_service_tokens(world)
    world.openbao.seal()
    rotator(world, "rotate", f"agent/{AGENT}", "--reason", "while sealed")
    world.await_("a failure", lambda: bool(audited(world, "failed", f"agent/{AGENT}/tls")), 15)
    said = rotator(world, "doctor")
    answers["rotator doctor while sealed"] = f"{said.out}{said.err}".encode()
    _web(world, answers)
    world.openbao.unseal()
    count = len(audited(world, "published", f"agent/{AGENT}/tls"))
    world.await_("recovery", lambda: len(audited(world, "published", f"agent/{AGENT}/tls")) > count, 60)


def _web(world: World, answers: dict[str, bytes]) -> None:
    for path in ("/metrics", "/readyz", "/livez", "/nothing"):
        try:
            with urllib.request.urlopen(f"{world.http}{path}", timeout=5) as reply:  # noqa: S310 - loopback
                answers[f"{path} {reply.status}"] = reply.read()
        except urllib.error.HTTPError as refused:
            answers[f"{path} {refused.code}"] = refused.read()


def _keys(world: World) -> dict[str, bytes]:
    """Private keys of all versions that Vault still has: the number itself, and the text it is stored as."""
    admin = vault_admin(world.settings().vault, world.openbao.root_token)
    found = {}
    for path in (f"proxies/{PROXY}/tls", *(f"agents/{name}/tls" for name in OPTIONS.size.names)):
        versions = (admin.read(f"kv/metadata/{path}") or {})["versions"]
        for number in (number for number, one in versions.items() if not one["destroyed"]):
            read = admin.read(f"kv/data/{path}?version={number}")
            if read is not None:
                pem = read["data"]["private_key"]
                found[f"key of {path} version {number}"] = key_bytes(pem)
                found[f"PEM of {path} version {number}"] = pem.strip().encode()
    return found


def _identities(world: World) -> dict[str, bytes]:
    found = {
        "root token": world.openbao.root_token.reveal().encode(),
        "management token": world.consul.management_token.reveal().encode(),
        "the misplaced secret": MISPLACED.encode(),
    }
    for who, handout in world.handouts.items():
        found[f"secret-id of {who}"] = handout.secret_id.reveal().encode()
        found[f"consul token of {who}"] = handout.consul_token.reveal().encode()
    return found


def _consul(world: World) -> dict[str, bytes]:
    """Every key there is, with the management token."""
    settings = replace(world.settings().consul, token=world.consul.management_token, token_file=None)
    keys = open_keys(settings, SystemClock())
    try:
        return {f"consul key {entry.key}": entry.key.encode() + b"\0" + entry.value for entry in keys.read_below("")}
    finally:
        keys.close()


def _files(world: World) -> dict[str, bytes]:
    """Everything below the world's directory but what is meant to hold secrets; of the servers, their logs."""
    files = {str(path.relative_to(world.directory)): path for path in world.directory.rglob("*") if path.is_file()}
    return {
        name: path.read_bytes()
        for name, path in files.items()
        if path.name != DELIVERED and (name.partition("/")[0] not in MEANT or path.suffix == ".log")
    }
