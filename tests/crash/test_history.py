"""The checker finds what it claims to find: one forged history per rule, and an honest one."""

from __future__ import annotations

from typing import Any

import pytest

from .history import History, Line, flaws

AGENT, EDGE = "agent/billing/tls", "proxy/edge"


def line(second: int, event: str, **fields: Any) -> Line:
    usual = {"target": AGENT, "rotation_id": "", "version": 1, "reason": "due", "after": {}, "evidence": {}, "epoch": 1}
    return {
        **usual,
        "at": f"2030-01-01T00:00:{second:02d}Z",
        "event": event,
        "instance": "one",
        "seq": second,
        **fields,
    }


def rotation(start: int, mark: str, version: int, **fields: Any) -> list[Line]:
    events = ("intended", "issued", "verified", "published")
    after = {"kv_version": str(version)}
    return [
        line(start + number, event, rotation_id=mark, version=version, after=after, **fields)
        for number, event in enumerate(events)
    ]


def document(start: int, version: int, digest: str, **fields: Any) -> list[Line]:
    after = {"version": str(version), "digest": digest}
    events = ("document_intended", "document_published")
    return [
        line(start + number, event, target=EDGE, version=version, after=after, **fields)
        for number, event in enumerate(events)
    ]


HONEST = [
    line(0, "leadership_gained"),
    *rotation(1, "a", 1),
    *document(5, 1, "d1"),
    *rotation(10, "b", 2),
    line(14, "adopted", version=2),
    line(15, "retired", version=1, reason="adopted"),
    line(20, "leadership_gained", epoch=2, instance="two"),
    *rotation(21, "c", 3, epoch=2, instance="two"),
    *document(25, 2, "d2", epoch=2, instance="two"),
]


def found(*more: Line) -> str:
    return "\n".join(flaws(History(sorted([*HONEST, *more], key=lambda one: one["at"]), ())))


def test_an_honest_history_has_no_flaw() -> None:
    """Two instances, three rotations, two documents."""
    assert found() == ""


@pytest.mark.parametrize(
    ("forged", "words"),
    [
        ([line(30, "leadership_gained", epoch=2)], "epoch 2 belongs to"),
        (rotation(30, "z", 4), "after epoch 2 had begun to act"),
        (rotation(30, "z", 4, epoch=2)[1:], "without an earlier intent"),
        ([line(30, "intended", rotation_id="z", epoch=2)], "has no outcome"),
        ([line(30, "abandoned", rotation_id="c", epoch=2)], "has two outcomes"),
        ([{**HONEST[-3], "after": {"kv_version": "9"}}], "was published as two"),
        (document(30, 2, "other", epoch=2), "names two contents"),
        (document(30, 1, "d1", epoch=2), "went back from version 2"),
        (document(30, 3, "d3", epoch=2, instance="three")[:1], "never said what became of"),
        ([line(30, "retired", version=3, reason="adopted", epoch=2)], "without evidence"),
        ([line(30, "failed", evidence={"action": "issue"}, seq=number) for number in range(30)], "was tried 33 times"),
    ],
)
def test_a_dishonest_history_is_found_out(forged: list[Line], words: str) -> None:
    """Each rule by what it exists for."""
    assert words in found(*forged)


def test_flaws_of_single_chains_are_kept() -> None:
    """What the verifier of one chain says comes first."""
    assert flaws(History(HONEST, ("broken",))) == ["broken"]


def test_a_rotation_that_is_still_going_on_is_no_flaw() -> None:
    """The records say so."""
    assert flaws(History([*HONEST, line(30, "intended", rotation_id="z", epoch=2)], ()), in_flight=frozenset("z")) == []
