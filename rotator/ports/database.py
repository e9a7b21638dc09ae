"""Databases: static roles of Vault's database engine, and a login to the database itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from rotator.core.kind_settings import DatabaseServer
from rotator.core.secret import Secret


@dataclass(frozen=True, slots=True)
class StaticCredential:
    """What `<mount>/static-creds/<role>` answers.

    rotated_at: by Vault's clock, to the microsecond, so that it names one password of a role. automatic_after: Vault
    changes the password by itself when it is as old as this.
    """

    username: str
    password: Secret
    rotated_at: datetime
    automatic_after: timedelta


class DatabaseEngine(Protocol):
    """Raises only Fault families."""

    def rotate(self, mount: str, role: str) -> None:
        """Vault sets a new password in the database now. Not idempotent: look at `rotated_at` first.

        After a failure (database away) Vault tries again by itself, every 10 s on OpenBao 2.7: it may still happen.
        """
        ...

    def credential(self, mount: str, role: str) -> StaticCredential:
        """Denied (VAULT_NOT_CONFIGURED) when there is no such static role."""
        ...


class Databases(Protocol):
    """The databases themselves."""

    def login(self, server: DatabaseServer, username: str, password: Secret) -> None:
        """One login over verified TLS, by password. Rejected (MATERIAL_REJECTED) when the database refuses it.

        Unavailable (DATABASE_UNREACHABLE) when it cannot be reached or takes nobody now; Denied (DATABASE_TLS,
        DATABASE_DENIED, CONFIG_UNREADABLE) when only a person can help. Never a second try with weaker settings.
        """
        ...
