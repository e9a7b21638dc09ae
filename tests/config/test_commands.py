"""`validate`, `init`, `schema` and `config show`: what scripts and people get from them."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from rotator.cli.console import Exit
from rotator.cli.main import run
from rotator.config.sample import SAMPLE

from .conftest import GOOD, line_of

Write = Callable[..., Path]


@pytest.fixture(autouse=True)
def _no_ambient_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may have VAULT_ADDR set."""
    for name in ("VAULT_ADDR", "BAO_ADDR", "VAULT_TOKEN", "BAO_TOKEN", "CONSUL_HTTP_ADDR", "CONSUL_HTTP_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def test_a_valid_file_is_one_line(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    """Two credentials of a day, one renewed at 1/2 and one at 2/3 of it: 3.5 renewals in 1440 minutes."""
    path = write(GOOD)
    assert run(["validate", "-c", str(path)]) == Exit.OK
    told = capsys.readouterr().out
    assert told.count("\n") == 1
    assert "1 agents, 2 credentials, 1 proxies, 0.00243 renewals per minute" in told


def test_every_problem_is_printed_with_its_place_and_a_hint(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 3; `file:line:` first, so that editors jump there."""
    bad = GOOD.replace('"https://vault', '"http://vault').replace('proxy = "edge"', 'proxy = "egde"')
    path = write(bad)
    assert run(["validate", "-c", str(path)]) == Exit.CONFIG
    told = capsys.readouterr().out
    assert f"{path}:{line_of(bad, 'http://vault')}: vault.address: " in told
    assert f"{path}:{line_of(bad, 'egde')}: agents.billing.scopes.0.proxy: " in told
    assert told.count("\n  hint: ") == 2


def test_problems_are_data_for_programs(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    """One object, nothing beside it on stdout."""
    path = write(GOOD.replace('"https://vault', '"http://vault'))
    assert run(["validate", "-c", str(path), "-o", "json"]) == Exit.CONFIG
    told = json.loads(capsys.readouterr().out)
    assert told["valid"] is False
    assert [one["path"] for one in told["problems"]] == ["vault.address"]
    assert told["problems"][0]["line"] == line_of(GOOD, "https://vault")
    assert run(["validate", "-c", str(write(GOOD)), "-o", "json"]) == Exit.OK
    told = json.loads(capsys.readouterr().out)
    assert (told["valid"], told["agents"], told["credentials"]) == (True, 1, 2)


def test_a_missing_file_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The first thing that goes wrong for everybody."""
    assert run(["validate", "-c", str(tmp_path / "none.toml")]) == Exit.CONFIG
    captured = capsys.readouterr()
    assert "rotator init" in captured.out + captured.err


def test_init_writes_the_sample_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A second run must not cost anybody a configuration."""
    path = tmp_path / "rotator.toml"
    assert run(["init", str(path)]) == Exit.OK
    assert path.read_text() == SAMPLE
    assert not stat.S_IMODE(path.stat().st_mode) & 0o027
    path.write_text("mine")
    assert run(["init", str(path)]) != Exit.OK
    assert path.read_text() == "mine"
    assert "--force" in capsys.readouterr().err
    assert run(["init", str(path), "--force"]) == Exit.OK
    assert path.read_text() == SAMPLE


def test_what_init_wrote_validates(tmp_path: Path) -> None:
    """From nothing to a valid file in one command."""
    path = tmp_path / "rotator.toml"
    assert run(["init", str(path)]) == Exit.OK
    assert run(["validate", "-c", str(path)]) == Exit.OK


def test_init_to_standard_output_and_into_nowhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`-` writes no file; a folder that is missing is said in words."""
    assert run(["init", "-"]) == Exit.OK
    assert capsys.readouterr().out == SAMPLE
    assert run(["init", str(tmp_path / "none" / "rotator.toml")]) == Exit.FAILED
    assert "folder" in capsys.readouterr().err


def test_the_schema_is_json_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    """Editors read it from a file that somebody redirected."""
    assert run(["schema"]) == Exit.OK
    assert json.loads(capsys.readouterr().out)["$schema"].startswith("https://json-schema.org/")


def test_each_value_says_where_it_comes_from(
    write: Write, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """File and line, environment variable, or default; a token is masked but its source is told."""
    monkeypatch.setenv("BAO_ADDR", "https://bao.example.org:8200")
    monkeypatch.setenv("VAULT_TOKEN", "hvs.very-secret")
    path = write(GOOD)
    assert run(["config", "show", "-c", str(path), "--origin", "-o", "json"]) == Exit.OK
    told = capsys.readouterr().out
    values = {one["path"]: (one["value"], one["origin"]) for one in json.loads(told)["values"]}
    assert values["vault.address"] == ("https://bao.example.org:8200", "BAO_ADDR")
    assert values["vault.auth.token"] == ("[secret]", "VAULT_TOKEN")
    assert values["service.tick"] == ("5s", f"{path}:{line_of(GOOD, 'tick')}")
    assert values["service.wave"] == ("256", "default")
    assert values["policies.nightly.renew_at"] == ("50%", f"{path}:{line_of(GOOD, 'renew_at')}")
    assert values["agents.billing.scopes.0.rate"] == ("100/1m", f"{path}:{line_of(GOOD, 'rate =')}")
    assert values["agents.billing.scopes.0.match"] == ("prefix", "default")
    assert "very-secret" not in told
    assert run(["config", "show", "-c", str(path), "--origin"]) == Exit.OK
    assert "vault.workers\t8\tdefault\n" in capsys.readouterr().out
