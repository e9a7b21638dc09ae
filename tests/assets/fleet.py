"""A small configuration for the tests of this room."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from rotator.config.settings import (
    AuditSettings,
    ConsulSettings,
    ServiceSettings,
    Settings,
    VaultAuth,
    VaultAuthMethod,
    VaultSettings,
)
from rotator.core.fleet import Agent, Fleet, Listener, Proxy, ProxyKind
from rotator.core.identity import CredentialId, Owner, OwnerKind, spiffe_id
from rotator.core.kind_settings import CertificateSettings
from rotator.core.spec import Policy, Spec

DOMAIN = "example.test"


def spec(kind: OwnerKind, name: str, ttl: timedelta = timedelta(hours=1)) -> Spec:
    owner = Owner(kind, name)
    agent = kind is OwnerKind.AGENT
    settings = CertificateSettings(
        mount="pki_int",
        role="rotator-agent" if agent else "rotator-proxy",
        common_name=name,
        uri_sans=(spiffe_id(DOMAIN, owner),),
        dns_sans=() if agent else ("localhost",),
        ip_sans=() if agent else ("127.0.0.1",),
        server=not agent,
    )
    folder = "agents" if agent else "proxies"
    return Spec(
        CredentialId(owner, "tls"), "certificate", ttl, "kv", f"{folder}/{name}/tls", settings, Policy(), "d" * 64
    )


def settings(vault: str = "http://127.0.0.1:8200", ttl: timedelta = timedelta(hours=1), prefix: str = "") -> Settings:
    agents = tuple(Agent(name, "team", (), (spec(OwnerKind.AGENT, name, ttl),)) for name in ("billing", "reports"))
    proxy = Proxy("edge", ProxyKind.ENVOY, Listener("127.0.0.1", 8443), (), (spec(OwnerKind.PROXY, "edge", ttl),))
    return Settings(
        service=ServiceSettings("test", Path("/nonexistent")),
        vault=VaultSettings(vault, VaultAuth(VaultAuthMethod.TOKEN)),
        consul=ConsulSettings("http://127.0.0.1:8500", prefix=prefix),
        audit=AuditSettings(Path("audit.jsonl")),
        fleet=Fleet(DOMAIN, agents, (proxy,)),
        config_hash="c" * 64,
    )
