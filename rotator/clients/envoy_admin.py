"""Envoy's admin interface, read only: which version of each resource type it runs, and how often it refused one.

Statistics are the stable interface (`/config_dump` carries private data and changes its shape between releases).
"""

from __future__ import annotations

import http.client
import re
from collections.abc import Mapping

from rotator.core.errors import Code, Unavailable

_NAMES = {
    "listener_manager.lds": "lds",
    "cluster_manager.cds": "cds",
    "http.rotator.rds.rotator": "rds",
    "sds.server": "server",
    "sds.trust": "trust",
}
_LINE = re.compile(r"^(?P<scope>[\w.]+)\.(?P<stat>version_text|update_rejected|key_rotation_failed): (?P<value>.*)$")
_FILTER = "/stats?filter=(version_text|update_rejected|key_rotation_failed)$"
_LIMIT = 1024 * 1024


class EnvoyAdmin:
    """`host` and `port` of the admin listener, which must be loopback only. One short connection per question."""

    def __init__(self, host: str, port: int, timeout: float = 2.0) -> None:
        self._host = host
        self._port = port
        self._timeout = timeout

    def versions(self) -> Mapping[str, str]:
        """`lds`, `cds`, `rds`, `server`, `trust` -> version text; a type that has none yet is absent."""
        found = {}
        for scope, stat, value in self._stats():
            if stat == "version_text" and scope in _NAMES:
                found[_NAMES[scope]] = value.strip('"')
        return found

    def refusals(self) -> int:
        """Updates refused since Envoy's start. A mismatched pair counts as `key_rotation_failed` alone (1.40)."""
        return sum(int(value) for scope, stat, value in self._stats() if stat != "version_text" and scope in _NAMES)

    def _stats(self) -> list[tuple[str, str, str]]:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)
        try:
            connection.request("GET", _FILTER)
            reply = connection.getresponse()
            body = reply.read(_LIMIT).decode("utf-8", "replace")
        except (OSError, http.client.HTTPException) as problem:
            where = f"{self._host}:{self._port}"
            text = f"Envoy's admin interface at {where} does not answer: {type(problem).__name__}"
            raise Unavailable(Code.PROXY_PROBE_FAILED, text) from None
        finally:
            connection.close()
        if reply.status != http.client.OK:
            raise Unavailable(Code.PROXY_PROBE_FAILED, f"Envoy's admin interface answers {reply.status}")
        lines = (_LINE.match(line) for line in body.splitlines())
        return [(line["scope"], line["stat"], line["value"]) for line in lines if line]
