"""What each kind of credential must look like and where it comes from: one frozen value per kind, already checked.

`overlaps` says whether old and new are both accepted for a while; where not, `plan` and `explain` say so.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import PurePath
from typing import Any

from rotator.core.identity import CredentialId


@dataclass(frozen=True, slots=True)
class CertificateSettings:
    """What a certificate must look like, and where it comes from.

    common_name, uri_sans, dns_sans, ip_sans: exactly these names, nothing more (SPIFFE X509-SVID: one URI SAN).
    mount, role: the PKI endpoint `<mount>/issue/<role>`, or `<mount>/sign/<role>` with `local_key`.
    local_key: the key is made in this process and Vault signs the request, so that Vault never sees the key.
    server, client: the extended key usages the certificate must carry.
    """

    mount: str
    role: str
    common_name: str
    uri_sans: tuple[str, ...]
    dns_sans: tuple[str, ...] = ()
    ip_sans: tuple[str, ...] = ()
    key_type: str = "ec"
    key_bits: int = 256
    server: bool = False
    client: bool = True
    local_key: bool = False

    @property
    def overlaps(self) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class ScopeClaim:
    """One scope as it stands in a token."""

    proxy: str
    path: str
    match: str
    methods: tuple[str, ...]
    permission: str


@dataclass(frozen=True, slots=True)
class JwtSettings:
    """An ES256 token (RFC 7519, RFC 9068) signed by `signer`. subject: the agent's SPIFFE ID."""

    signer: CredentialId
    mount: str
    key: str
    issuer: str
    subject: str
    audience: tuple[str, ...]
    scopes: tuple[ScopeClaim, ...]

    @property
    def overlaps(self) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class SigningKeySettings:
    """Versions of one transit key. longest_token: the longest life of a token that it signs: an old verify key stays
    that long after every proxy has the new one."""

    mount: str
    key: str
    longest_token: timedelta

    @property
    def overlaps(self) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class ApiKeySettings:
    """A random text: `prefix` and then `length` characters of `alphabet`, each drawn with equal chance."""

    alphabet: str
    length: int
    prefix: str = ""

    @property
    def overlaps(self) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class AppRoleSettings:
    """A secret-id of `auth/<mount>/role/<role>`. num_uses: logins left for the agent, 0 for any number.

    token_policies: of the role, as `rotator bootstrap` makes it."""

    mount: str
    role: str
    num_uses: int = 0
    secret_id_cidrs: tuple[str, ...] = ()
    token_cidrs: tuple[str, ...] = ()
    token_policies: tuple[str, ...] = ()

    @property
    def overlaps(self) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class DatabaseServer:
    """Where a PostgreSQL is. ca_file: PEM bundle; None means the system's. Always verify-full."""

    host: str
    port: int
    name: str
    ca_file: PurePath | None = None


@dataclass(frozen=True, slots=True)
class DatabaseSettings:
    """Static roles of Vault's database engine: one, whose old password dies at once, or two that take turns."""

    mount: str
    roles: tuple[str, ...]
    server: DatabaseServer

    @property
    def overlaps(self) -> bool:
        return len(self.roles) > 1


class Grant(StrEnum):
    """RFC 6749, 4.4 and 6."""

    CLIENT_CREDENTIALS = "client_credentials"
    REFRESH_TOKEN = "refresh_token"  # noqa: S105 - the name of a grant


@dataclass(frozen=True, slots=True)
class AuthorizationServer:
    """An OAuth 2.0 authorization server by its issuer identifier. ca_file: PEM bundle; None means the system's."""

    issuer: str
    ca_file: PurePath | None = None


@dataclass(frozen=True, slots=True)
class OAuth2Settings:
    """client_path: below the KV mount, holds `client_secret` and, for the refresh grant, the first `refresh_token`."""

    server: AuthorizationServer
    grant: Grant
    client_id: str
    client_path: str
    scope: str = ""

    @property
    def overlaps(self) -> bool:
        return self.grant is Grant.CLIENT_CREDENTIALS


@dataclass(frozen=True, slots=True)
class ForeignSettings:
    """Of a kind that another package brings: its table of the configuration as it stands there, values as JSON."""

    items: tuple[tuple[str, str], ...] = field(default=())
    overlaps: bool = True

    def table(self) -> dict[str, Any]:
        """The table as it was written, by key."""
        return {key: json.loads(value) for key, value in self.items}


KindSettings = (
    CertificateSettings
    | JwtSettings
    | SigningKeySettings
    | ApiKeySettings
    | AppRoleSettings
    | DatabaseSettings
    | OAuth2Settings
    | ForeignSettings
)
