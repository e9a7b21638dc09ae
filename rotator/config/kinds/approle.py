"""`approle = { role, num_uses, … }` of a credential of kind `approle`."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from rotator.config.fields import Model, Name
from rotator.core.kind_settings import AppRoleSettings


class AppRoleModel(Model):
    """role: in `[vault] agents_mount`; the agent's name when it is not said. num_uses: logins for the agent, 0 for any
    number; 1 is enough, because the test login of a rotation has a use of its own. CIDRs: from where the secret-id and
    the tokens of its logins may be used. token_policies: what such a token may do; `rotator bootstrap` gives them to
    the role."""

    role: Name | None = None
    num_uses: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    secret_id_cidrs: tuple[str, ...] = ()
    token_cidrs: tuple[str, ...] = ()
    token_policies: tuple[str, ...] = ()


def problems(model: AppRoleModel) -> Iterator[tuple[str, str, str]]:
    """(key, text, hint) for what a schema cannot say."""
    for key, cidrs in (("secret_id_cidrs", model.secret_id_cidrs), ("token_cidrs", model.token_cidrs)):
        for cidr in cidrs:
            wrong = _wrong_with(cidr)
            if wrong:
                yield key, f"{cidr!r} {wrong}", "write a network such as 10.1.0.0/16, one address as 10.1.2.3/32"
        if len(set(cidrs)) < len(cidrs):
            yield key, "the same network stands there twice", "remove one"
    for policy in model.token_policies:
        if policy == "root":
            yield "token_policies", "the policy root may do everything", "name a policy of this agent's own"


def _wrong_with(cidr: str) -> str:
    """Vault takes networks only: a bare address is refused at the first rotation, with an internal error."""
    try:
        ipaddress.ip_network(cidr)
    except ValueError:
        return "is no network, or has bits set behind its prefix"
    return "" if "/" in cidr else "has no prefix length"


def settings(model: AppRoleModel, mount: str, agent: str) -> AppRoleSettings:
    return AppRoleSettings(
        mount=mount,
        role=model.role or agent,
        num_uses=model.num_uses,
        secret_id_cidrs=tuple(sorted(model.secret_id_cidrs)),
        token_cidrs=tuple(sorted(model.token_cidrs)),
        token_policies=tuple(sorted(model.token_policies)),
    )
