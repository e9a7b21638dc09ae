"""`approle = { role, num_uses, … }` of a credential of kind `approle`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from rotator.config.fields import Model, Name
from rotator.core.kind_settings import AppRoleSettings


class AppRoleModel(Model):
    """role: in `[vault] agents_mount`; the agent's name when it is not said. num_uses: logins for the agent, 0 for any
    number. CIDRs: from where the secret-id and the tokens of its logins may be used. token_policies: what such a token
    may do; `rotator bootstrap` gives them to the role."""

    role: Name | None = None
    num_uses: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    secret_id_cidrs: tuple[str, ...] = ()
    token_cidrs: tuple[str, ...] = ()
    token_policies: tuple[str, ...] = ()


def settings(model: AppRoleModel, mount: str, agent: str) -> AppRoleSettings:
    return AppRoleSettings(
        mount=mount,
        role=model.role or agent,
        num_uses=model.num_uses,
        secret_id_cidrs=tuple(sorted(model.secret_id_cidrs)),
        token_cidrs=tuple(sorted(model.token_cidrs)),
        token_policies=tuple(sorted(model.token_policies)),
    )
