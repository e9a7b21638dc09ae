"""Who stands between us and Vault, or in its place, or sets our environment: nothing is given away."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from rotator.clients.clock import SystemClock
from rotator.clients.vault import VaultSecrets
from rotator.config.settings import VaultAuth, VaultAuthMethod
from rotator.core.errors import Code, Denied, Unavailable
from rotator.core.secret import Secret
from rotator.dev.servers.openbao import Storage
from tests.clients.canned_server import Answer, CannedServer, reply
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


@pytest.mark.parametrize(
    "answer",
    [
        reply("200 OK", b"<html>please log in</html>"),
        reply("200 OK", b'{"data": {"ttl": "x"'),
        reply("200 OK", b"[]"),
        reply("200 OK", b"{}"),
        reply("404 Not Found", b"<html>nothing here</html>"),
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\n{",
    ],
)
def test_what_is_not_vaults_reply_is_unavailable(
    site: VaultSite, canned: Callable[..., CannedServer], answer: bytes
) -> None:
    """Login pages, cut replies, a gateway's 404: never taken for data, and never for 'absent'."""
    look = b'{"data": {"ttl": 0, "renewable": false}}'
    server = canned(reply("200 OK", look), answer)
    secrets = VaultSecrets(site.at(server.address), SystemClock())
    fault = raised(lambda: secrets.kv_read(site.kv, PATH))
    assert (type(fault), fault.code) == (Unavailable, Code.VAULT_REPLY_MALFORMED)


def test_a_redirect_gets_no_token(site: VaultSite, canned: Callable[..., CannedServer]) -> None:
    """A standby, or whoever sits in its place, may send us anywhere; the token stays."""
    thief = canned(reply("200 OK", b"{}"))
    server = canned(reply("307 Temporary Redirect", b"", f"Location: {thief.address}/v1/x"))
    secrets = VaultSecrets(site.at(server.address), SystemClock())
    assert raised(lambda: secrets.kv_read(site.kv, PATH)).code is Code.VAULT_REDIRECT
    assert thief.requests == []


def test_another_ca_is_final(site: VaultSite, start_openbao: StartOpenBao) -> None:
    """Somebody else's server with a good certificate of another CA gets no request."""
    other = start_openbao(storage=Storage.INMEM)
    known = site.settings()
    calls: list[str] = []
    secrets = VaultSecrets(
        replace(known, address=other.address), SystemClock(), lambda operation, code, seconds: calls.append(code)
    )
    fault = raised(lambda: secrets.kv_read(site.kv, PATH))
    assert (type(fault), fault.code) == (Denied, Code.VAULT_TLS)
    assert calls == [Code.VAULT_TLS.value]


def test_a_hostile_environment_has_no_influence(site: VaultSite, tmp_path: Path) -> None:
    """In a process of its own, because hvac reads some variables when it is imported."""
    (tmp_path / "wrong.crt").write_text("not a certificate")
    (tmp_path / ".vault-token").write_text(CANARY)
    hostile = {
        name: str(tmp_path / "wrong.crt")
        for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "VAULT_CACERT", "VAULT_CLIENT_CERT")
    }
    hostile |= {name: "http://127.0.0.1:1" for name in ("HTTP_PROXY", "HTTPS_PROXY", "https_proxy", "VAULT_ADDR")}
    hostile |= {"VAULT_TOKEN": CANARY, "VAULT_NAMESPACE": CANARY, "VAULT_SKIP_VERIFY": "true", "HOME": str(tmp_path)}
    script = (
        "import json, sys\n"
        "from datetime import timedelta\n"
        "from pathlib import Path\n"
        "from rotator.clients.clock import SystemClock\n"
        "from rotator.clients.vault import VaultSecrets\n"
        "from rotator.config.settings import *\n"
        "given = json.load(sys.stdin)\n"
        "auth = VaultAuth(VaultAuthMethod.TOKEN, token=Secret(given['token']))\n"
        "tls = TlsSettings(ca_file=Path(given['ca']))\n"
        "secrets = VaultSecrets(VaultSettings(given['address'], auth, tls), SystemClock())\n"
        "print(secrets.kv_read(given['kv'], 'agents/a/b'))"
    )
    known = site.server
    given = {
        "token": known.root_token.reveal(), "ca": str(known.ca_file), "address": known.address, "kv": site.kv,
    }  # fmt: skip
    ended = subprocess.run(
        [sys.executable, "-c", script],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[2]), **hostile},
    )
    assert (ended.returncode, ended.stdout.strip()) == (0, "None"), ended.stderr


def test_no_failure_carries_a_secret(site: VaultSite, canned: Callable[..., CannedServer]) -> None:
    """Neither what we sent, nor what came back, in any text, argument, cause or context of an exception."""
    secret = {"private_key": Secret(CANARY)}
    echo = json.dumps({"errors": [f"refused: {CANARY}"]}).encode()
    look = reply("200 OK", b'{"data": {"ttl": 0}}')
    for status in ("400 Bad Request", "403 Forbidden", "404 Not Found", "413 Large", "500 Oops", "503 Down", "200 OK"):
        server = canned(look, reply(status, echo), look)
        auth = VaultAuth(VaultAuthMethod.TOKEN, token=Secret(CANARY))
        secrets = VaultSecrets(replace(site.at(server.address), auth=auth), SystemClock())
        fault = raised(lambda: secrets.kv_write("kv", PATH, secret, 0))  # noqa: B023 - called at once
        chain: BaseException | None = fault
        while chain is not None:
            assert CANARY not in f"{chain} {chain!r} {chain.args} {vars(chain)}", status
            chain = chain.__cause__ or (None if chain.__suppress_context__ else chain.__context__)
