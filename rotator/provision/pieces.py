"""The pieces of the wanted state of Vault."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Mount:
    """`auth`: below sys/auth instead of sys/mounts. `max_lease_ttl`: seconds, 0 leaves the server's."""

    path: str
    type: str
    auth: bool = False
    options: Mapping[str, str] = field(default_factory=dict)
    max_lease_ttl: int = 0


@dataclass(frozen=True, slots=True)
class Resource:
    """One API path whose reply must show `body`; what else stands there is left alone. Durations are seconds.

    final: what differs cannot be changed any more, because Vault ignores a second write.
    """

    label: str
    path: str
    body: Mapping[str, Any]
    final: bool = False


@dataclass(frozen=True, slots=True)
class Owed:
    """What somebody else must make, because it takes a secret that this service must not have. path: shows it."""

    label: str
    path: str
