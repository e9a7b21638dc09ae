"""Networks of an AppRole's secret-id, checked before Vault meets them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import GOOD, accepted, problems

Write = Callable[..., Path]


def with_approle(table: str) -> str:
    return f'{GOOD}[agents.billing.credentials.login]\nkind = "approle"\nttl = "24h"\napprole = {{ {table} }}\n'


@pytest.mark.parametrize(
    ("table", "key", "words"),
    [
        ('secret_id_cidrs = ["10.1.2.3"]', "secret_id_cidrs", "no prefix length"),
        ('secret_id_cidrs = ["10.1.2.3/8"]', "secret_id_cidrs", "bits set behind its prefix"),
        ('token_cidrs = ["inside"]', "token_cidrs", "is no network"),
        ('token_cidrs = ["10.0.0.0/8", "10.0.0.0/8"]', "token_cidrs", "twice"),
        ('token_policies = ["root"]', "token_policies", "everything"),
    ],
)
def test_a_network_that_vault_would_refuse_late_is_refused_at_load(
    write: Write, table: str, key: str, words: str
) -> None:
    """Vault answers with an internal error at the first rotation."""
    found = {problem.path: problem.text for problem in problems(write(with_approle(table)))}
    assert words in found[f"agents.billing.credentials.login.approle.{key}"]


def test_one_use_and_networks_of_both_families_are_good(write: Write) -> None:
    """The test login has a use of its own, so that one is enough for an agent."""
    table = 'num_uses = 1, secret_id_cidrs = ["10.0.0.0/8", "2001:db8::/32"], token_cidrs = ["10.1.2.3/32"]'
    agent = accepted(write(with_approle(table))).settings.fleet.agents[0]
    assert {spec.kind for spec in agent.credentials} == {"certificate", "approle"}
