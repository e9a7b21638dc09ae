"""Every Consul key, spelled once. The trust boundary comes first, so that Consul ACLs can follow it.

| prefix | written by | read by |
|---|---|---|
| `rotator/` | the service | the service, operators |
| `proxy/<proxy>/` except `nodes/` | the service | that proxy's followers |
| `proxy/<proxy>/nodes/` | that proxy's followers | the service |
| `agent/<agent>/current` | the service | that agent's followers |
| `agent/<agent>/nodes/` | that agent's followers | the service |
"""

from __future__ import annotations

from dataclasses import dataclass

from rotator.core.identity import CredentialId, Owner


@dataclass(frozen=True, slots=True)
class Layout:
    """Key names below the configured prefix (`""` or something that ends in `/`)."""

    prefix: str = ""

    @property
    def lock(self) -> str:
        return f"{self.prefix}rotator/lock"

    @property
    def records(self) -> str:
        return f"{self.prefix}rotator/records/"

    def record(self, target: CredentialId) -> str:
        return f"{self.records}{target}"

    @property
    def requests(self) -> str:
        return f"{self.prefix}rotator/requests/"

    def request(self, request_id: str) -> str:
        return f"{self.requests}{request_id}"

    @property
    def suspensions(self) -> str:
        return f"{self.prefix}rotator/suspensions/"

    def suspension(self, target: str) -> str:
        """`target` is a credential, an owner, or `all`."""
        return f"{self.suspensions}{target}"

    def hold(self, proxy: str) -> str:
        """After a rollback: the withdrawn configuration that is not published again until it changes."""
        return f"{self.prefix}rotator/holds/{proxy}"

    def audit_anchor(self, instance: str) -> str:
        return f"{self.prefix}rotator/audit/{instance}"

    def proxy(self, proxy: str) -> str:
        return f"{self.prefix}proxy/{proxy}/"

    def versions(self, proxy: str) -> str:
        return f"{self.proxy(proxy)}versions/"

    def version(self, proxy: str, number: int) -> str:
        """The manifest of one document version; a small document lies inside it."""
        return f"{self.versions(proxy)}{number:08d}"

    def part(self, proxy: str, number: int, part: int) -> str:
        return f"{self.version(proxy, number)}/{part:04d}"

    def proxy_current(self, proxy: str) -> str:
        return f"{self.proxy(proxy)}current"

    def agent_current(self, agent: str) -> str:
        return f"{self.prefix}agent/{agent}/current"

    def nodes(self, owner: Owner) -> str:
        return f"{self.prefix}{owner}/nodes/"

    def node(self, owner: Owner, node: str) -> str:
        return f"{self.nodes(owner)}{node}"
