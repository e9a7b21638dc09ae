"""Consul tokens follow the key layout: reports are written by nodes, the truth by the service."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from rotator.clients.consul_admin import ConsulAdmin
from rotator.core.secret import Secret
from rotator.provision import consul_bootstrap, consul_policy
from rotator.provision.changes import Change, Sign
from rotator.provision.principals import SERVICE, find
from tests.assets.fleet import settings

Consul = tuple[str, ConsulAdmin, tuple[Change, ...]]
FLEET = settings().fleet


@pytest.fixture
def may(consul: Consul) -> Callable[[str, str, str], bool]:
    """(principal, read|write, key) -> whether Consul lets it."""
    address, admin, _ = consul

    def ask(name: str, what: str, key: str) -> bool:
        headers = {"X-Consul-Token": consul_bootstrap.token_for(admin, find(FLEET, name)).reveal()}
        method = "GET" if what == "read" else "PUT"
        reply = requests.request(method, f"{address}/v1/kv/{key}", headers=headers, data=b"x", timeout=5)
        assert reply.status_code in (200, 403, 404)
        return reply.status_code != 403

    return ask


@pytest.mark.servers
def test_the_second_run_finds_nothing_to_do(consul: Consul):
    """A second token per run would grow for ever and nobody would know which is in use."""
    _, admin, first = consul
    assert {change.sign for change in first} == {Sign.CREATE}
    again = consul_bootstrap.bootstrap(admin, FLEET, "", apply=True)
    assert {change.sign for change in again} == {Sign.SAME}


@pytest.mark.servers
@pytest.mark.parametrize(
    ("name", "what", "key"),
    [
        ("service", "write", "rotator/lock"),
        ("service", "write", "proxy/edge/current"),
        ("service", "write", "agent/billing/current"),
        ("service", "read", "proxy/edge/nodes/a"),
        ("service", "read", "agent/billing/nodes/a"),
        ("proxy/edge", "read", "proxy/edge/current"),
        ("proxy/edge", "read", "proxy/edge/versions/00000001"),
        ("proxy/edge", "write", "proxy/edge/nodes/a"),
        ("agent/billing", "read", "agent/billing/current"),
        ("agent/billing", "write", "agent/billing/nodes/a"),
    ],
)
def test_what_is_needed_is_allowed(may: Callable[[str, str, str], bool], name: str, what: str, key: str):
    """The printed policies are complete."""
    assert may(name, what, key)


@pytest.mark.servers
@pytest.mark.parametrize(
    ("name", "what", "key"),
    [
        ("service", "write", "proxy/edge/nodes/a"),
        ("service", "write", "agent/billing/nodes/a"),
        ("service", "read", "other/key"),
        ("proxy/edge", "write", "proxy/edge/current"),
        ("proxy/edge", "write", "proxy/edge/versions/00000001"),
        ("proxy/edge", "read", "rotator/lock"),
        ("proxy/edge", "read", "proxy/other/current"),
        ("agent/billing", "write", "agent/billing/current"),
        ("agent/billing", "read", "agent/reports/current"),
        ("agent/billing", "write", "agent/reports/nodes/a"),
        ("agent/billing", "read", "proxy/edge/current"),
    ],
)
def test_everything_else_is_refused(may: Callable[[str, str, str], bool], name: str, what: str, key: str):
    """A follower that lies about itself may lie about nothing else."""
    assert not may(name, what, key)


@pytest.mark.servers
def test_only_the_service_makes_sessions(consul: Consul):
    """Who can make a session can hold the lock."""
    address, admin, _ = consul
    answers = {}
    for name in ("service", "proxy/edge", "agent/billing"):
        headers = {"X-Consul-Token": consul_bootstrap.token_for(admin, find(FLEET, name)).reveal()}
        body = {"TTL": "15s", "Checks": [], "NodeChecks": []}
        answers[name] = requests.put(f"{address}/v1/session/create", headers=headers, json=body, timeout=5).status_code
    assert answers == {"service": 200, "proxy/edge": 403, "agent/billing": 403}


@pytest.mark.servers
@pytest.mark.parametrize("name", ["proxy/edge", "agent/billing"])
def test_followers_may_use_consuls_own_watch(consul: Consul, name: str):
    """`consul watch` asks its agent for its name first, and ends at a 403; and it may do no more there."""
    address, admin, _ = consul
    headers = {"X-Consul-Token": consul_bootstrap.token_for(admin, find(FLEET, name)).reveal()}
    assert requests.get(f"{address}/v1/agent/self", headers=headers, timeout=5).status_code == 200
    assert requests.put(f"{address}/v1/agent/leave", headers=headers, timeout=5).status_code == 403


def test_the_prefix_stands_before_every_key_rule():
    """Sites that share one Consul give each team a prefix; a rule without it would reach into another team's keys."""
    for name in ("service", "proxy/edge", "agent/billing"):
        listed = consul_policy.rules(FLEET, "team/", find(FLEET, name))
        assert all(key.startswith("team/") for resource, key, _ in listed if resource.startswith("key"))


def test_a_secret_file_is_private_and_replaced_whole(tmp_path: Path):
    """Tokens reach followers as files; a wider mode for a moment is enough to leak one."""
    for text in ("first", "second"):
        written = consul_bootstrap.write_secret(tmp_path / "tokens", SERVICE.policy, Secret(text))
        assert written.read_text() == text
        assert stat.S_IMODE(written.stat().st_mode) == 0o600
    assert [file.name for file in (tmp_path / "tokens").iterdir()] == [SERVICE.policy]
