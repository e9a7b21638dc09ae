"""A real OAuth 2.0 authorization server: npm's oidc-provider under node, over TLS on loopback.

Client credentials, refresh tokens that rotate with reuse detection, introspection, revocation, discovery. What a
browser would be needed for, a first refresh token, is minted through an administrator's door of `server.mjs`.
"""

from __future__ import annotations

import base64
import json
import os
import secrets as randomness
import shutil
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote_plus, urlencode

from rotator.core.errors import Code, Denied, Unavailable
from rotator.core.secret import Secret
from rotator.dev.servers import fetching, locate, ports, tls
from rotator.dev.servers.cache import Cache, Missing
from rotator.dev.servers.process import Child
from rotator.dev.servers.wire import Wire

READY_SECONDS = 30.0
DISCOVERY = "/.well-known/openid-configuration"
_OWN_FILES = ("server.mjs", "package.json", "package-lock.json")


@dataclass(frozen=True, slots=True)
class Client:
    """A confidential client. method: how it shows its secret (RFC 6749, 2.3.1)."""

    id: str
    secret: Secret
    method: str = "client_secret_basic"

    def described(self) -> dict[str, str]:
        return {"client_id": self.id, "client_secret": self.secret.reveal(), "method": self.method}


class OAuthServer:
    """Made by `start`."""

    def __init__(self, directory: Path, clients: Sequence[Client], token_seconds: int, grant_seconds: int) -> None:
        self.directory = directory
        self._node = locate.find(locate.Server.NODE)
        self.port = ports.take(1)[0]
        self._files = tls.make(directory, "oauth")
        self._admin = Secret(randomness.token_urlsafe(32))
        self._admin_wire = Wire(self.port, self._files.ca, "X-Admin")
        self._client_wire = Wire(self.port, self._files.ca, "Authorization")
        self._place_modules()
        self._write_settings(clients, token_seconds, grant_seconds)
        self._child = self._launch()

    @classmethod
    def start(
        cls, directory: Path, clients: Sequence[Client] = (), token_seconds: int = 600, grant_seconds: int = 86400
    ) -> Self:
        """Answers discovery when this returns. Raises Denied (SERVER_MISSING) when node or the package cannot be had,
        Unavailable when it does not become ready. Lives of access and of refresh tokens are in seconds."""
        directory.mkdir(parents=True, exist_ok=True)
        server = cls(directory, clients, token_seconds, grant_seconds)
        try:
            server._child.await_ready(server._answers, READY_SECONDS)
        except BaseException:
            server.stop()
            raise
        return server

    @property
    def issuer(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def ca_file(self) -> Path:
        return self._files.ca

    @property
    def pid(self) -> int:
        return self._child.pid

    def mint_refresh_token(self, client_id: str) -> Secret:
        """The first one of a new grant, as after a person's consent."""
        return Secret(str(self._administer("/admin/refresh-token", {"client_id": client_id})["refresh_token"]))

    def set_client(self, client: Client) -> None:
        """Adds a client, or changes the secret of one."""
        self._administer("/admin/client", client.described())

    def is_active(self, client_id: str, client_secret: Secret, token: Secret) -> bool:
        """Introspection (RFC 7662) as a resource server would do it; False also where it is refused."""
        pair = f"{quote_plus(client_id)}:{quote_plus(client_secret.reveal())}"
        shown = Secret(f"Basic {base64.b64encode(pair.encode()).decode()}")
        form = urlencode({"token": token.reveal()})
        reply = self._client_wire.ask("POST", "/token/introspection", shown, form=form)
        return reply.status == 200 and bool((reply.body or {}).get("active"))

    def pause(self) -> None:
        """Freezes the process: connections stay, nothing answers."""
        self._child.pause()

    def resume(self) -> None:
        self._child.resume()

    def stop(self) -> None:
        """Ends the process; the directory stays, without the secrets. Safe to repeat."""
        self._child.stop()
        (self.directory / "settings.json").unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _launch(self) -> Child:
        script, settings = self.directory / "server.mjs", self.directory / "settings.json"
        log = self.directory / "server.log"
        return Child([str(self._node), str(script), str(settings)], log, {"NODE_ENV": "production"})

    def _place_modules(self) -> None:
        for name in _OWN_FILES:
            (self.directory / name).write_bytes(_own(name))
        try:
            archive = Cache.of(os.environ).obtain(f"oidc-provider-{_lock_mark()}.zip", [_fetch])
        except Missing as missing:
            tried = "; ".join(missing.reasons)
            text = f"no oidc-provider to run. Tried: {tried}"
            raise Denied(Code.SERVER_MISSING, text, hint="npm and its registry are needed once") from None
        with zipfile.ZipFile(archive) as modules:
            modules.extractall(self.directory)

    def _write_settings(self, clients: Sequence[Client], token_seconds: int, grant_seconds: int) -> None:
        path = self.directory / "settings.json"
        path.touch(mode=0o600)
        settings = {
            "issuer": self.issuer,
            "port": self.port,
            "certificate": str(self._files.certificate),
            "key": str(self._files.key),
            "admin": self._admin.reveal(),
            "clients": [client.described() for client in clients],
            "token_seconds": token_seconds,
            "grant_seconds": grant_seconds,
        }
        path.write_text(json.dumps(settings), encoding="utf-8")

    def _answers(self) -> bool:
        return self._admin_wire.ask("GET", DISCOVERY).status == 200

    def _administer(self, path: str, body: dict[str, str]) -> dict[str, Any]:
        reply = self._admin_wire.ask("POST", path, self._admin, body)
        if reply.status != 200:
            text = f"the OAuth 2.0 server refused {path} ({reply.status})"
            raise Unavailable(Code.SERVER_MISSING, text, hint=f"read {self._child.log}")
        return dict(reply.body or {})


def _own(name: str) -> bytes:
    return files("rotator.dev.servers").joinpath("authorization", name).read_bytes()


def _lock_mark() -> str:
    """Another lock is another archive in the cache."""
    return sha256(_own("package-lock.json")).hexdigest()[:12]


def _fetch(target: Path) -> None:
    """`npm ci` by the lock, whose integrity hashes npm checks; no script of any package runs."""
    folder = target.parent / "npm"
    folder.mkdir()
    for name in ("package.json", "package-lock.json"):
        (folder / name).write_bytes(_own(name))
    npm = shutil.which("npm") or "npm"
    quiet = ["--ignore-scripts", "--omit=dev", "--no-audit", "--no-fund"]
    fetching.run([npm, "ci", *quiet], "npm package oidc-provider", folder)
    # No tar: its safe way to unpack came with Python 3.11.4.
    shutil.move(shutil.make_archive(str(folder / "modules"), "zip", folder, "node_modules"), target)
