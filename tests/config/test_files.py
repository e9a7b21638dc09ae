"""Several files, JSON beside TOML, and who may write them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from rotator.config.load import load
from rotator.config.problems import ConfigErrors
from rotator.core.errors import Code

from .conftest import GOOD, accepted, line_of, problems

Write = Callable[..., Path]

WITH_FOLDER = GOOD + '\n[inventory]\nfolder = "inventory.d"\n'
AGENT = """\
[agents.NAME]
owner = "team-x"
scopes = [{ proxy = "edge", path = "/orders/NAME", methods = ["GET", "POST"], permission = "write", rate = "10/1s" }]
[agents.NAME.credentials.tls]
ttl = "24h"
"""
JSON_AGENT = {
    "agents": {
        "reports": {
            "owner": "team-x",
            "scopes": [{"proxy": "edge", "path": "/orders"}],
            "credentials": {"tls": {"ttl": "12h"}},
        }
    }
}


def agent(name: str) -> str:
    return AGENT.replace("NAME", name)


def test_agents_may_stand_in_files_of_their_own(write: Write) -> None:
    """TOML and JSON mean the same; files that begin with a dot and others do not count."""
    write(agent("jobs"), "inventory.d/jobs.toml")
    write(json.dumps(JSON_AGENT), "inventory.d/reports.json")
    write("= no TOML", "inventory.d/.jobs.toml")
    write("= no TOML", "inventory.d/README")
    loaded = accepted(write(WITH_FOLDER))
    assert [one.name for one in loaded.settings.fleet.agents] == ["billing", "jobs", "reports"]
    assert [file.name for file in loaded.settings.files] == ["rotator.toml", "jobs.toml", "reports.json"]


def test_where_an_agent_stands_changes_nothing(write: Write) -> None:
    """The hash is over the meaning: moving an agent to another file is no change of configuration."""
    one = accepted(write(GOOD + agent("jobs"))).settings
    write(agent("jobs"), "inventory.d/jobs.toml")
    two = accepted(write(WITH_FOLDER)).settings
    assert one.config_hash == two.config_hash
    assert one.fleet == two.fleet
    three = accepted(write(GOOD + agent("jobs").replace("24h", "25h"))).settings
    assert three.config_hash != one.config_hash


def test_one_agent_in_two_files_is_refused(write: Write) -> None:
    """Otherwise the order of file names would decide what an agent may do. Both places are named."""
    first, second = write(agent("jobs"), "inventory.d/a.toml"), write("\n" + agent("jobs"), "inventory.d/b.toml")
    (found,) = problems(write(WITH_FOLDER))
    assert (found.file, found.line, found.path) == (str(second), 2, "agents.jobs")
    assert str(first) in found.text


def test_a_key_twice_in_json_is_refused(write: Write) -> None:
    """JSON lets the last one win in silence; here that would be an agent lost."""
    write('{"agents": {"x": {}, "x": {}}}', "inventory.d/a.json")
    (found,) = problems(write(WITH_FOLDER))
    assert "twice" in found.text


def test_mistakes_in_json_have_lines_too(write: Write) -> None:
    """Inventories are made by programs, and read by people when they are wrong."""
    text = json.dumps(JSON_AGENT, indent=1).replace('"12h"', '"12"')
    file = write(text, "inventory.d/reports.json")
    (found,) = problems(write(WITH_FOLDER))
    assert (found.file, found.line) == (str(file), line_of(text, '"12"'))
    assert found.path == "agents.reports.credentials.tls.ttl"


def test_settings_of_the_service_do_not_hide_in_the_inventory(write: Write) -> None:
    """Teams write inventory files; where Vault is, is not theirs to say."""
    write('[vault]\naddress = "https://evil.example"\n', "inventory.d/a.toml")
    (found,) = problems(write(WITH_FOLDER))
    assert (found.path, found.line) == ("vault", 1)


def test_a_missing_folder_is_no_empty_fleet(write: Write) -> None:
    """A mount that failed must not look as if every agent had been removed."""
    (found,) = problems(write(WITH_FOLDER))
    assert (found.path, found.line) == ("inventory.folder", line_of(WITH_FOLDER, "inventory.d"))


@pytest.mark.parametrize("mode", [0o620, 0o602])
@pytest.mark.parametrize("name", ["rotator.toml", "inventory.d/jobs.toml"])
def test_files_that_others_may_write_are_refused(write: Write, tmp_path: Path, name: str, mode: int) -> None:
    """Whoever can write them decides what agents may do. The hint is the command to run."""
    write(agent("jobs"), "inventory.d/jobs.toml")
    path = write(WITH_FOLDER)
    (tmp_path / name).chmod(mode)
    (found,) = problems(path)
    assert found.file == str(tmp_path / name)
    assert found.hint == f"chmod go-w {tmp_path / name}"


def test_a_folder_that_others_may_write_is_refused(write: Write, tmp_path: Path) -> None:
    """A file can be added there without writing any of ours; the sticky bit does not help."""
    write(agent("jobs"), "inventory.d/jobs.toml")
    (tmp_path / "inventory.d").chmod(0o1777)
    (found,) = problems(write(WITH_FOLDER))
    assert found.path == "inventory.folder"


@pytest.mark.parametrize(("mode", "words"), [(0o640, "its group"), (0o604, "everybody"), (0o660, "group or others")])
@pytest.mark.parametrize("path", ["vault.auth.secret_id_file", "consul.token_file"])
def test_secrets_open_to_others_are_refused(write: Write, path: str, mode: int, words: str) -> None:
    """Said with the command that repairs it, and without the content."""
    secret = write("s3cr3t", "secret")
    secret.chmod(mode)
    old = '"/nowhere/secret-id"' if path.startswith("vault") else '"/nowhere/consul-token"'
    text = GOOD.replace(old, json.dumps(str(secret)))
    found = problems(write(text))
    assert {one.path for one in found} == {path}
    assert any(words in one.text and one.hint.startswith("chmod go-") for one in found), found
    assert "s3cr3t" not in repr(found)
    secret.chmod(0o600)
    accepted(write(text))


def test_what_cannot_be_read_is_said_so(tmp_path: Path, write: Write) -> None:
    """Missing, a folder, not UTF-8, not a table: never a traceback."""
    with pytest.raises(ConfigErrors) as refused:
        load(tmp_path / "none.toml", {})
    assert refused.value.code is Code.CONFIG_UNREADABLE
    assert "regular file" in problems(tmp_path)[0].text
    path = write("")
    path.write_bytes(b'trust_domain = "\xff"')
    assert "UTF-8" in problems(path)[0].text
    assert "table" in problems(write("[1]", "rotator.json"))[0].text
    assert "nested" in problems(write("[" * 100_000, "rotator.json"))[0].text
