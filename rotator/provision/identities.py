"""Prepares both servers and hands out every identity in one call: `rotator dev` and tests start from here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rotator.clients.consul_admin import ConsulAdmin
from rotator.clients.vault_admin import VaultAdmin
from rotator.config.settings import Settings
from rotator.core.secret import Secret
from rotator.provision import consul_bootstrap, vault_bootstrap, wanted
from rotator.provision.principals import principals


@dataclass(frozen=True, slots=True)
class Handout:
    """How one principal logs in. `vault_policy`: also its Consul policy's name."""

    vault_policy: str
    role_id: str
    secret_id: Secret
    consul_token: Secret


def prepare(
    settings: Settings, vault: VaultAdmin, consul: ConsulAdmin, options: wanted.Options = wanted.DEFAULTS
) -> Mapping[str, Handout]:
    """Bootstraps Vault and Consul and returns a Handout for `service`, every `proxy/NAME` and every `agent/NAME`.

    Safe to repeat: Consul tokens stay the same, AppRoles get one more secret-id each.
    """
    vault_bootstrap.bootstrap(vault, wanted.vault(settings, options), apply=True)
    consul_bootstrap.bootstrap(consul, settings.fleet, settings.consul.prefix, apply=True)
    found = {}
    for one in principals(settings.fleet):
        login = vault_bootstrap.login_for(vault, one, options)
        token = consul_bootstrap.token_for(consul, one)
        found[str(one)] = Handout(one.policy, login.role_id, login.secret_id, token)
    return found
