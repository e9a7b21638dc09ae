"""`follower.toml`: what one node follows, and as whom. Own file and own identity: it never sees the service's rights.

    node = "edge-1"
    [vault]
    address = "https://vault.example.org:8200"
    auth = { method = "approle", role = "…", secret_id_file = "/run/credentials/follower/secret-id" }
    [consul]
    address = "http://127.0.0.1:8500"
    token_file = "/run/credentials/follower/consul-token"
    [[proxy]]
    name = "edge"
    kind = "envoy"
    directory = "/var/lib/rotator-follow/edge"
    admin = "127.0.0.1:9901"
    [[agent]]
    name = "billing"
    directory = "/run/billing/credentials"
    signal = "HUP"
    pid_file = "/run/billing/billing.pid"

Environment beats file: BAO_ADDR, VAULT_ADDR, VAULT_TOKEN, VAULT_NAMESPACE, VAULT_CACERT, CONSUL_HTTP_ADDR,
CONSUL_HTTP_TOKEN, CONSUL_HTTP_TOKEN_FILE, CONSUL_CACERT, with the vendors' meanings.
"""

from __future__ import annotations

import shlex
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from rotator.config.follower_model import AgentSubject, AuthModel, FollowerModel, ProxySubject, Subject
from rotator.config.settings import ConsulSettings, VaultSettings
from rotator.core.errors import Code, Denied
from rotator.core.identity import Owner, OwnerKind
from rotator.core.secret import Secret


@dataclass(frozen=True, slots=True)
class FollowerSettings:
    """Checked and complete. `vault` carries the node's login; a subject's own `auth` replaces it (`vault_for`)."""

    node: str
    vault: VaultSettings
    consul: ConsulSettings
    proxies: tuple[ProxySubject, ...]
    agents: tuple[AgentSubject, ...]

    def vault_for(self, subject: Subject) -> VaultSettings:
        """Vault with the identity of this subject: each agent has its own."""
        if subject.auth is None:
            return self.vault
        auth = subject.auth.settings(None)
        known = self.vault
        return VaultSettings(known.address, auth, known.tls, known.namespace, known.timeout)

    def consul_for(self, subject: Subject) -> ConsulSettings:
        """Consul with the token of this subject, which may read its own keys only."""
        if subject.consul_token_file is None:
            return self.consul
        return replace(self.consul, token=None, token_file=subject.consul_token_file)


def load(path: Path, environment: Mapping[str, str], node: str) -> FollowerSettings:
    """`node` (the machine's name) is used where the file names none. Denied with every error and its place."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as problem:
        raise Denied(Code.CONFIG_UNREADABLE, f"{path}: {problem.strerror}", hint="name it with --config") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise Denied(Code.CONFIG_INVALID, f"{path}: {problem}") from None
    return build(raw, environment, node, str(path))


def build(raw: dict[str, Any], environment: Mapping[str, str], node: str, source: str) -> FollowerSettings:
    """From parsed TOML (or command line options spelled like it) to settings."""
    vault, consul = dict(raw.get("vault", {})), dict(raw.get("consul", {}))
    _overlay(vault, environment, {"address": ("BAO_ADDR", "VAULT_ADDR"), "namespace": ("VAULT_NAMESPACE",)})
    _overlay(consul, environment, {"address": ("CONSUL_HTTP_ADDR",), "token_file": ("CONSUL_HTTP_TOKEN_FILE",)})
    for section, name in ((vault, "VAULT_CACERT"), (consul, "CONSUL_CACERT")):
        if environment.get(name):
            section["tls"] = {**section.get("tls", {}), "ca_file": environment[name]}
    try:
        model = FollowerModel(**{"node": node, **raw, "vault": vault, "consul": consul})
    except ValidationError as problem:
        raise _invalid(source, problem) from None
    return _settings(model, environment, source)


def owners(proxies: list[str], agents: list[str]) -> frozenset[Owner]:
    """What command line options select; empty selects everything."""
    chosen = {Owner(OwnerKind.PROXY, name) for name in proxies}
    return frozenset(chosen | {Owner(OwnerKind.AGENT, name) for name in agents})


def with_action(
    settings: FollowerSettings, agents: list[str], command: str, name: str, pid_file: Path | None
) -> FollowerSettings:
    """Command line options in place of `exec`, `signal` and `pid_file` of one agent. `command` is split, not run by
    a shell."""
    if not (command or name or pid_file):
        return settings
    if len(agents) != 1:
        raise Denied(Code.CONFIG_INVALID, "--exec, --signal and --pid-file need exactly one --agent")
    given = {"exec": tuple(shlex.split(command)), "signal": name or None, "pid_file": pid_file}
    try:
        changed = tuple(
            AgentSubject(**{**dict(one), **given}) if one.name in agents else one for one in settings.agents
        )
    except ValidationError as problem:
        raise _invalid("command line", problem) from None
    return replace(settings, agents=changed)


def _settings(model: FollowerModel, environment: Mapping[str, str], source: str) -> FollowerSettings:
    token = environment.get("BAO_TOKEN") or environment.get("VAULT_TOKEN")
    auth = model.vault.auth
    if auth is None and not token and any(one.auth is None for one in (*model.proxy, *model.agent)):
        text = f"{source}: vault.auth: no login is configured and VAULT_TOKEN is not set"
        raise Denied(Code.CONFIG_INVALID, text, hint="add `auth` to [vault] or to each subject")
    login = (auth or AuthModel.model_construct()).settings(Secret(token) if token else None)
    known = model.vault
    vault = VaultSettings(known.address, login, known.tls.settings(), known.namespace, known.timeout)
    secret = environment.get("CONSUL_HTTP_TOKEN")
    found = model.consul
    consul = ConsulSettings(
        address=found.address if "://" in found.address else f"http://{found.address}",
        token=Secret(secret) if secret else None,
        token_file=found.token_file,
        tls=found.tls.settings(),
        datacenter=found.datacenter,
        namespace=found.namespace,
        prefix=found.prefix,
        timeout=found.timeout,
    )
    return FollowerSettings(model.node, vault, consul, model.proxy, model.agent)


def _overlay(section: dict[str, Any], environment: Mapping[str, str], names: Mapping[str, tuple[str, ...]]) -> None:
    for field, variables in names.items():
        value = next((environment[name] for name in variables if environment.get(name)), None)
        if value is not None:
            section[field] = value


def _invalid(source: str, problem: ValidationError) -> Denied:
    """Every error with its place; never the value, which may be a secret pasted into the wrong line."""
    lines = [
        f"{'.'.join(map(str, error['loc'])) or 'file'}: {error['msg'].removeprefix('Value error, ')}"
        for error in problem.errors(include_input=False, include_url=False)
    ]
    return Denied(Code.CONFIG_INVALID, f"{source}: {'; '.join(lines)}", hint="see docs for follower.toml")
