"""Tokens against the rest of the configuration: who verifies them, and whether their signing key lives long enough."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from rotator.config import lifetimes
from rotator.config.inventory import Inventory
from rotator.config.kinds import jwt
from rotator.config.problems import Place, Problem
from rotator.config.schema import AgentModel, CredentialModel, MainModel, PolicyModel

Path = tuple[str, ...]


def check(main: MainModel, inventory: Inventory, place: Place, tick: timedelta) -> Iterator[Problem]:
    """What of `[tokens]` and of credentials of kind jwt a schema cannot say. Nothing without such credentials."""
    found = [(path, agent, one) for path, agent, one in _tokens(inventory)]
    for path, agent, one in found:
        if not inventory.named("proxies"):
            text = "there is no proxy that could verify it"
            yield inventory.problem((*path, "kind"), text, "add the proxy, or use another kind")
        elif path[:2] not in inventory.partial:
            for key, text, hint in jwt.audience_problems(one.jwt or jwt.JwtModel(), agent.scopes):
                yield inventory.problem((*path, "jwt", key) if key else path, text, hint)
    if found:
        yield from _key(main, inventory, place, tick)


def lives(inventory: Inventory) -> tuple[timedelta, ...]:
    """Of every token."""
    return tuple(one.ttl for _, _, one in _tokens(inventory))


def _tokens(inventory: Inventory) -> Iterator[tuple[Path, AgentModel, CredentialModel]]:
    for name, agent in inventory.agents.items():
        for key, one in agent.credentials.items():
            if one.kind == jwt.KIND:
                yield ("agents", name, "credentials", key), agent, one


def _key(main: MainModel, inventory: Inventory, place: Place, tick: timedelta) -> Iterator[Problem]:
    tokens = main.tokens
    named = ("policies", tokens.policy)
    if named not in inventory.sources and tokens.policy != "default":
        known = ", ".join(inventory.named("policies")) or "only default"
        yield place(("tokens", "policy"), "there is no policy of that name", f"known: {known}")
    elif named not in inventory.partial:
        policy = inventory.policies.get(tokens.policy) or PolicyModel()
        for text, hint in lifetimes.impossible(tokens.key_ttl, policy, tick):
            yield place(("tokens", "key_ttl"), text, hint)
            return
        left = lifetimes.rest(tokens.key_ttl, policy)
        for key, text, hint in jwt.key_problems(tokens, max(lives(inventory)), left):
            yield place(("tokens", key), text, hint)
