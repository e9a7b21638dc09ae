"""What the metrics and the health answers are made from: one immutable picture of the service's state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType

from rotator.core.model import Record
from rotator.core.spec import Spec
from rotator.publish.report import Report
from rotator.publish.versions import Pointer


class Role(StrEnum):
    """Who acts. A standby is healthy while it knows that somebody leads."""

    LEADER = "leader"
    STANDBY = "standby"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """State at one moment. The mappings are never changed after they are shown: a change is a new snapshot.

    An unchanged credential should keep the identical `Record` and `Spec` object from one snapshot to the next: that
    is how a scrape knows what it need not write again.

    at: when the state was read; None before the first tick.
    specs, records: by target (`agent/billing/tls`). documents: pointer in force by proxy name.
    nodes: reports by owner (`proxy/edge`, `agent/billing`), as the followers wrote them.
    leader: this instance leads. leader_instance: who leads, as far as known. epoch: of the lock, 0 when unknown.
    issuers: expiry of the issuing CA certificates by mount. vault_token_expires: None for a token without end.
    clock_skew: this machine's time less Vault's; None before it was measured.
    audit_head: sequence number of the last audit record. config_loaded_at: last load that succeeded.
    config_ok: whether the last load or reload succeeded.
    """

    at: datetime | None = None
    specs: Mapping[str, Spec] = field(default_factory=lambda: MappingProxyType({}))
    records: Mapping[str, Record] = field(default_factory=lambda: MappingProxyType({}))
    documents: Mapping[str, Pointer] = field(default_factory=lambda: MappingProxyType({}))
    nodes: Mapping[str, tuple[Report, ...]] = field(default_factory=lambda: MappingProxyType({}))
    leader: bool = False
    leader_instance: str = ""
    epoch: int = 0
    issuers: Mapping[str, datetime] = field(default_factory=lambda: MappingProxyType({}))
    vault_token_expires: datetime | None = None
    clock_skew: timedelta | None = None
    audit_head: int = 0
    config_loaded_at: datetime | None = None
    config_ok: bool = True

    @property
    def role(self) -> Role:
        if self.leader:
            return Role.LEADER
        return Role.STANDBY if self.leader_instance else Role.UNKNOWN
