"""A real login to PostgreSQL behind `ports.Databases`: TLS verified in full, by password, nothing from outside.

libpq fills whatever it is not told from PG* variables, service and password files and the home directory, so every
option is given here (a test compares them with libpq's own list). It also tells no SQLSTATE for a login that failed
(psycopg 3.3): the server's words are looked at, and never become part of a Fault.
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePath
from typing import Any

import psycopg

from rotator.core.errors import Code, Denied, Fault, Rejected, Unavailable
from rotator.core.kind_settings import DatabaseServer
from rotator.core.secret import Secret

TIMEOUT_SECONDS = 5
# Where distributions keep the CAs that the system trusts, as one file: libpq takes no folder. As in Go's crypto/x509.
SYSTEM_BUNDLES = (
    Path("/etc/ssl/certs/ca-certificates.crt"),
    Path("/etc/pki/tls/certs/ca-bundle.crt"),
    Path("/etc/ssl/ca-bundle.pem"),
    Path("/etc/ssl/cert.pem"),
)
# An empty text counts as said and keeps the environment out. Password before `none`: a server that asks for no
# password proves nothing about ours. gssencmode: else a Kerberos ticket would stand in for TLS.
FIXED = {
    "hostaddr": "",
    "passfile": os.devnull,
    "client_encoding": "UTF8",
    "options": "",
    "application_name": "rotator",
    "target_session_attrs": "any",
    "load_balance_hosts": "disable",
    "requirepeer": "",
    "require_auth": "scram-sha-256,md5,password",
    "channel_binding": "prefer",
    "sslmode": "verify-full",
    "sslnegotiation": "postgres",
    "sslcompression": "0",
    "sslsni": "1",
    "sslcertmode": "disable",
    "sslcert": "",
    "sslkey": "",
    "sslcrl": "",
    "sslcrldir": "",
    "ssl_min_protocol_version": "TLSv1.2",
    "ssl_max_protocol_version": "",
    "min_protocol_version": "3.0",
    "max_protocol_version": "3.0",
    "gssencmode": "disable",
    "gsslib": "",
    "gssdelegation": "0",
    "krbsrvname": "postgres",
}


class PostgresLogins:
    """Thread-safe; holds no connection."""

    def __init__(self, timeout_seconds: int = TIMEOUT_SECONDS) -> None:
        """timeout_seconds: for each address of the host; libpq takes 2 at least."""
        # The one variable that no option replaces: libpq would look for that service's file, and fail without it.
        os.environ.pop("PGSERVICE", None)
        known = {option.keyword.decode() for option in psycopg.pq.Conninfo.get_defaults()}
        # Names that an older libpq does not know are refused by it; `_admitted` looks again at what they guard.
        self._fixed = {name: value for name, value in FIXED.items() if name in known}
        self._fixed["connect_timeout"] = str(timeout_seconds)

    def login(self, server: DatabaseServer, username: str, password: Secret) -> None:
        if not password or "\0" in password.reveal():
            raise Rejected(Code.MATERIAL_REJECTED, f"there is no password for {username!r} that could be sent")
        where = f"{username!r} at {server.host}:{server.port}/{server.name}"
        options: dict[str, Any] = {**self._fixed, **_address(server), "user": username}
        try:
            with psycopg.connect(autocommit=True, password=password.reveal(), **options) as connection:
                proven = _admitted(connection.pgconn)
        except psycopg.Error as problem:
            # From None: the words of the server stay out of every report.
            raise _fault(problem, where) from None
        except UnicodeError:
            raise Rejected(Code.MATERIAL_REJECTED, f"name or password of {where} cannot be sent") from None
        if not proven:
            raise _asks_for_none(where)


def _admitted(connection: psycopg.pq.abc.PGconn) -> bool:
    """By the password, and over TLS."""
    return bool(connection.used_password and connection.ssl_in_use)


def _address(server: DatabaseServer) -> dict[str, str]:
    return {
        "host": server.host,
        "port": str(server.port),
        "dbname": server.name,
        "sslrootcert": str(_trusted(server.ca_file)),
    }


def _trusted(ca_file: PurePath | None) -> Path:
    """Not libpq's `system`: that looks where SSL_CERT_FILE points."""
    wanted = SYSTEM_BUNDLES if ca_file is None else (Path(ca_file),)
    for file in wanted:
        if os.access(file, os.R_OK) and file.is_file():
            return file
    text = f"the CA file {ca_file} cannot be read" if ca_file else "no file with the system's CAs was found"
    raise Denied(Code.CONFIG_UNREADABLE, text, hint="set ca_file in [databases.NAME], readable for the service")


def _fault(problem: psycopg.Error, where: str) -> Fault:
    """What libpq says itself is English; what the server says has two blanks after its severity, in any language."""
    words = _NAMES.sub("", str(problem))
    asked = problem.pgconn is not None and bool(problem.pgconn.used_password)
    server_spoke = ":  " in words
    if _says(words, "authentication method requirement"):
        return _asks_for_none(where)
    if not server_spoke and _says(words, "certificate", "SSL", "TLS"):
        return _broken_off(words, where)
    if _says(words, "pg_hba.conf", *_NOT_LET_IN):
        return _not_let_in(words, where)
    if server_spoke and asked and not _says(words, *_NOT_NOW):
        return Rejected(
            Code.MATERIAL_REJECTED,
            f"the database refuses the password of {where}",
            hint="did somebody, or Vault's own rotation_period, change it meanwhile?",
        )
    return Unavailable(
        Code.DATABASE_UNREACHABLE,
        f"the database takes no login of {where} now",
        hint="address and port in [databases.NAME], the network, the database's own log",
    )


# PostgreSQL's own texts (3D000, 28000, 42501), where its lc_messages is English; elsewhere these count as a refused
# password, which is what a person then looks at.
_NOT_LET_IN = ("does not exist", "is not permitted to log in", "permission denied for database")
# 53300, 57P03, 55000.
_NOT_NOW = ("too many", "remaining connection slots", "starting up", "shutting down", "recovery", "accepting")
# Hosts, users and databases may be called anything, also "recovery".
_NAMES = re.compile(r'"[^"\n]*"')
_TLS_REFUSED = ("certificate verify failed", "does not match host name", "does not support SSL", "root certificate")


def _says(words: str, *parts: str) -> bool:
    return any(part in words for part in parts)


def _broken_off(words: str, where: str) -> Fault:
    """TLS that does not come about is final; a connection that breaks inside TLS is the network's."""
    if _says(words, "SYSCALL", "unexpectedly"):
        return Unavailable(Code.DATABASE_UNREACHABLE, f"the connection of {where} was cut off")
    reason = next((part for part in _TLS_REFUSED if part in words), "the handshake failed")
    return Denied(
        Code.DATABASE_TLS,
        f"TLS with the database of {where} is refused: {reason}",
        hint="ca_file in [databases.NAME], and the names in the server's certificate",
    )


def _not_let_in(words: str, where: str) -> Denied:
    reason = next((part for part in _NOT_LET_IN if part in words), "no line for it in pg_hba.conf")
    return Denied(
        Code.DATABASE_DENIED,
        f"the database does not let {where} in, whatever its password: {reason}",
        hint="database name, pg_hba.conf, LOGIN and CONNECT of the account",
    )


def _asks_for_none(where: str) -> Denied:
    return Denied(
        Code.DATABASE_DENIED,
        f"the database lets {where} in without asking for a password, so no password is proven",
        hint="replace `trust` in pg_hba.conf by `scram-sha-256`",
    )
