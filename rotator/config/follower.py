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

Environment beats file, with the names and meanings of `rotator.toml`: BAO_ADDR, VAULT_TOKEN and so on.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from rotator.config import check, freeze, reading
from rotator.config import environment as environ
from rotator.config.follower_model import AgentSubject, AuthModel, ConsulModel, FollowerModel, ProxySubject, Subject
from rotator.config.inventory import Source
from rotator.config.problems import ConfigErrors, Place, Problem, dotted
from rotator.config.settings import ConsulSettings, VaultSettings
from rotator.config.wording import words
from rotator.core.errors import Code, Denied
from rotator.core.identity import Owner, OwnerKind


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
        return replace(self.vault, auth=freeze.login(subject.auth, None))

    def consul_for(self, subject: Subject) -> ConsulSettings:
        """Consul with the token of this subject, which may read its own keys only."""
        if subject.consul_token_file is None:
            return self.consul
        return replace(self.consul, token=None, token_file=subject.consul_token_file)


def load(path: Path, environment: Mapping[str, str], node: str) -> FollowerSettings:
    """`node` (the machine's name) is used where the file names none. Raises ConfigErrors with every problem; its code
    is CONFIG_UNREADABLE when the file cannot be read."""
    problems: list[Problem] = []
    try:
        source = reading.read(path, problems)
    except (OSError, ValueError) as problem:
        why = getattr(problem, "strerror", None) or "that is no path"
        found = Problem(str(path), 0, "", why, "name the file with --config")
        raise ConfigErrors([found], Code.CONFIG_UNREADABLE) from None
    if source is None:
        raise ConfigErrors(problems)
    return _build(source, environment, node, problems)


def build(raw: dict[str, Any], environment: Mapping[str, str], node: str, source: str) -> FollowerSettings:
    """From parsed TOML (or command line options spelled like it) to settings. Raises ConfigErrors."""
    return _build(Source(source, raw, ""), environment, node, [])


def _build(source: Source, environment: Mapping[str, str], node: str, problems: list[Problem]) -> FollowerSettings:
    servers = {key: source.raw.get(key, {}) for key in ("vault", "consul")}
    merged, origins, refused = environ.overlay(servers, environment)
    problems += refused
    place = environ.placer(source.problem, origins)
    raw = {"node": node, **source.raw, **{key: merged[key] for key in servers}}
    try:
        model = FollowerModel.model_validate(raw)
    except ValidationError as invalid:
        raise ConfigErrors([*problems, *_invalid(invalid, place)]) from None
    problems += check.address(("vault", "address"), model.vault.address, place)
    problems += check.address(("consul", "address"), _address(model.consul), place)
    token = environ.vault_token(environment)
    if model.vault.auth is None and token is None and any(one.auth is None for one in (*model.proxy, *model.agent)):
        text = "no login is configured and VAULT_TOKEN is not set"
        problems.append(place(("vault", "auth"), text, "add `auth` to [vault] or to each subject"))
    if problems:
        raise ConfigErrors(problems)
    return _settings(model, freeze.Tokens(token, environ.consul_token(environment)))


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
        raise ConfigErrors(_invalid(problem, _command_line)) from None
    return replace(settings, agents=changed)


def _settings(model: FollowerModel, tokens: freeze.Tokens) -> FollowerSettings:
    login = freeze.login(model.vault.auth or AuthModel.model_construct(), tokens.vault)
    known = model.vault
    vault = VaultSettings(known.address, login, freeze.tls(known.tls), known.namespace, known.timeout)
    found = {**dict(model.consul), "address": _address(model.consul), "tls": freeze.tls(model.consul.tls)}
    consul = ConsulSettings(token=tokens.consul, **found)
    return FollowerSettings(model.node, vault, consul, model.proxy, model.agent)


def _address(consul: ConsulModel) -> str:
    """Consul's own tools take host:port, and so does this file."""
    return consul.address if "://" in consul.address else f"http://{consul.address}"


def _command_line(path: tuple[str, ...], text: str, hint: str = "") -> Problem:
    return Problem(environ.COMMAND_LINE, 0, dotted(path), text, hint)


def _invalid(invalid: ValidationError, place: Place) -> list[Problem]:
    """Every error with its place; never the value, which may be a secret pasted into the wrong line."""
    return [
        place(tuple(str(part) for part in error["loc"]), *words(error, FollowerModel))
        for error in invalid.errors(include_input=False, include_url=False)
    ]
