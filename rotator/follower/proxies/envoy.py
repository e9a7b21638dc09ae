"""Envoy: file xDS below one symlink, checked with `envoy --mode validate`, built as data and serialised.

Version directory: `lds.json cds.json rds.json sds/{server,trust}.json tls/{certificate,private_key}.pem
trust/{bundle,crl}.pem candidate.json`. Envoy is started once with `<directory>/bootstrap.json` and takes every later
version by itself when the symlink is moved; there is no reload command.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

from rotator.core.errors import Code, Fault, Rejected
from rotator.follower.proxies import envoy_resources as resources
from rotator.follower.proxies.contract import SHOWN_WORDS, Answer, Inputs, Place, RenderedFile
from rotator.follower.proxies.envoy_access import route_configuration

_STAMP = re.compile(r"^\[[^\]]*\]\[\d+\]\[\w+\]\[\w+\]\s*(\[[^\]]*\]\s*)?")
XDS = ("lds", "cds", "rds", "server", "trust")
T = TypeVar("T")
_SECTIONS = ("bootstrap", "downstream_tls", "connection_manager")


class EnvoyStatus(Protocol):
    """What the admin interface says (filled by `clients/envoy_admin.py`)."""

    def versions(self) -> Mapping[str, str]:
        """Each name of XDS -> the version text that Envoy runs. Raises Unavailable."""
        ...

    def refusals(self) -> int:
        """How many updates Envoy has refused since its start. Raises Unavailable."""
        ...


class EnvoyAdapter:
    """`parts` is the parsed base document (`templates/envoy.json`); without `status` only the probe speaks."""

    name = "envoy"
    needs_reload = False

    def __init__(self, binary: str, proxy: str, parts: Mapping[str, Any], status: EnvoyStatus | None) -> None:
        missing = [section for section in _SECTIONS if not isinstance(parts.get(section), dict)]
        if missing:
            text = f"the Envoy base document lacks {', '.join(missing)}"
            raise Rejected(Code.DOCUMENT_UNSUPPORTED, text, hint="start from the shipped templates/envoy.json")
        self._binary = binary
        self._proxy = proxy
        self._parts = parts
        self._status = status

    def render(self, inputs: Inputs) -> tuple[RenderedFile, ...]:
        version, content = inputs.place.version, inputs.content
        crl = content["trust"].get("crl") or ()
        files = [
            RenderedFile("tls/certificate.pem", inputs.material.fullchain),
            RenderedFile("tls/private_key.pem", inputs.material.private_key),
            RenderedFile("trust/bundle.pem", _joined(content["trust"]["bundle"])),
        ]
        if crl:
            files.append(RenderedFile("trust/crl.pem", _joined(crl)))
        server = {"tls_certificate": resources.server_secret(version)}
        trust = {"validation_context": resources.trust_secret(version, revocations=bool(crl))}
        bodies = {
            **self._xds(inputs),
            "sds/server.json": _secret(inputs.number, resources.SERVER_SECRET, server),
            "sds/trust.json": _secret(inputs.number, resources.TRUST_SECRET, trust),
            "candidate.json": self._candidate(inputs, {"server": server, "trust": trust}),
        }
        return (*files, *(RenderedFile(path, _json(body)) for path, body in bodies.items()))

    def standing(self, place: Place) -> tuple[RenderedFile, ...]:
        body = resources.bootstrap(self._parts, place.node, self._proxy, place.root)
        return (RenderedFile("bootstrap.json", _json(body)),)

    def check_command(self, version: Path) -> tuple[str, ...]:
        """One worker and no hot restart: the check must neither meet the running Envoy nor cost its memory."""
        return (
            self._binary, "--mode", "validate", "-c", str(version / "candidate.json"),
            "--concurrency", "1", "--disable-hot-restart", "-l", "error",
        )  # fmt: skip

    def words(self, output: str) -> str:
        """The first message; where Envoy dumps the configuration, the last cause, which it tells after the dump."""
        cause = output.rpartition(" caused by ")[2] if " caused by " in output else ""
        if cause:
            return cause.splitlines()[0].strip().rstrip(")")[:SHOWN_WORDS]
        stamped = [_STAMP.sub("", line).strip() for line in output.splitlines() if _STAMP.match(line)]
        told = next((line for line in stamped if line), "")
        return told[:SHOWN_WORDS] or " ".join(output.split())[:SHOWN_WORDS] or "envoy gave no reason"

    def mark(self) -> int | None:
        return self._ask(lambda status: status.refusals())

    def answer(self, number: int, mark: int | None) -> Answer:
        """TAKEN when listener, clusters, routes and both secrets show the version (Envoy 1.40 shows it even where
        nothing changed). A refused update is dropped per resource type, the text of the last good one stays."""
        texts = self._ask(lambda status: status.versions())
        if texts is None:
            return Answer.SILENT
        if all(texts.get(name) == str(number) for name in XDS):
            return Answer.TAKEN
        refused = self._ask(lambda status: status.refusals())
        grown = mark is not None and refused is not None and refused > mark
        return Answer.REFUSED if grown else Answer.WAITING

    def _ask(self, question: Callable[[EnvoyStatus], T]) -> T | None:
        if self._status is None:
            return None
        try:
            return question(self._status)
        except Fault:
            return None

    def _xds(self, inputs: Inputs) -> dict[str, Any]:
        current, root = inputs.place.current, inputs.place.root
        config = inputs.content["config"]
        rds = {
            "rds": {
                "route_config_name": resources.ROUTES,
                "config_source": resources.file_source(current, "rds.json", root),
            }
        }
        secrets = resources.secrets_by_sds(current, root)
        tls = resources.tls_context(self._parts, config["trust_domain"], secrets)
        return {
            "lds.json": resources.response(inputs.number, resources.listener(self._parts, inputs.content, tls, rds)),
            "cds.json": resources.response(inputs.number, *self._clusters(config)),
            "rds.json": resources.response(inputs.number, self._routes(inputs.content)),
        }

    def _candidate(self, inputs: Inputs, secrets: Mapping[str, Any]) -> dict[str, Any]:
        config = inputs.content["config"]
        by_file = {
            "server": {"tls_certificates": [secrets["server"]["tls_certificate"]]},
            "trust": {},
        }
        tls = resources.tls_context(self._parts, config["trust_domain"], by_file)
        combined = tls["common_tls_context"].pop("combined_validation_context")
        tls["common_tls_context"]["validation_context"] = {
            **combined["default_validation_context"],
            **secrets["trust"]["validation_context"],
        }
        routes = {"route_config": {k: v for k, v in self._routes(inputs.content).items() if k != "@type"}}
        built = resources.listener(self._parts, inputs.content, tls, routes)
        return resources.candidate(self._parts, built, self._clusters(config))

    def _clusters(self, config: Mapping[str, Any]) -> list[dict[str, Any]]:
        return [resources.cluster(self._parts, upstream) for upstream in config["upstreams"]]

    def _routes(self, content: Mapping[str, Any]) -> dict[str, Any]:
        return route_configuration(resources.ROUTES, content, self._parts.get("route", {}))


def _secret(number: int, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
    return resources.response(number, resources.secret_resource(name, body))


def _joined(pems: tuple[str, ...] | list[str]) -> str:
    return "".join(pem.strip() + "\n" for pem in pems)


def _json(body: Mapping[str, Any]) -> str:
    return json.dumps(body, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
