"""Who gets rights: the service, and one follower per proxy and agent. One name each, in both servers."""

from __future__ import annotations

from dataclasses import dataclass

from rotator.core.errors import Code, Denied
from rotator.core.fleet import Fleet
from rotator.core.identity import Owner, OwnerKind


@dataclass(frozen=True, slots=True)
class Principal:
    """`owner` is None for the service itself, else the proxy or agent whose follower it is."""

    owner: Owner | None = None

    def __str__(self) -> str:
        return "service" if self.owner is None else str(self.owner)

    @property
    def policy(self) -> str:
        """Name of its policy in Vault and Consul, and of its AppRole: `rotator-service`, `rotator-proxy-edge`."""
        return f"rotator-{str(self).replace('/', '-')}"


SERVICE = Principal()


def principals(fleet: Fleet) -> tuple[Principal, ...]:
    """The service, then the proxies' followers, then the agents'."""
    proxies = (Principal(Owner(OwnerKind.PROXY, proxy.name)) for proxy in fleet.proxies)
    agents = (Principal(Owner(OwnerKind.AGENT, agent.name)) for agent in fleet.agents)
    return (SERVICE, *proxies, *agents)


def find(fleet: Fleet, text: str) -> Principal:
    """`service`, `proxy/NAME` or `agent/NAME`; Denied for one that the configuration does not have."""
    known = {str(principal): principal for principal in principals(fleet)}
    if text not in known:
        raise Denied(Code.TARGET_UNKNOWN, f"{text!r} is not in the configuration", hint=f"one of: {', '.join(known)}")
    return known[text]
