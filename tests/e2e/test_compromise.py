"""A certificate has leaked: the drill, on real servers, with the figure that counts."""

from __future__ import annotations

import http.client
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509

from rotator.dev import fleet
from rotator.dev.caller import Answer, Identity, agent_identity, call
from rotator.dev.fleet import PROXY, Size
from rotator.dev.world import Options, World
from tests.e2e.command import rotator

pytestmark = pytest.mark.servers

OPTIONS = Options(size=Size(agents=3, ttl=600, renew_at=0.5, overlap="5s", outage_budget="1m"))
LEAKED = "billing"
WITHIN = 5.0


@dataclass(frozen=True, slots=True)
class Drill:
    """stolen: a copy of the files. seconds: from command to refusal. kept: the answer on an open connection."""

    stolen: Identity
    serial: int
    seconds: float
    kept: int
    output: str


@pytest.fixture(scope="module")
def drill(world: World, tmp_path_factory: pytest.TempPathFactory) -> Drill:
    folder = tmp_path_factory.mktemp("stolen")
    stolen = _copied(agent_identity(world.agent_directory(LEAKED)), folder)
    assert stolen.certificate is not None
    serial = x509.load_pem_x509_certificate(stolen.certificate.read_bytes()).serial_number
    kept = _open(world, stolen)
    assert _ask(kept, world) == 200
    began = time.monotonic()
    command = ThreadPoolExecutor(1).submit(rotator, world, "compromise", LEAKED, "--reason", "found in a repository")
    while call(world.door, stolen, "GET", fleet.own_path(LEAKED)).answer is Answer.PASSED:
        assert time.monotonic() - began < 30
    seconds = time.monotonic() - began
    status = _ask(kept, world)
    kept.close()
    said = command.result()
    assert said.code == 0, said
    return Drill(stolen, serial, seconds, status, said.out)


def test_the_old_certificate_is_refused_within_seconds(drill: Drill) -> None:
    """From the command, its start-up included, to the proxy's refusal."""
    print(f"compromise: refused by the proxy {drill.seconds:.2f} s after the command\n{drill.output}")
    assert drill.seconds < WITHIN


def test_an_open_connection_is_refused_too(drill: Drill) -> None:
    """Whoever stole it may have connected before."""
    assert drill.kept in (0, 403)


def test_the_agent_goes_on_with_its_new_certificate(world: World, drill: Drill) -> None:
    world.await_("the agent's return", lambda: world.passes(LEAKED), 15)
    renewed = agent_identity(world.agent_directory(LEAKED)).certificate
    assert renewed is not None
    assert x509.load_pem_x509_certificate(renewed.read_bytes()).serial_number != drill.serial


def test_nobody_else_notices(world: World, drill: Drill) -> None:
    """A revocation list that the proxy cannot use would refuse everybody."""
    for name in world.options.size.names[1:]:
        assert world.passes(name)


def test_vault_has_revoked_it_and_the_proxy_has_the_list(world: World, drill: Drill) -> None:
    """A CRL without the serial would look like one with it."""

    def listed() -> bool:
        crl = world.document(PROXY)["trust"].get("crl") or []
        found = x509.load_pem_x509_crl(crl[0].encode()) if crl else None
        return found is not None and found.get_revoked_certificate_by_serial_number(drill.serial) is not None

    world.await_("the serial on the published CRL", listed, 60)
    refused = lambda: call(world.door, drill.stolen, "GET", fleet.own_path(LEAKED)).answer is Answer.REFUSED  # noqa: E731
    world.await_("the refusal at the handshake", refused, 15)
    test_nobody_else_notices(world, drill)


def test_a_rollback_does_not_bring_it_back(world: World, drill: Drill) -> None:
    """The first version of the document knew nothing of the leak."""
    said = rotator(world, "rollback", PROXY, "--to", "1", "--reason", "drill", "--wait")
    assert said.code == 0, said
    assert world.document(PROXY)["trust"]["denied"]
    assert call(world.door, drill.stolen, "GET", fleet.own_path(LEAKED)).answer is not Answer.PASSED


def _copied(identity: Identity, folder: Path) -> Identity:
    assert identity.certificate is not None
    assert identity.key is not None
    for file in (identity.ca, identity.certificate, identity.key):
        (folder / file.name).write_bytes(file.read_bytes())
    return Identity(folder / identity.ca.name, folder / identity.certificate.name, folder / identity.key.name)


def _open(world: World, identity: Identity) -> http.client.HTTPSConnection:
    context = ssl.create_default_context(cafile=str(identity.ca))
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.check_hostname = False
    context.load_cert_chain(str(identity.certificate), str(identity.key))
    return http.client.HTTPSConnection(world.door.host, world.door.port, timeout=5, context=context)


def _ask(connection: http.client.HTTPSConnection, world: World) -> int:
    """The status, 0 when the connection was closed."""
    try:
        connection.request("GET", fleet.own_path(LEAKED))
        answer = connection.getresponse()
        answer.read()
        return answer.status
    except (OSError, http.client.HTTPException):
        return 0
