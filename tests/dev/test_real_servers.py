"""The real servers do what the other tests rely on: they lose nothing, refuse strangers, freeze, seal and come back."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rotator.clients.consul_admin import ConsulAdmin
from rotator.clients.vault_admin import Endpoint, VaultAdmin
from rotator.core.errors import Denied, Unavailable
from rotator.core.secret import Secret
from rotator.dev.servers import ports
from rotator.dev.servers.consul import Consul
from rotator.dev.servers.envoy import Envoy
from rotator.dev.servers.given import GivenConsul
from rotator.dev.servers.openbao import OpenBao, Storage
from tests.conftest import StartOpenBao

pytestmark = pytest.mark.servers


def admin(server: OpenBao, timeout: float = 10.0) -> VaultAdmin:
    return VaultAdmin(Endpoint(server.address, bundle=str(server.ca_file), timeout=timeout), server.root_token)


def test_openbao_keeps_its_data_through_restart_and_power_cut(start_openbao: StartOpenBao) -> None:
    """Crash stories are told on this: what was acknowledged must be there afterwards."""
    server = start_openbao()
    admin(server).write("sys/mounts/kv", {"type": "kv", "options": {"version": "2"}})
    address = server.address
    server.restart()
    server.kill()
    server.restart()
    assert server.address == address
    mounts = admin(server).read("sys/mounts")
    assert mounts is not None
    assert "kv/" in mounts


def test_openbao_seals_and_unseals(start_openbao: StartOpenBao) -> None:
    """A sealed server answers 503 and works again afterwards."""
    server = start_openbao(storage=Storage.INMEM)
    server.seal()
    assert admin(server).status()[0] == 503
    with pytest.raises(Unavailable):
        admin(server).read("sys/mounts")
    server.unseal()
    assert admin(server).status()[0] == 200


def test_a_frozen_openbao_accepts_and_does_not_answer(start_openbao: StartOpenBao) -> None:
    """The worst outage: only the client's own time-out ends the call."""
    server = start_openbao(storage=Storage.INMEM)
    server.pause()
    with pytest.raises(Unavailable, match="Timeout"):
        admin(server, timeout=0.2).status()
    server.resume()
    assert admin(server).status()[0] == 200


def test_openbao_writes_its_audit_device(start_openbao: StartOpenBao, tmp_path: Path) -> None:
    """The monthly review reads it."""
    audit = tmp_path / "audit.log"
    server = start_openbao(storage=Storage.INMEM, audit=audit)
    admin(server).read("sys/mounts")
    lines = [json.loads(line) for line in audit.read_text().splitlines()]
    assert "sys/mounts" in {line.get("request", {}).get("path") for line in lines}


def test_a_server_in_memory_says_that_it_cannot_come_back(start_openbao: StartOpenBao) -> None:
    """An empty server under the old address would make a test pass for the wrong reason."""
    with pytest.raises(ValueError, match="raft"):
        start_openbao(storage=Storage.INMEM).restart()


def test_the_system_authorities_do_not_vouch_for_our_servers(start_openbao: StartOpenBao) -> None:
    """Otherwise no test of a wrong authority could fail."""
    server = start_openbao(storage=Storage.INMEM)
    port = int(server.address.rsplit(":", 1)[1])
    with (
        socket.create_connection(("127.0.0.1", port), 5) as plain,
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        ssl.create_default_context().wrap_socket(plain, server_hostname="127.0.0.1")


def endpoint(server: Consul | GivenConsul, timeout: float = 10.0) -> Endpoint:
    return Endpoint(server.address, bundle=str(server.ca_file) if server.ca_file else None, timeout=timeout)


def test_consul_denies_by_default(consul: Consul | GivenConsul, unique: str) -> None:
    """Least privilege can only be shown on a server that refuses."""
    with pytest.raises(Denied):
        ConsulAdmin(endpoint(consul), Secret("")).try_session()
    token = consul.create_token(unique, f'key_prefix "{unique}/" {{ policy = "read" }}')
    limited = ConsulAdmin(endpoint(consul), token)
    assert limited.may_read(f"{unique}/a")
    assert not limited.may_read("other/a")


def test_a_token_asked_for_twice_is_the_same_with_the_newer_rules(consul: Consul | GivenConsul, unique: str) -> None:
    """The demo is started again on its old directory."""
    first = consul.create_token(unique, 'key_prefix "a/" { policy = "read" }')
    second = consul.create_token(unique, 'key_prefix "b/" { policy = "read" }')
    assert first.matches(second)
    assert ConsulAdmin(endpoint(consul), second).may_read("b/x")


def test_consul_keeps_its_data_and_its_token_through_a_power_cut(start_consul: Callable[[], Consul]) -> None:
    """Crash stories are told on this."""
    server = start_consul()
    first = server.create_token("kept", 'key_prefix "" { policy = "read" }')
    server.kill()
    server.restart()
    assert first.matches(server.create_token("kept", 'key_prefix "" { policy = "read" }'))


def test_a_frozen_consul_accepts_and_does_not_answer(start_consul: Callable[[], Consul]) -> None:
    """Leadership must then end by the local deadline alone."""
    server = start_consul()
    server.pause()
    with pytest.raises(Unavailable, match="Timeout"):
        ConsulAdmin(endpoint(server, timeout=0.2), server.management_token).leader()
    server.resume()
    assert ConsulAdmin(endpoint(server), server.management_token).leader()


def bootstrap(folder: Path, admin_port: int) -> Path:
    address = {"socket_address": {"address": "127.0.0.1", "port_value": admin_port}}
    content: dict[str, Any] = {"admin": {"address": address}, "static_resources": {}}
    path = folder / f"envoy-{admin_port}.json"
    path.write_text(json.dumps(content))
    return path


def test_two_envoys_run_side_by_side(tmp_path: Path) -> None:
    """With a shared base id the second one refuses to start."""
    one, two = ports.take(2)
    with (
        Envoy.start(bootstrap(tmp_path, one), tmp_path / "one.log", admin_port=one) as first,
        Envoy.start(bootstrap(tmp_path, two), tmp_path / "two.log", admin_port=two) as second,
    ):
        assert first.alive
        assert second.alive
    assert not first.alive
    assert not second.alive


def test_an_envoy_that_refuses_its_configuration_says_so(tmp_path: Path) -> None:
    """Its words lead to the mistake."""
    path = tmp_path / "envoy.json"
    path.write_text('{"no_such_field": 1}')
    with pytest.raises(Unavailable, match="ended at once"):
        Envoy.start(path, tmp_path / "log", admin_port=ports.take(1)[0])
