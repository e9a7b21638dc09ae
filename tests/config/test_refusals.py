"""What is refused: each with the path, the words and the line where it stands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import GOOD, accepted, line_of, problems

Write = Callable[..., Path]

# (what stands there, what is put in its place, path, words). The line is that of the replacement's first line.
TABLE = [
    ('"example.org"', '"Example.org"', "trust_domain", "SPIFFE trust domain"),
    ('tick = "5s"', 'tick = "5"', "service.tick", "a number with a unit"),
    ('tick = "5s"', 'tick = "0s"', "service.tick", "above zero"),
    ('tick = "5s"', 'tikc = "5s"', "service.tikc", "not a known key"),
    ('tick = "5s"', "wave = 0", "service.wave", "greater than or equal to 1"),
    ('tick = "5s"', 'http = "9115"', "service.http", "host:port"),
    ('state_dir = "/var/lib/rotator"', 'state_dir = "state"', "service.state_dir", "absolute path"),
    ('"https://vault.example.org:8200"', '"http://vault.example.org:8200"', "vault.address", "loopback only"),
    ('"https://vault.example.org:8200"', '"unix:///run/vault"', "vault.address", "no address"),
    ('"https://vault.example.org:8200"', '"https://["', "vault.address", "no address"),
    ('"https://vault.example.org:8200"', '"https://me:pw@vault:8200"', "vault.address", "secrets do not stand"),
    ('role = "role-id", ', "", "vault.auth.role", "method approle needs it"),
    (', secret_id_file = "/nowhere/secret-id"', "", "vault.auth.secret_id_file", "method approle needs it"),
    ('method = "approle"', 'method = "token"', "vault.auth.method", "VAULT_TOKEN is not set"),
    ('method = "approle"', 'method = "cert"', "vault.tls.client_certificate", "needs a client certificate"),
    ('method = "approle"', 'method = "approle", mount = "agents"', "vault.auth.mount", "this service rotates"),
    ('method = "approle"', 'method = "approle", secret_id_wrapped = true', "vault.auth.role_name", "is missing"),
    ('method = "approle"', 'method = "approle", secret_id = "x"', "vault.auth.secret_id", "secrets do not stand"),
    ("token_file", "verify = false\n#", "consul.verify", "cannot be switched off"),
    ("token_file", 'token = "x"\n#', "consul.token", "secrets do not stand"),
    ("token_file", 'session_ttl = "5s"\n#', "consul.session_ttl", "10s to 24h"),
    ("token_file", 'session_ttl = "10500ms"\n#', "consul.session_ttl", "whole seconds"),
    ("token_file", 'lock_delay = "2m"\n#', "consul.lock_delay", "60s at most"),
    ("token_file", 'prefix = "/prod"\n#', "consul.prefix", "ends in /"),
    ('renew_at = "50%"', 'renew_at = "95%"', "policies.nightly.renew_at", "between 10% and 90%"),
    ('renew_at = "50%"', "renew_at = 1.5", "policies.nightly.renew_at", "a share is"),
    ('renew_at = "50%"', 'spread = "60%"', "policies.nightly.spread", "half of renew_at"),
    ('renew_at = "50%"', 'floor = "50%"', "policies.nightly.floor", "before the renewal"),
    (
        'renew_at = "50%"',
        "attempts = { budget = 5, reserve = 5 }",
        "policies.nightly.attempts.reserve",
        "outside the reserve",
    ),
    ('"mon"', '"monday"', "policies.nightly.windows.0.days.0", "mon"),
    ('start = "22:00"', 'start = "22"', "policies.nightly.windows.0.start", "a time of day"),
    ("Europe/Berlin", "Europe/Atlantis", "policies.nightly.windows.0.timezone", "no such time zone"),
    ("[policies.nightly]", "[policies.Nightly]", "policies.Nightly", "is no name"),
    ('kind = "envoy"', 'kind = "squid"', "proxies.edge.kind", "envoy"),
    ('kind = "envoy"', 'kind = "nginx"', "proxies.edge.kind", "not supported yet"),
    ('"0.0.0.0:8443"', '"0.0.0.0:70000"', "proxies.edge.listener", "host:port"),
    ('prefix = "/orders"', 'prefix = "/orders/../x"', "proxies.edge.upstreams.orders.prefix", "dot segment"),
    ('"127.0.0.1:8080"', '"127.0.0.1"', "proxies.edge.upstreams.orders.address", "host:port"),
    ("api.example.org", "*.example.org", "proxies.edge.credentials.tls.dns_sans", "DNS name"),
    ("dns_sans = [", 'ip_sans = ["300.1.1.1"]\n#', "proxies.edge.credentials.tls.ip_sans", "an IP address"),
    ('owner = "team-payments"', 'owner = "a\\u0007b"', "agents.billing.owner", ""),
    ('owner = "team-payments"', "", "agents.billing.owner", "is missing"),
    ('{ proxy = "edge"', '{ proxy = "egde"', "agents.billing.scopes.0.proxy", "there is no proxy"),
    ('path = "/orders"', 'path = "/invoices"', "agents.billing.scopes.0.path", "no upstream"),
    ('path = "/orders"', 'path = "/orders%2f"', "agents.billing.scopes.0.path", "escape"),
    ('["GET"]', '["BREW"]', "agents.billing.scopes.0.methods", "are wanted"),
    ('["GET"]', '["POST"]', "agents.billing.scopes.0.methods", "permission read"),
    ('"100/1m"', '"100"', "agents.billing.scopes.0.rate", "100/1m"),
    ('policy = "nightly"', 'policy = "nihgtly"', "agents.billing.credentials.tls.policy", "there is no policy"),
    ('policy = "nightly"', 'dns_sans = ["x"]', "agents.billing.credentials.tls.dns_sans", "SPIFFE ID alone"),
    ('policy = "nightly"', 'kind = "ssh"', "agents.billing.credentials.tls.kind", "certificate"),
    ("[agents.billing]", "[agents.Billing]", "agents.Billing", "is no name"),
]
# Put in place of the ttl of the agent's credential.
LIVES = [
    ("90m", "nightly", "less than the outage budget of"),
    ("40s", "nightly", "too short for a service.tick of 5s"),
    ("90500ms", "nightly", "whole seconds"),
    ("20y", "nightly", "a number with a unit"),
]


@pytest.mark.parametrize(("old", "new", "path", "words"), TABLE, ids=[f"{row[2]}={row[1][:24]}" for row in TABLE])
def test_each_mistake_is_named_with_its_place(write: Write, old: str, new: str, path: str, words: str) -> None:
    """Path, words and line: whoever reads it goes there and knows what to change."""
    assert old in GOOD
    text = GOOD.replace(old, new, 1)
    found = {problem.path: problem for problem in problems(write(text))}
    assert path in found, sorted(found)
    assert words in found[path].text or words in found[path].hint
    assert found[path].line == _expected_line(text, new, path), found[path]


@pytest.mark.parametrize(("ttl", "policy", "words"), LIVES)
def test_an_impossible_life_is_refused(write: Write, ttl: str, policy: str, words: str) -> None:
    """Found at load, not in the night in which Vault is away."""
    head, tail = GOOD.rsplit('ttl = "24h"', 1)
    text = f'{head}ttl = "{ttl}"{tail}'.replace('policy = "nightly"', f'policy = "{policy}"')
    found = [one for one in problems(write(text)) if one.path == "agents.billing.credentials.tls.ttl"]
    assert any(words in one.text for one in found), found
    assert {one.line for one in found} == {line_of(text, f'ttl = "{ttl}"')}


def test_the_good_file_is_good(write: Write) -> None:
    """Without this the table would prove nothing."""
    assert accepted(write(GOOD)).settings.fleet.agents[0].name == "billing"


def test_everything_is_told_at_once(write: Write) -> None:
    """One round of corrections, not one for each mistake; a bad entry hides no other."""
    text = GOOD.replace('"5s"', '"5"').replace('kind = "envoy"', 'kind = "squid"').replace('"100/1m"', '"100"')
    text = text.replace('"https://vault', '"http://vault').replace('["mon"]', '["monday"]')
    found = {problem.path for problem in problems(write(text))}
    assert found >= {
        "service.tick",
        "proxies.edge.kind",
        "agents.billing.scopes.0.rate",
        "vault.address",
        "policies.nightly.windows.0.days.0",
    }


def test_a_file_that_is_no_toml_names_the_line(write: Write) -> None:
    """The parser's words, at the parser's place."""
    (found,) = problems(write(GOOD.replace('tick = "5s"', "tick = ")))
    assert found.line == line_of(GOOD, 'tick = "5s"')
    assert "cannot be parsed" in found.text


def _expected_line(text: str, new: str, path: str) -> int:
    """Where the replacement stands; a key that is missing is looked for at its table."""
    missing = {"vault.tls.client_certificate": "[vault]", "agents.billing.owner": "[agents.billing]"}
    first = new.splitlines()[0] if new else ""
    if not new or (path in missing and "owner" not in first):
        fallback = "auth = {" if path.startswith("vault.auth") else missing[path]
        return line_of(text, fallback)
    return line_of(text, first)
