"""Least privilege in Consul: ACL rules that follow the key layout (`publish/layout.py`). The longest prefix wins."""

from __future__ import annotations

from rotator.core.fleet import Fleet
from rotator.core.identity import Owner, OwnerKind
from rotator.provision.principals import Principal
from rotator.publish.layout import Layout

Rules = tuple[tuple[str, str, str], ...]  # (resource, name, policy)


def rules(fleet: Fleet, prefix: str, principal: Principal) -> Rules:
    """Everything the principal may do. `prefix`: of `[consul] prefix`, empty or ending in a slash."""
    layout, owner = Layout(prefix), principal.owner
    if owner is None:
        return _service(fleet, prefix)
    nodes = ("key_prefix", layout.nodes(owner), "write")
    # `consul watch` asks its agent for its name before it watches, and gives up at a 403 (measured on 1.8.7). The
    # answer holds no secret: Consul hides its tokens in it.
    name = ("agent_prefix", "", "read")
    if owner.kind is OwnerKind.PROXY:
        return (("key_prefix", layout.proxy(owner.name), "read"), nodes, name)
    return (("key", layout.agent_current(owner.name), "read"), nodes, name)


def text(fleet: Fleet, prefix: str, principal: Principal) -> str:
    """The policy as Consul's HCL."""
    head = f"# rotator: {principal}; with default_policy = deny everything else is refused"
    lines = (
        f'{resource} "{name}" {{ policy = "{policy}" }}' for resource, name, policy in rules(fleet, prefix, principal)
    )
    return "\n".join([head, *lines]) + "\n"


def _service(fleet: Fleet, prefix: str) -> Rules:
    """Node reports are evidence, so the service may read but not write them."""
    owners = [Owner(OwnerKind.PROXY, proxy.name) for proxy in fleet.proxies]
    owners += [Owner(OwnerKind.AGENT, agent.name) for agent in fleet.agents]
    reports = tuple(("key_prefix", Layout(prefix).nodes(owner), "read") for owner in owners)
    return (
        ("key_prefix", f"{prefix}rotator/", "write"),
        ("key_prefix", f"{prefix}proxy/", "write"),
        ("key_prefix", f"{prefix}agent/", "write"),
        *reports,
        ("session_prefix", "", "write"),
    )
