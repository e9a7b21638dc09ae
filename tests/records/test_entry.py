"""What an audit line says: every event, nothing but the allow-list, and one page that explains all of it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from rotator.core import events
from rotator.core.errors import Family
from rotator.core.events import Event, FleetEvent, FleetEventName
from rotator.core.model import Action, Request
from rotator.core.reasons import Actor, ActorKind, Cause, Reason
from rotator.records import chain
from rotator.records.chain import Head
from rotator.records.entry import CHAIN_FIELDS, EVENT_FIELDS, EVENT_NAMES, FACT_FIELDS, clean, entry
from tests.core.samples import HOUR, NOW, TARGET, make_facts
from tests.records import strategies as some

PAGE = (Path(__file__).parents[2] / "docs/audit.md").read_text()
CAUSE = Cause(Reason.HOOK, "deploy 17", (("ref", "main"),), Actor(ActorKind.HOOK, "ci"), "r-1")
OLD, NEW = make_facts(1), make_facts(2)
pairs = st.lists(st.tuples(st.sampled_from([*FACT_FIELDS, "token"]), some.texts), max_size=4).map(tuple)
everything = st.one_of(
    st.builds(events.Requested, some.times, some.targets, some.causes, some.requests),
    st.builds(events.Intended, some.times, some.targets, some.causes, some.counts, some.texts, st.none() | st.floats()),
    st.builds(events.Issued, some.times, some.targets, some.causes, some.facts, st.booleans()),
    st.builds(events.Verified, some.times, some.targets, some.causes, some.facts),
    st.builds(events.Published, some.times, some.targets, some.causes, some.facts, st.none() | some.facts),
    st.builds(events.Adopted, some.times, some.targets, some.causes, some.facts),
    st.builds(events.Retired, some.times, some.targets, some.causes, some.facts),
    st.builds(events.Abandoned, some.times, some.targets, some.causes, some.texts, some.counts, st.none() | some.facts),
    st.builds(
        events.Failed,
        some.times,
        some.targets,
        some.causes,
        st.sampled_from(Action),
        st.sampled_from(Family),
        some.texts,
        some.texts,
        some.times,
        some.texts,
    ),
    st.builds(
        FleetEvent, some.times, st.sampled_from(FleetEventName), some.texts, some.causes, pairs, pairs, some.texts
    ),
)


def table_of(heading: str) -> list[str]:
    """The first column of the table below a heading of the page."""
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"^\| `([a-z0-9_]+)` \|", section, re.MULTILINE)


def test_the_page_explains_every_field_and_event() -> None:
    """What is not on the page does not exist, and the other way round."""
    assert sorted(table_of("Fields")) == sorted((*EVENT_FIELDS, *CHAIN_FIELDS))
    assert sorted(table_of("Events")) == sorted(EVENT_NAMES)
    listed = PAGE.split("Facts in `before` and `after`:")[1].split(".\n")[0]
    assert re.findall(r"`([a-z_]+)`", listed) == list(FACT_FIELDS)


@given(everything)
def test_every_event_becomes_a_line_of_listed_fields(event: Event) -> None:
    """AUD-3: an allow-list. Whatever the values are, the line can be written and read again."""
    written = entry(event)
    assert tuple(written) == EVENT_FIELDS
    assert set(written["before"]) | set(written["after"]) <= set(FACT_FIELDS)
    assert written["event"] in EVENT_NAMES
    common = {"epoch": 1, "instance": "one", "config_hash": "", "monotonic_ms": 0}
    line, head = chain.seal({**written, **common}, Head("c", 0, chain.ZERO))
    record = chain.read(line.rstrip(b"\n"))
    assert record is not None
    assert set(record) == {*EVENT_FIELDS, *CHAIN_FIELDS}
    assert chain.head_of(record) == head


def test_a_line_answers_who_why_and_what() -> None:
    """AUD-2: reason, words, actor, request, old and new facts."""
    written = entry(events.Published(NOW, TARGET, CAUSE, NEW, OLD))
    assert written["at"] == "2026-03-02T12:00:00.000Z"
    assert (written["reason"], written["text"], written["request"]) == ("hook", "deploy 17", "r-1")
    assert written["actor"] == {"kind": "hook", "id": "ci"}
    assert written["evidence"] == {"ref": "main"}
    assert (written["before"]["serial"], written["after"]["serial"]) == ("S1", "S2")
    assert (written["version"], written["rotation_id"]) == (2, NEW.rotation_id)


@pytest.mark.parametrize(
    ("event", "outcome"),
    [
        (events.Intended(NOW, TARGET, CAUSE, 2, "m"), "none"),
        (events.Published(NOW, TARGET, CAUSE, NEW), "success"),
        (events.Abandoned(NOW, TARGET, CAUSE, "m", 2), "failure"),
        (events.Retired(NOW, TARGET, CAUSE, OLD), "success"),
        (events.Failed(NOW, TARGET, CAUSE, Action.ISSUE, Family.DENIED, "E2007", "no", NOW, "m"), "none"),
        (FleetEvent(NOW, FleetEventName.DOCUMENT_PUBLISHED, "proxy/edge", CAUSE), "success"),
        (FleetEvent(NOW, FleetEventName.DOCUMENT_FAILED, "proxy/edge", CAUSE), "failure"),
    ],
)
def test_only_closing_events_have_an_outcome(event: Event, outcome: str) -> None:
    """A failed try closes nothing: the next one may succeed."""
    assert entry(event)["outcome"] == outcome


def test_failures_name_family_code_and_next_try() -> None:
    """The code is what people look up in the runbook."""
    failed = events.Failed(NOW, TARGET, CAUSE, Action.ISSUE, Family.DENIED, "E2007", "no", NOW + HOUR, "m")
    written = entry(failed)
    assert written["error"] == {"family": "denied", "code": "E2007", "text": "no"}
    assert written["evidence"]["retry_at"] == "2026-03-02T13:00:00.000Z"
    fleet = FleetEvent(NOW, FleetEventName.DOCUMENT_FAILED, "proxy/edge", CAUSE, error="E3006: changed")
    assert entry(fleet)["error"] == {"family": "", "code": "E3006", "text": "changed"}
    assert entry(replace(fleet, error="interrupted"))["error"] == {"family": "", "code": "", "text": "interrupted"}


def test_a_document_names_its_version_as_a_number() -> None:
    """Recovery and the verifier compare versions; a number nobody can have stays text."""
    after = (("version", "7"), ("digest", "d"), ("token", "t"))
    event = FleetEvent(NOW, FleetEventName.DOCUMENT_INTENDED, "proxy/edge", CAUSE, (), after)
    written = entry(event)
    assert (written["version"], written["after"]) == (7, {"version": 7, "digest": "d"})
    assert entry(replace(event, after=(("version", "9" * 30),)))["version"] is None


def test_a_request_is_told_by_its_own_id() -> None:
    """The report of a compromise is visible as one."""
    request = Request("r-9", "leaked", CAUSE.actor, NOW, compromise=True)
    written = entry(events.Requested(NOW, TARGET, CAUSE, request))
    assert (written["request"], written["evidence"]["compromise"]) == ("r-9", "true")


def test_text_is_bounded_and_can_always_be_written() -> None:
    """An endless error text or half a character of a CI job cannot block the audit."""
    assert len(clean("x" * 10_000)) < 2_100
    assert rfc8785.dumps({"text": clean("\ud800é")})
    many = Cause(Reason.ADOPTED, "", tuple((f"node-{number}", "\x00" * 9_999) for number in range(5_000)))
    written = entry(events.Adopted(NOW, TARGET, many, NEW))
    assert written["evidence"]["left_out"] == "4800"
    assert len(rfc8785.dumps(written)) < chain.LINE_LIMIT


def test_a_name_that_is_given_twice_keeps_both_values() -> None:
    """A document that changed in two sections says so."""
    cause = Cause(Reason.CONFIG_CHANGED, "", (("section", "config"), ("section", "trust")))
    event = FleetEvent(NOW, FleetEventName.DOCUMENT_INTENDED, "proxy/edge", cause)
    assert entry(event)["evidence"] == {"section": "config, trust"}


def test_no_field_of_a_line_is_a_float() -> None:
    """The canonical form of floats is the one part of RFC 8785 that two programs may disagree on."""

    def leaves(value: Any) -> list[Any]:
        if isinstance(value, dict):
            return [leaf for one in value.values() for leaf in leaves(one)]
        return [value]

    written = entry(events.Intended(NOW, TARGET, CAUSE, 1, "m", 0.618))
    assert not [leaf for leaf in leaves(written) if isinstance(leaf, float)]
