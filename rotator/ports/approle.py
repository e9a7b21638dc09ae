"""The agents' AppRoles in Vault, in a mount of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from rotator.core.secret import Secret


@dataclass(frozen=True, slots=True)
class SecretIdRequest:
    """A new secret-id of `auth/<mount>/role/<role>`. ttl: its life. num_uses: logins, 0 for any number.

    metadata: public marks by which our own secret-ids are known again (`credential`, `rotation_id`, `version`).
    """

    mount: str
    role: str
    ttl: timedelta
    num_uses: int = 0
    secret_id_cidrs: tuple[str, ...] = ()
    token_cidrs: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SecretId:
    """What Vault knows about one secret-id. `value` is there in the reply to its creation only."""

    accessor: str
    created_at: datetime
    expires_at: datetime | None  # None: never
    uses_left: int  # 0: any number
    metadata: Mapping[str, str]
    secret_id_cidrs: tuple[str, ...] = ()
    token_cidrs: tuple[str, ...] = ()
    value: Secret | None = None


class LoginProof(StrEnum):
    """What a test login showed. Stands in public facts."""

    ENDED = "login"  # accepted, and the token of that login is revoked
    LEFT = "login_token_left"  # accepted; that token could not be revoked and runs out by itself: nobody holds it
    OUTSIDE = "lookup"  # this process is outside of the addresses it is bound to: not tried, and no use is gone


class AppRoles(Protocol):
    """Raises only Fault families."""

    def role_id(self, mount: str, role: str) -> str:
        """Denied (VAULT_NOT_CONFIGURED) when there is no such role."""
        ...

    def new_secret_id(self, request: SecretIdRequest) -> SecretId:
        """Asked for wrapped; the creation path of the wrapping is checked exactly, then unwrapped once.

        Denied (VAULT_WRAPPING_SUSPECT) when the wrapping is not of this path or was opened by somebody else. Not
        idempotent: a lost reply leaves a secret-id that `secret_ids` shows.
        """
        ...

    def look_up(self, mount: str, role: str, value: Secret) -> SecretId | None:
        """What Vault knows about this secret-id, without its value; None when there is none. Uses up nothing."""
        ...

    def secret_ids(self, mount: str, role: str) -> tuple[SecretId, ...]:
        """All that exist, without their values; empty also when there is no such role."""
        ...

    def destroy_secret_id(self, mount: str, role: str, accessor: str) -> None:
        """Safe to repeat: an accessor that is gone is no error, nor is a role that is gone. Tokens of earlier logins
        live on to their own end."""
        ...

    def try_login(self, mount: str, role_id: str, secret_id: Secret) -> LoginProof:
        """Logs in once and revokes the token. Uses up one use. Rejected (MATERIAL_REJECTED) when Vault refuses it for
        another reason than the address it comes from."""
        ...
