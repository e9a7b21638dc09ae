"""`ports.VaultPaths` on the service's own login. Calls are counted as `path_read`, `path_list`, `path_write` and
`path_delete`, whatever the path: other packages must not grow the metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rotator.clients.vault_calls import Ask, VaultCalls, shaped
from rotator.core.secret import Secret


class VaultPathCalls:
    """Thread-safe."""

    def __init__(self, calls: VaultCalls) -> None:
        self._calls = calls

    def read(self, path: str) -> Mapping[str, Any] | None:
        return self._calls.read(Ask("path_read", path, idempotent=True))

    def listing(self, path: str) -> tuple[str, ...]:
        return self._calls.listing(Ask("path_list", path, idempotent=True))

    def write(self, path: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        reply = self._calls.write(Ask("path_write", path, _revealed(body)))
        return shaped(path, lambda: dict(reply.get("data") or {}))

    def delete(self, path: str) -> None:
        self._calls.delete(Ask("path_delete", path, idempotent=True))


def _revealed(body: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value.reveal() if isinstance(value, Secret) else value for name, value in body.items()}
