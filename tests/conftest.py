"""Real servers for every test: one of each kind per test process, started when the first test asks for it.

A server that cannot be had skips its tests on a laptop, with a count at the end, and fails them where CI=true.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any, Protocol

import pytest

from rotator.dev.servers import given
from rotator.dev.servers.consul import Consul
from rotator.dev.servers.given import GivenConsul, GivenVault
from rotator.dev.servers.oauth import OAuthServer
from rotator.dev.servers.openbao import OpenBao, Storage
from rotator.dev.servers.postgres import Postgres
from tests.assets.servers import MISSING, or_missing

_NAMES = count(1)


class StartOpenBao(Protocol):
    """A server of the test's own, to stop, seal, freeze and kill."""

    def __call__(self, *, storage: Storage = Storage.RAFT, audit: Path | None = None) -> OpenBao: ...


@pytest.fixture(scope="session")
def openbao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenBao | GivenVault]:
    """A server that tests of this process share: use mounts named after `unique`, and never stop or seal it."""
    named = or_missing(given.vault)
    if named is not None:
        yield named
        return
    folder = tmp_path_factory.mktemp("openbao")
    with or_missing(lambda: OpenBao.start(folder, storage=Storage.INMEM)) as server:
        yield server


@pytest.fixture(scope="session")
def consul(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Consul | GivenConsul]:
    """A server that tests of this process share: use keys below `unique`, and never stop it."""
    named = or_missing(given.consul)
    if named is not None:
        yield named
        return
    folder = tmp_path_factory.mktemp("consul")
    with or_missing(lambda: Consul.start(folder)) as server:
        yield server


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A server that tests of this process share: use accounts named after `unique`, and never stop it."""
    folder = tmp_path_factory.mktemp("postgres")
    with or_missing(lambda: Postgres.start(folder)) as server:
        yield server


@pytest.fixture(scope="session")
def oauth_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OAuthServer]:
    """A server that tests of this process share: use clients named after `unique` (`set_client`), never stop it."""
    with or_missing(lambda: OAuthServer.start(tmp_path_factory.mktemp("oauth"))) as server:
        yield server


@pytest.fixture
def start_openbao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartOpenBao]:
    """Starts servers that end with the test."""
    with ExitStack() as servers:

        def start(*, storage: Storage = Storage.RAFT, audit: Path | None = None) -> OpenBao:
            folder = tmp_path_factory.mktemp("openbao")
            return servers.enter_context(or_missing(lambda: OpenBao.start(folder, storage=storage, audit=audit)))

        yield start


@pytest.fixture
def start_consul(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Consul]]:
    """Starts servers that end with the test."""
    with ExitStack() as servers:

        def start() -> Consul:
            folder = tmp_path_factory.mktemp("consul")
            return servers.enter_context(or_missing(lambda: Consul.start(folder)))

        yield start


@pytest.fixture
def unique() -> str:
    """A name that no other test of any process uses: letters, digits and hyphens."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    return f"t-{worker}-{os.getpid()}-{next(_NAMES)}"


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Says how many tests did not run for want of a server: a skip must not look like a pass."""
    skipped = [one for one in terminalreporter.stats.get("skipped", ()) if MISSING in str(one.longrepr)]
    if skipped:
        terminalreporter.write_sep("=", f"{len(skipped)} tests did not run: a server is missing", yellow=True)
