"""The configuration after load, normalise and check: frozen values, nothing left to validate."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path

from rotator.core.fleet import Fleet
from rotator.core.secret import Secret


class VaultAuthMethod(StrEnum):
    TOKEN = "token"
    TOKEN_FILE = "token_file"
    APPROLE = "approle"
    JWT = "jwt"
    CERT = "cert"


@dataclass(frozen=True, slots=True)
class VaultAuth:
    """How a process proves itself to Vault. Secrets come from files or the environment, never from the TOML itself.

    secret_id_file / jwt_file / token_file are read at each login, so that a renewed file is picked up.
    secret_id_wrapped: the file holds a response-wrapping token; its creation path is checked before it is unwrapped,
    exactly, against `auth/<mount>/role/<role_name>/secret-id`: role_name is needed then, the role id does not tell it.
    """

    method: VaultAuthMethod
    mount: str = "approle"
    role: str = ""  # role id (approle), role name (jwt, cert)
    token: Secret | None = None
    token_file: Path | None = None
    secret_id_file: Path | None = None
    secret_id_wrapped: bool = False
    jwt_file: Path | None = None
    role_name: str = ""


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """Verification is always on. `client_*` are for mutual TLS towards the server and for `cert` auth."""

    ca_file: Path | None = None
    ca_path: Path | None = None
    client_certificate: Path | None = None
    client_key: Path | None = None
    server_name: str = ""


@dataclass(frozen=True, slots=True)
class VaultSettings:
    """address: https://host:port (http only for loopback). timeout: of one call, from connect to last byte."""

    address: str
    auth: VaultAuth
    tls: TlsSettings = TlsSettings()
    namespace: str = ""
    timeout: timedelta = timedelta(seconds=10)
    workers: int = 8
    kv_mount: str = "kv"
    pki_mount: str = "pki_int"
    transit_mount: str = "transit"
    database_mount: str = "database"
    agents_mount: str = "agents"
    agent_role: str = "rotator-agent"
    proxy_role: str = "rotator-proxy"


@dataclass(frozen=True, slots=True)
class ConsulSettings:
    """prefix: put before every key, for sites that share one Consul (`""` or `name/`)."""

    address: str
    token: Secret | None = None
    token_file: Path | None = None
    tls: TlsSettings = TlsSettings()
    datacenter: str = ""
    namespace: str = ""
    prefix: str = ""
    timeout: timedelta = timedelta(seconds=10)
    session_ttl: timedelta = timedelta(seconds=15)
    lock_delay: timedelta = timedelta(seconds=15)


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """file: below the state directory unless absolute. stdout: also one JSON line per event to stdout (the journal)."""

    file: Path
    stdout: bool = False


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """instance: name of this instance in lock, audit and metrics. wave: credentials moved through one step together."""

    instance: str
    state_dir: Path
    tick: timedelta = timedelta(seconds=5)
    wave: int = 256
    http_address: str = "127.0.0.1"
    http_port: int = 9115
    log_format: str = "json"  # json | console
    log_level: str = "info"
    versions_kept: int = 20


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything the service needs to know. `config_hash`: SHA-256 hex over the normalised configuration."""

    service: ServiceSettings
    vault: VaultSettings
    consul: ConsulSettings
    audit: AuditSettings
    fleet: Fleet
    config_hash: str
    files: tuple[Path, ...] = ()
