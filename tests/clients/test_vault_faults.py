"""What a real OpenBao, or something that stands in its place, does to our calls."""

from __future__ import annotations

import resource
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from rotator.clients.clock import SystemClock
from rotator.clients.vault import VaultSecrets
from rotator.config.settings import VaultAuth, VaultAuthMethod
from rotator.core.errors import Code, Conflict, Denied, Fault, Unavailable
from rotator.core.secret import Secret
from rotator.dev.servers.openbao import Storage
from tests.clients.canned_server import Answer, CannedServer, read_message
from tests.clients.vault_site import Server, VaultSite, raised
from tests.conftest import StartOpenBao

pytestmark = pytest.mark.servers
PATH = "agents/billing/tls"
CANARY = "canary-5f0c1a"


@pytest.fixture
def site(openbao: Server, unique: str) -> VaultSite:
    return VaultSite(openbao, unique)


@pytest.fixture
def canned() -> Iterator[Callable[..., CannedServer]]:
    started: list[CannedServer] = []

    def start(*answers: bytes | Answer) -> CannedServer:
        started.append(CannedServer(*answers))
        return started[-1]

    yield start
    for server in started:
        server.close()


def relay(server: Server, lost: Callable[[bytes], bool]) -> Answer:
    """Lets the real server act on each request, and drops the replies to those that `lost` chooses."""
    context = ssl.create_default_context(cafile=str(server.ca_file))
    port = int(server.address.rpartition(":")[2])

    def act(request: bytes) -> bytes:
        plain = socket.create_connection(("127.0.0.1", port), timeout=5)
        with context.wrap_socket(plain, server_hostname="127.0.0.1") as upstream:
            upstream.sendall(request)
            answer = read_message(upstream)
        if lost(request):
            return b""
        return answer.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)

    return act


def test_a_lost_reply_to_a_write_is_unavailable_and_not_sent_again(
    site: VaultSite, canned: Callable[..., CannedServer]
) -> None:
    """The version is there: who writes again without reading back meets a conflict with himself."""
    server = canned(relay(site.server, lambda request: b"/data/" in request.split(b"\r\n")[0]))
    secrets = VaultSecrets(site.at(server.address), SystemClock())
    fault = raised(lambda: secrets.kv_write(site.kv, PATH, {"a": Secret(CANARY)}, 0))
    assert (type(fault), fault.code) == (Unavailable, Code.VAULT_UNREACHABLE)
    assert sum(b"/data/" in one.split(b"\r\n")[0] for one in server.requests) == 1
    direct, _ = site.open()
    state = direct.kv_state(site.kv, PATH)
    assert state is not None
    assert state.current_version == 1
    assert isinstance(raised(lambda: direct.kv_write(site.kv, PATH, {"a": Secret(CANARY)}, 0)), Conflict)


def test_a_lost_reply_to_an_issue_is_unavailable_and_not_sent_again(
    site: VaultSite, canned: Callable[..., CannedServer]
) -> None:
    """Each further try would leave one more certificate that nobody holds."""
    server = canned(relay(site.server, lambda request: b"/issue/" in request.split(b"\r\n")[0]))
    secrets = VaultSecrets(site.at(server.address), SystemClock())
    assert isinstance(raised(lambda: secrets.issue_certificate(site.request())), Unavailable)
    assert sum(b"/issue/" in one.split(b"\r\n")[0] for one in server.requests) == 1


def test_a_quota_is_throttling(site: VaultSite) -> None:
    """429 comes without Retry-After: the core's own pause holds."""
    secrets, _ = site.open()
    secrets.kv_state(site.kv, PATH)
    site.admin.write(f"sys/quotas/rate-limit/{site.name}", {"path": f"{site.kv}/", "rate": 0.01})
    fault = raised(lambda: [secrets.kv_state(site.kv, PATH) for _ in range(3)])
    assert (type(fault), fault.code) == (Unavailable, Code.VAULT_THROTTLED)


def test_a_body_above_the_servers_limit_is_denied(site: VaultSite) -> None:
    """Trying again cannot make it smaller."""
    secrets, _ = site.open()
    fault = raised(lambda: secrets.kv_write(site.kv, PATH, {"a": Secret("x" * (40 * 1024 * 1024))}, 0))
    assert (type(fault), fault.code) == (Denied, Code.VAULT_NOT_CONFIGURED)


def test_a_sealed_server(start_openbao: StartOpenBao) -> None:
    """Sealed is an outage that heals by itself; the clock can be compared all the same."""
    server = start_openbao(storage=Storage.RAFT)
    site = VaultSite(server, "sealed")
    secrets, _ = site.open()
    secrets.ready()
    server.seal()
    for act in (secrets.ready, lambda: secrets.kv_read(site.kv, PATH)):
        fault = raised(act)
        assert (type(fault), fault.code) == (Unavailable, Code.VAULT_SEALED)
    now = secrets.server_time()
    assert now is not None
    assert abs(now - SystemClock().now()) < timedelta(seconds=5)
    server.unseal()
    secrets.ready()


def test_a_frozen_server_costs_one_timeout(start_openbao: StartOpenBao) -> None:
    """Connections stay and nothing answers: the deadline of the call is what ends it."""
    server = start_openbao(storage=Storage.INMEM)
    site = VaultSite(server, "frozen")
    secrets = VaultSecrets(replace(site.settings(), timeout=timedelta(seconds=0.5)), SystemClock())
    secrets.ready()
    clock = SystemClock()
    server.pause()
    begun = clock.monotonic()
    try:
        assert isinstance(raised(lambda: secrets.kv_read(site.kv, PATH)), Unavailable)
        assert clock.monotonic() - begun < 3
    finally:
        server.resume()
    assert secrets.kv_read(site.kv, PATH) is None


def test_a_server_that_cannot_audit_is_not_ready(start_openbao: StartOpenBao, tmp_path: Path) -> None:
    """Its health endpoint says 200 while every call fails: readiness asks for something real."""
    audit = tmp_path / "audit.log"
    server = start_openbao(storage=Storage.INMEM, audit=audit)
    site = VaultSite(server, "audit")
    secrets, calls = site.open()
    secrets.ready()
    # No byte more fits into its files, as on a full disk.
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (audit.stat().st_size, resource.RLIM_INFINITY))
    fault = raised(secrets.ready)
    assert (type(fault), fault.code) == (Unavailable, Code.VAULT_ERROR)
    secrets.server_time()
    assert calls.made[-1] == ("health", "200")
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    secrets.ready()


def test_ready_names_the_missing_right(site: VaultSite) -> None:
    """A rotation would be refused: that must be known before it is due."""
    rules = "\n".join(
        f'path "{path}" {{ capabilities = ["update", "read"] }}'
        for path in ("auth/token/lookup-self", "sys/capabilities-self", f"{site.kv}/data/agents/+/+")
    )
    site.write(f"sys/policies/acl/{site.name}-less", policy=rules)
    token = site.child_token(policies=[f"{site.name}-less"])
    secrets, _ = site.open(VaultAuth(VaultAuthMethod.TOKEN, token=token))
    fault = raised(secrets.ready)
    assert fault.code is Code.VAULT_DENIED
    assert f"{site.pki}/issue/rotator-agent" in fault.text


def test_ready_tells_an_expired_ca(openbao: Server, unique: str) -> None:
    """Nothing can be issued any more, whatever else works; and an issue says the same."""
    site = VaultSite(openbao, unique, ca_ttl="2s")
    secrets, _ = site.open()
    clock, pause = SystemClock(), threading.Event()
    until = clock.monotonic() + 20
    while (fault := _fault_of(secrets.ready)) is None and clock.monotonic() < until:
        pause.wait(0.1)
    assert fault is not None
    assert fault.code is Code.VAULT_ISSUER_UNUSABLE
    assert raised(lambda: secrets.issue_certificate(site.request())).code is Code.VAULT_ISSUER_UNUSABLE


def _fault_of(act: Callable[[], object]) -> Fault | None:
    try:
        act()
    except Fault as fault:
        return fault
    return None


def test_a_name_that_the_role_forbids_is_configuration(site: VaultSite) -> None:
    """400 as well, with a CA that is well."""
    secrets, _ = site.open()
    request = replace(site.request(), uri_sans=("spiffe://elsewhere.test/agent/x",))
    assert raised(lambda: secrets.issue_certificate(request)).code is Code.VAULT_NOT_CONFIGURED


def test_clock_skew_is_measured_with_every_reply(site: VaultSite) -> None:
    """Expiry is judged by our clock: a difference to Vault's makes every judgement doubtful."""

    class Fast(SystemClock):
        def now(self):  # type: ignore[no-untyped-def]
            return super().now() + timedelta(minutes=5)

    secrets, _ = site.open(clock=Fast())
    assert secrets.clock_skew() is None
    secrets.kv_state(site.kv, PATH)
    skew = secrets.clock_skew()
    assert skew is not None
    assert abs(skew - timedelta(minutes=5)) < timedelta(seconds=3)
