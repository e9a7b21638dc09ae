"""Stands in for the agents' followers: says in Consul that every agent runs what is published for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from benchmarks.site import Site
from rotator import connect
from rotator.clients.clock import SystemClock
from rotator.config.load import load_settings
from rotator.core.identity import Owner, OwnerKind
from rotator.ports import WRITES_PER_TRANSACTION, Put
from rotator.publish import agent as facts_of_agent
from rotator.publish.layout import Layout
from rotator.publish.report import NodeState, Report, Running, encode

NODE = "host-1"


def report_all(site: Site) -> None:
    """One report for each agent, with the administrator's token. Raises Fault."""
    clock, layout = SystemClock(), Layout()
    settings = load_settings(site.config, {}).consul
    keys = connect.open_keys(replace(settings, token=site.consul.management_token, token_file=None), clock)
    try:
        entries = {entry.key: entry for entry in keys.read_below("agent/")}
        writes = []
        for name in site.names:
            known = facts_of_agent.decode(entries[layout.agent_current(name)].value)
            running = {one: Running(it["version"], it["serial"], it["fingerprint"]) for one, it in known.items()}
            key = layout.node(Owner(OwnerKind.AGENT, name), NODE)
            before = entries[key].modify_index if key in entries else 0
            value = encode(Report(NODE, clock.now(), NodeState.APPLIED, credentials=running))
            writes.append(Put(key, value, before))
        for part in _parts(writes):
            keys.commit(part, None)
    finally:
        keys.close()


def _parts(writes: Sequence[Put]) -> Iterator[Sequence[Put]]:
    for start in range(0, len(writes), WRITES_PER_TRANSACTION):
        yield writes[start : start + WRITES_PER_TRANSACTION]
