"""A real OpenBao (or Vault) over TLS with a configuration file: initialised, unsealed, and as mortal as in service."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rotator.core.errors import Code, Unavailable
from rotator.core.secret import Secret
from rotator.dev.servers import locate, ports, tls
from rotator.dev.servers.process import Child
from rotator.dev.servers.wire import Wire

READY_SECONDS = 30.0


class Storage(StrEnum):
    """Where the server keeps its data: `raft` on disk, survives restart(); `inmem` is lost with the process."""

    RAFT = "raft"
    INMEM = "inmem"


class OpenBao:
    """Made by `start`. Everything that it keeps lies in the directory given there."""

    def __init__(self, directory: Path, storage: Storage, audit: Path | None) -> None:
        self.directory = directory
        self.storage = storage
        self._audit = audit
        self._binary = locate.find(locate.Server.OPENBAO)
        self._port, self._cluster_port = ports.take(2)
        self._files = tls.make(directory, "openbao")
        self._wire = Wire(self._port, self._files.ca, "X-Vault-Token")
        self._key = Secret("")
        self._root = Secret("")
        self._write_configuration()
        self._child = self._launch()

    @classmethod
    def start(cls, directory: Path, *, storage: Storage | str = Storage.RAFT, audit: Path | None = None) -> Self:
        """A new server with nothing in it, active when this returns. `audit`: file for an audit device.

        Raises Denied (SERVER_MISSING) when the program cannot be had, Unavailable when it does not become ready.
        """
        directory.mkdir(parents=True, exist_ok=True)
        server = cls(directory, Storage(storage), audit)
        try:
            server._initialise()
        except BaseException:
            server.stop()
            raise
        return server

    @property
    def address(self) -> str:
        return f"https://127.0.0.1:{self._port}"

    @property
    def ca_file(self) -> Path:
        return self._files.ca

    @property
    def root_token(self) -> Secret:
        return self._root

    @property
    def pid(self) -> int:
        return self._child.pid

    def stop(self) -> None:
        """Ends the process; the directory stays. Safe to repeat."""
        self._child.stop()

    def kill(self) -> None:
        """Ends the process as a power cut would."""
        self._child.kill()

    def restart(self) -> None:
        """Stops it if it runs, starts it on the same port with the same data, and unseals it. Raft storage only."""
        if self.storage is Storage.INMEM:
            raise ValueError("a server in memory has nothing to restart with: use raft storage")
        self.stop()
        self._child = self._launch()
        self._child.await_ready(lambda: self._health() == 503, READY_SECONDS)
        self.unseal()

    def seal(self) -> None:
        """Seals it with the root token: from now on it answers 503."""
        if self._wire.ask("PUT", "/v1/sys/seal", self._root).status != 204:
            raise Unavailable(Code.SERVER_MISSING, "OpenBao refused to be sealed", hint=f"read {self._child.log}")

    def unseal(self) -> None:
        """Returns when the server is active again."""
        self._wire.ask("PUT", "/v1/sys/unseal", body={"key": self._key.reveal()})
        self._child.await_ready(lambda: self._health() == 200, READY_SECONDS)

    def pause(self) -> None:
        """Freezes the process (SIGSTOP): connections stay, nothing answers."""
        self._child.pause()

    def resume(self) -> None:
        self._child.resume()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _launch(self) -> Child:
        argv = [str(self._binary), "server", f"-config={self.directory / 'server.json'}"]
        return Child(argv, self.directory / "server.log", {"HOME": str(self.directory)})

    def _initialise(self) -> None:
        # 501: up and not initialised yet.
        self._child.await_ready(lambda: self._health() == 501, READY_SECONDS)
        reply = self._wire.ask("PUT", "/v1/sys/init", body={"secret_shares": 1, "secret_threshold": 1})
        if reply.status != 200:
            raise Unavailable(Code.SERVER_MISSING, f"OpenBao refused to initialise ({reply.status})")
        self._key, self._root = Secret(reply.body["keys"][0]), Secret(reply.body["root_token"])
        self.unseal()
        if self._audit is not None and self._binary.name == "vault":
            # Vault takes audit devices through the API alone, OpenBao from its configuration alone.
            body = {"type": "file", "options": {"file_path": str(self._audit)}}
            self._wire.ask("PUT", "/v1/sys/audit/file", self._root, body)

    def _health(self) -> int:
        return self._wire.ask("GET", "/v1/sys/health").status

    def _write_configuration(self) -> None:
        listener = {
            "address": f"127.0.0.1:{self._port}",
            "cluster_address": f"127.0.0.1:{self._cluster_port}",
            "tls_cert_file": str(self._files.certificate),
            "tls_key_file": str(self._files.key),
        }
        configuration: dict[str, Any] = {
            "storage": self._storage_stanza(),
            "listener": [{"tcp": listener}],
            "api_addr": self.address,
            "cluster_addr": f"https://127.0.0.1:{self._cluster_port}",
            "ui": False,
            "log_level": "warn",
        }
        if self._binary.name == "vault":
            configuration["disable_mlock"] = True  # needs a capability that tests do not have; gone from OpenBao
        elif self._audit is not None:
            configuration["audit"] = [{"type": "file", "path": "file", "options": {"file_path": str(self._audit)}}]
        (self.directory / "server.json").write_text(json.dumps(configuration, indent=2), encoding="utf-8")

    def _storage_stanza(self) -> dict[str, Any]:
        if self.storage is Storage.INMEM:
            return {"inmem": {}}
        raft = self.directory / "raft"
        raft.mkdir(mode=0o700, exist_ok=True)
        # One node elects itself: the shortest timeouts that the server accepts.
        return {"raft": {"path": str(raft), "node_id": "one", "performance_multiplier": 1}}
