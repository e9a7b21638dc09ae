"""Any path of Vault, for kinds that other packages bring: what they need from an engine that this package has no
socket for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class VaultPaths(Protocol):
    """With the service's own token, so its policy must allow the paths. Paths are below /v1/, without a query.

    Replies are as Vault sends them: wrap what is secret in `Secret` at once. Raises only Fault families.
    """

    def read(self, path: str) -> Mapping[str, Any] | None:
        """`data` of the reply; None when there is nothing. Sent again after a connection that broke."""
        ...

    def listing(self, path: str) -> tuple[str, ...]:
        """The keys below a path; empty when there are none."""
        ...

    def write(self, path: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """`data` of the reply, empty when there is none. Never sent twice. Values may be `Secret`."""
        ...

    def delete(self, path: str) -> None:
        """Safe to repeat: what is gone is no error."""
        ...
