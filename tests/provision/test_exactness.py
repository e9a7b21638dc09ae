"""The exactness suite: no line of the printed policy is spare, and each serves what its comment says, nothing else."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from rotator.core.secret import Secret
from rotator.provision import vault_policy
from rotator.provision.principals import SERVICE
from rotator.provision.rule import Rule, merged, render
from tests.provision.every_kind import Prepared

pytestmark = pytest.mark.servers
METHODS = {"read": "GET", "list": "LIST", "update": "POST"}
ENDS_THE_TOKEN = "auth/token/revoke-self"


@dataclass(frozen=True)
class Need:
    """One call that the service makes. why: as in the policy."""

    method: str
    path: str
    why: str
    wrap: str = ""


def needs(rules: tuple[Rule, ...]) -> list[Need]:
    """Every capability of every line as a call; what ends the token comes last."""
    found = [
        Need(METHODS[capability], rule.path.replace("+", "x"), rule.why, "60s" if rule.wrapping else "")
        for rule in rules
        for capability in rule.capabilities
        if capability != "create"
    ]
    return sorted(found, key=lambda need: need.path == ENDS_THE_TOKEN)


def refused(prepared: Prepared, token: Secret, wanted: list[Need]) -> set[Need]:
    """Those that Vault denies. Other refusals are about the body, which it looks at afterwards."""
    return {
        need
        for need in wanted
        if prepared.call(token, need.method, need.path, {} if need.method == "POST" else None, need.wrap).status_code
        == 403
    }


def test_the_service_can_do_all_that_it_needs(prepared: Prepared):
    """The printed policy is complete, with the token that bootstrap's AppRole gives."""
    rules = vault_policy.rules(prepared.settings, SERVICE)
    assert refused(prepared, prepared.service(), needs(rules)) == set()


def test_without_a_line_exactly_its_feature_fails(prepared: Prepared, capsys: pytest.CaptureFixture[str]):
    """A spare line would be a right that nobody uses but a thief; a missing one would be covered by another."""
    rules = vault_policy.rules(prepared.settings, SERVICE)
    wanted, made = needs(rules), 0
    for left_out in rules:
        token = prepared.with_policy(render("tried", [rule for rule in rules if rule != left_out]))
        lost = [need for need in wanted if need.path == left_out.path.replace("+", "x")]
        assert refused(prepared, token, wanted) == set(lost) != set(), left_out
        assert {need.why for need in lost} == {left_out.why}
        made += len(wanted)
    with capsys.disabled():
        print(f"\n  exactness suite: {len(rules)} lines left out in turn, {made} calls")


def test_every_kind_has_its_lines(prepared: Prepared):
    """The suites above prove nothing of a kind that the policy forgot."""
    paths = {rule.path for rule in vault_policy.rules(prepared.settings, SERVICE)}
    assert {
        "pki_int/issue/rotator-proxy",
        "pki_int/sign/rotator-agent",
        "pki_int/revoke-with-key",
        "auth/agents/role/billing/secret-id",
        "auth/agents/role/billing/secret-id-accessor/destroy",
        "transit/sign/rotator-tokens/sha2-256",
        "transit/keys/rotator-tokens/rotate",
        "database/rotate-role/app_a",
        "database/static-creds/app_b",
        "kv/data/clients/billing",
        "kv/data/oauth2/billing/grant",
        "kv/data/signers/+/+",
    } <= paths
    assert "pki_int/issue/rotator-agent" not in paths
    assert "kv/data/oauth2/billing/api" not in paths


def test_two_needs_of_one_path_become_one_line():
    """Of two blocks with one path Vault heeds the last alone."""
    one, other = Rule("a", ("read",), "this"), Rule("a", ("update", "read"), "that")
    assert merged((one, Rule("b", ("list",), "x"), other))[0] == Rule("a", ("read", "update"), "this; that")
