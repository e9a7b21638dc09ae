"""The inventory as the core knows it: agents with scopes, proxies with listeners and upstreams."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from rotator.core.identity import Owner
from rotator.core.kind_settings import CertificateSettings
from rotator.core.spec import Spec


class Permission(StrEnum):
    """How far a scope goes: `read` means safe methods only (RFC 9110 section 9.2.1)."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


class ProxyKind(StrEnum):
    ENVOY = "envoy"
    HAPROXY = "haproxy"
    NGINX = "nginx"


class PathMatch(StrEnum):
    EXACT = "exact"
    PREFIX = "prefix"  # whole segments: /orders matches /orders and /orders/7, never /orders-old

    def spelled(self, path: str) -> str:
        """One spelling for one meaning: a prefix means whole segments, with or without the slash at its end."""
        return path.rstrip("/") or "/" if self is PathMatch.PREFIX else path


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `requests` per `per`, per agent and scope."""

    requests: int
    per: timedelta


@dataclass(frozen=True, slots=True)
class Scope:
    """One thing an agent may do at one proxy: a path, methods, a rate, a permission."""

    proxy: str
    path: str
    match: PathMatch
    methods: tuple[str, ...]
    permission: Permission
    rate: Rate | None = None


@dataclass(frozen=True, slots=True)
class Agent:
    """An API client. `owner` is the person or team to call; `credentials` are its specs."""

    name: str
    owner: str
    scopes: tuple[Scope, ...]
    credentials: tuple[Spec, ...]


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where requests below `prefix` go."""

    name: str
    prefix: str
    address: str  # host
    port: int


@dataclass(frozen=True, slots=True)
class Listener:
    address: str
    port: int


@dataclass(frozen=True, slots=True)
class Proxy:
    """A secure API proxy.

    nodes: names of the nodes that must confirm a version; empty means every node that has reported lately.
    connection_age: connections are closed after this long, so that none outlives its credential by much.
    adoption_deadline: how long nodes may take to serve a new version before it counts as missing.
    probe_address: host:port at which the rotator itself can see the served certificate; empty means no own probe.
    """

    name: str
    kind: ProxyKind
    listener: Listener
    upstreams: tuple[Upstream, ...]
    credentials: tuple[Spec, ...]
    nodes: tuple[str, ...] = ()
    connection_age: timedelta = timedelta(minutes=10)
    adoption_deadline: timedelta = timedelta(minutes=2)
    probe_address: str = ""


@dataclass(frozen=True, slots=True)
class Fleet:
    """Everything that is managed. `trust_domain` is the SPIFFE trust domain of all names.

    signers: the keys that sign the agents' tokens; every proxy is told of their verify keys.
    """

    trust_domain: str
    agents: tuple[Agent, ...]
    proxies: tuple[Proxy, ...]
    signers: tuple[Spec, ...] = ()

    def specs(self) -> tuple[Spec, ...]:
        """All credentials, agents first, signers last, in configuration order."""
        of_agents = tuple(spec for agent in self.agents for spec in agent.credentials)
        return of_agents + tuple(spec for proxy in self.proxies for spec in proxy.credentials) + self.signers

    def certificates(self) -> tuple[tuple[Spec, CertificateSettings], ...]:
        """Those of `specs` that are certificates, with their settings."""
        found = ((spec, spec.settings) for spec in self.specs())
        return tuple((spec, settings) for spec, settings in found if isinstance(settings, CertificateSettings))

    def owners(self) -> frozenset[Owner]:
        return frozenset(spec.id.owner for spec in self.specs())

    def scopes_at(self, proxy: str) -> tuple[tuple[str, tuple[Scope, ...]], ...]:
        """(agent name, its scopes at this proxy) for every agent that has any, in name order."""
        found = ((agent.name, tuple(s for s in agent.scopes if s.proxy == proxy)) for agent in self.agents)
        return tuple(sorted((name, scopes) for name, scopes in found if scopes))
