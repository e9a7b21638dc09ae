"""The vendors' environment names: BAO_* before VAULT_*, and CONSUL_*; pure, from a given mapping (never ambient).

Flag beats environment beats file, and our own names (`ROTATOR_…`) beat the vendors'. A setting that
would weaken TLS is refused rather than ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rotator.config.problems import Place, Problem, dotted
from rotator.core.secret import Secret

_VAULT = {
    "ADDR": ("address",),
    "NAMESPACE": ("namespace",),
    "CACERT": ("tls", "ca_file"),
    "CAPATH": ("tls", "ca_path"),
    "CLIENT_CERT": ("tls", "client_certificate"),
    "CLIENT_KEY": ("tls", "client_key"),
    "TLS_SERVER_NAME": ("tls", "server_name"),
    "CLIENT_TIMEOUT": ("timeout",),
}
_CONSUL = {
    "CONSUL_HTTP_TOKEN_FILE": ("token_file",),
    "CONSUL_NAMESPACE": ("namespace",),
    "CONSUL_CACERT": ("tls", "ca_file"),
    "CONSUL_CAPATH": ("tls", "ca_path"),
    "CONSUL_CLIENT_CERT": ("tls", "client_certificate"),
    "CONSUL_CLIENT_KEY": ("tls", "client_key"),
    "CONSUL_TLS_SERVER_NAME": ("tls", "server_name"),
}
_TRUE = frozenset({"1", "t", "true", "yes", "on"})
_FALSE = frozenset({"0", "f", "false", "no", "off", ""})

_OWN = "ROTATOR_"
_SECTIONS = frozenset({"service", "audit", "vault", "consul", "inventory"})
COMMAND_LINE = "command line"

Origins = dict[tuple[str, ...], str]


def overlay(
    raw: dict[str, Any], environment: Mapping[str, str], flags: Mapping[str, str] | None = None
) -> tuple[dict[str, Any], Origins, list[Problem]]:
    """The raw configuration with environment and command line on top; where each such value came from; what is refused.

    Our own names are exact (`ROTATOR_VAULT__ADDRESS` is `vault.address`) and beat the vendors', which are meant for
    every tool on the machine. flags: dotted path -> text.
    """
    merged = dict(raw)
    origins: Origins = {}
    _vendors(merged, environment, origins)
    for name, path in own_names(environment).items():
        _set(merged, path, environment[name], name, origins)
    for key, value in (flags or {}).items():
        _set(merged, tuple(key.split(".")), value, COMMAND_LINE, origins)
    return merged, origins, _refused(environment)


def _vendors(merged: dict[str, Any], environment: Mapping[str, str], origins: Origins) -> None:
    for suffix, path in _VAULT.items():
        name = next((name for name in (f"BAO_{suffix}", f"VAULT_{suffix}") if environment.get(name)), None)
        if name is not None:
            value = environment[name]
            _set(merged, ("vault", *path), _span(value) if path == ("timeout",) else value, name, origins)
    for name, path in _CONSUL.items():
        if environment.get(name):
            _set(merged, ("consul", *path), environment[name], name, origins)
    if environment.get("CONSUL_HTTP_ADDR"):
        _set(merged, ("consul", "address"), consul_address(environment), "CONSUL_HTTP_ADDR", origins)


def placer(otherwise: Place, origins: Origins) -> Place:
    """Places a problem at the variable that gave the value: nobody should look for it in the file."""

    def place(path: tuple[str, ...], text: str, hint: str = "") -> Problem:
        for length in range(len(path), 0, -1):
            if path[:length] in origins:
                return Problem(origins[path[:length]], 0, dotted(path), text, hint)
        return otherwise(path, text, hint)

    return place


def own_names(environment: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """`ROTATOR_<SECTION>__<KEY>` -> path, in name order. Other names that begin with ROTATOR_ are no settings."""
    found = {}
    for name in sorted(environment):
        path = tuple(part.lower() for part in name.removeprefix(_OWN).split("__"))
        if name.startswith(_OWN) and ((path[0] in _SECTIONS and len(path) > 1) or path == ("trust_domain",)):
            found[name] = path
    return found


def vault_token(environment: Mapping[str, str]) -> Secret | None:
    """The token that the environment gives, if any; it replaces every configured login."""
    token = environment.get("BAO_TOKEN") or environment.get("VAULT_TOKEN")
    return Secret(token) if token else None


def consul_token(environment: Mapping[str, str]) -> Secret | None:
    token = environment.get("CONSUL_HTTP_TOKEN")
    return Secret(token) if token else None


def consul_address(environment: Mapping[str, str]) -> str:
    """CONSUL_HTTP_ADDR with a scheme: the one it has, else https where CONSUL_HTTP_SSL is true, else http."""
    address = environment["CONSUL_HTTP_ADDR"]
    if "://" in address:
        return address
    secure = environment.get("CONSUL_HTTP_SSL", "").lower() in _TRUE
    return f"{'https' if secure else 'http'}://{address}"


def _refused(environment: Mapping[str, str]) -> list[Problem]:
    problems = []
    for name, weak in (("VAULT_SKIP_VERIFY", _TRUE), ("BAO_SKIP_VERIFY", _TRUE), ("CONSUL_HTTP_SSL_VERIFY", _FALSE)):
        value = environment.get(name)
        if value is not None and value.lower() not in _TRUE | _FALSE:
            problems.append(Problem("environment", 0, name, "a boolean is wanted", "set it to true or false"))
        elif value and value.lower() in weak:
            text = "TLS is verified always; this cannot be switched off"
            problems.append(Problem("environment", 0, name, text, "unset it and name the CA file instead"))
    if environment.get("CONSUL_HTTP_AUTH"):
        text = "HTTP basic authentication is not supported"
        problems.append(Problem("environment", 0, "CONSUL_HTTP_AUTH", text, "use an ACL token"))
    return problems


def _set(raw: dict[str, Any], path: tuple[str, ...], value: object, name: str, origins: Origins) -> None:
    """Copies what it changes. Where the file has no table in the way, the schema will say so."""
    table = raw
    for part in path[:-1]:
        inner = table.get(part, {})
        if not isinstance(inner, dict):
            return
        table[part] = dict(inner)
        table = table[part]
    table[path[-1]] = value
    origins[path] = name


def _span(value: str) -> str:
    """Vault's client timeout may be a bare number of seconds."""
    return f"{value}s" if value.isdigit() else value
