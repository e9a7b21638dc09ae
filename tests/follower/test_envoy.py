"""The real Envoy: who gets in, who may do what, and that a rotation is not felt."""

from __future__ import annotations

import http.client
import json
import os
import ssl
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from rotator.clients.tls_probe import Target, probe
from rotator.core.errors import Code, Rejected, Unavailable
from rotator.core.identity import CredentialId
from rotator.core.model import Denial, Facts
from rotator.publish.document import Denied
from rotator.publish.report import NodeState
from tests.follower.envoy_site import EnvoySite, Scope, access, free_port, until
from tests.follower.world import DOMAIN, Ca, Issued

pytestmark = pytest.mark.servers
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EnvoySite]:
    """First the files, then Envoy (PUB-3), then a pass that sees them served."""
    made = EnvoySite(tmp_path_factory.mktemp("envoy"))
    try:
        made.publish()
        first = made.follower.run()
        assert first.changed
        assert not first.settled
        made.start()
        made.world.clock.advance(timedelta(seconds=5))
        assert made.follower.run().settled
        yield made
    finally:
        made.close()


def ask(site: EnvoySite, issued: Issued | None, tmp: Path, path: str, method: str = "GET", **headers: str) -> Any:
    """(status, what the upstream got); raises ssl.SSLError or OSError when the connection is refused. One attempt."""
    with site.connection(issued, tmp) as connection:
        connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        reply = connection.getresponse()
        body = reply.read()
        return reply.status, json.loads(body) if reply.status == 200 else {}


def test_an_agent_gets_what_its_scopes_say(site: EnvoySite, tmp_path: Path) -> None:
    """Whole segments, methods, and the identity that the upstream is told."""
    status, got = ask(site, site.agent(), tmp_path, "/orders/7?page=2")
    assert (status, got["path"]) == (200, "/orders/7?page=2")
    assert got["headers"]["x-rotator-agent"] == f"spiffe://{DOMAIN}/agent/billing"
    assert f"URI=spiffe://{DOMAIN}/agent/billing" in got["headers"]["x-forwarded-client-cert"]
    assert ask(site, site.agent(), tmp_path, "/orders/new", "POST")[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/reports", 403),
        ("GET", "/orders-old", 403),
        ("GET", "/ORDERS", 403),
        ("DELETE", "/orders/7", 403),
        ("POST", "/orders", 403),
        ("POST", "/orders/new/7", 403),
        ("GET", "/orders/../reports", 403),
        ("GET", "/orders/%2e%2e/reports", 403),
        ("GET", "/orders\\..\\reports", 403),
        ("GET", "/orders%2f..%2freports", 400),
        ("GET", "/orders%5c..%5creports", 400),
        ("GET", "/", 403),
    ],
)
def test_everything_else_is_refused(site: EnvoySite, tmp_path: Path, method: str, path: str, status: int) -> None:
    """Default deny; no spelling of a path leads around its scope."""
    assert ask(site, site.agent(), tmp_path, path, method)[0] == status


def test_the_upstream_gets_the_path_that_was_judged(site: EnvoySite, tmp_path: Path) -> None:
    """An empty segment is removed by `..` as RFC 3986 says, and the upstream sees the outcome, not the spelling."""
    status, got = ask(site, site.agent(), tmp_path, "/orders//..//reports")
    assert (status, got["path"]) == (200, "/orders/reports")


def test_identity_headers_of_a_client_never_reach_the_upstream(site: EnvoySite, tmp_path: Path) -> None:
    """Spoofed identity, also in the spelling that CGI-like servers confuse."""
    forged = {"x_rotator_agent": "spiffe://x/agent/root", "x_forwarded_client_cert": "URI=spiffe://x/agent/root"}
    status, got = ask(site, site.agent(), tmp_path, "/orders", **forged)
    assert status == 200
    assert "spiffe://x/" not in json.dumps(got["headers"])
    with site.connection(site.agent(), tmp_path) as connection:
        connection.request("GET", "/orders", headers={"x_rotator_agent": "spiffe://x/agent/root"})
        assert connection.getresponse().status == 400


def foreign(site: EnvoySite, uri: str, **validity: timedelta) -> Issued:
    return site.world.ca.issue(uri, **validity)


@pytest.mark.parametrize("case", ["none", "wrong CA", "wrong domain", "a proxy", "expired", "not yet valid"])
def test_wrong_client_certificates_end_at_the_handshake(site: EnvoySite, tmp_path: Path, case: str) -> None:
    """Invariant 10: final, and one attempt each."""
    right = f"spiffe://{DOMAIN}/agent/billing"
    made: dict[str, Any] = {
        "none": lambda: None,
        "wrong CA": lambda: Ca(site.world.clock.now()).issue(right),
        "wrong domain": lambda: foreign(site, "spiffe://evil.org/agent/billing"),
        "a proxy": lambda: foreign(site, f"spiffe://{DOMAIN}/proxy/edge"),
        "expired": lambda: foreign(site, right, starts=-2 * HOUR, ends=-HOUR),
        "not yet valid": lambda: foreign(site, right, starts=HOUR, ends=2 * HOUR),
    }
    with pytest.raises((ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)):
        ask(site, made[case](), tmp_path, "/orders")


def test_a_rate_holds_per_agent_and_scope(site: EnvoySite, tmp_path: Path) -> None:
    """Two per minute for one scope; the agent's other scope and other agents do not feel it."""
    reports = site.agent("reports")
    assert [ask(site, reports, tmp_path, "/limited?x=1")[0] for _ in range(3)] == [200, 200, 429]
    assert ask(site, reports, tmp_path, "/reports")[0] == 200
    assert ask(site, site.agent(), tmp_path, "/orders")[0] == 200


def test_a_new_scope_holds_for_open_connections_too(site: EnvoySite, tmp_path: Path) -> None:
    """A withdrawn right ends with the next request, not with the connection."""
    with site.connection(site.agent(), tmp_path) as connection:
        connection.request("GET", "/orders")
        reply = connection.getresponse()
        assert (reply.status, bool(reply.read())) == (200, True)
        site.publish(access=access(billing=(Scope("/other", ("GET",)),)))
        assert site.follower.run().settled
        connection.request("GET", "/orders")
        assert connection.getresponse().status == 403
    site.publish()
    assert site.follower.run().settled


def test_a_denied_certificate_is_refused_on_open_connections(site: EnvoySite, tmp_path: Path) -> None:
    """Whoever has it may have connected before; the agent's other certificate and everybody else go on."""
    leaked, fresh, other = site.agent(), site.agent(), site.agent("reports")
    with site.connection(leaked, tmp_path) as connection:
        assert _status(connection, "/orders") == 200
        site.world.denied = (_denied(leaked),)
        site.publish()
        assert site.follower.run().settled
        assert _status(connection, "/orders", **{"x-rotator-certificate": fresh.fingerprint}) == 403
    assert ask(site, leaked, tmp_path, "/orders", x_rotator_certificate=fresh.fingerprint)[0] == 403
    assert ask(site, fresh, tmp_path, "/orders")[0] == 200
    assert ask(site, other, tmp_path, "/reports")[0] == 200
    site.world.denied = ()
    site.publish()
    assert site.follower.run().settled


def test_the_certificate_that_is_shown_upstream_is_the_clients_own(site: EnvoySite, tmp_path: Path) -> None:
    """What a client says of itself is gone before anything looks at it."""
    issued = site.agent()
    _, got = ask(site, issued, tmp_path, "/orders", x_rotator_certificate="f" * 64)
    assert got["headers"]["x-rotator-certificate"] == issued.fingerprint


def _denied(issued: Issued) -> Denied:
    end = issued.not_after
    facts = Facts(1, "m", "agents/billing/tls", 1, end, end, end, issued.serial, issued.fingerprint)
    return Denied(CredentialId.parse("agent/billing/tls"), "certificate", Denial(facts, end, "r1"))


def _status(connection: http.client.HTTPSConnection, path: str, **headers: str) -> int:
    connection.request("GET", path, headers=headers)
    reply = connection.getresponse()
    reply.read()
    return reply.status


def test_rotations_are_not_felt(site: EnvoySite, tmp_path: Path) -> None:
    """New connections without pause while five certificates follow each other: no failure, each serial is served."""
    stop, results = threading.Event(), []
    client = site.agent()

    def hammer() -> None:
        while not stop.is_set():
            try:
                results.append(ask(site, client, tmp_path, "/orders")[0])
            except OSError as problem:
                results.append(repr(problem))

    worker = threading.Thread(target=hammer)
    worker.start()
    try:
        for _ in range(5):
            issued = site.publish()
            assert site.follower.run().settled
            assert site.look().fingerprint == issued.fingerprint
            seen = len(results)
            until(lambda seen=seen: len(results) > seen + 5, "requests go on")
    finally:
        stop.set()
        worker.join()
    assert set(results) == {200}
    assert site.world.report().version == site.number


def test_a_mismatched_pair_is_never_swapped_in(site: EnvoySite) -> None:
    """Neither the link nor what is served moves."""
    before, link = site.look(), os.readlink(site.world.root / "current")
    issued = site.publish()
    key = ("proxies/edge/tls", site.number)
    kept = site.world.shelf.kept[key]
    site.world.shelf.kept[key] = {**kept, "private_key": next(iter(site.world.shelf.kept.values()))["private_key"]}
    assert not site.follower.run().settled
    assert (site.look(), os.readlink(site.world.root / "current")) == (before, link)
    assert site.world.report().error_code == Code.MATERIAL_REJECTED.value
    assert before.fingerprint != issued.fingerprint


def test_what_envoy_would_not_load_keeps_the_last_good_version(site: EnvoySite) -> None:
    """The checker's own words are reported; the next good version goes through."""
    before = site.look()
    site.publish(upstreams=[{"name": "api", "prefix": "/", "address": "127.0.0.1", "port": 99999}])
    outcome = site.follower.run()
    assert not outcome.changed
    told = site.world.report()
    assert (told.state, told.error_code) == (NodeState.REFUSED, Code.PROXY_CHECK_FAILED.value)
    assert "PortValue: value must be less than or equal to 65535" in told.error_text
    assert site.look() == before
    site.publish()
    assert site.follower.run().settled
    assert site.world.report().state is NodeState.APPLIED


def test_what_passes_the_check_but_not_the_running_envoy_is_taken_back(site: EnvoySite) -> None:
    """A port that somebody else holds is seen only when Envoy binds it."""
    taken = site.upstream.server_address[1]
    before = os.readlink(site.world.root / "current")
    site.publish(listener={"address": "127.0.0.1", "port": taken})
    assert not site.follower.run().settled
    assert os.readlink(site.world.root / "current") == before
    assert site.world.report().version == site.number - 1
    assert set(site.admin.versions().values()) == {str(site.number - 1)}
    site.publish()
    assert site.follower.run().settled


def test_the_probe_verifies_when_it_is_asked_to(site: EnvoySite) -> None:
    """Chain and name against the trust bundle; nothing there is another fault than something wrong there."""
    target = Target("127.0.0.1", site.port, "localhost", (site.world.ca.pem,))
    assert probe(target).serial == site.look().serial
    with pytest.raises(Rejected):
        probe(Target("127.0.0.1", site.port, "localhost", (Ca(site.world.clock.now()).pem,)))
    with pytest.raises(Rejected):
        probe(Target("127.0.0.1", site.port, "elsewhere.org", (site.world.ca.pem,)))
    with pytest.raises(Unavailable):
        probe(Target("127.0.0.1", free_port()))
