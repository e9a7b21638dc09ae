"""The login that proves a new password: against a real PostgreSQL, and against servers that are none."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from rotator.clients import postgres_login
from rotator.clients.postgres_login import FIXED, PostgresLogins
from rotator.core.errors import Code, Denied, Fault, Rejected, Unavailable
from rotator.core.kind_settings import DatabaseServer
from rotator.core.secret import Secret
from rotator.dev.servers import tls
from rotator.dev.servers.postgres import Postgres
from tests.kinds.database_room import Place, wait_until

# Any readable file does as CA file where no handshake is reached.
SOME_CA = next(file for file in postgres_login.SYSTEM_BUNDLES if file.is_file())
NOWHERE = DatabaseServer("127.0.0.1", 1, "orders", SOME_CA)
PASSWORD = Secret("it is 42 % of 'x' \\ and \u00e4")


@pytest.fixture(scope="session")
def database_place(postgres: Postgres) -> Place:
    return Place(postgres)


@pytest.fixture
def account(database_place: Place, unique: str) -> Iterator[str]:
    """A user with PASSWORD."""
    literal = PASSWORD.reveal().replace("'", "''")
    database_place.run(f"CREATE ROLE \"{unique}\" LOGIN PASSWORD '{literal}'")
    yield unique
    database_place.run(f'DROP ROLE "{unique}"')


def refused(server: DatabaseServer, username: str, password: Secret = PASSWORD) -> Fault:
    with pytest.raises(Fault) as caught:
        PostgresLogins(timeout_seconds=2).login(server, username, password)
    fault = caught.value
    assert not password or password.reveal() not in f"{fault!r} {fault.text} {fault.hint}"
    assert fault.__context__ is None or fault.__suppress_context__
    return fault


@contextmanager
def answering(reply: bytes | None, context: ssl.SSLContext | None = None) -> Iterator[DatabaseServer]:
    """A server on 127.0.0.2 that answers the first message with `reply`, or with nothing at all, then speaks TLS."""
    with socket.create_server(("127.0.0.2", 0)) as listener:
        done = threading.Event()

        def serve() -> None:
            while not done.is_set():
                try:
                    peer, _ = listener.accept()
                except OSError:
                    return
                with peer, suppress(OSError):
                    peer.settimeout(10)
                    peer.recv(64)
                    if reply is None:
                        done.wait(10)
                    else:
                        peer.sendall(reply)
                    if context is not None:
                        context.wrap_socket(peer, server_side=True).close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield DatabaseServer(*listener.getsockname(), "orders", SOME_CA)
        finally:
            done.set()
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)


@contextmanager
def rule(place: Place, line: str) -> Iterator[None]:
    """One more first line in pg_hba.conf, written by the server itself."""
    before = place.ask("SELECT pg_read_file(current_setting('hba_file'))")
    _put_rules(place, f"{line}\n{before}")
    try:
        yield
    finally:
        _put_rules(place, before)


def _put_rules(place: Place, text: str) -> None:
    """Returns when new connections are judged by them."""
    loaded = place.ask("SELECT pg_conf_load_time()::text")
    literal = text.replace("'", "''")
    number = place.ask(f"SELECT lo_from_bytea(0, convert_to('{literal}', 'UTF8'))::text")
    place.run(f"SELECT lo_export({number}, current_setting('hba_file')), lo_unlink({number}), pg_reload_conf()")
    wait_until(lambda: place.ask("SELECT pg_conf_load_time()::text") != loaded)


def test_every_option_that_the_environment_could_give_is_given():
    """libpq fills what is not said; a new version of it may know more. PGSERVICE goes, and no option can replace it."""
    said = {*FIXED, "host", "port", "dbname", "sslrootcert", "user", "password", "connect_timeout"}
    from_outside = {option.keyword.decode() for option in psycopg.pq.Conninfo.get_defaults() if option.envvar}
    assert from_outside - said == {"service"}


@pytest.mark.servers
def test_the_right_password_logs_in(database_place: Place, account: str):
    """Blanks, quotes and letters beyond ASCII are passed on as they are."""
    PostgresLogins().login(database_place.server, account, PASSWORD)


@pytest.mark.servers
def test_nothing_comes_from_the_environment(
    database_place: Place, account: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """No variable, service file or password file decides whom we ask, as whom, or how safely."""
    passfile = tmp_path / ".pgpass"
    passfile.write_text(f"*:*:*:*:{database_place.postgres.superuser_password.reveal()}\n")
    passfile.chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    values = {"PGPASSFILE": str(passfile), "PGPORT": "1", "PGSSLMODE": "disable", "PGSERVICE": "elsewhere"}
    for option in psycopg.pq.Conninfo.get_defaults():
        if option.envvar:
            monkeypatch.setenv(option.envvar.decode(), "nonsense")
    for name, value in {**values, "SSL_CERT_FILE": "/dev/null"}.items():
        monkeypatch.setenv(name, value)
    PostgresLogins().login(database_place.server, account, PASSWORD)
    assert refused(database_place.server, account, Secret("wrong one")).code is Code.MATERIAL_REJECTED
    assert refused(database_place.server, account, Secret("")).code is Code.MATERIAL_REJECTED


@pytest.mark.servers
@pytest.mark.parametrize("password", ["wrong", "", "nul\0byte"])
def test_a_wrong_password_is_rejected(database_place: Place, account: str, password: str):
    """It must never be published."""
    with pytest.raises(Rejected) as caught:
        PostgresLogins().login(database_place.server, account, Secret(password))
    assert caught.value.code is Code.MATERIAL_REJECTED
    assert refused(database_place.server, "nobody-of-that-name").code is Code.MATERIAL_REJECTED


@pytest.mark.servers
@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("ALTER ROLE {0} NOLOGIN", Code.DATABASE_DENIED),
        ("ALTER ROLE {0} CONNECTION LIMIT 0", Code.DATABASE_UNREACHABLE),
        ("ALTER ROLE {0} VALID UNTIL '2001-01-01'", Code.MATERIAL_REJECTED),
    ],
)
def test_what_no_other_password_would_cure_is_told_apart(database_place: Place, account: str, change: str, code: Code):
    """A rejected version is replaced by another one; that helps only where the password is the matter."""
    database_place.run(change.format(f'"{account}"'))
    assert refused(database_place.server, account).code is code


@pytest.mark.servers
def test_a_missing_database_is_told_apart(database_place: Place, account: str):
    """A misspelt name in the configuration."""
    server = replace(database_place.server, name="too many recoveries: starting up")
    assert refused(server, account).code is Code.DATABASE_DENIED


@pytest.mark.servers
@pytest.mark.parametrize(
    ("method", "words"), [("trust", "without asking"), ("reject", "pg_hba.conf"), ("password", ""), ("md5", "")]
)
def test_a_server_that_asks_for_no_password_proves_nothing(
    database_place: Place, account: str, method: str, words: str
):
    """With `trust` every password would look right."""
    with rule(database_place, f"hostssl all {account} all {method}"):
        if words:
            fault = refused(database_place.server, account)
            assert (type(fault), fault.code) == (Denied, Code.DATABASE_DENIED)
            assert words in fault.text
        else:
            PostgresLogins().login(database_place.server, account, PASSWORD)


@pytest.mark.servers
def test_a_server_of_another_authority_is_final(database_place: Place, account: str, tmp_path: Path):
    """Somebody in between, or the wrong CA file: the password is not sent."""
    stranger = tls.make(tmp_path, "stranger")
    fault = refused(replace(database_place.server, ca_file=stranger.ca), account)
    assert (type(fault), fault.code) == (Denied, Code.DATABASE_TLS)
    fault = refused(replace(database_place.server, ca_file=None), account)
    assert fault.code in (Code.DATABASE_TLS, Code.CONFIG_UNREADABLE)


def test_a_server_of_another_name_is_final(tmp_path: Path):
    """verify-full: a certificate of the right authority for another host is not enough."""
    files = tls.make(tmp_path, "database")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    with answering(b"S", context) as server:
        fault = refused(replace(server, ca_file=files.ca), "billing")
    assert (type(fault), fault.code) == (Denied, Code.DATABASE_TLS)
    assert "host name" in fault.text


def test_a_server_without_tls_is_final():
    """`N` is what PostgreSQL answers when ssl is off. Nothing is sent in the clear."""
    with answering(b"N") as server:
        fault = refused(server, "billing")
    assert (type(fault), fault.code) == (Denied, Code.DATABASE_TLS)


@pytest.mark.parametrize("reply", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"S"])
def test_what_is_no_database_is_unavailable_or_final(reply: bytes):
    """Another service on that port, or a connection that is cut off: never taken for a login."""
    with answering(reply) as server:
        fault = refused(server, "billing")
    assert fault.code in (Code.DATABASE_UNREACHABLE, Code.DATABASE_TLS)


def test_a_silent_server_is_given_up():
    """Within the timeout, because a worker of the wave waits for it."""
    with answering(None) as server:
        fault = refused(server, "billing")
    assert (type(fault), fault.code) == (Unavailable, Code.DATABASE_UNREACHABLE)


def test_a_closed_port_is_unavailable():
    """The database is down; the new password waits."""
    with answering(b"") as server:
        pass
    fault = refused(server, "billing")
    assert (type(fault), fault.code) == (Unavailable, Code.DATABASE_UNREACHABLE)


def test_a_ca_file_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Nothing is sent, and libpq's own search does not begin."""
    fault = refused(replace(NOWHERE, ca_file=tmp_path / "none.pem"), "billing")
    assert (fault.code, "none.pem" in fault.text) == (Code.CONFIG_UNREADABLE, True)
    monkeypatch.setattr(postgres_login, "SYSTEM_BUNDLES", (tmp_path / "none.pem",))
    assert refused(replace(NOWHERE, ca_file=None), "billing").code is Code.CONFIG_UNREADABLE
