"""Makes the snapshot that metrics and health answers show from what the cycle knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from types import MappingProxyType

from rotator.config.settings import Settings
from rotator.core import x509
from rotator.core.errors import Rejected
from rotator.core.model import Record
from rotator.core.spec import Spec
from rotator.ports import Clock
from rotator.publish.versions import Pointer
from rotator.rotation.cycle import Cycle
from rotator.rotation.reign import Reign
from rotator.telemetry.snapshot import Snapshot


class Painter:
    """One per process; the scheduler's thread calls `paint` after each cycle."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        token_expires: Callable[[], datetime | None],
        audit_head: Callable[[], tuple[int, str]],
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._token_expires = token_expires
        self._audit_head = audit_head
        self._loaded_at = clock.now()
        self._ok = True
        self._issuers: tuple[tuple[str, ...], Mapping[str, datetime]] = ((), {})

    def loaded(self, settings: Settings) -> None:
        self._settings, self._loaded_at, self._ok = settings, self._clock.now(), True

    def refused(self) -> None:
        self._ok = False

    def paint(self, cycle: Cycle) -> Snapshot:
        """The state after the last cycle. A standby shows what it is configured for, and nobody's records."""
        reign = cycle.reign
        return Snapshot(
            at=self._clock.now(),
            specs=MappingProxyType(self._specs(reign)),
            records=MappingProxyType(_records(reign)),
            documents=MappingProxyType(_documents(reign)),
            nodes=MappingProxyType({str(owner): listed for owner, listed in reign.observed.reports.items()})
            if reign
            else MappingProxyType({}),
            leader=reign is not None,
            leader_instance=self._settings.service.instance if reign else cycle.leader_seen,
            epoch=reign.fence.epoch if reign else 0,
            issuers=MappingProxyType(dict(self._issuer_ends(cycle.trust))),
            vault_token_expires=self._token_expires(),
            clock_skew=cycle.clock_skew,
            audit_head=self._audit_head()[0],
            config_loaded_at=self._loaded_at,
            config_ok=self._ok,
        )

    def _specs(self, reign: Reign | None) -> dict[str, Spec]:
        if reign is None:
            return {str(spec.id): spec for spec in self._settings.fleet.specs()}
        return {str(target): spec for target, spec in reign.memory.specs.items()}

    def _issuer_ends(self, trust: tuple[str, ...]) -> Mapping[str, datetime]:
        """The end of the issuing CA, read again only when the bundle changes."""
        if self._issuers[0] != trust and trust:
            mount = self._settings.vault.pki_mount
            try:
                end = x509.identify(trust[0], trust[0]).not_after
            except Rejected:
                return self._issuers[1]
            self._issuers = (trust, {mount: end})
        return self._issuers[1]


def _records(reign: Reign | None) -> dict[str, Record]:
    if reign is None:
        return {}
    wanted = reign.memory.specs
    return {str(target): one.record for target, one in reign.memory.stored.items() if target in wanted}


def _documents(reign: Reign | None) -> dict[str, Pointer]:
    if reign is None:
        return {}
    known = ((proxy.name, reign.publication.known(proxy.name)) for proxy in reign.realm.fleet.proxies)
    return {name: one.pointer for name, one in known if one is not None and one.pointer is not None}
