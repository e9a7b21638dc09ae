"""Names: who owns a credential and what it is called, spelled the same in config, files, logs, audit and metrics."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

# One path segment of Vault, Consul, URI and file system alike: no dots first, no slash, no case games.
NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


class OwnerKind(StrEnum):
    AGENT = "agent"
    PROXY = "proxy"
    SIGNER = "signer"  # what signs agents' tokens; its consumers are all proxies


def is_name(text: str) -> bool:
    """True for 1-63 characters of a-z, 0-9 and inner hyphens (an RFC 1123 label)."""
    return NAME.fullmatch(text) is not None


@dataclass(frozen=True, slots=True, order=True)
class Owner:
    """An agent or a proxy, for example `agent/billing`."""

    kind: OwnerKind
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"


@dataclass(frozen=True, slots=True, order=True)
class CredentialId:
    """One credential of one owner, for example `agent/billing/tls`: the *target* of commands, audit and metrics."""

    owner: Owner
    name: str

    def __str__(self) -> str:
        # In one step: this is the most called function of a mass rotation.
        return f"{self.owner.kind}/{self.owner.name}/{self.name}"

    @classmethod
    def parse(cls, text: str) -> CredentialId:
        """Reads `agent/<name>/<credential>` or `proxy/<name>/<credential>`; ValueError for anything else."""
        parts = text.split("/")
        if len(parts) != 3 or not is_name(parts[1]) or not is_name(parts[2]):
            raise ValueError(f"{text!r} is not agent/<name>/<credential> or proxy/<name>/<credential>")
        return cls(Owner(OwnerKind(parts[0]), parts[1]), parts[2])


def spiffe_id(trust_domain: str, owner: Owner) -> str:
    """The SPIFFE ID of an owner (SPIFFE-ID 2.1: `spiffe://<trust domain>/<path>`)."""
    return f"spiffe://{trust_domain}/{owner}"
