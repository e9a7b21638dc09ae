"""The doctor names what a kind of credential lacks in Vault, and who makes it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from rotator.clients.vault_admin import Endpoint, VaultAdmin
from rotator.provision import examine, examine_kinds, vault_bootstrap, wanted
from rotator.provision.changes import Sign
from rotator.provision.finding import Verdict
from rotator.provision.wanted_kinds import StaticRole
from tests.provision.every_kind import Prepared

ROLE = StaticRole("database", "app_a", 3600)


@pytest.mark.servers
def test_what_bootstrap_makes_is_fit_but_for_the_database(prepared: Prepared):
    """The connection holds the database administrator's password: neither bootstrap nor the service may have it."""
    admin = VaultAdmin(Endpoint(prepared.server.address, bundle=str(prepared.server.ca_file)), prepared.service())
    found = tuple(examine.vault(prepared.settings, admin, lambda: datetime.now(UTC)))
    failed = {one.what: one.fix for one in found if one.verdict is not Verdict.PASS}
    assert list(failed) == ["static role app_a", "static role app_b"]
    assert "administrator" in failed["static role app_a"]
    assert {"transit key rotator-tokens", "agent's approle billing", "revocation list of pki_int"} <= {
        one.what for one in found
    }


@pytest.mark.servers
def test_bootstrap_says_what_others_owe_and_repeats_nothing(prepared: Prepared):
    """A second run changes nothing, and goes on saying what is missing."""
    again = vault_bootstrap.bootstrap(prepared.admin, wanted.vault(prepared.settings), apply=True)
    differing = {change.what: change.sign for change in again if change.sign is not Sign.SAME}
    assert list(differing.values()) == [Sign.OWED, Sign.OWED]
    assert all("by the database's administrator" in what for what in differing)


@pytest.mark.servers
def test_the_agents_role_is_no_wider_than_its_credentials(prepared: Prepared):
    """One use more than the agent's for the test login; tokens without the default policy."""
    role = prepared.admin.read("auth/agents/role/billing") or {}
    assert role["token_policies"] == ["app", "rotator-login"]
    assert (role["secret_id_num_uses"], role["secret_id_ttl"], role["token_ttl"]) == (3, 86400, 900)
    assert (role["bind_secret_id"], role["token_no_default_policy"]) == (True, True)


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (None, Verdict.FAIL),
        ({"rotation_schedule": "0 0 * * *"}, Verdict.FAIL),
        ({"rotation_period": 7199}, Verdict.FAIL),
        ({"rotation_period": 7200}, Verdict.WARN),
        ({"rotation_period": 36000}, Verdict.PASS),
    ],
)
def test_a_period_that_would_end_a_stored_copy_is_named(found: Mapping[str, Any] | None, verdict: Verdict):
    """What Vault changes by itself breaks the copy that agents hold."""
    assert examine_kinds.static_role(ROLE, found).verdict is verdict


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (None, Verdict.FAIL),
        ({"type": "aes256-gcm96"}, Verdict.FAIL),
        ({"type": "ecdsa-p256", "exportable": True}, Verdict.WARN),
        ({"type": "ecdsa-p256"}, Verdict.PASS),
    ],
)
def test_a_signing_key_that_could_leave_vault_is_named(found: Mapping[str, Any] | None, verdict: Verdict):
    """Whoever has it makes tokens for every agent."""
    assert examine_kinds.signing_key("k", found).verdict is verdict


@pytest.mark.parametrize("found", [None, {"auto_rebuild": False}, {"auto_rebuild": True, "disable": True}])
def test_a_revocation_list_that_runs_out_is_named(found: Mapping[str, Any] | None):
    """Peers refuse every certificate of an issuer whose list is too old."""
    assert examine_kinds.revocation_list("pki_int", found).verdict is Verdict.WARN
