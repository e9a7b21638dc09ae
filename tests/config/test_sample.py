"""The sample: what people copy must work, name every key, and tell the truth about defaults."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from rotator.config.load import load
from rotator.config.sample import SAMPLE, json_schema
from rotator.config.schema import CredentialModel, ProxyModel, WholeModel
from rotator.core.identity import OwnerKind

# Known to the schema only to be refused with words that say where it belongs.
REFUSED = {(ProxyModel, "template")}
# For kinds that are not installed here: shown as text.
FOREIGN = {(CredentialModel, "settings"), (CredentialModel, "overlaps")}
COMMENTED = re.compile(r"^#(?=[a-z_]+ = )", re.MULTILINE)


def _file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "rotator.toml"
    path.write_text(text)
    path.chmod(0o600)
    return path


def test_the_sample_validates_as_it_is(tmp_path: Path) -> None:
    """On a machine that has none of the files it names, as on the laptop of whoever tries it first."""
    loaded = load(_file(tmp_path, SAMPLE), {})
    fleet = loaded.settings.fleet
    assert [agent.name for agent in fleet.agents] == ["billing", "reports"]
    assert [proxy.name for proxy in fleet.proxies] == ["edge"]
    assert len([spec for spec in fleet.specs() if spec.id.owner.kind is not OwnerKind.SIGNER]) == 8


def test_its_commented_settings_validate_too(tmp_path: Path) -> None:
    """A key that is uncommented must not be the one that was misspelt in the sample."""
    (tmp_path / "inventory.d").mkdir(mode=0o700)
    text, count = COMMENTED.subn("", SAMPLE)
    assert count > 30
    loaded = load(_file(tmp_path, text), {})
    assert loaded.settings.vault.workers == 8


def test_every_key_of_the_schema_is_in_the_sample() -> None:
    """Nobody has to read our source to learn that a setting exists."""
    given = tomllib.loads(COMMENTED.sub("", SAMPLE))
    missing = set(_all(WholeModel)) - set(_seen(WholeModel, given)) - REFUSED - FOREIGN
    assert sorted(f"{model.__name__}.{key}" for model, key in missing) == []


def test_commented_defaults_are_the_defaults(tmp_path: Path) -> None:
    """`#tick = "5s"` says that this is what holds without it."""
    plain = load(_file(tmp_path, SAMPLE), {}).settings
    (tmp_path / "inventory.d").mkdir(mode=0o700)
    full = load(_file(tmp_path, COMMENTED.sub("", SAMPLE)), {}).settings
    assert full.service == plain.service
    assert [spec.policy for spec in full.fleet.specs()] == [spec.policy for spec in plain.fleet.specs()]
    assert full.consul.session_ttl == plain.consul.session_ttl
    assert (full.vault.timeout, full.vault.agent_role) == (plain.vault.timeout, plain.vault.agent_role)


def test_the_json_schema_describes_the_sample() -> None:
    """Durations and shares are texts there; an editor that flags them would teach people to ignore it."""
    schema = json.loads(json.dumps(json_schema()))
    assert schema["additionalProperties"] is False
    assert set(tomllib.loads(SAMPLE)) <= set(schema["properties"])
    service = _resolved(schema, schema["properties"]["service"])
    tick = service["properties"]["tick"]
    assert tick["default"] == "5s"
    assert re.fullmatch(tick["pattern"], "15m")
    assert not re.fullmatch(tick["pattern"], "PT5S")
    share = schema["$defs"]["PolicyModel"]["properties"]["renew_at"]
    assert [one["type"] for one in share["anyOf"]] == ["string", "number"]
    assert schema["$defs"]["ScopeModel"]["properties"]["rate"]["anyOf"][0]["type"] == "string"


def _seen(model: type[BaseModel], given: Any) -> Iterator[tuple[type[BaseModel], str]]:
    """(model, key) for every key that this part of the file names."""
    for key in given if isinstance(given, dict) else ():
        yield model, key
        for nested in _models(model.model_fields[key].annotation):
            for value in _flat(given[key], nested):
                yield from _seen(nested, value)


def _all(model: type[BaseModel]) -> Iterator[tuple[type[BaseModel], str]]:
    for key, field in model.model_fields.items():
        yield model, key
        for nested in _models(field.annotation):
            yield from _all(nested)


def _flat(value: Any, nested: type[BaseModel]) -> list[Any]:
    if isinstance(value, dict) and not set(value) & set(nested.model_fields):
        return list(value.values())
    return value if isinstance(value, list) else [value]


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in _models(part)]


def _resolved(schema: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    reference = node.get("$ref") or node["allOf"][0]["$ref"]
    found: dict[str, Any] = schema["$defs"][reference.rpartition("/")[2]]
    return found
