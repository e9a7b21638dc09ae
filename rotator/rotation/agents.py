"""Publishes what agents must fetch: one small key per agent, many agents in one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rotator.core.errors import Fault
from rotator.core.identity import Owner
from rotator.core.model import Facts, Record, Stage
from rotator.core.spec import Spec
from rotator.ports import Fence, Keys
from rotator.publish import agent as agent_facts
from rotator.publish.layout import Layout
from rotator.rotation.settle import Settler


class AgentFacts:
    """The keys `agent/<agent>/current`."""

    def __init__(self, keys: Keys, layout: Layout) -> None:
        self._settler = Settler(keys)
        self._layout = layout

    def publish(
        self, owners: Mapping[Owner, Sequence[tuple[Spec, Record]]], fence: Fence
    ) -> Mapping[Owner, Fault | None]:
        """For each owner the fault that prevented its publication, or None when its key now holds its facts.

        `owners`: all credentials of each agent, not only the rotated ones, because one key names them all.
        """
        faults = self._settler.settle(self._wanted(owners), fence)
        return {owner: faults.get(self._layout.agent_current(owner.name)) for owner in owners}

    def drifted(self, owners: Mapping[Owner, Sequence[tuple[Spec, Record]]]) -> tuple[Owner, ...]:
        """The owners whose key was changed or removed by somebody else; one read for all of them."""
        differing = set(self._settler.differing(f"{self._layout.prefix}agent/", self._wanted(owners)))
        return tuple(owner for owner in owners if self._layout.agent_current(owner.name) in differing)

    def _wanted(self, owners: Mapping[Owner, Sequence[tuple[Spec, Record]]]) -> Mapping[str, bytes]:
        return {self._layout.agent_current(owner.name): self._encode(owner, all_of) for owner, all_of in owners.items()}

    def _encode(self, owner: Owner, credentials: Sequence[tuple[Spec, Record]]) -> bytes:
        known = {spec.id.name: (spec, facts) for spec, record in credentials if (facts := facts_to_publish(record))}
        return agent_facts.encode(owner.name, known)


def facts_to_publish(record: Record) -> Facts | None:
    """The version that consumers shall use: a verified pending one, else the current one."""
    pending = record.pending
    if pending is not None and pending.facts is not None and pending.stage is Stage.VERIFIED:
        return pending.facts
    return record.current
