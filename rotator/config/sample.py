"""The configuration that `rotator init` writes, with every key, and the JSON Schema that editors check it with."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from rotator.config.fields import text_of
from rotator.config.schema import WholeModel

SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"


class _AsSpelled(GenerateJsonSchema):
    """Defaults as the file spells them."""

    def encode_default(self, dft: Any) -> Any:
        return text_of(dft) if isinstance(dft, timedelta) else super().encode_default(dft)


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of the main file. Durations, rates and shares are texts: "15m", "100/1m", "66%"."""
    described = WholeModel.model_json_schema(schema_generator=_AsSpelled)
    return {**described, "$schema": SCHEMA_DIALECT, "title": "rotator.toml"}


# Lines of `#key = value` without a blank are settings that show their default or an example; a test uncomments them.
SAMPLE = """\
# rotator.toml: what the service manages, and where. `rotator validate` checks it, `rotator schema` describes every key.
#
# No secret stands in this file: tokens and secret-ids are named by file (mode 0600, owned by the service).
# The environment beats this file: BAO_ADDR or VAULT_ADDR, BAO_TOKEN or VAULT_TOKEN, CONSUL_HTTP_ADDR, CONSUL_HTTP_TOKEN
# and their like, with the vendors' meanings. `rotator config show --origin` tells what is in force and who said so.
# Durations: 90s, 15m, 24h, 7d. Shares: 66% or 0.66. Rates: 100/1m. A line that begins with #key is optional and shows
# its default, or an example.

# The SPIFFE trust domain of all names: agent billing becomes spiffe://example.org/agent/billing. Hard to change later.
trust_domain = "example.org"

[service]
instance = "rotator-1"                # this instance in lock, audit and metrics; make it differ between instances
state_dir = "/var/lib/rotator"        # audit log and lock; of this instance alone, mode 0700, on a local disk
#tick = "5s"                          # how often it looks for work; at most a tenth of the shortest ttl
#wave = 256                           # how many credentials go through one step together
#http = "127.0.0.1:9115"              # /metrics, health and status
#log_format = "json"                  # or "console"
#log_level = "info"                   # debug, info, warning or error
#versions_kept = 20                   # published versions of each proxy that can be rolled back to

[audit]
file = "audit.jsonl"                  # below state_dir unless absolute; when it cannot be written, nothing is rotated
#stdout = false                       # also one JSON line for each event to standard output

[vault]                               # HashiCorp Vault or OpenBao
address = "https://vault.example.org:8200"
#namespace = "team-a"                 # left out: the root namespace
#timeout = "10s"                      # of one call, from connect to last byte
#workers = 8                          # calls at the same time
#kv_mount = "kv"                      # KV version 2, where issued credentials are put
#pki_mount = "pki_int"                # the intermediate CA
#transit_mount = "transit"            # where the signing key of tokens is
#database_mount = "database"          # where the static roles of databases are
#agents_mount = "agents"              # the AppRoles whose secret-ids are rotated; never the one of [vault.auth]
#agent_role = "rotator-agent"         # PKI roles; `rotator bootstrap` makes them
#proxy_role = "rotator-proxy"

[vault.auth]
method = "approle"                    # or jwt, cert, token_file; token: taken from VAULT_TOKEN alone
role = "4f1c2d6e-0000-4000-8000-000000000000"  # the role id (approle), or the role's name (jwt, cert)
secret_id_file = "/run/credentials/rotator.service/vault-secret-id"
#mount = "approle"                    # left out: named like the method; never the agents' own mount
#secret_id_wrapped = false            # true: the file holds a wrapping token, and role_name is needed
#role_name = "rotator-service"
#jwt_file = "/var/run/secrets/tokens/vault"
#token_file = "/run/rotator/vault-token"

[vault.tls]                           # verification cannot be switched off
#ca_file = "/etc/rotator/vault-ca.pem"    # left out: the system's CAs
#ca_path = "/etc/ssl/certs"
#server_name = "vault.example.org"    # when it differs from the address
#client_certificate = "/etc/rotator/client.pem"
#client_key = "/etc/rotator/client.key"

[consul]
address = "http://127.0.0.1:8500"     # the local agent; anything but loopback must be https
token_file = "/run/credentials/rotator.service/consul-token"
#prefix = "site-a/"                   # before every key, for sites that share one Consul
#datacenter = "dc1"
#namespace = "platform"               # Consul Enterprise
#timeout = "10s"
#session_ttl = "15s"                  # how soon another instance may notice that this one is gone; 10s to 24h
#lock_delay = "15s"                   # how long the lock then rests

[consul.tls]
#ca_file = "/etc/rotator/consul-ca.pem"
#ca_path = "/etc/ssl/certs"
#server_name = "server.dc1.consul"
#client_certificate = "/etc/rotator/consul-client.pem"
#client_key = "/etc/rotator/consul-client.key"

[tokens]                              # the one key that signs all agents' JWTs
#issuer = "spiffe://example.org"      # `iss` of every token; left out: the trust domain
#key = "rotator-tokens"               # in transit_mount, ecdsa-p256
#key_ttl = "30d"                      # a new verify key is published and adopted before it signs for the first time
#policy = "default"

[databases.orders]                    # where new passwords are tried before they count; TLS is always verified
address = "db.example.org:5432"
database = "orders"
#ca_file = "/etc/rotator/db-ca.pem"   # left out: the system's CAs

[authorization_servers.main]          # OAuth 2.0; the endpoints are discovered
issuer = "https://login.example.org"
#ca_file = "/etc/rotator/login-ca.pem"

# Agents, proxies and policies may as well stand in *.toml and *.json files of one folder, one for each team.
[inventory]
#folder = "inventory.d"               # relative to this file

# How patiently credentials are renewed. `default` holds wherever a credential names no policy.
[policies.default]
renew_at = "66%"                      # share of the life; a third is left for outages
#spread = "5%"                        # each renewal is earlier by its own fixed share of this
#floor = "5%"                         # so near the end, windows no longer hold a renewal back
overlap = "30s"                       # how long the old credential stays beside the new one, at least
outage_budget = "1h"                  # how long Vault or Consul may be away without an expiry; checked against the ttl

[policies.default.attempts]           # tries for each credential, whatever goes wrong
#budget = 20
#reserve = 5                          # of these, kept for the time below the floor
#window = "1h"

# A policy for agents that may be disturbed at night only.
[policies.nightly]
renew_at = "50%"
outage_budget = "12h"
windows = [{ days = ["mon", "tue", "wed", "thu", "fri"], start = "22:00", end = "04:00", timezone = "Europe/Berlin" }]

# A policy for what lives for minutes.
[policies.short]
outage_budget = "3m"

[proxies.edge]
kind = "envoy"
listener = "0.0.0.0:8443"
nodes = ["edge-1", "edge-2"]          # must all run a version before the old one is retired; none: those that report
#connection_age = "10m"               # connections are closed after this, so that none outlives its credential by much
#adoption_deadline = "2m"             # how long nodes may take before a version counts as missing
#probe = "192.0.2.10:8443"            # where the service itself looks at the served certificate
#labels = { site = "berlin" }         # for metrics

[proxies.edge.upstreams.orders]
prefix = "/orders"
address = "orders.internal:8080"

[proxies.edge.upstreams.invoices]
prefix = "/invoices"
address = "invoices.internal:8080"

[proxies.edge.credentials.tls]        # the proxy's own server certificate
ttl = "7d"
dns_sans = ["api.example.org"]
#ip_sans = ["192.0.2.10"]

[agents.billing]
owner = "team-payments"               # whom to call
labels = { tier = "1" }

[[agents.billing.scopes]]             # all that it may do; whatever no scope allows is refused by the proxy
proxy = "edge"
path = "/orders"
match = "prefix"                      # whole segments; or "exact"
methods = ["GET", "HEAD"]
permission = "read"                   # safe methods only; write and admin allow more
rate = "100/1m"

[[agents.billing.scopes]]
proxy = "edge"
path = "/invoices"
methods = ["GET", "POST"]
permission = "write"
rate = "20/1m"

[agents.billing.credentials.tls]      # its client certificate
kind = "certificate"
ttl = "24h"
#policy = "default"
#role = "rotator-agent"               # another PKI role than [vault] names
#local_key = false                    # true: the key is made here, and Vault only signs

[agents.billing.credentials.token]    # ES256, with the agent's scopes as claims
kind = "jwt"
ttl = "15m"
policy = "short"
#jwt = { audience = ["edge"] }        # left out: the proxies of its scopes

[agents.billing.credentials.key]      # a random text; whoever accepts it reads both values during the overlap
kind = "api_key"
ttl = "30d"
#api_key = { length = 40, prefix = "", alphabet = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789" }

[agents.billing.credentials.login]    # the secret-id of an AppRole in agents_mount
kind = "approle"
ttl = "24h"
approle = { role = "billing", num_uses = 0, secret_id_cidrs = [], token_cidrs = [], token_policies = ["billing"] }

[agents.billing.credentials.db]       # two roles take turns; with one, the old password dies with the rotation
kind = "database"
ttl = "24h"
database = { server = "orders", roles = ["billing-a", "billing-b"] }

[agents.billing.credentials.api]      # an access token; client_path holds the client's secret, which others put there
kind = "oauth2"
ttl = "15m"
policy = "short"

[agents.billing.credentials.api.oauth2]
server = "main"
client_id = "billing"
client_path = "clients/billing"
#grant = "client_credentials"         # or "refresh_token"
scope = "orders:read"

[agents.reports]
owner = "team-analytics"

[[agents.reports.scopes]]
proxy = "edge"
path = "/invoices"

[agents.reports.credentials.tls]
ttl = "48h"
policy = "nightly"

# A kind that another package brings (docs/kinds.md) takes its own table:
#   [agents.reports.credentials.seed]
#   kind = "totp_seed"
#   ttl = "30d"
#   settings = { digits = 6 }
#   overlaps = true
"""
