"""A secret pasted into the wrong line is in no message: those go to logs, to CI and into tickets."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rotator.cli.main import run
from rotator.config.load import load
from rotator.config.problems import ConfigErrors
from rotator.config.sample import SAMPLE

# One that no rule of ours takes, and one that could be a name: Consul's tokens are UUIDs.
SECRETS = ("hvs.CAESIJ_pasted%2F", "5f0c2f4e-93c2-4b71-8d0a-ffffffffffff")
VALID: dict[str, Any] = tomllib.loads(SAMPLE)


def _leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if inner is None:
        yield path
    for key, one in inner or ():
        yield from _leaves(one, (*path, key))


def _with(path: tuple[Any, ...], secret: str) -> str:
    """The sample as JSON, with the secret as the value at the path."""
    copy = json.loads(json.dumps(VALID))
    table = copy
    for part in path[:-1]:
        table = table[part]
    table[path[-1]] = secret
    return json.dumps(copy, indent=1)


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("path", list(_leaves(VALID)), ids=lambda path: ".".join(map(str, path)))
def test_no_value_is_repeated(tmp_path: Path, path: tuple[Any, ...], secret: str) -> None:
    """At every place of the sample; where the place takes any text nothing is refused, and nothing said."""
    file = tmp_path / "rotator.json"
    file.write_text(_with(path, secret))
    file.chmod(0o600)
    told = ""
    try:
        load(file, {})
    except ConfigErrors as refused:
        told = repr(refused.problems) + str(refused) + refused.hint
    assert secret not in told


def test_a_broken_line_is_not_quoted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The parser's words name the place alone."""
    file = tmp_path / "rotator.toml"
    file.write_text(f'trust_domain = "example.org"\ntoken = {SECRETS[0]}\n')
    file.chmod(0o600)
    assert run(["validate", "-c", str(file)]) != 0
    captured = capsys.readouterr()
    assert "rotator.toml:2" in captured.out
    assert SECRETS[0] not in captured.out + captured.err


@pytest.mark.parametrize("name", ["VAULT_ADDR", "VAULT_CLIENT_TIMEOUT", "CONSUL_HTTP_ADDR", "VAULT_SKIP_VERIFY"])
def test_a_variable_is_not_quoted(tmp_path: Path, name: str) -> None:
    """A token exported under the wrong name."""
    file = tmp_path / "rotator.toml"
    file.write_text(SAMPLE)
    file.chmod(0o600)
    with pytest.raises(ConfigErrors) as refused:
        load(file, {name: SECRETS[0]})
    assert SECRETS[0] not in repr(refused.value.problems) + str(refused.value)
