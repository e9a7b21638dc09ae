"""Which kind a credential names, whether its table belongs to it, and its frozen settings."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from rotator.config.kinds import api_key, approle, database, jwt, oauth2
from rotator.core.identity import CredentialId, OwnerKind, spiffe_id
from rotator.core.kind_settings import CertificateSettings, ForeignSettings, KindSettings

if TYPE_CHECKING:
    from rotator.config.schema import CredentialModel, MainModel, ScopeModel

CERTIFICATE = "certificate"
# Kinds with a table of their own, which has their name. `settings` is the table of kinds that other packages bring.
TABLES = ("api_key", "approle", "database", "jwt", "oauth2")
FOREIGN_TABLE = "settings"
# Only these may be left to their defaults.
_OPTIONAL = frozenset({"api_key", "approle", "jwt"})
# What only a certificate has.
_OF_CERTIFICATES = ("dns_sans", "ip_sans", "role", "local_key")


@dataclass(frozen=True, slots=True)
class Around:
    """What a kind's settings are made of beside the credential's own table."""

    target: CredentialId
    main: MainModel
    scopes: tuple[ScopeModel, ...] = ()


@cache
def foreign_names() -> tuple[str, ...]:
    """Kinds of other packages that are installed here (docs/kinds.md); looked up once, each time costs milliseconds."""
    return tuple(sorted({point.name for point in entry_points(group="rotator.kinds")}))


Said = tuple[tuple[str, ...], str, str]  # path below the credential, text, hint


def problems(model: CredentialModel, of_proxy: bool, main: MainModel | None) -> Iterator[Said]:
    """What a schema cannot say. main: None when it could not be read; then references are not judged."""
    known = (CERTIFICATE, *TABLES, *foreign_names())
    if model.kind not in known:
        hint = f"known: {', '.join(sorted(known))}; kinds of other packages must be installed beside this one"
        yield ("kind",), "there is no kind of that name", hint
        return
    yield from _misplaced(model)
    if of_proxy and model.kind in TABLES:
        yield ("kind",), "is for agents; a proxy has certificates", "move it to the agent that uses it"
    if model.kind in TABLES and model.kind not in _OPTIONAL and getattr(model, model.kind) is None:
        hint = f"README.md shows a credential of kind {model.kind}"
        yield (model.kind,), f"is missing; kind {model.kind} needs it", hint
    yield from _inside(model)
    if main is not None:
        yield from _references(model, main)


def _inside(model: CredentialModel) -> Iterator[Said]:
    """What each kind says of its own table."""
    if model.api_key is not None:
        yield from ((("api_key", key), text, hint) for key, text, hint in api_key.problems(model.api_key))
    if model.approle is not None:
        yield from ((("approle", key), text, hint) for key, text, hint in approle.problems(model.approle))
    if model.database is not None:
        yield from ((("database", key), text, hint) for key, text, hint in database.problems(model.database))
    if model.oauth2 is not None:
        yield from ((("oauth2", key), text, hint) for key, text, hint in oauth2.problems(model.oauth2))


def _misplaced(model: CredentialModel) -> Iterator[Said]:
    """Tables and keys of another kind: they would silently do nothing."""
    own = model.kind if model.kind in TABLES else FOREIGN_TABLE
    for table in (*TABLES, FOREIGN_TABLE):
        if getattr(model, table) is not None and (table != own or model.kind == CERTIFICATE):
            yield (table,), f"does not go with kind {model.kind}", "remove it, or change the kind"
    for key in () if model.kind == CERTIFICATE else _OF_CERTIFICATES:
        if key in model.model_fields_set:
            yield (key,), "goes with kind certificate only", "remove it"
    if "overlaps" in model.model_fields_set and model.kind in (CERTIFICATE, *TABLES):
        yield ("overlaps",), "is for kinds of other packages; this kind knows it", "remove it"


def _references(model: CredentialModel, main: MainModel) -> Iterator[Said]:
    named: tuple[tuple[str, str, str, Mapping[str, Any]], ...] = (
        ("database", model.database.server if model.database else "", "databases", main.databases),
        ("oauth2", model.oauth2.server if model.oauth2 else "", "authorization_servers", main.authorization_servers),
    )
    for table, server, section, servers in named:
        if server and server not in servers:
            hint = f"known: {', '.join(sorted(servers)) or f'none yet; write [{section}.{server}]'}"
            yield (table, "server"), "there is no server of that name", hint


def settings(model: CredentialModel, around: Around) -> KindSettings:
    """Of a checked credential."""
    main, owner = around.main, around.target.owner
    match model.kind:
        case "certificate":
            return _certificate(model, around)
        case "api_key":
            return api_key.settings(model.api_key or api_key.ApiKeyModel())
        case "approle":
            return approle.settings(model.approle or approle.AppRoleModel(), main.vault.agents_mount, owner.name)
        case "jwt":
            table = model.jwt or jwt.JwtModel()
            mount, domain = main.vault.transit_mount, main.trust_domain
            return jwt.settings(table, main.tokens, mount, domain, owner.name, around.scopes)
        case "database" if model.database is not None:
            return database.settings(model.database, main.vault.database_mount, main.databases)
        case "oauth2" if model.oauth2 is not None:
            return oauth2.settings(model.oauth2, main.authorization_servers)
    given = model.settings or {}
    items = tuple((key, json.dumps(value, sort_keys=True)) for key, value in sorted(given.items()))
    return ForeignSettings(items, model.overlaps)


def _certificate(model: CredentialModel, around: Around) -> CertificateSettings:
    vault, owner = around.main.vault, around.target.owner
    of_proxy = owner.kind is OwnerKind.PROXY
    return CertificateSettings(
        mount=vault.pki_mount,
        role=model.role or (vault.proxy_role if of_proxy else vault.agent_role),
        common_name=owner.name,
        uri_sans=(spiffe_id(around.main.trust_domain, owner),),
        dns_sans=tuple(sorted(model.dns_sans)),
        ip_sans=tuple(sorted(model.ip_sans)),
        server=of_proxy,
        client=True,
        local_key=model.local_key,
    )
