"""Two worlds for one contract: Consul in memory, and a real one; and a canned authorization server."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rotator.clients.consul import ConsulKeys
from rotator.clients.consul_lock import ConsulLock, lock_agent
from rotator.clients.oauth import HttpAuthorizationServers
from rotator.config.settings import ConsulSettings
from rotator.core.kind_settings import AuthorizationServer
from rotator.core.secret import Secret
from rotator.ports import Fence, Keys, Lock, OAuthClient
from tests.clients.authorization_server import GOOD, SECRET, TIMEOUT, SecureServer, as_json, document
from tests.clients.consul_process import ROOT_TOKEN, ConsulProcess
from tests.fakes.clock import FakeClock
from tests.fakes.consul import FakeConsul, FakeKeys, FakeLock

TTL = timedelta(seconds=10)
_NUMBERS = itertools.count(1)


@dataclass
class World:
    """`prefix`: of this test alone. `lock(instance, dead)`: a new process. `destroy(fence)`: as an operator."""

    prefix: str
    clock: FakeClock
    keys: Keys
    lock: Callable[[str, bool], Lock]
    destroy: Callable[[Fence], None]

    @property
    def lock_key(self) -> str:
        return f"{self.prefix}rotator/lock"


@pytest.fixture(scope="session")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsulProcess]:
    process = ConsulProcess(tmp_path_factory.mktemp("consul"))
    yield process
    process.stop()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(datetime(2026, 1, 1, tzinfo=UTC))


@pytest.fixture
def settings(agent: ConsulProcess) -> ConsulSettings:
    return ConsulSettings(
        agent.address,
        token=Secret(ROOT_TOKEN),
        timeout=timedelta(seconds=3),
        session_ttl=TTL,
        lock_delay=timedelta(0),
    )


@pytest.fixture
def canned(tmp_path: Path) -> Iterator[SecureServer]:
    made = SecureServer(tmp_path)
    made.by_path["/.well-known/oauth-authorization-server"] = as_json(document(made))
    made.by_path["/token"] = as_json(GOOD)
    yield made
    made.close()


@pytest.fixture
def registered(canned: SecureServer) -> OAuthClient:
    return OAuthClient(AuthorizationServer(canned.issuer, canned.files.ca), "some client", Secret(SECRET))


@pytest.fixture
def oauth(clock: FakeClock) -> HttpAuthorizationServers:
    return HttpAuthorizationServers(clock, TIMEOUT)


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.servers)])
def world(request: pytest.FixtureRequest, clock: FakeClock) -> Iterator[World]:
    prefix = f"t{next(_NUMBERS)}/"
    if request.param == "fake":
        yield _fake(prefix, clock)
        return
    yield from _real(prefix, clock, request.getfixturevalue("agent"), request.getfixturevalue("settings"))


def _fake(prefix: str, clock: FakeClock) -> World:
    consul = FakeConsul(clock)
    return World(
        prefix,
        clock,
        FakeKeys(consul),
        lambda instance, dead: FakeLock(consul, f"{prefix}rotator/lock", instance, TTL, dead),
        lambda fence: consul.destroy_session(fence.session),
    )


def _real(prefix: str, clock: FakeClock, agent: ConsulProcess, settings: ConsulSettings) -> Iterator[World]:
    keys = ConsulKeys(settings, clock)
    locks: list[ConsulLock] = []

    def lock(instance: str, dead: bool) -> Lock:
        locks.append(
            ConsulLock(
                lock_agent(replace(settings), clock),
                settings,
                f"{prefix}rotator/lock",
                instance,
                clock,
                predecessor_is_dead=dead,
            )
        )
        return locks[-1]

    yield World(prefix, clock, keys, lock, lambda fence: _destroy(agent, fence))
    for made in locks:
        made.release()
        made.close()
    keys.close()


def _destroy(agent: ConsulProcess, fence: Fence) -> None:
    agent.put(f"/v1/session/destroy/{fence.session}")
