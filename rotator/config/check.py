"""What a schema cannot say about the service itself; the inventory's checks are in `lifetimes` and `access`."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from rotator.config import access, lifetimes
from rotator.config.fields import text_of
from rotator.config.inventory import Inventory
from rotator.config.kinds import choice, database
from rotator.config.problems import Place, Problem
from rotator.config.schema import AuthModel, MainModel, PolicyModel, TlsModel
from rotator.config.settings import VaultAuthMethod
from rotator.core.spec import Spec

# SPIFFE-ID 2.1: lower-case letters, digits, dots, dashes, underscores; at most 255.
_DOMAIN = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,253}[a-z0-9])?")
_MOUNT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(?:/[A-Za-z0-9][A-Za-z0-9._-]*)*")
_PREFIX = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9._-]*/)+")
# What each way to log in cannot do without.
NEEDED = {
    VaultAuthMethod.TOKEN_FILE: ("token_file",),
    VaultAuthMethod.APPROLE: ("role", "secret_id_file"),
    VaultAuthMethod.JWT: ("role", "jwt_file"),
}


def main(model: MainModel, place: Place, *, token: bool) -> Iterator[Problem]:
    """token: the environment gives a Vault token, which replaces every configured login."""
    if _DOMAIN.fullmatch(model.trust_domain) is None:
        text = "is no SPIFFE trust domain"
        yield place(("trust_domain",), text, "lower-case letters, digits, dots and hyphens: example.org")
    yield from address(("vault", "address"), model.vault.address, place)
    yield from address(("consul", "address"), model.consul.address, place)
    yield from _tls(("vault", "tls"), model.vault.tls, place)
    yield from _tls(("consul", "tls"), model.consul.tls, place)
    if not token:
        yield from _auth(model.vault.auth, model.vault.agents_mount, place)
        if model.vault.auth.method is VaultAuthMethod.CERT and not model.vault.tls.client_certificate:
            text, hint = "method cert needs a client certificate", "add it and client_key"
            yield place(("vault", "tls", "client_certificate"), text, hint)
    yield from _mounts(model, place)
    yield from _consul(model, place)
    if not model.service.state_dir.is_absolute():
        yield place(("service", "state_dir"), "an absolute path is wanted", "for example /var/lib/rotator")


def entries(inventory: Inventory, tick: timedelta, model: MainModel | None = None) -> Iterator[Problem]:
    """The whole inventory. tick: of the scheduler, which bounds the shortest life. model: what credentials refer to."""
    for name, policy in inventory.policies.items():
        yield from _policy(inventory, ("policies", name), policy)
    for section, owners in (("agents", inventory.agents), ("proxies", inventory.proxies)):
        for name, owner in owners.items():
            if not owner.credentials and (section, name) not in inventory.partial:
                text = "at least one is wanted"
                yield inventory.problem((section, name, "credentials"), text, f"[{section}.{name}.credentials.tls]")
            for key, one in owner.credentials.items():
                yield from lifetimes.credential(inventory, (section, name), key, one, tick)
                for path, text, hint in choice.problems(one, section == "proxies", model):
                    yield inventory.problem((section, name, "credentials", key, *path), text, hint)
    yield from _shared_accounts(inventory)
    yield from lifetimes.proxies(inventory)
    yield from access.check(inventory)


def _shared_accounts(inventory: Inventory) -> Iterator[Problem]:
    """One static role of a database in two credentials."""
    users = {
        f"agents.{name}.credentials.{key}": (("agents", name, "credentials", key, "database", "roles"), one.database)
        for name, agent in inventory.agents.items()
        for key, one in agent.credentials.items()
        if one.database is not None
    }
    for user, role, other in database.shared_roles((user, model) for user, (_, model) in users.items()):
        text = f"{role} is used by {other} too: each rotation of the one ends the password of the other"
        yield inventory.problem(users[user][0], text, "a static role and an account for each credential")


def ttl_exceeds_issuer(specs: Iterable[Spec], issuer_not_after: datetime, now: datetime) -> tuple[Problem, ...]:
    """A leaf cannot outlive its CA: issuance stops at CA end less TTL (hashicorp/vault#13193)."""
    left = issuer_not_after - now
    ends = f"the {text_of(max(left, timedelta(0)))} left of the issuing CA"
    hint = "renew the issuing CA, and publish its bundle before the first leaf; or make the ttl shorter"
    return tuple(
        Problem("configuration", 0, str(spec.id), f"a ttl of {text_of(spec.ttl)} is longer than {ends}", hint)
        for spec in specs
        if spec.ttl > left
    )


def address(path: tuple[str, ...], given: str, place: Place) -> Iterator[Problem]:
    """http only on loopback: everywhere else the token would travel in the clear. The value is never repeated: it may
    hold a password."""
    try:
        parts = urlsplit(given)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    if not given:
        name = "VAULT_ADDR" if path[0] == "vault" else "CONSUL_HTTP_ADDR"
        yield place(path, "is missing", f"name it here or in {name}")
    elif parts.scheme not in ("http", "https") or not host:
        yield place(path, "is no address", "https://host:port is wanted; sockets are not supported")
    elif parts.username is not None or parts.password is not None:
        yield place(path, "secrets do not stand in the configuration", "remove what stands before the @")
    elif parts.path.strip("/") or parts.query or parts.fragment:
        yield place(path, "has something behind the port", "https://host:port alone is wanted")
    elif parts.scheme == "http" and not _is_loopback(host):
        yield place(path, "http is for loopback only; the token would travel in the clear", "use https")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _tls(path: tuple[str, ...], tls: TlsModel, place: Place) -> Iterator[Problem]:
    pair = {"client_certificate": tls.client_certificate, "client_key": tls.client_key}
    missing = [key for key, value in pair.items() if value is None]
    if len(missing) == 1:
        yield place((*path, missing[0]), "is missing", "client_certificate and client_key belong together")


def _auth(auth: AuthModel, agents_mount: str, place: Place) -> Iterator[Problem]:
    path = ("vault", "auth")
    if auth.method is VaultAuthMethod.TOKEN:
        text, hint = "VAULT_TOKEN is not set", "set it, or use approle, jwt, cert or token_file"
        yield place((*path, "method"), f"method token: {text}", hint)
    for key in NEEDED.get(auth.method, ()):
        if not getattr(auth, key):
            text = f"is missing; method {auth.method.value} needs it"
            yield place((*path, key), text, "add it, or give a token in VAULT_TOKEN")
    own_mount = auth.mount.strip("/") or auth.method.value
    if auth.method is VaultAuthMethod.APPROLE and own_mount == agents_mount:
        text = "is the mount of the agents' AppRoles, whose secret-ids this service rotates"
        yield place(
            (*path, "mount"), text, "log in at a mount of its own: a login that rotates itself ends with one mistake"
        )
    if auth.secret_id_wrapped and auth.method is not VaultAuthMethod.APPROLE:
        yield place((*path, "secret_id_wrapped"), "goes with method approle only", "remove it")
    elif auth.secret_id_wrapped and not auth.role_name:
        text = "is missing; a wrapped secret-id is checked against the path of its role before it is unwrapped"
        yield place((*path, "role_name"), text, "name the AppRole; its role id does not tell it")


def _mounts(model: MainModel, place: Place) -> Iterator[Problem]:
    engines = {"kv_mount": "KV", "pki_mount": "PKI", "transit_mount": "transit", "database_mount": "database"}
    taken: dict[str, str] = {}
    for key in (*engines, "agents_mount"):
        mount = str(getattr(model.vault, key))
        if _MOUNT.fullmatch(mount) is None:
            command = "vault auth list" if key == "agents_mount" else "vault secrets list"
            yield place(("vault", key), "is no mount path", f"as `{command}` shows it, without the last slash")
        # Logins have mounts of their own, below auth/.
        elif key in engines and (other := taken.setdefault(mount, engines[key])) != engines[key]:
            yield place(("vault", key), f"is the {other} mount as well", f"{engines[key]} and {other} are two mounts")


def _consul(model: MainModel, place: Place) -> Iterator[Problem]:
    consul = model.consul
    if not timedelta(seconds=10) <= consul.session_ttl <= timedelta(days=1):
        yield place(("consul", "session_ttl"), "Consul takes 10s to 24h", "15s is a good start")
    for key, value in (("session_ttl", consul.session_ttl), ("lock_delay", consul.lock_delay)):
        if value.total_seconds() % 1:
            yield place(("consul", key), "whole seconds are wanted", "15s is a good start")
    if consul.lock_delay > timedelta(seconds=60):
        yield place(("consul", "lock_delay"), "Consul takes 60s at most", "15s is a good start")
    if consul.prefix and _PREFIX.fullmatch(consul.prefix) is None:
        yield place(("consul", "prefix"), "a prefix ends in / and has no leading one", "for example prod/")


def _policy(inventory: Inventory, path: tuple[str, ...], policy: PolicyModel) -> Iterator[Problem]:
    if not 0.1 <= policy.renew_at <= 0.9:
        text = "a renewal between 10% and 90% of the life is wanted"
        yield inventory.problem((*path, "renew_at"), text, "66% leaves a third of the life for outages")
    if policy.spread > policy.renew_at / 2:
        text = "is more than half of renew_at"
        yield inventory.problem((*path, "spread"), text, "5% is enough for a large fleet")
    if policy.floor >= 1 - policy.renew_at:
        text = "the safety floor would come before the renewal"
        yield inventory.problem((*path, "floor"), text, "make floor or renew_at smaller")
    if policy.attempts.reserve >= policy.attempts.budget:
        text = "nothing of the budget is left outside the reserve"
        yield inventory.problem((*path, "attempts", "reserve"), text, "make it smaller than budget")
