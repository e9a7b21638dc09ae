"""`[databases]` and credentials of kind `database`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from rotator.core.kind_settings import DatabaseServer, DatabaseSettings

from .conftest import GOOD, accepted, problems

Write = Callable[..., Path]

SERVER = '\n[databases.orders]\naddress = "db.example.org:5432"\ndatabase = "orders"\n'
PAIR = """
[agents.billing.credentials.db]
kind = "database"
ttl = "24h"
database = { server = "orders", roles = ["billing-a", "billing-b"] }
"""


@pytest.mark.parametrize(("roles", "spacing"), [('["app_a"]', timedelta(0)), ('["a", "b"]', timedelta(hours=12))])
def test_only_a_pair_is_spaced_by_half_a_period(write: Write, roles: str, spacing: timedelta) -> None:
    """With one role there is no half that anybody still uses."""
    text = GOOD + SERVER + PAIR.replace('["billing-a", "billing-b"]', roles)
    (agent,) = accepted(write(text)).settings.fleet.agents
    spec = next(one for one in agent.credentials if one.kind == "database")
    assert isinstance(spec.settings, DatabaseSettings)
    assert spec.settings.server == DatabaseServer("db.example.org", 5432, "orders")
    assert (spec.policy.spacing, spec.settings.overlaps) == (spacing, bool(spacing))


@pytest.mark.parametrize(
    ("roles", "words"),
    [
        ('["a", "a"]', "twice is no pair"),
        ('["a", "b", "c"]', "at most 2"),
        ("[]", "at least one"),
        ('["a/../b"]', "cannot stand here"),
        ('["a*"]', "cannot stand here"),
    ],
)
def test_roles_that_are_no_pair_are_refused(write: Write, roles: str, words: str) -> None:
    """Two equal roles would end the version in use at every turn."""
    found = problems(write(GOOD + SERVER + PAIR.replace('["billing-a", "billing-b"]', roles)))
    assert any(words in one.text for one in found)
    assert found[0].path.startswith("agents.billing.credentials.db.database.roles")


def test_a_role_of_two_credentials_is_refused(write: Write) -> None:
    """A rotation for the one would end the password of the other, without anybody noticing at load."""
    other = PAIR.replace("credentials.db", "credentials.db2").replace('["billing-a"', '["reports-a"')
    text = GOOD + SERVER + PAIR + other
    (found,) = problems(write(text))
    assert found.path == "agents.billing.credentials.db2.database.roles"
    assert "billing-b is used by agents.billing.credentials.db" in found.text
    assert "reports-a" in text.splitlines()[found.line - 1]


@pytest.mark.parametrize("name", ["", "a\\u0000b", "x" * 64])
def test_a_database_without_a_usable_name_is_refused(write: Write, name: str) -> None:
    """Empty, libpq would take the user's name instead."""
    found = problems(write(GOOD + SERVER.replace('database = "orders"', f'database = "{name}"') + PAIR))
    assert "databases.orders.database" in [one.path for one in found]


def test_a_server_that_is_not_there_is_named(write: Write) -> None:
    """A misspelt reference."""
    (found,) = problems(write(GOOD + PAIR))
    assert found.path == "agents.billing.credentials.db.database.server"
