"""The resources of one version as Envoy data: listener, clusters, secrets, and the bootstrap that points at them."""

from __future__ import annotations

import copy
import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rotator.follower.proxies.envoy_access import AGENT_HEADER, CERTIFICATE_HEADER, deny_all, rate_limit_filter

ROUTES = "rotator"
SERVER_SECRET = "server"  # noqa: S105 - the name of an SDS resource
TRUST_SECRET = "trust"  # noqa: S105
_TYPE = "type.googleapis.com"
_TLS = f"{_TYPE}/envoy.extensions.transport_sockets.tls.v3"

Json = dict[str, Any]
Data = Mapping[str, Any]


def file_source(directory: Path, name: str, watched: Path) -> Json:
    """xDS from a file. Envoy reads again when an entry is *moved* inside `watched`: the parent of the symlink."""
    return {
        "path_config_source": {"path": str(directory / name), "watched_directory": {"path": str(watched)}},
        "resource_api_version": "V3",
    }


def response(number: int, *resources: Data) -> Json:
    """A DiscoveryResponse; `version_info` is what the admin interface shows once Envoy has taken it."""
    return {"version_info": str(number), "resources": list(resources)}


def listener(parts: Data, content: Data, tls: Data, routes: Data) -> Json:
    """The mTLS listener. `tls`: the downstream TLS context; `routes`: `rds` or `route_config` of the HTTP filter."""
    config = content["config"]
    chain = copy.deepcopy(dict(parts.get("filter_chain", {})))
    chain["transport_socket"] = {"name": "envoy.transport_sockets.tls", "typed_config": dict(tls)}
    chain["filters"] = [
        {
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": connection_manager(parts, config, routes),
        }
    ]
    return {
        "@type": f"{_TYPE}/envoy.config.listener.v3.Listener",
        **copy.deepcopy(dict(parts.get("listener", {}))),
        "name": "rotator",
        "address": _address(config["listener"]["address"], config["listener"]["port"]),
        "filter_chains": [chain],
    }


def connection_manager(parts: Data, config: Data, routes: Data) -> Json:
    """The HTTP side. Order of the filters matters: a refused request must not use up anybody's rate."""
    manager = copy.deepcopy(dict(parts["connection_manager"]))
    options = manager.setdefault("common_http_protocol_options", {})
    options["max_connection_duration"] = f"{config['connection_age_seconds']}s"
    extra = manager.pop("http_filters", [])
    manager.update(routes)
    manager["@type"] = f"{_TYPE}/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
    manager["early_header_mutation_extensions"] = [_own_headers()]
    router = {
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": f"{_TYPE}/envoy.extensions.filters.http.router.v3.Router"},
    }
    manager["http_filters"] = [deny_all(), rate_limit_filter(), *extra, router]
    return manager


def tls_context(parts: Data, trust_domain: str, secrets: Data) -> Json:
    """mTLS towards agents. `secrets`: how server certificate and trust bundle arrive (SDS, or files for a check)."""
    context = copy.deepcopy(dict(parts["downstream_tls"]))
    agents_only = {"san_type": "URI", "matcher": {"prefix": f"spiffe://{trust_domain}/agent/"}}
    common = context.setdefault("common_tls_context", {})
    common.update(copy.deepcopy(dict(secrets["server"])))
    common["combined_validation_context"] = {
        "default_validation_context": {"match_typed_subject_alt_names": [agents_only]},
        **copy.deepcopy(dict(secrets["trust"])),
    }
    context["require_client_certificate"] = True
    context["@type"] = f"{_TLS}.DownstreamTlsContext"
    return context


def secrets_by_sds(directory: Path, watched: Path) -> Json:
    """Both secrets by file SDS, so that they change without touching the listener."""
    server = {"name": SERVER_SECRET, "sds_config": file_source(directory, "sds/server.json", watched)}
    trust = {"name": TRUST_SECRET, "sds_config": file_source(directory, "sds/trust.json", watched)}
    return {
        "server": {"tls_certificate_sds_secret_configs": [server]},
        "trust": {"validation_context_sds_secret_config": trust},
    }


def server_secret(version: Path) -> Json:
    """Names the files of exactly one version: key and certificate of two versions can never be read together
    (Envoy reads them one after the other, envoyproxy/envoy#13370)."""
    return {
        "certificate_chain": {"filename": str(version / "tls/certificate.pem")},
        "private_key": {"filename": str(version / "tls/private_key.pem")},
    }


def trust_secret(version: Path, *, revocations: bool) -> Json:
    """Who may sign agents, and with `revocations` which of their certificates are revoked all the same."""
    context: Json = {"trusted_ca": {"filename": str(version / "trust/bundle.pem")}}
    if revocations:
        context["crl"] = {"filename": str(version / "trust/crl.pem")}
        context["only_verify_leaf_cert_crl"] = True
    return context


def secret_resource(name: str, body: Data) -> Json:
    return {"@type": f"{_TLS}.Secret", "name": name, **body}


def cluster(parts: Data, upstream: Data) -> Json:
    """One upstream. A name is resolved again and again (STRICT_DNS); an address needs no resolver (STATIC)."""
    kind = "STATIC" if _is_address(upstream["address"]) else "STRICT_DNS"
    endpoint = {"endpoint": {"address": _address(upstream["address"], upstream["port"])}}
    return {
        "@type": f"{_TYPE}/envoy.config.cluster.v3.Cluster",
        **copy.deepcopy(dict(parts.get("cluster", {}))),
        "name": upstream["name"],
        "type": kind,
        "load_assignment": {"cluster_name": upstream["name"], "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


def bootstrap(parts: Data, node: str, proxy: str, root: Path) -> Json:
    """What Envoy is started with, once: it names no version and follows the symlink."""
    current = root / "current"
    return {
        **copy.deepcopy(dict(parts.get("bootstrap", {}))),
        "node": {"id": node, "cluster": proxy},
        "dynamic_resources": {
            "lds_config": file_source(current, "lds.json", root),
            "cds_config": file_source(current, "cds.json", root),
        },
    }


def candidate(parts: Data, listener_resource: Data, clusters: list[Json]) -> Json:
    """A bootstrap that holds everything itself, for `envoy --mode validate` before the swap.

    Validation does not wait for dynamic resources, so a candidate by reference would pass with anything behind it.
    """
    boot = copy.deepcopy(dict(parts.get("bootstrap", {})))
    boot.pop("admin", None)
    return {
        **boot,
        "node": {"id": "candidate", "cluster": "candidate"},
        "static_resources": {
            "listeners": [_untyped(listener_resource)],
            "clusters": [_untyped(each) for each in clusters],
        },
    }


# From the client's certificate, before routing: its name, and the SHA-256 of its DER as hex.
_FROM_CERTIFICATE = (
    (AGENT_HEADER, "%DOWNSTREAM_PEER_URI_SAN%"),
    (CERTIFICATE_HEADER, "%DOWNSTREAM_PEER_FINGERPRINT_256%"),
)


def _own_headers() -> Json:
    """Whatever the client sent in these headers is gone."""
    mutations: list[Json] = []
    for name, value in _FROM_CERTIFICATE:
        header = {"key": name, "value": value}
        mutations.append({"remove": name})
        mutations.append({"append": {"header": header, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}})
    return {
        "name": "envoy.http.early_header_mutation.header_mutation",
        "typed_config": {
            "@type": f"{_TYPE}/envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
            "mutations": mutations,
        },
    }


def _untyped(resource: Data) -> Json:
    return {name: value for name, value in resource.items() if name != "@type"}


def _address(host: str, port: int) -> Json:
    return {"socket_address": {"address": host, "port_value": port}}


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
