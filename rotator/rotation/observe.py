"""Looks at what nodes run and turns complete evidence into Adopted events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from rotator.core import adoption
from rotator.core.adoption import Seen
from rotator.core.errors import Rejected
from rotator.core.events import Adopted
from rotator.core.fleet import Fleet
from rotator.core.identity import CredentialId, Owner, OwnerKind
from rotator.core.model import Facts, Record
from rotator.core.reasons import Cause
from rotator.ports import Entry, Keys
from rotator.publish import report as reports
from rotator.publish.layout import Layout
from rotator.publish.report import NodeState, Report

# Above this many owners one prefix read is cheaper than a read for each.
SINGLE_READS = 32


@dataclass(frozen=True, slots=True)
class Observed:
    """The reports of each owner that was looked at."""

    reports: Mapping[Owner, tuple[Report, ...]]


class Observer:
    """Reads `…/nodes/` of the owners that matter now."""

    def __init__(self, keys: Keys, layout: Layout, fleet: Fleet) -> None:
        self._keys = keys
        self._layout = layout
        self._required = {Owner(OwnerKind.PROXY, proxy.name): proxy.nodes for proxy in fleet.proxies}

    def look(self, owners: Iterable[Owner]) -> Observed:
        """The reports of these owners; a foreign or damaged report counts as none. Signing keys have none."""
        wanted = sorted(owner for owner in set(owners) if owner.kind is not OwnerKind.SIGNER)
        agents = [owner for owner in wanted if owner.kind is OwnerKind.AGENT]
        found: dict[Owner, tuple[Report, ...]] = {}
        if len(agents) > SINGLE_READS:
            found.update(self._look_at_all_agents())
            wanted = [owner for owner in wanted if owner.kind is OwnerKind.PROXY]
        for owner in wanted:
            found[owner] = _reports(self._keys.read_below(self._layout.nodes(owner)))
        return Observed(found)

    def adopted(self, records: Iterable[Record], observed: Observed, now: datetime) -> Mapping[CredentialId, Adopted]:
        """An event for each record whose current version every consumer runs."""
        events: dict[CredentialId, Adopted] = {}
        for record in records:
            if record.current is None or not adoption.awaited(record):
                continue
            cause = self._evidence(record.id, record.current, observed, now)
            if cause is not None:
                events[record.id] = Adopted(now, record.id, cause, record.current)
        return events

    def _evidence(self, target: CredentialId, facts: Facts, observed: Observed, now: datetime) -> Cause | None:
        """The consumers of a signing key are the nodes of all proxies, which name it in full."""
        if target.owner.kind is not OwnerKind.SIGNER:
            seen = sightings(observed.reports.get(target.owner, ()), target.name)
            return adoption.evidence(facts, seen, self._required.get(target.owner, ()), now)
        found = {}
        for proxy, nodes in self._required.items():
            seen = sightings(observed.reports.get(proxy, ()), str(target))
            found[str(proxy)] = adoption.evidence(facts, seen, nodes, now)
        return adoption.everywhere(found)

    def _look_at_all_agents(self) -> Mapping[Owner, tuple[Report, ...]]:
        prefix = f"{self._layout.prefix}agent/"
        grouped: dict[Owner, list[Entry]] = {}
        for entry in self._keys.read_below(prefix):
            name, _, rest = entry.key.removeprefix(prefix).partition("/")
            if rest.startswith("nodes/"):
                grouped.setdefault(Owner(OwnerKind.AGENT, name), []).append(entry)
        return {owner: _reports(entries) for owner, entries in grouped.items()}


def sightings(node_reports: Iterable[Report], credential: str) -> tuple[Seen, ...]:
    """What each node says about one credential. A node that refused the new state still says what it runs."""
    return tuple(
        Seen(report.node, report.at, running.version, running.serial)
        for report in node_reports
        if (running := report.credentials.get(credential)) is not None
    )


def refusals(node_reports: Iterable[Report]) -> tuple[Report, ...]:
    return tuple(report for report in node_reports if report.state is NodeState.REFUSED)


def _reports(entries: Iterable[Entry]) -> tuple[Report, ...]:
    found = []
    for entry in entries:
        try:
            found.append(reports.decode(entry.value))
        except Rejected:
            continue
    return tuple(found)
