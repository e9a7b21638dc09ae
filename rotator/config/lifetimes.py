"""Lives that are possible: a credential's TTL against its policy, its proxy and the scheduler. Pure arithmetic."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta

from rotator.config.fields import text_of
from rotator.config.inventory import Inventory
from rotator.config.problems import Problem
from rotator.config.schema import CredentialModel, PolicyModel

# A peer whose clock is 30 s behind must already accept a certificate; below that there is nothing left to overlap.
SHORTEST = timedelta(seconds=30)
LONGEST = timedelta(days=3650)
TICKS = 10
FLOOR_TICKS = 5
FLOOR_CAP = 1 / 4  # as in `core.due.floor_at`

Path = tuple[str, ...]


def credential(
    inventory: Inventory, owner: Path, name: str, one: CredentialModel, tick: timedelta
) -> Iterator[Problem]:
    """Whether this life can be lived under its policy, which must exist."""
    path = (*owner, "credentials", name)
    key = ("policies", one.policy)
    if key not in inventory.sources and one.policy != "default":
        known = ", ".join(inventory.named("policies")) or "only default"
        yield inventory.problem((*path, "policy"), "there is no policy of that name", f"known: {known}")
    elif key not in inventory.partial:
        policy = inventory.policies.get(one.policy) or PolicyModel()
        for text, hint in impossible(one.ttl, policy, tick):
            yield inventory.problem((*path, "ttl"), text, hint)


def impossible(ttl: timedelta, policy: PolicyModel, tick: timedelta) -> Sequence[tuple[str, str]]:
    """(text, hint) for why this life cannot be lived under this policy; empty when it can."""
    return [*_life(ttl, tick)] or [*_within(ttl, policy, tick)]


def proxies(inventory: Inventory) -> Iterator[Problem]:
    """Times of proxies that a credential would not live through."""
    rests = shortest_rests(inventory)
    for name, model in inventory.proxies.items():
        if name not in rests:
            continue
        left, whose = rests[name]
        for key in ("connection_age", "adoption_deadline"):
            value: timedelta = getattr(model, key)
            if key in model.model_fields_set and value > left:
                text = f"{text_of(value)} is longer than the {text_of(left)} that {whose} lives on after its renewal"
                yield inventory.problem(("proxies", name, key), text, "make it shorter, or that ttl longer")


def shortest_rests(inventory: Inventory) -> dict[str, tuple[timedelta, str]]:
    """Per proxy: the shortest life after renewal among its own certificates and those of its agents, and whose.

    Connections live and die with certificates; tokens are looked at with each request.
    """
    found: dict[str, tuple[timedelta, str]] = {}
    for name, proxy in inventory.proxies.items():
        _shorten(found, inventory, (name,), (f"proxy/{name}", proxy.credentials))
    for name, agent in inventory.agents.items():
        at = {scope.proxy for scope in agent.scopes}
        _shorten(found, inventory, at, (f"agent/{name}", agent.credentials))
    return found


def overlap(ttl: timedelta, policy: PolicyModel) -> timedelta:
    """As configured; the default gives way to a short life."""
    if "overlap" in policy.model_fields_set:
        return policy.overlap
    return min(policy.overlap, rest(ttl, policy) / 2)


def rest(ttl: timedelta, policy: PolicyModel) -> timedelta:
    """What is left of a life after the renewal."""
    return ttl * (1 - policy.renew_at)


def _life(ttl: timedelta, tick: timedelta) -> Iterator[tuple[str, str]]:
    if not SHORTEST <= ttl <= LONGEST:
        yield f"a life of {text_of(SHORTEST)} to {text_of(LONGEST)} is possible", "24h is a good start"
    elif ttl.total_seconds() % 1:
        yield "Vault counts whole seconds", "round it"
    elif tick * TICKS > ttl:
        text = f"{text_of(ttl)} is too short for a service.tick of {text_of(tick)}"
        yield text, f"make service.tick at most 1/{TICKS} of the shortest ttl"


def _within(ttl: timedelta, policy: PolicyModel, tick: timedelta) -> Iterator[tuple[str, str]]:
    left = rest(ttl, policy)
    after = f"{text_of(ttl)} leaves {text_of(left)} after the renewal at {policy.renew_at:.0%}"
    if left < policy.outage_budget:
        text = f"{after}, less than the outage budget of {text_of(policy.outage_budget)}"
        yield text, "make the ttl longer, or lower outage_budget in its policy"
    if "overlap" in policy.model_fields_set and policy.overlap > min(left, ttl * policy.renew_at):
        text = f"{after}, and the overlap of {text_of(policy.overlap)} does not fit into it"
        yield text, "make the overlap shorter or the ttl longer"
    floor = min(max(ttl * policy.floor, tick * FLOOR_TICKS), ttl * FLOOR_CAP)
    if floor >= left:
        text = f"{after}, but the safety floor begins {text_of(floor)} before the end"
        yield text, "lower renew_at or floor in its policy"


def _shorten(
    found: dict[str, tuple[timedelta, str]],
    inventory: Inventory,
    names: Iterable[str],
    owner: tuple[str, dict[str, CredentialModel]],
) -> None:
    who, credentials = owner
    for key, one in credentials.items():
        if one.kind != "certificate":
            continue
        mine = (rest(one.ttl, _policy(inventory, one)), f"{who}/{key}")
        for name in names:
            found[name] = min(found.get(name, mine), mine)


def _policy(inventory: Inventory, one: CredentialModel) -> PolicyModel:
    return inventory.policies.get(one.policy) or PolicyModel()
