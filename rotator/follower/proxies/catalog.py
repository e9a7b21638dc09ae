"""Proxy kind -> its adapter. A new kind is one line here, one file beside this one, and its template."""

from __future__ import annotations

from rotator.clients.envoy_admin import EnvoyAdmin
from rotator.config.follower_model import ProxySubject
from rotator.core.errors import Code, Denied
from rotator.core.fleet import ProxyKind
from rotator.follower.proxies.contract import ProxyAdapter
from rotator.follower.proxies.envoy import EnvoyAdapter
from rotator.follower.templates import read_json


def adapter(subject: ProxySubject) -> ProxyAdapter:
    """Raises Denied for a kind that this release cannot follow, and for an unusable template."""
    if subject.kind is ProxyKind.ENVOY:
        return _envoy(subject)
    text = f"this release has no follower for {subject.kind.value}"
    raise Denied(Code.DOCUMENT_UNSUPPORTED, text, hint="follow the Consul key with your own tool, or use envoy")


def _envoy(subject: ProxySubject) -> EnvoyAdapter:
    status = None
    if subject.admin is not None:
        host, _, port = subject.admin.rpartition(":")
        status = EnvoyAdmin(host.strip("[]"), int(port))
    parts = read_json("envoy.json", subject.template)
    return EnvoyAdapter(subject.binary or "envoy", subject.name, _with_admin(parts, subject), status)


def _with_admin(parts: dict[str, object], subject: ProxySubject) -> dict[str, object]:
    """The bootstrap opens the admin interface where we ask it; without `admin` it keeps what the template says."""
    if subject.admin is None:
        return parts
    host, _, port = subject.admin.rpartition(":")
    address = {"socket_address": {"address": host.strip("[]"), "port_value": int(port)}}
    bootstrap = parts.get("bootstrap")
    known = bootstrap if isinstance(bootstrap, dict) else {}
    return {**parts, "bootstrap": {**known, "admin": {**known.get("admin", {}), "address": address}}}
