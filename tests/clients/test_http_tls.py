"""TLS of the transport: a mismatch is final after one attempt, and nothing of the environment weakens it."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rotator.clients.clock import SystemClock
from rotator.clients.http import HttpClient, Peer, TlsContextSettings
from rotator.core.errors import Code, Denied
from tests.assets.authority import Authority, Bend
from tests.clients.canned_server import read_message, reply

GOOD = Bend("server", uris=(), ips=("127.0.0.1",))


class TlsServer:
    """`attempts`: connections taken. `requests`: what got through the handshake."""

    def __init__(self, folder: Path, pem: str, key: str, client_ca: str = "", newest: bool = True) -> None:
        (folder / "server.crt").write_text(pem)
        (folder / "server.key").write_text(key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "server.crt", folder / "server.key")
        if client_ca:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(cadata=client_ca)
        if not newest:
            context.options |= ssl.OP_NO_TLSv1_2 | ssl.OP_NO_TLSv1_3
            context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
            context.set_ciphers("ALL:@SECLEVEL=0")
        self.attempts, self.requests = 0, list[bytes]()
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            self.attempts += 1
            plain.settimeout(5)
            try:
                with self._context.wrap_socket(plain, server_side=True) as secure:
                    request = read_message(secure)
                    if request:
                        self.requests.append(request)
                        secure.sendall(reply("200 OK", b"ok"))
            except OSError:
                plain.close()


@pytest.fixture
def authority() -> Authority:
    return Authority(datetime.now(UTC))


@pytest.fixture
def running() -> Iterator[list[TlsServer]]:
    servers: list[TlsServer] = []
    yield servers
    for server in servers:
        server.close()


def trusting(folder: Path, authority: Authority, name: str = "") -> TlsContextSettings:
    file = folder / "ca.crt"
    file.write_text(authority.pem)
    return TlsContextSettings(ca_file=file, server_name=name)


def client(server: TlsServer, tls: TlsContextSettings) -> HttpClient:
    address = f"https://127.0.0.1:{server.port}"
    return HttpClient(address, tls, timedelta(seconds=5), Peer.VAULT, SystemClock())


def test_a_trusted_server_is_used(tmp_path: Path, authority: Authority, running: list[TlsServer]) -> None:
    """The other tests would pass with a client that refuses everything."""
    running.append(TlsServer(tmp_path, *authority.leaf(datetime.now(UTC), GOOD)))
    assert client(running[0], trusting(tmp_path, authority)).request("GET", "/a", {}).body == b"ok"


def test_the_name_to_be_proven_can_differ_from_the_address(
    tmp_path: Path, authority: Authority, running: list[TlsServer]
) -> None:
    """`server_name` is for addresses that no certificate names."""
    bend = Bend("server", uris=(), dns=("vault.example.test",))
    running.append(TlsServer(tmp_path, *authority.leaf(datetime.now(UTC), bend)))
    tls = trusting(tmp_path, authority, "vault.example.test")
    assert client(running[0], tls).request("GET", "/a", {}).status == 200


@pytest.mark.parametrize(
    ("bend", "own_ca"),
    [
        (GOOD, False),
        (Bend("server", uris=(), ips=("127.0.0.2",)), True),
        (Bend("server", uris=(), ips=("127.0.0.1",), backdate=timedelta(days=2), ttl=-timedelta(days=1)), True),
    ],
    ids=["wrong CA", "wrong name", "expired"],
)
def test_a_mismatch_is_final(
    tmp_path: Path, authority: Authority, running: list[TlsServer], bend: Bend, own_ca: bool
) -> None:
    """Invariant 10: one attempt, nothing sent, no weaker second try, even for a call that may be repeated."""
    signer = authority if own_ca else Authority(datetime.now(UTC))
    running.append(TlsServer(tmp_path, *signer.leaf(datetime.now(UTC), bend)))
    with pytest.raises(Denied) as raised:
        client(running[0], trusting(tmp_path, authority)).request("GET", "/a", {"X-Vault-Token": "t"}, idempotent=True)
    assert raised.value.code is Code.VAULT_TLS
    assert (running[0].attempts, running[0].requests) == (1, [])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the test server must be weak on purpose
def test_tls_below_1_2_is_refused(tmp_path: Path, authority: Authority, running: list[TlsServer]) -> None:
    """Old protocol versions are broken, and a downgrade is how they come into use."""
    running.append(TlsServer(tmp_path, *authority.leaf(datetime.now(UTC), GOOD), newest=False))
    with pytest.raises(Denied) as raised:
        client(running[0], trusting(tmp_path, authority)).request("GET", "/a", {})
    assert raised.value.code is Code.VAULT_TLS
    assert running[0].attempts == 1


def test_a_missing_client_certificate_is_final(tmp_path: Path, authority: Authority, running: list[TlsServer]) -> None:
    """With TLS 1.3 the refusal comes only when the reply is read; it is no outage all the same."""
    running.append(TlsServer(tmp_path, *authority.leaf(datetime.now(UTC), GOOD), client_ca=authority.pem))
    with pytest.raises(Denied) as raised:
        client(running[0], trusting(tmp_path, authority)).request("GET", "/a", {}, idempotent=True)
    assert raised.value.code is Code.VAULT_TLS
    assert running[0].attempts == 1


def test_the_environment_neither_adds_trust_nor_takes_keys(
    tmp_path: Path, authority: Authority, running: list[TlsServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """SSL_CERT_FILE would add a CA, SSLKEYLOGFILE would write down what decrypts every session."""
    stranger, keys = Authority(datetime.now(UTC)), tmp_path / "keys"
    (tmp_path / "stranger.crt").write_text(stranger.pem)
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, str(tmp_path / "stranger.crt"))
    monkeypatch.setenv("SSLKEYLOGFILE", str(keys))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    running.append(TlsServer(tmp_path, *stranger.leaf(datetime.now(UTC), GOOD)))
    for tls in (TlsContextSettings(), trusting(tmp_path, authority)):
        with pytest.raises(Denied):
            client(running[0], tls).request("GET", "/a", {})
    assert client(running[0], trusting(tmp_path, stranger)).request("GET", "/a", {}).status == 200
    assert not keys.exists()


def test_a_renewed_ca_file_holds_for_the_next_connection(
    tmp_path: Path, authority: Authority, running: list[TlsServer]
) -> None:
    """Vault's own certificate moves to a new CA while we run."""
    running.append(TlsServer(tmp_path, *authority.leaf(datetime.now(UTC), GOOD)))
    tls = trusting(tmp_path, Authority(datetime.now(UTC)))
    http = client(running[0], tls)
    with pytest.raises(Denied):
        http.request("GET", "/a", {})
    trusting(tmp_path, authority)
    assert http.request("GET", "/a", {}).status == 200
