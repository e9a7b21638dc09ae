"""Vault's database engine behind `ports.DatabaseEngine`: rotates static roles and reads their credentials.

Vault paths: `<mount>/rotate-role/<role>` (update), `<mount>/static-creds/<role>` (read).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from rotator.clients.vault_calls import Ask, VaultCalls, shaped
from rotator.core.errors import Code, Denied
from rotator.core.secret import Secret
from rotator.ports import StaticCredential


class VaultDatabases:
    """Thread-safe. Names of mounts and roles come from the checked configuration and need no quoting."""

    def __init__(self, calls: VaultCalls) -> None:
        self._calls = calls

    def rotate(self, mount: str, role: str) -> None:
        self._calls.write(Ask("database_rotate", f"{mount}/rotate-role/{role}"))

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
