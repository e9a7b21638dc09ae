"""A bootstrapped OpenBao of this room's own."""

from tests.assets.bare_servers import bare_vault, vault

__all__ = ["bare_vault", "vault"]
