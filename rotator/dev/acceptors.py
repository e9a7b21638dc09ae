"""The systems that accept the credentials of the agent that has every kind: what probes ask, and what lives there."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import psycopg
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from rotator.clients.vault_admin import VaultAdmin, approle_token
from rotator.core.secret import Secret
from rotator.dev import fleet
from rotator.dev.caller import Answer, Identity, call
from rotator.dev.probes import Probe
from rotator.dev.servers.oauth import OAuthServer
from rotator.dev.servers.postgres import Postgres
from rotator.dev.world import World
from rotator.provision.endpoints import vault_endpoint
from rotator.records import codec

KV = "agents/" + fleet.ALL_KINDS


def of(world: World) -> Mapping[str, Probe]:
    """Credential name -> probe, for those whose systems run."""
    found: dict[str, Probe] = {
        "tls": lambda folder: _certificate(world, folder),
        "token": lambda folder: _token(world, folder),
        "key": lambda folder: _api_key(world, folder),
        "login": lambda folder: _approle(world, folder),
    }
    if world.sources.postgres is not None:
        found["db"] = partial(_database, world.sources.postgres)
    if world.sources.oauth is not None:
        found["api"] = partial(_oauth2, world.sources.oauth, world.sources.client_secret)
    return found


def orphans(world: World) -> list[str]:
    """What lives at a source although no record names it."""
    return [*_secret_ids(world), *_kv_versions(world)]


def _certificate(world: World, folder: Path) -> str:
    identity = Identity(folder / "chain.pem", folder / "fullchain.pem", folder / "private_key.pem")
    outcome = call(world.door, identity, "GET", fleet.own_path(fleet.ALL_KINDS))
    return "" if outcome.answer is Answer.PASSED else f"{outcome.answer} {outcome.detail}"


def _token(world: World, folder: Path) -> str:
    """As a proxy does it: with the keys of the document in force, whichever of them signed."""
    keys = KeySet.import_key_set(world.document(fleet.PROXY)["trust"]["jwks"])
    try:
        claims = jwt.decode((folder / "token").read_text(), keys, algorithms=["ES256"]).claims
    except (JoseError, ValueError) as problem:
        return type(problem).__name__
    return "" if claims["nbf"] <= time.time() < claims["exp"] else "not valid now"


def _api_key(world: World, folder: Path) -> str:
    """An API that reads the values it accepts from KV: every version that is still readable."""
    value = (folder / "api_key").read_text()
    for number in _living(world.vault, f"{KV}/key"):
        stored = world.vault.read(f"kv/data/{KV}/key?version={number}")
        if stored and stored["data"] and stored["data"]["api_key"] == value:
            return ""
    return "not among the values that are readable in KV"


def _approle(world: World, folder: Path) -> str:
    endpoint = vault_endpoint(world.settings().vault)
    role, secret = (folder / "role_id").read_text(), Secret((folder / "secret_id").read_text())
    token = approle_token(endpoint, "agents", role, secret)
    VaultAdmin(endpoint, token).write("auth/token/revoke-self", {})
    return ""


def _database(postgres: Postgres, folder: Path) -> str:
    try:
        psycopg.connect(
            host=postgres.host,
            port=postgres.port,
            dbname=postgres.database,
            user=(folder / "username").read_text(),
            password=(folder / "password").read_text(),
            sslmode="verify-full",
            sslrootcert=str(postgres.ca_file),
            connect_timeout=5,
        ).close()
    except psycopg.Error as problem:
        return type(problem).__name__
    return ""


def _oauth2(server: OAuthServer, client_secret: Secret, folder: Path) -> str:
    token = Secret((folder / "access_token").read_text())
    return "" if server.is_active(fleet.ALL_KINDS, client_secret, token) else "not active"


def _living(vault: VaultAdmin, path: str) -> list[int]:
    """KV versions whose material can still be read, newest first."""
    versions = (vault.read(f"kv/metadata/{path}") or {"versions": {}})["versions"]
    return sorted((int(number) for number, one in versions.items() if not one["destroyed"]), reverse=True)


def _named(world: World, name: str) -> tuple[frozenset[str], frozenset[int]]:
    """(serials, KV versions) that the record of a credential names."""
    stored = world.consul_keys()[f"rotator/records/agent/{fleet.ALL_KINDS}/{name}"]
    record = codec.decode_record(stored)
    listed = [record.current, *(old.facts for old in record.retiring), record.pending.facts if record.pending else None]
    known = [facts for facts in listed if facts]
    return frozenset(facts.serial for facts in known), frozenset(facts.kv_version for facts in known)


def _secret_ids(world: World) -> Iterator[str]:
    known, _ = _named(world, "login")
    for accessor in world.vault.listing(f"auth/agents/role/{fleet.ALL_KINDS}/secret-id"):
        if accessor not in known:
            yield f"secret-id {accessor}"


def _kv_versions(world: World) -> Iterator[str]:
    for name in of(world):
        _, known = _named(world, name)
        for number in _living(world.vault, f"{KV}/{name}"):
            if number not in known:
                yield f"KV version {number} of {name}"
