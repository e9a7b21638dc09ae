"""Servers of this room's own: bootstrap changes a whole server, so none is shared with other tests."""

from tests.assets.bare_servers import bare_vault, consul, vault

__all__ = ["bare_vault", "consul", "vault"]
