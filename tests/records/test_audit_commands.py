"""`rotator audit verify` and `show`: exit codes that scripts rely on, and lines that people read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rotator.cli import main as desk
from rotator.core import events
from rotator.core.reasons import Actor, ActorKind, Cause, Reason
from tests.core.samples import NOW, TARGET, make_facts
from tests.records.writing import write_chain

ASKED = Cause(Reason.OPERATOR, "left the company", (), Actor(ActorKind.OPERATOR, "ann"), "r-1")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "audit.jsonl"
    facts = make_facts(1)
    intended = events.Intended(NOW, TARGET, ASKED, 1, facts.rotation_id)
    write_chain(found, [intended, events.Published(NOW, TARGET, ASKED, facts)])
    return found


def test_a_good_chain_ends_with_zero_and_names_its_head(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The head is what an operator writes down as an anchor."""
    assert desk.run(["audit", "verify", "--strict", "-o", "json", str(path)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["verdict"], told["lines"]) == ("good", 3)
    anchor = f"{told['head']['seq']}:{told['head']['hash']}"
    assert desk.run(["audit", "verify", "--anchor", anchor, str(path)]) == 0


@pytest.mark.parametrize(
    ("damage", "options", "code"),
    [
        (lambda body: body.replace(b"company", b"building"), [], 1),
        (lambda body: body, ["--anchor", "9:" + "0" * 64], 2),
        (lambda body: body[:-9], [], 3),
    ],
)
def test_each_kind_of_damage_has_its_exit_code(path: Path, damage: object, options: list[str], code: int) -> None:
    """Reliability 4.7."""
    assert callable(damage)
    path.write_bytes(damage(path.read_bytes()))
    assert desk.run(["audit", "verify", *options, str(path)]) == code


def test_the_place_of_the_damage_is_named(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """File, line and seq, on stdout."""
    path.write_bytes(path.read_bytes().replace(b"company", b"building", 1))
    desk.run(["audit", "verify", str(path)])
    assert "audit.jsonl line 2, seq 2" in capsys.readouterr().out


def test_a_misspelt_anchor_or_a_missing_file_is_told_in_words(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Never a traceback for a user's mistake."""
    assert desk.run(["audit", "verify", "--anchor", "7", str(path)]) == 2
    assert desk.run(["audit", "verify", str(path.with_name("none"))]) == 1
    error = capsys.readouterr().err
    assert "an anchor is" in error
    assert "No such file" in error


def test_show_filters_and_tells_who_and_why(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Who rotated this, and why, in one line."""
    assert desk.run(["audit", "show", "-t", "agent/billing", "-e", "published", str(path)]) == 0
    heading, line = capsys.readouterr().out.splitlines()
    assert heading.startswith("AT\tEVENT")
    assert "operator/ann" in line
    assert "left the company" in line
    assert desk.run(["audit", "show", "-t", "agent/bill", str(path)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1, "half a name is not an owner"


def test_show_speaks_json_by_line(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One object per line, as it stands in the log."""
    desk.run(["audit", "show", "-o", "json", "-n", "2", "--since", "2026-03-02T12:00:00Z", str(path)])
    found = [json.loads(line)["event"] for line in capsys.readouterr().out.splitlines()]
    assert found == ["intended", "published"]
    desk.run(["audit", "show", "-o", "json", "--since", "2026-03-02T12:00:00.001Z", str(path)])
    assert capsys.readouterr().out == ""
    assert desk.run(["audit", "show", "--since", "yesterday", str(path)]) == 2
