"""What a process proves itself with at login: read anew each time, unwrapped once, never shown.

A failure of a local file causes no call to Vault (hashicorp/vault#22789: an unreadable file became a request storm).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rotator.clients.vault_adapter import VaultTransport
from rotator.clients.vault_errors import VaultReply, malformed
from rotator.clients.vault_options import AuthOptions
from rotator.clients.vault_wrapping import UNWRAP, Wrapping, text_in
from rotator.core.errors import Code, Denied
from rotator.core.secret import Secret

_LARGEST_FILE = 64 * 1024


@dataclass(frozen=True, slots=True, repr=False)
class LoginRequest:
    """Path below /v1/ and body of a login."""

    path: str
    body: Mapping[str, Any]


class Credentials:
    """Not thread-safe: `VaultLogin` asks under its lock."""

    def __init__(self, auth: AuthOptions, transport: VaultTransport) -> None:
        self._auth = auth
        self._transport = transport
        self._unwrapped: tuple[str, Secret] | None = None
        self._in_doubt = ""

    @property
    def is_given_token(self) -> bool:
        """The token belongs to somebody else: it is used and renewed, never revoked."""
        return self._auth.method in ("token", "token_file")

    def given_token(self) -> Secret:
        if self._auth.method == "token_file":
            return _read("token_file", self._auth.token_file)
        if not self._auth.token:
            raise _incomplete("token")
        return self._auth.token

    def request(self) -> LoginRequest:
        """Raises Denied for local reasons; with a wrapped secret-id also what unwrapping raises."""
        auth, path = self._auth, f"auth/{self._auth.mount}/login"
        if auth.method == "approle":
            return LoginRequest(path, {"role_id": auth.role, "secret_id": self._secret_id().reveal()})
        if auth.method == "jwt":
            return LoginRequest(path, {"role": auth.role, "jwt": _read("jwt_file", auth.jwt_file).reveal()})
        if auth.method == "cert":
            # The certificate may have been renewed on disk; a kept connection still shows the old one.
            self._transport.forget_connections()
            return LoginRequest(path, {"name": auth.role} if auth.role else {})
        raise _incomplete("method")

    def _secret_id(self) -> Secret:
        held = _read("secret_id_file", self._auth.secret_id_file)
        if not self._auth.secret_id_wrapped:
            return held
        # Which wrapping token it was, without keeping the token itself.
        mark = hashlib.sha256(held.reveal().encode()).hexdigest()
        if self._unwrapped is None or self._unwrapped[0] != mark:
            self._unwrapped = (mark, self._unwrap(held, mark))
        return self._unwrapped[1]

    def _unwrap(self, held: Secret, mark: str) -> Secret:
        wrapping = Wrapping(
            self._post, held, self._creation_path(), "the wrapped secret-id", lambda: self._own_try(mark)
        )
        wrapping.check()
        self._in_doubt = mark  # from here on a lost reply may have used it up
        secret_id = text_in(wrapping.open(), "data", "secret_id")
        if not secret_id:
            raise malformed(UNWRAP)
        return Secret(secret_id)

    def _post(self, operation: str, path: str, body: Mapping[str, Any] | None, token: Secret | None, /) -> VaultReply:
        return self._transport.send(operation, "POST", path, body, token)

    def _creation_path(self) -> str:
        if not self._auth.role_name:
            raise _incomplete("role_name")
        return f"auth/{self._auth.mount}/role/{self._auth.role_name}/secret-id"

    def _own_try(self, mark: str) -> str:
        return "; our own earlier try got no reply and may have been the one" if mark == self._in_doubt else ""


def _read(name: str, file: Path | None) -> Secret:
    if file is None:
        raise _incomplete(name)
    try:
        with file.open("rb") as opened:
            text = opened.read(_LARGEST_FILE + 1).decode("ascii").strip()
    except OSError as problem:
        raise Denied(Code.CONFIG_UNREADABLE, f"{name} {file}: {problem.strerror}", hint="check [vault.auth]") from None
    except UnicodeDecodeError:
        text = ""
    if not text or len(text) > _LARGEST_FILE or not text.isprintable() or " " in text:
        raise Denied(Code.CONFIG_INVALID, f"{name} {file} does not hold one token", hint="one line without spaces")
    return Secret(text)


def _incomplete(name: str) -> Denied:
    return Denied(Code.CONFIG_INVALID, f"the login to Vault lacks {name}", hint="complete [vault.auth]")
