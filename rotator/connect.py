"""Opens Vault and Consul from settings: the one place that turns settings into clients, for service and followers."""

from __future__ import annotations

from rotator.clients.consul import ConsulKeys
from rotator.clients.consul_agent import OnCall, unheard
from rotator.clients.vault import VaultSecrets
from rotator.config.settings import ConsulSettings, VaultSettings
from rotator.ports import Clock


def open_vault(settings: VaultSettings, clock: Clock) -> VaultSecrets:
    """Nothing is sent before the first call."""
    return VaultSecrets(settings, clock)


def open_keys(settings: ConsulSettings, clock: Clock, on_call: OnCall = unheard) -> ConsulKeys:
    """Nothing is sent before the first call. `settings.prefix` is the business of `publish.layout.Layout`."""
    return ConsulKeys(settings, clock, on_call)
