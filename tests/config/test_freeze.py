"""What comes out: defaults that fit, digests and hashes that change exactly when they must."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rotator.config.check import ttl_exceeds_issuer
from rotator.core.spec import Spec

from .conftest import GOOD, accepted, problems

Write = Callable[..., Path]
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
SHORT = '[policies.default]\noutage_budget = "15s"\n[policies.nightly]\noutage_budget = "15s"\n'


def _short(ttl: str = "60s") -> str:
    text = GOOD.replace('"24h"', f'"{ttl}"').replace('tick = "5s"', 'tick = "1s"')
    return text.replace("[policies.nightly]\n", SHORT)


def _spec(write: Write, text: str = GOOD) -> Spec:
    return accepted(write(text)).settings.fleet.agents[0].credentials[0]


def test_identity_follows_from_the_owner(write: Write) -> None:
    """One URI SAN (SPIFFE X509-SVID section 2), the name as CN, and server names for proxies alone."""
    fleet = accepted(write(GOOD)).settings.fleet
    agent, proxy = fleet.agents[0].credentials[0].settings, fleet.proxies[0].credentials[0].settings
    assert (agent.common_name, agent.uri_sans) == ("billing", ("spiffe://example.org/agent/billing",))
    assert (agent.server, agent.dns_sans, agent.role) == (False, (), "rotator-agent")
    assert (proxy.common_name, proxy.uri_sans) == ("edge", ("spiffe://example.org/proxy/edge",))
    assert (proxy.server, proxy.dns_sans, proxy.role) == (True, ("api.example.org",), "rotator-proxy")


def test_defaults_give_way_to_a_short_life(write: Write) -> None:
    """Nobody has to tune four times to try a certificate of one minute; what is written down is never bent."""
    fleet = accepted(write(_short())).settings.fleet
    proxy, policy = fleet.proxies[0], fleet.proxies[0].credentials[0].policy
    assert policy.attempt_window == MINUTE
    assert policy.floor_minimum == 5 * SECOND
    assert policy.overlap == pytest.approx(10 * SECOND, abs=SECOND)
    assert proxy.connection_age == pytest.approx(20 * SECOND, abs=SECOND)
    assert proxy.adoption_deadline == pytest.approx(10 * SECOND, abs=SECOND)


@pytest.mark.parametrize("key", ["connection_age", "adoption_deadline"])
def test_configured_times_of_a_proxy_fit_its_credentials(write: Write, key: str) -> None:
    """A connection must not outlive the credential that it was opened with by much."""
    text = _short().replace('kind = "envoy"', f'kind = "envoy"\n{key} = "40s"')
    (found,) = problems(write(text))
    assert (found.path, "lives on after its renewal" in found.text) == (f"proxies.edge.{key}", True)


def test_a_configured_overlap_fits_what_is_left(write: Write) -> None:
    """Otherwise the old version would be kept beyond its own end."""
    text = GOOD.replace('renew_at = "50%"', 'renew_at = "50%"\noverlap = "13h"')
    (found,) = problems(write(text))
    assert "the overlap of 13h does not fit" in found.text


def test_the_digest_follows_what_is_issued(write: Write) -> None:
    """A policy, a label or a scope must not have a whole fleet renewed; a life or a name must."""
    digest = _spec(write).digest
    kept = [
        GOOD.replace('renew_at = "50%"', 'renew_at = "60%"'),
        GOOD.replace('owner = "team-payments"', 'owner = "x"\nlabels = { stage = "prod" }'),
        GOOD.replace('"100/1m"', '"200/1m"'),
    ]
    changed = [GOOD.replace('"24h"', '"25h"'), GOOD.replace('"example.org"', '"example.net"')]
    assert {_spec(write, text).digest for text in kept} == {digest}
    assert digest not in {_spec(write, text).digest for text in changed}


def test_the_hash_follows_the_meaning(write: Write) -> None:
    """Two instances of one configuration show one hash; a changed value shows another."""

    def hashed(text: str) -> str:
        return accepted(write(text)).settings.config_hash

    same = [
        f"# a comment\n{GOOD}",
        GOOD.replace('tick = "5s"', 'tick = "5000ms"\ninstance = "second"'),
        GOOD.replace('renew_at = "50%"', "renew_at = 0.5"),
    ]
    assert {hashed(text) for text in same} == {hashed(GOOD)}
    assert hashed(GOOD.replace('"100/1m"', '"101/1m"')) != hashed(GOOD)


def test_a_life_longer_than_the_issuing_ca_is_named(write: Write) -> None:
    """Issuance stops at the CA's end less the ttl (hashicorp/vault#13193)."""
    now = datetime(2026, 3, 2, tzinfo=UTC)
    specs = accepted(write(GOOD)).settings.fleet.specs()
    longer = (replace(specs[0], ttl=25 * HOUR), *specs[1:])
    assert ttl_exceeds_issuer(specs, now + 24 * HOUR, now) == ()
    (found,) = ttl_exceeds_issuer(longer, now + 24 * HOUR, now)
    assert (found.path, "25h is longer than the 1d left" in found.text) == ("agent/billing/tls", True)
    assert len(ttl_exceeds_issuer(specs, now - HOUR, now)) == 2
