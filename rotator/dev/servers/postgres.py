"""A real PostgreSQL over TLS on loopback, with a superuser and its own data, gone when it stops.

PostgreSQL refuses to run as root. There it runs as an unprivileged user, with its data below a folder of its own that
this user can reach; folders of tests are closed to everybody else.
"""

from __future__ import annotations

import os
import pwd
import secrets as randomness
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg

from rotator.core.errors import Code, Denied, Unavailable
from rotator.core.secret import Secret
from rotator.dev.servers import locate, ports, tls
from rotator.dev.servers.process import Child

READY_SECONDS = 30.0
SETUP_SECONDS = 60.0
# Whoever is there, in this order: neither owns anything that matters.
_UNPRIVILEGED = ("postgres", "nobody")
_HBA = "hostssl all all 127.0.0.1/32 scram-sha-256\n"
_OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "ssl": "on",
    "password_encryption": "scram-sha-256",
    "fsync": "off",  # it never outlives its test
    "max_connections": "60",
    "shared_buffers": "16MB",
    "dynamic_shared_memory_type": "mmap",
    "lc_messages": "C",
    "log_min_error_statement": "panic",  # a refused ALTER ROLE would put its password into the log
}


class Postgres:
    """Made by `start`. Superuser `superuser`, database `database`."""

    superuser = "postgres"
    database = "postgres"
    host = "127.0.0.1"

    def __init__(self, directory: Path) -> None:
        self._programs = locate.find(locate.Server.POSTGRES).resolve().parent
        self.directory = directory
        self.superuser_password = Secret(randomness.token_urlsafe(24))
        self.port = ports.take(1)[0]
        self._user = _unprivileged() if os.geteuid() == 0 else ""
        self._home = Path(tempfile.mkdtemp(prefix="rotator-postgres-"))
        try:
            self._prepare()
            self._child = self._launch()
        except BaseException:
            shutil.rmtree(self._home, ignore_errors=True)
            raise

    @classmethod
    def start(cls, directory: Path) -> Self:
        """Takes connections when this returns. Raises Denied (SERVER_MISSING) when the program cannot be had,
        Unavailable when it does not become ready."""
        directory.mkdir(parents=True, exist_ok=True)
        server = cls(directory)
        try:
            server._child.await_ready(server._answers, READY_SECONDS)
        except BaseException:
            server.stop()
            raise
        return server

    @property
    def ca_file(self) -> Path:
        return self._files.ca

    @property
    def pid(self) -> int:
        return self._child.pid

    def execute(self, statement: str) -> None:
        """One statement as the superuser. Raises Unavailable without the server's words."""
        try:
            with self.connect() as connection:
                connection.execute(statement.encode())
        except psycopg.Error as problem:
            text = f"PostgreSQL refused a statement ({problem.sqlstate or type(problem).__name__})"
            raise Unavailable(Code.SERVER_MISSING, text, hint=f"read {self._child.log}") from None

    def connect(self, username: str = "", password: Secret | None = None) -> psycopg.Connection[tuple[object, ...]]:
        """A session; the superuser's when no name is given. Raises psycopg.Error."""
        return psycopg.connect(
            host=self.host,
            port=self.port,
            dbname=self.database,
            user=username or self.superuser,
            password=(password or self.superuser_password).reveal(),
            sslmode="verify-full",
            sslrootcert=str(self.ca_file),
            connect_timeout=5,
            autocommit=True,
        )

    def pause(self) -> None:
        """Freezes the postmaster: new connections hang. Open sessions have process groups of their own and go on."""
        self._child.pause()

    def resume(self) -> None:
        self._child.resume()

    def kill(self) -> None:
        """Ends it as a power cut would."""
        self._child.kill()

    def stop(self) -> None:
        """Ends it and removes its data. Safe to repeat."""
        self._child.stop(by=signal.SIGINT)  # its fast shutdown; at SIGTERM it waits for sessions, such as Vault's
        shutil.rmtree(self._home, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _prepare(self) -> None:
        self._files = tls.make(self.directory, "postgres")
        for file in (self._files.certificate, self._files.key):
            shutil.copy(file, self._home / file.name)
        password = self._home / "password"
        password.touch(mode=0o600)
        password.write_text(self.superuser_password.reveal())
        self._hand_over()
        data = self._home / "data"
        setup = [str(self._programs / "initdb"), "-D", str(data), "-U", self.superuser, "-N", f"--pwfile={password}"]
        self._run([*setup, "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"])
        password.unlink()
        files = {"ssl_cert_file": self._files.certificate.name, "ssl_key_file": self._files.key.name}
        options = {**_OPTIONS, "port": str(self.port), **{k: str(self._home / name) for k, name in files.items()}}
        with (data / "postgresql.conf").open("a") as configuration:
            configuration.writelines(f"{name} = '{value}'\n" for name, value in options.items())
        (data / "pg_hba.conf").write_text(_HBA)

    def _hand_over(self) -> None:
        (self._home / self._files.key.name).chmod(0o600)
        if self._user:
            for path in (self._home, *self._home.iterdir()):
                shutil.chown(path, self._user)

    def _run(self, argv: list[str]) -> None:
        """Set-up, with nothing of our environment but where programs are."""
        environment = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"}
        ended = subprocess.run(  # noqa: S603 - the program was found by locate, no shell
            [*self._as_user(), *argv],
            cwd=self._home,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SETUP_SECONDS,
            check=False,
        )
        if ended.returncode:
            last = (ended.stderr.decode(errors="replace").strip().splitlines() or ["without a word"])[-1]
            raise Unavailable(Code.SERVER_MISSING, f"{Path(argv[0]).name} failed: {last}", hint="is the disk full?")

    def _launch(self) -> Child:
        argv = [str(self._programs / "postgres"), "-D", str(self._home / "data")]
        return Child([*self._as_user(), *argv], self.directory / "postgres.log", {"LC_ALL": "C"})

    def _as_user(self) -> list[str]:
        """The change of user clears the death signal that `Child` has set (prctl(2)), so it is set again after it."""
        if not self._user:
            return []
        found = pwd.getpwnam(self._user)
        setpriv = shutil.which("setpriv") or "/usr/bin/setpriv"
        ids = [f"--reuid={found.pw_uid}", f"--regid={found.pw_gid}", "--clear-groups", "--no-new-privs"]
        return [setpriv, *ids, "--pdeathsig=KILL", "--"]

    def _answers(self) -> bool:
        try:
            self.connect().close()
        except psycopg.OperationalError:
            return False
        return True


def _unprivileged() -> str:
    for name in _UNPRIVILEGED:
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    raise Denied(
        Code.SERVER_MISSING, "PostgreSQL does not run as root, and there is no other user", hint="add a user nobody"
    )
