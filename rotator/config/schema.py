"""The shape of `rotator.toml` and of the files in its inventory folder. Every key is here; others are refused."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic.config import JsonDict

from rotator.config.fields import (
    HostPort,
    Label,
    LabelValue,
    Model,
    Name,
    NodeName,
    RateField,
    Share,
    Span,
    WindowModel,
)
from rotator.config.kinds.api_key import ApiKeyModel
from rotator.config.kinds.approle import AppRoleModel
from rotator.config.kinds.database import DatabaseModel, DatabaseServerModel
from rotator.config.kinds.jwt import JwtModel, TokensModel
from rotator.config.kinds.oauth2 import AuthorizationServerModel, OAuth2Model
from rotator.config.settings import VaultAuthMethod
from rotator.core.fleet import PathMatch, Permission, ProxyKind

# For editors; `check` says it too. As a limit of the schema, one bad credential would take its whole agent along.
AT_LEAST_ONE: JsonDict = {"minProperties": 1}


class TlsModel(Model):
    """Verification is always on; there is no key that switches it off."""

    ca_file: Path | None = None
    ca_path: Path | None = None
    client_certificate: Path | None = None
    client_key: Path | None = None
    server_name: str = ""


class AuthModel(Model):
    """`role` is the role id for approle and the role's name for jwt and cert. Secrets are named by file."""

    method: VaultAuthMethod = VaultAuthMethod.APPROLE
    mount: str = ""
    role: str = ""
    role_name: str = ""
    token_file: Path | None = None
    secret_id_file: Path | None = None
    secret_id_wrapped: bool = False
    jwt_file: Path | None = None


class VaultModel(Model):
    address: str = ""
    namespace: str = ""
    timeout: Span = timedelta(seconds=10)
    workers: Annotated[int, Field(ge=1, le=64)] = 8
    kv_mount: str = "kv"
    pki_mount: str = "pki_int"
    transit_mount: str = "transit"
    database_mount: str = "database"
    agents_mount: str = "agents"
    agent_role: Name = "rotator-agent"
    proxy_role: Name = "rotator-proxy"
    auth: AuthModel = AuthModel()
    tls: TlsModel = TlsModel()


class ConsulModel(Model):
    address: str = ""
    token_file: Path | None = None
    datacenter: str = ""
    namespace: str = ""
    prefix: str = ""
    timeout: Span = timedelta(seconds=10)
    session_ttl: Span = timedelta(seconds=15)
    lock_delay: Span = timedelta(seconds=15)
    tls: TlsModel = TlsModel()


class ServiceModel(Model):
    instance: Name = "rotator-1"
    state_dir: Path = Path("/var/lib/rotator")
    tick: Span = timedelta(seconds=5)
    wave: Annotated[int, Field(ge=1, le=10_000)] = 256
    http: HostPort = "127.0.0.1:9115"
    log_format: Literal["json", "console"] = "json"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    versions_kept: Annotated[int, Field(ge=2, le=10_000)] = 20


class AuditModel(Model):
    file: Path = Path("audit.jsonl")
    stdout: bool = False


class InventoryModel(Model):
    folder: Path | None = None


class AttemptsModel(Model):
    budget: Annotated[int, Field(ge=1, le=64)] = 20
    reserve: Annotated[int, Field(ge=0, le=63)] = 5
    window: Span = timedelta(hours=1)


class PolicyModel(Model):
    """Shares are of the lifetime, counted from issue; see `core.spec.Policy`."""

    renew_at: Share = 2 / 3
    spread: Share = 1 / 20
    floor: Share = 1 / 20
    overlap: Span = timedelta(seconds=30)
    outage_budget: Span = timedelta(hours=1)
    attempts: AttemptsModel = AttemptsModel()
    windows: tuple[WindowModel, ...] = ()


class CredentialModel(Model):
    """Of a certificate, the SPIFFE ID and the common name follow from the owner; `dns_sans` and `ip_sans` are for
    proxies; `local_key` keeps the key out of Vault's PKI. Other kinds have a table of their own name; `settings` and
    `overlaps` are for kinds that other packages bring."""

    kind: str = "certificate"
    ttl: Span
    policy: Name = "default"
    dns_sans: tuple[str, ...] = ()
    ip_sans: tuple[str, ...] = ()
    role: Name | None = None
    local_key: bool = False
    api_key: ApiKeyModel | None = None
    approle: AppRoleModel | None = None
    database: DatabaseModel | None = None
    jwt: JwtModel | None = None
    oauth2: OAuth2Model | None = None
    settings: dict[str, Any] | None = None
    overlaps: bool = True


class ScopeModel(Model):
    proxy: Name
    path: str
    match: PathMatch = PathMatch.PREFIX
    methods: tuple[str, ...] = ("GET", "HEAD")
    permission: Permission = Permission.READ
    rate: RateField | None = None


class AgentModel(Model):
    """`owner`: the person or team to call. `labels` become metric labels and never touch an issued credential."""

    owner: LabelValue
    labels: dict[Label, LabelValue] = Field(default_factory=dict)
    scopes: tuple[ScopeModel, ...] = ()
    credentials: dict[Name, CredentialModel] = Field(json_schema_extra=AT_LEAST_ONE)


class UpstreamModel(Model):
    prefix: str
    address: HostPort


class ProxyModel(Model):
    """`nodes`: whose confirmation counts; none: every node that has reported lately."""

    kind: ProxyKind = ProxyKind.ENVOY
    listener: HostPort
    upstreams: dict[Name, UpstreamModel] = Field(json_schema_extra=AT_LEAST_ONE)
    credentials: dict[Name, CredentialModel] = Field(json_schema_extra=AT_LEAST_ONE)
    nodes: tuple[NodeName, ...] = ()
    connection_age: Span = timedelta(minutes=10)
    adoption_deadline: Span = timedelta(minutes=2)
    probe: HostPort | None = None
    template: Path | None = None
    labels: dict[Label, LabelValue] = Field(default_factory=dict)


class MainModel(Model):
    """The main file without its inventory sections, which may as well stand in files of their own."""

    trust_domain: str
    service: ServiceModel = ServiceModel()
    audit: AuditModel = AuditModel()
    vault: VaultModel = VaultModel()
    consul: ConsulModel = ConsulModel()
    inventory: InventoryModel = InventoryModel()
    tokens: TokensModel = TokensModel()
    databases: dict[Name, DatabaseServerModel] = Field(default_factory=dict)
    authorization_servers: dict[Name, AuthorizationServerModel] = Field(default_factory=dict)


class WholeModel(MainModel):
    """Everything in one, for the JSON Schema that editors use."""

    policies: dict[Name, PolicyModel] = Field(default_factory=dict)
    agents: dict[Name, AgentModel] = Field(default_factory=dict)
    proxies: dict[Name, ProxyModel] = Field(default_factory=dict)


# The sections that the files of the inventory folder may hold as well.
SECTIONS: dict[str, type[Model]] = {"policies": PolicyModel, "agents": AgentModel, "proxies": ProxyModel}
