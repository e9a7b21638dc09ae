"""The agents' AppRoles in Vault, in a mount of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from rotator.core.secret import Secret


@dataclass(frozen=True, slots=True)
class SecretIdRequest:
    """A new secret-id of `auth/<mount>/role/<role>`. ttl: its life. num_uses: logins, 0 for any number.

    metadata: public marks by which our own secret-ids are known again (`credential`, `rotation_id`).
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

    def secret_ids(self, mount: str, role: str) -> tuple[SecretId, ...]:
        """All that exist, without their values."""
        ...

    def destroy_secret_id(self, mount: str, role: str, accessor: str) -> None:
        """Safe to repeat: an accessor that is gone is no error."""
        ...

    def try_login(self, mount: str, role_id: str, secret_id: Secret) -> None:
        """Logs in once and revokes the token. Uses up one use. Rejected (MATERIAL_REJECTED) when Vault refuses it."""
        ...
