"""Vault's database engine behind `ports.DatabaseEngine`: rotates static roles and reads their credentials.

Vault paths: `<mount>/rotate-role/<role>` (update), `<mount>/static-creds/<role>` (read).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from rotator.clients.vault_calls import Ask, VaultCalls, shaped
from rotator.clients.vault_errors import refusal
from rotator.core.errors import Code, Denied, Unavailable
from rotator.core.secret import Secret
from rotator.ports import StaticCredential


class VaultDatabases:
    """Thread-safe. Names of mounts and roles come from the checked configuration and need no quoting."""

    def __init__(self, calls: VaultCalls) -> None:
        self._calls = calls

    def rotate(self, mount: str, role: str) -> None:
        path = f"{mount}/rotate-role/{role}"
        reply = self._calls.try_write(Ask("database_rotate", path))
        if reply.ok:
            return
        if reply.says("unable to finish rotating"):
            raise Unavailable(
                Code.VAULT_ERROR,
                f"Vault could not change the password of {role} in the database; it goes on trying by itself",
                hint=f"Vault's log has the reason: is the database up, may Vault's own account of {mount} change it?",
            )
        raise refusal(reply, path)

    def credential(self, mount: str, role: str) -> StaticCredential:
        path = f"{mount}/static-creds/{role}"
        data = self._calls.read(Ask("database_credential", path, idempotent=True))
        if data is None:
            raise Denied(
                Code.VAULT_NOT_CONFIGURED, f"there is no static role at {path}", hint="make it, or correct `roles`"
            )
        return shaped(path, lambda: _credential(data))


def _credential(data: Mapping[str, Any]) -> StaticCredential:
    username, password = data["username"], data["password"]
    if not (isinstance(username, str) and isinstance(password, str) and username and password):
        raise ValueError("incomplete")
    # With a schedule instead of a period only the time to the next change is told.
    seconds = float(data.get("rotation_period") or data["ttl"])
    at = datetime.fromisoformat(data["last_vault_rotation"])
    if at.tzinfo is None:
        raise ValueError("a time without a zone")
    return StaticCredential(username, Secret(password), at, timedelta(seconds=seconds))
