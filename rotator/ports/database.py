"""Databases: static roles of Vault's database engine, and a login to the database itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from rotator.core.kind_settings import DatabaseServer
from rotator.core.secret import Secret


@dataclass(frozen=True, slots=True)
class StaticCredential:
    """What `<mount>/static-creds/<role>` answers."""

    username: str
    password: Secret
    rotated_at: datetime


class DatabaseEngine(Protocol):
    """Raises only Fault families."""

    def rotate(self, mount: str, role: str) -> None:
        """Vault sets a new password in the database now. Not idempotent: look at `rotated_at` first."""
        ...

    def credential(self, mount: str, role: str) -> StaticCredential:
        """Denied (VAULT_NOT_CONFIGURED) when there is no such static role."""
        ...


class Databases(Protocol):
    """The databases themselves."""

    def login(self, server: DatabaseServer, username: str, password: Secret) -> None:
        """One login over verified TLS. Rejected (MATERIAL_REJECTED) when the database refuses name or password;
        Unavailable when it cannot be reached; never a second try with weaker settings."""
        ...
