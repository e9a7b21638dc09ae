"""What an agent must fetch: `agent/<agent>/current`, the facts of its credentials and where in Vault they lie."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rotator.core.model import Facts
from rotator.core.spec import Spec
from rotator.publish import canonical
from rotator.publish.document import FORMAT, credential_facts


def encode(agent: str, credentials: Mapping[str, tuple[Spec, Facts]]) -> bytes:
    """`{format, agent, credentials: {name: facts}}`; equal credentials give equal bytes (that is how publish knows
    its own work)."""
    facts = {name: credential_facts(spec, known) for name, (spec, known) in credentials.items()}
    return canonical.encode({"format": FORMAT, "agent": agent, "credentials": facts})


def decode(value: bytes) -> Mapping[str, Mapping[str, Any]]:
    """Credential name -> facts. Rejected for anything else."""
    raw = canonical.decode(value, "the agent's current facts")
    found: Mapping[str, Mapping[str, Any]] = raw.get("credentials", {})
    return found
