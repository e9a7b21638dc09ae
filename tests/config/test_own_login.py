"""A credential that the service logs in with is never one that it rotates: one mistake, and nobody can repair it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.config.conftest import GOOD, accepted, problems

LOGIN = 'auth = { method = "approle", role = "role-id", secret_id_file = "/nowhere/secret-id" }'
Write = Callable[..., Path]


def told(path: Path) -> dict[str, str]:
    return {one.path: one.text for one in problems(path)}


@pytest.mark.parametrize(
    ("login", "mount"),
    [
        (LOGIN.replace("approle", 'approle", mount = "agents'), ""),
        (LOGIN.replace("approle", 'approle", mount = "team/agents/'), 'agents_mount = "team/agents"'),
        (LOGIN, 'agents_mount = "approle"'),
    ],
    ids=["the default", "another one", "where the login's own default is"],
)
def test_a_login_among_the_agents_approles_is_refused(write: Write, login: str, mount: str) -> None:
    """Whatever the agents' mount is called: it is the configured one that counts."""
    found = told(write(GOOD.replace(LOGIN, f"{login}\n{mount}")))
    assert list(found) == ["vault.auth.mount"]
    assert "whose secret-ids this service rotates" in found["vault.auth.mount"]


def test_a_login_beside_them_is_accepted(write: Write) -> None:
    """`agents` is a mount like any other where the agents' AppRoles are elsewhere."""
    login = LOGIN.replace("approle", 'approle", mount = "agents')
    accepted(write(GOOD.replace(LOGIN, f'{login}\nagents_mount = "elsewhere"')))


@pytest.mark.parametrize(
    ("claims", "refused"),
    [
        ({"sub": "spiffe://example.org/agent/billing", "iss": "somebody"}, True),
        ({"sub": "x", "iss": "spiffe://example.org"}, True),
        ({"sub": "system:serviceaccount:rotator:rotator", "iss": "https://kubernetes.default.svc"}, False),
        ({"sub": ["spiffe://example.org/agent/billing"]}, False),
        ([], False),
    ],
)
def test_a_login_with_a_token_of_ours_is_refused(write: Write, tmp_path: Path, claims: object, refused: bool) -> None:
    """By its issuer and by its subject; what it says is not believed, only not used against itself."""
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    token = write(f"e30.{payload}.c2ln\n", "token")
    file = write(GOOD.replace(LOGIN, f'auth = {{ method = "jwt", role = "rotator", jwt_file = "{token}" }}'))
    if refused:
        assert told(file) == {"vault.auth.jwt_file": "holds a token that this service issues and rotates"}
    else:
        accepted(file)


@pytest.mark.parametrize("key", ["pki_mount", "transit_mount", "database_mount"])
def test_two_engines_at_one_mount_are_refused(write: Write, key: str) -> None:
    """Bootstrap would find a mount of another type there, after half of its work."""
    assert told(write(GOOD.replace(LOGIN, f'{LOGIN}\n{key} = "kv"'))) == {f"vault.{key}": "is the KV mount as well"}


@pytest.mark.parametrize("key", ["kv_mount", "pki_mount", "transit_mount", "database_mount", "agents_mount"])
def test_a_mount_is_a_path(write: Write, key: str) -> None:
    """It becomes part of a policy: a wildcard in it would reach into other mounts."""
    assert told(write(GOOD.replace(LOGIN, f'{LOGIN}\n{key} = "a/+"'))) == {f"vault.{key}": "is no mount path"}


def test_the_agents_logins_may_have_the_name_of_an_engine(write: Write) -> None:
    """Logins have mounts of their own, below auth/."""
    accepted(write(GOOD.replace(LOGIN, f'{LOGIN}\nagents_mount = "kv"')))
