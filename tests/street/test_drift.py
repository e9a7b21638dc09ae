"""Somebody's hand in Consul: what agents and proxies read is put back, and the audit says so."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.street.world import Street

LATER = timedelta(seconds=61)


@pytest.mark.parametrize("hand", ["changed", "removed"])
def test_facts_of_an_agent_are_put_back(street: Street, hand: str) -> None:
    """An agent that reads a foreign or no pointer would keep an old certificate until it expires."""
    one = street.start()
    one.settle()
    published = street.agent_current()
    key = street.layout.agent_current("billing")
    if hand == "changed":
        street.consul.put(key, b'{"format":1,"agent":"billing","credentials":{}}')
    else:
        del street.consul.entries[key]
    street.clock.advance(LATER)
    one.settle()
    assert street.agent_current() == published
    assert len(one.events("drift_found", "agent/billing")) == 1


def test_nothing_is_written_while_nothing_drifts(street: Street) -> None:
    """A repair that always finds something would hide a real one."""
    one = street.start()
    one.settle()
    key = street.layout.agent_current("billing")
    before = street.consul.entries[key].modify_index
    street.clock.advance(LATER)
    one.settle()
    assert street.consul.entries[key].modify_index == before
    assert not one.events("drift_found")
