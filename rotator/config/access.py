"""Who may do what at which proxy: references, paths, methods, names in certificates, listeners."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from rotator.config.fields import host_port
from rotator.config.inventory import Inventory
from rotator.config.problems import Problem
from rotator.config.schema import AgentModel, ProxyModel, ScopeModel
from rotator.config.wording import SECRETS
from rotator.core.fleet import PathMatch, Permission, ProxyKind

# RFC 9110 section 9.2.1: methods that change nothing on the server. CONNECT and TRACE are never proxied.
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
METHODS = SAFE | {"POST", "PUT", "PATCH", "DELETE"}
_WORD = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@-]+")
_DNS = re.compile(r"(?=.{1,253}$)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*")
_LONGEST_PATH = 2048

Path = tuple[str, ...]


def check(inventory: Inventory) -> Iterator[Problem]:
    """All problems of agents' scopes and of proxies."""
    for name, agent in inventory.agents.items():
        yield from _agent(inventory, ("agents", name), agent)
    for name, proxy in inventory.proxies.items():
        yield from _proxy(inventory, ("proxies", name), proxy)
    yield from _listeners(inventory)


def path_problem(path: str) -> str:
    """What is wrong with a path; empty for a plain, normalised, absolute one.

    Only what every proxy and server reads the same way: no escapes (`%2F` is a slash to one and a letter to another),
    no dot or empty segments (removed by one, kept by another), no query or fragment.
    """
    if not path.startswith("/"):
        return "does not begin with /"
    if "%" in path:
        return "contains an escape such as %2F, which servers read in different ways"
    if "?" in path or "#" in path:
        return "contains a query or a fragment; scopes are about paths"
    segments = path[1:].split("/")
    if any(segment in (".", "..") for segment in segments):
        return "contains a dot segment"
    if "" in segments[:-1]:
        return "contains an empty segment"
    if len(path) > _LONGEST_PATH or not all(_WORD.fullmatch(segment) for segment in segments if segment):
        return "contains a character that does not stand in a plain path, or is longer than 2048"
    return ""


def _agent(inventory: Inventory, path: Path, agent: AgentModel) -> Iterator[Problem]:
    yield from _labels(inventory, path, agent.labels)
    for name, credential in agent.credentials.items():
        for key in ("dns_sans", "ip_sans"):
            if getattr(credential, key):
                text = "an agent's certificate carries its SPIFFE ID alone"
                yield inventory.problem((*path, "credentials", name, key), text, "remove it")
    seen: dict[tuple[str, str, PathMatch, str], int] = {}
    for number, scope in enumerate(agent.scopes):
        where = (*path, "scopes", str(number))
        yield from _reference(inventory, where, scope)
        yield from _methods(inventory, where, scope)
        for method in scope.methods:
            first = seen.setdefault((scope.proxy, scope.path, scope.match, method), number)
            if first != number:
                text = f"scope {first} says the same path and {method} already"
                yield inventory.problem(where, text, "two rates would count one request; keep one scope")
                break


def _reference(inventory: Inventory, where: Path, scope: ScopeModel) -> Iterator[Problem]:
    wrong = path_problem(scope.path)
    if wrong:
        yield inventory.problem((*where, "path"), wrong, "for example /orders/open")
    if ("proxies", scope.proxy) not in inventory.sources:
        known = ", ".join(inventory.named("proxies")) or "none yet"
        yield inventory.problem((*where, "proxy"), "there is no proxy of that name", f"known: {known}")
        return
    proxy = inventory.proxies.get(scope.proxy)
    if wrong or proxy is None or ("proxies", scope.proxy) in inventory.partial:
        return
    if not any(_meets(scope, upstream.prefix) for upstream in proxy.upstreams.values()):
        text = f"no upstream of proxy {scope.proxy!r} serves this path"
        sound = {one.prefix for one in proxy.upstreams.values() if not path_problem(one.prefix)}
        prefixes = ", ".join(sorted(sound)) or "no path"
        yield inventory.problem((*where, "path"), text, f"its upstreams serve {prefixes}")


def _methods(inventory: Inventory, where: Path, scope: ScopeModel) -> Iterator[Problem]:
    methods = {method.upper() for method in scope.methods}
    if not methods or not methods <= METHODS:
        text = f"one or more of {', '.join(sorted(METHODS))} are wanted"
        yield inventory.problem((*where, "methods"), text, "CONNECT, TRACE and methods of one's own are not proxied")
    elif scope.permission is Permission.READ and not methods <= SAFE:
        text = f"permission read goes with {', '.join(sorted(SAFE))} only (RFC 9110, safe methods)"
        yield inventory.problem((*where, "methods"), text, 'ask for permission = "write", or remove the others')
    elif scope.permission is Permission.WRITE and methods <= SAFE:
        text = "permission write, but no method that writes"
        yield inventory.problem((*where, "permission"), text, 'permission = "read" is enough for these methods')


def _proxy(inventory: Inventory, path: Path, proxy: ProxyModel) -> Iterator[Problem]:
    yield from _labels(inventory, path, proxy.labels)
    if proxy.kind is not ProxyKind.ENVOY:
        text = f"{proxy.kind.value} is not supported yet; nothing would enforce its scopes"
        yield inventory.problem((*path, "kind"), text, "use envoy")
    if proxy.template is not None:
        text = "a template of one's own is named in the follower's configuration"
        yield inventory.problem((*path, "template"), text, "move it to [[proxy]] in follower.toml")
    yield from _upstreams(inventory, path, proxy)
    for name, credential in proxy.credentials.items():
        yield from _names(inventory, (*path, "credentials", name), (credential.dns_sans, credential.ip_sans))


def _names(inventory: Inventory, where: Path, names: tuple[tuple[str, ...], tuple[str, ...]]) -> Iterator[Problem]:
    dns, ip = names
    if not dns and not ip:
        text = "a server certificate without DNS and IP names would be refused by its clients"
        yield inventory.problem(
            (*where, "dns_sans"), text, 'add the name that agents call, for example ["api.example"]'
        )
    if any(_DNS.fullmatch(name) is None for name in dns):
        text = "a DNS name in lower case is wanted"
        yield inventory.problem((*where, "dns_sans"), text, "wildcards are not issued")
    if not all(_is_address(address) for address in ip):
        yield inventory.problem((*where, "ip_sans"), "an IP address is wanted", "names belong into dns_sans")


def _is_address(text: str) -> bool:
    try:
        return str(ipaddress.ip_address(text)) == text
    except ValueError:
        return False


def _upstreams(inventory: Inventory, path: Path, proxy: ProxyModel) -> Iterator[Problem]:
    if not proxy.upstreams and path[:2] not in inventory.partial:
        text = "at least one is wanted"
        yield inventory.problem((*path, "upstreams"), text, 'orders = { prefix = "/orders", address = "host:80" }')
    seen: dict[str, str] = {}
    for name, upstream in proxy.upstreams.items():
        where = (*path, "upstreams", name, "prefix")
        wrong = path_problem(upstream.prefix)
        if wrong:
            yield inventory.problem(where, wrong, "for example /orders")
        other = seen.setdefault(upstream.prefix.rstrip("/"), name)
        if other != name:
            text = f"upstream {other!r} has the same prefix"
            yield inventory.problem(where, text, "requests can go to one of them only: make them differ")


def _listeners(inventory: Inventory) -> Iterator[Problem]:
    """One address and port cannot serve two proxies. Wildcard and loopback are an address of each host, so there it
    needs a common node to be sure."""
    seen: dict[int, list[tuple[str, str, frozenset[str]]]] = {}
    for name, proxy in inventory.proxies.items():
        host, port = host_port(proxy.listener)
        mine = (name, host, frozenset(proxy.nodes))
        other = next((one[0] for one in seen.get(port, ()) if _collide(one, mine)), None)
        if other is not None:
            text = f"proxy {other!r} has the same listener"
            yield inventory.problem(("proxies", name, "listener"), text, "give each its own address or port")
        seen.setdefault(port, []).append(mine)


def _collide(one: tuple[str, str, frozenset[str]], two: tuple[str, str, frozenset[str]]) -> bool:
    (_, first, some), (_, second, others) = one, two
    same = first == second or _is_wildcard(first) or _is_wildcard(second)
    on_one_host = bool(some & others) or not (some or others or _is_of_each_host(first))
    return same and on_one_host


def _is_wildcard(host: str) -> bool:
    return host in ("0.0.0.0", "::")  # noqa: S104 - compared, not bound


def _is_of_each_host(host: str) -> bool:
    try:
        return _is_wildcard(host) or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _labels(inventory: Inventory, path: Path, labels: dict[str, str]) -> Iterator[Problem]:
    for key in sorted(SECRETS & set(labels)):
        text = "secrets do not stand in the configuration, and labels are public"
        yield inventory.problem((*path, "labels", key), text, "remove it")


def _meets(scope: ScopeModel, prefix: str) -> bool:
    """A prefix scope may also be wider than the upstream: then it holds for the part that is served."""
    wider = scope.match is PathMatch.PREFIX and _below(prefix, scope.path)
    return wider or _below(scope.path, prefix)


def _below(path: str, prefix: str) -> bool:
    stem = prefix.rstrip("/")
    return path.rstrip("/") == stem or path.startswith(stem + "/")
