"""Real servers of this room's own: bootstrap changes a whole server, so none is shared with other tests."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from rotator.clients.consul_admin import ConsulAdmin
from rotator.clients.vault_admin import Endpoint, VaultAdmin
from rotator.core.secret import Secret
from rotator.provision import consul_bootstrap, vault_bootstrap, wanted
from tests.assets.fleet import settings

MANAGEMENT = "00000000-0000-4000-8000-000000000001"


@pytest.fixture(scope="session")
def bare_vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of an OpenBao in memory with nothing in it. Root token: `root`."""
    binary = _binary("bao", "vault")
    port = _free_port()
    command = [
        binary,
        "server",
        "-dev",
        "-dev-no-store-token",
        "-dev-root-token-id=root",
        f"-dev-listen-address=127.0.0.1:{port}",
    ]
    with _running(
        command, f"http://127.0.0.1:{port}/v1/sys/health", {"HOME": str(tmp_path_factory.mktemp("home"))}
    ) as address:
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
    binary, port, folder = _binary("consul"), _free_port(), tmp_path_factory.mktemp("consul")
    config = folder / "acl.hcl"
    config.write_text(
        f'acl {{ enabled = true default_policy = "deny" tokens {{ master = "{MANAGEMENT}" }} }}\n'
        f"ports {{ http = {port} server = {_free_port()} serf_lan = {_free_port()}\n"
        "dns = -1 grpc = -1 serf_wan = -1 }\n"
    )
    command = [binary, "agent", "-dev", "-bind=127.0.0.1", "-client=127.0.0.1", f"-config-file={config}"]
    ready = f"http://127.0.0.1:{port}/v1/acl/token/self?token={MANAGEMENT}"
    with _running(command, ready, {}) as address:
        admin = ConsulAdmin(Endpoint(address), Secret(MANAGEMENT))
        first = consul_bootstrap.bootstrap(admin, settings().fleet, "", apply=True)
        yield address, admin, first


class _running:
    """A server process that answers `ready` before it is handed out, and is ended by its id."""

    def __init__(self, command: list[str], ready: str, extra: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={"PATH": os.environ["PATH"], **extra}
        )
        self._ready = ready

    def __enter__(self) -> str:
        deadline = time.monotonic() + 30
        while not _answers(self._ready):
            assert self._process.poll() is None, "the server ended at once"
            assert time.monotonic() < deadline, "the server did not become ready"
            time.sleep(0.05)
        return self._ready.split("/v1/")[0]

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as reply:  # noqa: S310 - loopback only
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _binary(*names: str) -> str:
    near = Path(sys.executable).parent
    for name in names:
        found = (
            shutil.which(name) or shutil.which(name, path=str(near)) or os.environ.get(f"ROTATOR_TEST_{name.upper()}")
        )
        if found:
            return found
    if os.environ.get("CI") == "true":
        pytest.fail(f"none of {names} is here")
    pytest.skip(f"none of {names} is here")


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
