"""Builds followers from their settings. Every subject gets connections and a Vault identity of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from rotator.clients.directories import VersionDirectories
from rotator.clients.tls_probe import Served, Target, probe
from rotator.config.follower import FollowerSettings
from rotator.config.follower_model import AgentSubject, ProxySubject, Subject
from rotator.config.settings import ConsulSettings, VaultSettings
from rotator.core.errors import Code, Denied, Unavailable
from rotator.core.identity import Owner, OwnerKind
from rotator.follower.actions import Action
from rotator.follower.agent import AgentSubject as FollowedAgent
from rotator.follower.converge import Convergence, Node
from rotator.follower.proxies.catalog import adapter
from rotator.follower.proxy import ProxySubject as FollowedProxy
from rotator.follower.proxy import ProxyTools
from rotator.follower.watch import Followed, OnOutcome, Watch
from rotator.ports import Clock, Keys, Secrets
from rotator.publish.layout import Layout


@dataclass(frozen=True, slots=True)
class Opened:
    """How connections are opened (`rotator/connect.py`), which clock holds, and what ends every wait."""

    open_vault: Callable[[VaultSettings, Clock], Secrets]
    open_keys: Callable[[ConsulSettings, Clock], Keys]
    clock: Clock
    stop: threading.Event


def build(settings: FollowerSettings, opened: Opened, only: frozenset[Owner] = frozenset()) -> tuple[Followed, ...]:
    """One Followed per configured subject, or for those in `only`. Denied (TARGET_UNKNOWN) for others."""
    found: dict[Owner, Followed] = {}
    for proxy in settings.proxies:
        owner = Owner(OwnerKind.PROXY, proxy.name)
        if not only or owner in only:
            found[owner] = _proxy(proxy, settings, opened)
    for agent in settings.agents:
        owner = Owner(OwnerKind.AGENT, agent.name)
        if not only or owner in only:
            found[owner] = _agent(agent, settings, opened)
    missing = sorted(str(owner) for owner in only - found.keys())
    if missing:
        text = f"{', '.join(missing)} is not in the follower's configuration"
        raise Denied(Code.TARGET_UNKNOWN, text, hint="add it to follower.toml")
    return tuple(found.values())


def watch(followed: tuple[Followed, ...], opened: Opened, tell: OnOutcome) -> Watch:
    return Watch(followed, opened.clock, opened.stop, tell)


def _node(subject: Subject, settings: FollowerSettings, opened: Opened) -> Node:
    keys = opened.open_keys(settings.consul_for(subject), opened.clock)
    return Node(settings.node, keys, Layout(settings.consul.prefix), opened.clock)


def _proxy(subject: ProxySubject, settings: FollowerSettings, opened: Opened) -> Followed:
    node, directories = _node(subject, settings, opened), VersionDirectories(subject.directory, subject.group)
    tools = ProxyTools(
        adapter=adapter(subject),
        secrets=opened.open_vault(settings.vault_for(subject), opened.clock),
        probe=_probe(subject),
        pause=opened.stop.wait,
        action=_action(subject),
        settle=subject.settle,
    )
    return Followed(Convergence(FollowedProxy(subject.name, directories, node, tools), directories, node), node.keys)


def _agent(subject: AgentSubject, settings: FollowerSettings, opened: Opened) -> Followed:
    node, directories = _node(subject, settings, opened), VersionDirectories(subject.directory, subject.group)
    secrets = opened.open_vault(settings.vault_for(subject), opened.clock)
    followed = FollowedAgent(subject.name, directories, node, secrets, _action(subject))
    return Followed(Convergence(followed, directories, node), node.keys)


def _action(subject: Subject) -> Action:
    return Action(subject.exec, subject.signal or "", subject.pid_file, subject.timeout)


def _probe(subject: ProxySubject) -> Callable[[str, int], Served]:
    """Looks at the configured address, or at the document's listener from this machine."""

    def look(address: str, port: int) -> Served:
        if subject.probe is not None:
            host, _, text = subject.probe.rpartition(":")
            address, port = host.strip("[]"), int(text)
        if not address:
            raise Unavailable(Code.PROXY_PROBE_FAILED, "the document names no listener")
        nearest = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)  # noqa: S104 - compared, not bound
        return probe(Target(nearest, port, server_name=subject.probe_name))

    return look
