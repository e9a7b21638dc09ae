"""Real servers of this room's own: bootstrap changes a whole server, so none is shared with other tests."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rotator.clients.consul_admin import ConsulAdmin
from rotator.clients.vault_admin import Endpoint, VaultAdmin
from rotator.core.secret import Secret
from rotator.dev.servers import ports
from rotator.dev.servers.locate import Server
from rotator.dev.servers.process import Child
from rotator.provision import consul_bootstrap, vault_bootstrap, wanted
from tests.assets.fleet import settings
from tests.assets.servers import binary as program

MANAGEMENT = "00000000-0000-4000-8000-000000000001"


@pytest.fixture(scope="session")
def bare_vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of an OpenBao in memory with nothing in it. Root token: `root`."""
    binary = program(Server.OPENBAO)
    (port,) = ports.take(1)
    command = [
        binary,
        "server",
        "-dev",
        "-dev-no-store-token",
        "-dev-root-token-id=root",
        f"-dev-listen-address=127.0.0.1:{port}",
    ]
    home = tmp_path_factory.mktemp("home")
    ready = f"http://127.0.0.1:{port}/v1/sys/health"
    with _running(command, ready, home / "bao.log", {"HOME": str(home)}) as address:
        yield address


@pytest.fixture(scope="session")
def vault(bare_vault: str) -> tuple[str, VaultAdmin, tuple[vault_bootstrap.Change, ...]]:
    """(address, administrator, changes of the first bootstrap)."""
    admin = VaultAdmin(Endpoint(bare_vault), Secret("root"))
    first = vault_bootstrap.bootstrap(admin, wanted.vault(settings(bare_vault)), apply=True)
    return bare_vault, admin, first


@pytest.fixture(scope="session")
def consul(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[str, ConsulAdmin, tuple[vault_bootstrap.Change, ...]]]:
    """(address, administrator, changes of the first bootstrap) of a Consul that denies by default."""
    folder = tmp_path_factory.mktemp("consul")
    binary, (port, server, serf) = program(Server.CONSUL), ports.take(3)
    config = folder / "acl.hcl"
    config.write_text(
        f'acl {{ enabled = true default_policy = "deny" tokens {{ master = "{MANAGEMENT}" }} }}\n'
        f"ports {{ http = {port} server = {server} serf_lan = {serf}\n"
        "dns = -1 grpc = -1 serf_wan = -1 }\n"
    )
    command = [binary, "agent", "-dev", "-bind=127.0.0.1", "-client=127.0.0.1", f"-config-file={config}"]
    ready = f"http://127.0.0.1:{port}/v1/acl/token/self?token={MANAGEMENT}"
    with _running(command, ready, folder / "consul.log", {}) as address:
        admin = ConsulAdmin(Endpoint(address), Secret(MANAGEMENT))
        first = consul_bootstrap.bootstrap(admin, settings().fleet, "", apply=True)
        yield address, admin, first


@contextmanager
def _running(command: list[str], ready: str, log: Path, extra: dict[str, str]) -> Iterator[str]:
    """A server process that answers `ready` before it is handed out, and that cannot outlive the tests."""
    child = Child(command, log, extra)
    try:
        child.await_ready(lambda: _answers(ready), 30)
        yield ready.split("/v1/")[0]
    finally:
        child.stop()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as reply:  # noqa: S310 - loopback only
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False
