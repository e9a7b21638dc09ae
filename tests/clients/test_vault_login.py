"""The life of our own token on a real OpenBao: every way in, renewal, sudden death, and never a storm."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rotator.clients.clock import SystemClock
from rotator.clients.vault import VaultSecrets
from rotator.core.errors import Code, Denied, Unavailable
from rotator.core.secret import Secret
from tests.clients.canned_server import CannedServer, reply
from tests.clients.vault_site import Calls, Server, VaultSite, raised
from tests.fakes.clock import FakeClock

pytestmark = pytest.mark.servers
PATH = "agents/billing/tls"


@pytest.fixture
def site(openbao: Server, unique: str) -> VaultSite:
    return VaultSite(openbao, unique)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(datetime.now(UTC))


def works(secrets: VaultSecrets, site: VaultSite) -> bool:
    return secrets.kv_read(site.kv, PATH) is None


def test_a_refused_login_is_not_repeated_at_once_and_heals_with_a_new_credential(
    site: VaultSite, tmp_path: Path, clock: FakeClock
) -> None:
    """A fleet whose calls each try to log in would be a storm; nobody restarts the service after the repair."""
    role_id, file = site.make_approle(secret_id_num_uses=1), tmp_path / "secret-id"
    file.write_text("00000000-0000-4000-8000-000000000000")
    secrets, calls = site.open(site.approle_auth(role_id, file), clock)
    for _ in range(20):
        assert raised(lambda: works(secrets, site)).code is Code.VAULT_LOGIN_REFUSED
        assert raised(secrets.upkeep).code is Code.VAULT_LOGIN_REFUSED
    assert calls.count("login") == 1
    file.write_text(site.secret_id())
    clock.advance(timedelta(seconds=2))
    assert works(secrets, site)


def test_a_token_revoked_from_outside_is_replaced_in_the_same_call(site: VaultSite, tmp_path: Path) -> None:
    """Between any two steps, and for a write as for a read: nobody restarts the service."""
    role_id, file = site.make_approle(), tmp_path / "secret-id"
    file.write_text(site.secret_id())
    secrets, calls = site.open(site.approle_auth(role_id, file))
    steps: list[Callable[[], object]] = [
        lambda: secrets.issue_certificate(site.request()),
        lambda: secrets.kv_write(site.kv, PATH, {"a": Secret("x")}, 0),
        lambda: secrets.kv_read(site.kv, PATH),
        lambda: secrets.kv_state(site.kv, PATH),
        lambda: secrets.kv_destroy(site.kv, PATH, [1]),
        secrets.ready,
    ]
    works(secrets, site)
    for step in steps:
        site.revoke(secrets._login.token())
        step()
    assert calls.count("login") == 1 + len(steps)


def test_many_threads_with_a_dead_token_log_in_once(site: VaultSite, tmp_path: Path) -> None:
    """Single flight: a wave of rotations must not become a wave of logins."""
    role_id, file = site.make_approle(), tmp_path / "secret-id"
    file.write_text(site.secret_id())
    secrets, calls = site.open(site.approle_auth(role_id, file))
    works(secrets, site)
    site.revoke(secrets._login.token())
    gate = threading.Barrier(8)

    def call() -> bool:
        gate.wait(5)
        return works(secrets, site)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda _: call(), range(8)))
    assert calls.count("login") == 2


def test_a_good_token_without_the_right_is_denied_with_the_path(site: VaultSite, tmp_path: Path) -> None:
    """The other 403: no login helps, a person must change the policy."""
    role_id, file = site.make_approle(), tmp_path / "secret-id"
    file.write_text(site.secret_id())
    secrets, calls = site.open(site.approle_auth(role_id, file))
    for _ in range(3):
        fault = raised(lambda: secrets.kv_read(site.kv, "elsewhere/billing/tls"))
        assert (type(fault), fault.code) == (Denied, Code.VAULT_DENIED)
        assert f"{site.kv}/data/elsewhere/billing/tls" in fault.text
    assert calls.count("login") == 1


def test_a_token_that_may_not_look_at_itself_is_no_reason_for_a_login_each_call(
    site: VaultSite, tmp_path: Path, clock: FakeClock
) -> None:
    """It cannot be told from a dead one, so logins for its sake are far apart."""
    site.write(
        f"sys/policies/acl/{site.name}-blind", policy=f'path "{site.kv}/data/agents/+/+" {{capabilities=["read"]}}'
    )
    role_id, file = site.make_approle(token_policies=[f"{site.name}-blind"]), tmp_path / "secret-id"
    file.write_text(site.secret_id())
    secrets, calls = site.open(site.approle_auth(role_id, file), clock)
    assert works(secrets, site)
    for _ in range(10):
        assert raised(lambda: secrets.kv_state(site.kv, PATH)).code is Code.VAULT_DENIED
    assert calls.count("login") == 1
    site.revoke(secrets._login.token())
    clock.advance(timedelta(seconds=90))
    assert works(secrets, site)


def test_renewal_at_two_thirds(site: VaultSite, tmp_path: Path, clock: FakeClock) -> None:
    """Early enough for an outage of a third of the life, and no call before."""
    role_id, file = site.make_approle(), tmp_path / "secret-id"
    file.write_text(site.secret_id())
    secrets, calls = site.open(site.approle_auth(role_id, file), clock)
    secrets.upkeep()
    before = secrets.token_expires_at()
    clock.advance(timedelta(minutes=39))
    secrets.upkeep()
    assert calls.count("renew_self") == 0
    clock.advance(timedelta(minutes=2))
    secrets.upkeep()
    after = secrets.token_expires_at()
    assert before is not None
    assert after is not None
    assert after - before == timedelta(minutes=41)
    assert (calls.count("renew_self"), calls.count("login")) == (1, 1)


def test_a_token_that_may_not_be_renewed_is_replaced_later_and_the_old_one_ended(
    site: VaultSite, tmp_path: Path, clock: FakeClock
) -> None:
    """A 403 on renew is answered with one login, when two thirds of the rest are over (hashicorp/vault PR #26844)."""
    rules = (
        f'path "auth/token/lookup-self" {{capabilities=["read"]}} path "{site.kv}/data/+/+/+" {{capabilities=["read"]}}'
    )
    site.write(f"sys/policies/acl/{site.name}-fixed", policy=rules)
    role_id, file = site.make_approle(token_policies=[f"{site.name}-fixed"]), tmp_path / "secret-id"
    file.write_text(site.secret_id())
    secrets, calls = site.open(site.approle_auth(role_id, file), clock)
    secrets.upkeep()
    clock.advance(timedelta(minutes=41))
    for _ in range(20):
        secrets.upkeep()
    assert (calls.count("renew_self"), calls.count("login")) == (1, 1)
    clock.advance(timedelta(minutes=13))
    for _ in range(20):
        secrets.upkeep()
    assert (calls.count("renew_self"), calls.count("login"), calls.count("revoke_self")) == (1, 2, 0)
    clock.advance(timedelta(seconds=31))
    secrets.upkeep()
    secrets.upkeep()
    assert calls.count("revoke_self") == 1


def test_a_shrinking_lease_is_followed_by_a_login_and_not_by_ever_more_renewals(
    site: VaultSite, tmp_path: Path, clock: FakeClock
) -> None:
    """Near its max TTL a token is renewed with 200 and a shorter life each time: the way into a hot loop.

    Canned answers, because a real server would need the real hour to pass.
    """
    leases = {"login": 3600, "renew-self": 600}

    def answer(request: bytes) -> bytes:
        word = request.split(b" ")[1].rpartition(b"/")[2].decode()
        auth = {"client_token": "t", "lease_duration": leases.get(word, 0), "renewable": True}
        return reply("200 OK", json.dumps({"auth": auth, "data": {}}).encode())

    server, file = CannedServer(answer), tmp_path / "secret-id"
    file.write_text("x")
    calls = Calls([])
    secrets = VaultSecrets(replace(site.at(server.address), auth=site.approle_auth("r", file)), clock, calls)
    try:
        for minutes, renewals, logins in ((0, 0, 1), (41, 1, 1), (6, 1, 1), (1, 1, 2), (39, 1, 2)):
            clock.advance(timedelta(minutes=minutes))
            secrets.upkeep()
            assert (calls.count("renew_self"), calls.count("login")) == (renewals, logins)
    finally:
        server.close()


def test_five_lives_of_a_token_without_a_failure(site: VaultSite, tmp_path: Path) -> None:
    """In real time: leases of one second, shrinking near a max TTL of two; no call fails and no storm arises."""
    role_id, file = site.make_approle(token_ttl="1500ms", token_max_ttl="2s"), tmp_path / "secret-id"
    file.write_text(site.secret_id())
    secrets, calls = site.open(site.approle_auth(role_id, file))
    clock, pause = SystemClock(), threading.Event()
    until = clock.monotonic() + 6
    while clock.monotonic() < until:
        assert works(secrets, site)
        pause.wait(0.02)
    assert 2 <= calls.count("login") <= 10
    assert calls.count("login") + calls.count("renew_self") + calls.count("lookup_self") <= 40


def test_ten_minutes_without_vault_are_few_tries(clock: FakeClock, site: VaultSite, tmp_path: Path) -> None:
    """A tick every second and calls in between: the pauses grow, and all of it is counted (hashicorp/vault#20645)."""
    file = tmp_path / "secret-id"
    file.write_text("x")
    auth = site.approle_auth("role", file)
    calls: list[str] = []
    secrets = VaultSecrets(
        replace(site.at("http://127.0.0.1:1"), auth=auth), clock, lambda operation, code, seconds: calls.append(code)
    )
    for _ in range(600):
        assert isinstance(raised(secrets.upkeep), Unavailable)
        assert isinstance(raised(lambda: works(secrets, site)), Unavailable)
        clock.advance(timedelta(seconds=1))
    assert 8 <= len(calls) <= 22
    assert set(calls) == {Code.VAULT_UNREACHABLE.value}
