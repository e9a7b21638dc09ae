"""What a schema cannot say: references, impossible lifetimes, duplicate destinations, unsafe addresses, bad paths."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from typing import Protocol
from urllib.parse import urlsplit

from rotator.config.fields import host_port
from rotator.config.freeze import Entries
from rotator.config.problems import Problem
from rotator.config.schema import AuthModel, CredentialModel, MainModel, PolicyModel, ProxyModel, ScopeModel
from rotator.config.settings import VaultAuthMethod
from rotator.core.fleet import Permission, ProxyKind
from rotator.core.spec import Spec

# RFC 9110 section 9.2.1: methods that change nothing on the server.
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
METHODS = SAFE | {"POST", "PUT", "PATCH", "DELETE"}
_PATH = re.compile(r"/(?:[A-Za-z0-9._~!$&'()*+,;=:@-]+/?)*")
_DOMAIN = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,253}[a-z0-9])?")
_DNS = re.compile(r"(?=.{1,253}$)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*")

Place = Callable[[tuple[str, ...], str, str], Problem]


class Placed(Entries, Protocol):
    """The inventory, which knows in which file each entry stands."""

    def problem(self, path: tuple[str, ...], text: str, hint: str = "") -> Problem: ...


def check(main: MainModel, entries: Placed, place: Place) -> tuple[Problem, ...]:
    """All problems; empty for a sound configuration."""
    found = [*_main(main, place), *_policies(entries)]
    for name, agent in entries.agents.items():
        path = ("agents", name)
        found += _credentials(main, entries, path, agent.credentials)
        for number, scope in enumerate(agent.scopes):
            found += _scope(entries, (*path, "scopes", str(number)), scope)
        if any(one.dns_sans or one.ip_sans for one in agent.credentials.values()):
            found.append(entries.problem(path, "an agent's certificate has no DNS or IP names", "remove them"))
    for name, proxy in entries.proxies.items():
        found += _credentials(main, entries, ("proxies", name), proxy.credentials)
        found += _proxy(entries, ("proxies", name), proxy)
    found += _listeners(entries)
    return tuple(found)


def ttl_exceeds_issuer(specs: Iterable[Spec], issuer_not_after: datetime, now: datetime) -> tuple[Problem, ...]:
    """A leaf cannot outlive its CA: issuance stops at CA end less TTL (hashicorp/vault#13193)."""
    left = issuer_not_after - now
    return tuple(
        Problem("configuration", 0, str(spec.id), f"ttl {spec.ttl} is longer than the {left} left of the CA")
        for spec in specs
        if spec.ttl > left
    )


def _main(main: MainModel, place: Place) -> Iterator[Problem]:
    if _DOMAIN.fullmatch(main.trust_domain) is None:
        text = f"{main.trust_domain!r} is no SPIFFE trust domain"
        yield place(("trust_domain",), text, "lower-case letters, digits, dots and hyphens: example.org")
    for section, address in (("vault", main.vault.address), ("consul", main.consul.address)):
        yield from _address((section, "address"), address, place)
    if not timedelta(seconds=10) <= main.consul.session_ttl <= timedelta(days=1):
        yield place(("consul", "session_ttl"), "Consul takes 10s to 24h", "15s is a good start")
    if main.consul.prefix and not re.fullmatch(r"[A-Za-z0-9._-]+/(?:[A-Za-z0-9._-]+/)*", main.consul.prefix):
        yield place(("consul", "prefix"), "a prefix ends in / and has no leading one", "for example prod/")
    yield from _auth(main.vault.auth, place)
    if main.vault.auth.method is VaultAuthMethod.CERT and not main.vault.tls.client_certificate:
        yield place(("vault", "tls", "client_certificate"), "method cert needs a client certificate", "")


def _address(path: tuple[str, ...], address: str, place: Place) -> Iterator[Problem]:
    """http only on loopback: everywhere else the token would travel in the clear."""
    parts = urlsplit(address)
    if not address:
        yield place(path, "is missing", "name it here or in the environment")
    elif parts.scheme not in ("http", "https") or not parts.hostname:
        yield place(path, f"{address!r} is no address", "https://host:port is wanted; sockets are not supported")
    elif parts.scheme == "http" and parts.hostname not in ("127.0.0.1", "::1", "localhost"):
        yield place(path, "http is for loopback only; the token would travel in the clear", "use https")


def _auth(auth: AuthModel, place: Place) -> Iterator[Problem]:
    needed = {
        VaultAuthMethod.TOKEN_FILE: ("token_file",),
        VaultAuthMethod.APPROLE: ("role", "secret_id_file"),
        VaultAuthMethod.JWT: ("role", "jwt_file"),
    }
    for key in needed.get(auth.method, ()):
        if not getattr(auth, key):
            text = f"method {auth.method.value} needs it"
            yield place(("vault", "auth", key), text, "or give a token in VAULT_TOKEN and method token")


def _policies(entries: Placed) -> Iterator[Problem]:
    for name, policy in entries.policies.items():
        path = ("policies", name)
        if not 0.1 <= policy.renew_at <= 0.9:
            text = "a renewal between 10% and 90% of the life is wanted"
            yield entries.problem((*path, "renew_at"), text, "66% leaves a third of the life for outages")
        if policy.spread > policy.renew_at / 2:
            yield entries.problem((*path, "spread"), "is more than half of renew_at", "5% is enough for a large fleet")
        if policy.floor >= 1 - policy.renew_at:
            yield entries.problem((*path, "floor"), "the floor would come before the renewal", "make it smaller")
        if policy.attempts.reserve >= policy.attempts.budget:
            yield entries.problem((*path, "attempts", "reserve"), "nothing is left outside the reserve", "")
        for number, window in enumerate(policy.windows):
            try:
                window.window()
            except ValueError as problem:
                yield entries.problem((*path, "windows", str(number), "days"), str(problem), "")


def _credentials(
    main: MainModel, entries: Placed, owner: tuple[str, ...], credentials: dict[str, CredentialModel]
) -> Iterator[Problem]:
    if not credentials:
        yield entries.problem((*owner, "credentials"), "there is none", "add a certificate")
    for name, credential in credentials.items():
        path = (*owner, "credentials", name)
        if credential.policy != "default" and credential.policy not in entries.policies:
            text = f"there is no policy {credential.policy!r}"
            yield entries.problem((*path, "policy"), text, "define it under [policies] or remove the key")
            continue
        yield from _lifetime(main, entries, path, credential)


def _lifetime(main: MainModel, entries: Placed, path: tuple[str, ...], one: CredentialModel) -> Iterator[Problem]:
    """A life that its own policy makes impossible."""
    policy = entries.policies.get(one.policy, PolicyModel())
    left = one.ttl * (1 - policy.renew_at)
    where = (*path, "ttl")
    if left < policy.outage_budget:
        text = (
            f"{_words(one.ttl)} leaves {_words(left)} after the renewal at {policy.renew_at:.0%}, "
            f"less than the outage budget of {_words(policy.outage_budget)}"
        )
        yield entries.problem(where, text, "make the ttl longer, or lower outage_budget in its policy")
    if policy.overlap >= one.ttl * policy.renew_at:
        text = f"the overlap of {_words(policy.overlap)} is not over before the next renewal"
        yield entries.problem(where, text, "make the overlap shorter or the ttl longer")
    if main.service.tick * 10 > one.ttl:
        text = f"{_words(one.ttl)} is too short for a tick of {_words(main.service.tick)}"
        yield entries.problem(where, text, "make service.tick at most a tenth of the shortest ttl")


def _scope(entries: Placed, path: tuple[str, ...], scope: ScopeModel) -> Iterator[Problem]:
    proxy = entries.proxies.get(scope.proxy)
    if proxy is None:
        yield entries.problem((*path, "proxy"), f"there is no proxy {scope.proxy!r}", "define it under [proxies]")
    elif not any(_below(scope.path, upstream.prefix) for upstream in proxy.upstreams.values()):
        text = f"no upstream of proxy {scope.proxy!r} serves {scope.path!r}"
        yield entries.problem((*path, "path"), text, "add an upstream with that prefix")
    if not _is_path(scope.path):
        text = f"{scope.path!r} is no plain absolute path"
        yield entries.problem((*path, "path"), text, "no dot segments, empty segments, escapes, query or fragment")
    methods = {method.upper() for method in scope.methods}
    if not methods or not methods <= METHODS:
        yield entries.problem((*path, "methods"), f"methods are {', '.join(sorted(METHODS))}", "")
    elif scope.permission is Permission.READ and not methods <= SAFE:
        text = f"permission read allows {', '.join(sorted(SAFE))} only"
        yield entries.problem((*path, "methods"), text, "ask for permission write")


def _proxy(entries: Placed, path: tuple[str, ...], proxy: ProxyModel) -> Iterator[Problem]:
    if proxy.kind is not ProxyKind.ENVOY:
        text = f"{proxy.kind.value} is not supported yet; nothing would enforce its scopes"
        yield entries.problem((*path, "kind"), text, "use envoy")
    yield from _upstreams(entries, path, proxy)
    for name, credential in proxy.credentials.items():
        for dns in credential.dns_sans:
            if _DNS.fullmatch(dns) is None:
                where = (*path, "credentials", name, "dns_sans")
                yield entries.problem(where, f"{dns!r} is no DNS name", "wildcards are not issued")


def _upstreams(entries: Placed, path: tuple[str, ...], proxy: ProxyModel) -> Iterator[Problem]:
    if not proxy.upstreams:
        yield entries.problem((*path, "upstreams"), "there is none", "add one")
    prefixes: set[str] = set()
    for name, upstream in proxy.upstreams.items():
        where = (*path, "upstreams", name, "prefix")
        if not _is_path(upstream.prefix):
            yield entries.problem(where, f"{upstream.prefix!r} is no plain absolute path", "for example /orders")
        if upstream.prefix in prefixes:
            yield entries.problem(where, f"another upstream has the prefix {upstream.prefix!r}", "make them differ")
        prefixes.add(upstream.prefix)


def _listeners(entries: Placed) -> Iterator[Problem]:
    """Two proxies may share a port on different hosts' loopback, but not one address: duplicate destination."""
    seen: dict[tuple[str, int], str] = {}
    for name, proxy in entries.proxies.items():
        place = host_port(proxy.listener)
        other = seen.setdefault(place, name)
        if other != name:
            text = f"proxy {other!r} has the same listener"
            yield entries.problem(("proxies", name, "listener"), text, "give each its own address or port")


def _is_path(path: str) -> bool:
    return _PATH.fullmatch(path) is not None and not any(part in (".", "..") for part in path.split("/"))


def _below(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(prefix.rstrip("/") + "/")


def _words(length: timedelta) -> str:
    seconds = length.total_seconds()
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size and seconds % size == 0:
            return f"{int(seconds // size)}{unit}"
    return f"{seconds:g}s"
