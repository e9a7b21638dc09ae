"""Who may do what, as Envoy data: RBAC policies, routes and rate limits of one route configuration.

All of it lies in the route configuration, not in the listener: a changed scope then holds from the next request on,
on open connections too, and no listener is drained. The filter itself stands in the listener with an empty allow
list, so that a request without a route (and thus without policies) is refused as well.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

AGENT_HEADER = "x-rotator-agent"
CERTIFICATE_HEADER = "x-rotator-certificate"
RBAC = "envoy.filters.http.rbac"
LOCAL_RATE_LIMIT = "envoy.filters.http.local_ratelimit"
UNLIMITED = 2**32 - 1
_TYPE = "type.googleapis.com"

Json = dict[str, Any]
Data = Mapping[str, Any]


def deny_all() -> Json:
    """The RBAC filter of the listener: allows nothing until a virtual host brings policies."""
    return {
        "name": RBAC,
        "typed_config": {
            "@type": f"{_TYPE}/envoy.extensions.filters.http.rbac.v3.RBAC",
            "rules": {"action": "ALLOW", "policies": {}},
        },
    }


def rate_limit_filter() -> Json:
    """The rate limit filter of the listener; it does nothing where the virtual host brings no buckets."""
    return {
        "name": LOCAL_RATE_LIMIT,
        "typed_config": {
            "@type": f"{_TYPE}/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
            "stat_prefix": "rotator",
        },
    }


def denied_certificates(trust: Data) -> Mapping[str, tuple[str, ...]]:
    """Agent -> SHA-256 fingerprints (hex) of its certificates that were reported as compromised."""
    found: dict[str, list[str]] = {}
    for one in trust.get("denied") or ():
        if one["kind"] == "certificate":
            found.setdefault(one["agent"], []).append(one["fingerprint"].lower())
    return {agent: tuple(sorted(listed)) for agent, listed in found.items()}


def route_configuration(name: str, content: Data, route_options: Data) -> Json:
    """The whole route configuration: one virtual host for every host name, since the certificate names the agent."""
    config, denied = content["config"], denied_certificates(content["trust"])
    host: Json = {
        "name": "all",
        "domains": ["*"],
        "routes": [_route(upstream, route_options) for upstream in _longest_first(config["upstreams"])],
        "typed_per_filter_config": {RBAC: _rbac(config["access"], denied)},
    }
    limits = _limits(config["access"])
    if limits:
        host["typed_per_filter_config"][LOCAL_RATE_LIMIT] = _buckets(limits)
    return {
        "@type": f"{_TYPE}/envoy.config.route.v3.RouteConfiguration",
        "name": name,
        "virtual_hosts": [host],
    }


def _rbac(access: Sequence[Data], denied: Mapping[str, tuple[str, ...]]) -> Json:
    policies = {agent["agent"]: _policy(agent, denied.get(agent["agent"], ())) for agent in access if agent["scopes"]}
    return {
        "@type": f"{_TYPE}/envoy.extensions.filters.http.rbac.v3.RBACPerRoute",
        "rbac": {"rules": {"action": "ALLOW", "policies": policies}},
    }


def _policy(agent: Data, denied: tuple[str, ...]) -> Json:
    """Other than a CRL, which only new handshakes meet, this refuses a denied certificate from the next request on."""
    principal: Json = {"authenticated": {"principal_name": {"exact": agent["spiffe_id"]}}}
    if denied:
        shown = [{"header": {"name": CERTIFICATE_HEADER, "string_match": {"exact": one}}} for one in denied]
        principal = {"and_ids": {"ids": [principal, {"not_id": {"or_ids": {"ids": shown}}}]}}
    return {
        "principals": [principal],
        "permissions": [_permission(scope) for scope in agent["scopes"]],
    }


def _permission(scope: Data) -> Json:
    methods = [{"header": {"name": ":method", "string_match": {"exact": method}}} for method in scope["methods"]]
    paths = [{"url_path": {"path": match}} for match in _path_matches(scope)]
    return {"and_rules": {"rules": [{"or_rules": {"rules": methods}}, {"or_rules": {"rules": paths}}]}}


def _path_matches(scope: Data) -> list[Json]:
    """Exact, or whole segments: `/orders` and `/orders/…`, never `/orders-old`."""
    if scope["match"] == "exact":
        return [{"exact": scope["path"]}]
    stem = scope["path"].rstrip("/")
    return [{"prefix": "/"}] if not stem else [{"exact": stem}, {"prefix": f"{stem}/"}]


def _longest_first(upstreams: Sequence[Data]) -> list[Data]:
    """Envoy takes the first route that matches."""
    return sorted(upstreams, key=lambda upstream: (-len(upstream["prefix"].rstrip("/")), upstream["name"]))


def _route(upstream: Data, options: Data) -> Json:
    stem = upstream["prefix"].rstrip("/")
    match = {"path_separated_prefix": stem} if stem else {"prefix": "/"}
    return {"match": match, "route": {**options, "cluster": upstream["name"]}}


def _limits(access: Sequence[Data]) -> list[Json]:
    """One bucket per scope with a rate, in document order."""
    found = []
    for agent in access:
        for number, scope in enumerate(agent["scopes"]):
            if scope.get("rate"):
                found.append(_limit(agent["spiffe_id"], f"{agent['agent']}/{number}", scope))
    return found


def _limit(identity: str, mark: str, scope: Data) -> Json:
    headers = [
        {"name": AGENT_HEADER, "string_match": {"exact": identity}},
        {"name": ":method", "string_match": {"safe_regex": {"regex": "|".join(map(re.escape, scope["methods"]))}}},
        {"name": ":path", "string_match": {"safe_regex": {"regex": _path_regex(scope)}}},
    ]
    rate = scope["rate"]
    bucket = {
        "max_tokens": rate["requests"],
        "tokens_per_fill": rate["requests"],
        "fill_interval": f"{rate['per_seconds']}s",
    }
    action = {"header_value_match": {"descriptor_key": "scope", "descriptor_value": mark, "headers": headers}}
    return {
        "action": {"actions": [action]},
        "descriptor": {"entries": [{"key": "scope", "value": mark}], "token_bucket": bucket},
    }


def _path_regex(scope: Data) -> str:
    """The header `:path` carries the query, other than what RBAC's `url_path` sees."""
    stem = re.escape(scope["path"] if scope["match"] == "exact" else scope["path"].rstrip("/"))
    tail = "" if scope["match"] == "exact" else "(/[^?]*)?"
    return f"{stem}{tail}(\\?.*)?"


def _buckets(limits: Sequence[Data]) -> Json:
    """Buckets are shared by all connections and workers of one Envoy process, and counted per node."""
    whole = {"numerator": 100, "denominator": "HUNDRED"}
    return {
        "@type": f"{_TYPE}/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
        "stat_prefix": "rotator",
        "filter_enabled": {"default_value": whole},
        "filter_enforced": {"default_value": whole},
        # Envoy insists on a bucket for requests that match no descriptor; this one never runs empty.
        "token_bucket": {"max_tokens": UNLIMITED, "tokens_per_fill": UNLIMITED, "fill_interval": "1s"},
        "always_consume_default_token_bucket": False,
        "descriptors": [limit["descriptor"] for limit in limits],
        "rate_limits": [limit["action"] for limit in limits],
    }
