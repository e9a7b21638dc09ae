"""What one proxy must run: everything public that it needs, and nothing secret.

Three sections move independently: `config` (listener, upstreams, access) follows the configuration and can be rolled
back; `trust` (CA bundle, later CRL and denied serials) and `certificates` (where the proxy's own key lies in Vault,
never the key) only move forward.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rotator.core.errors import Code, Rejected
from rotator.core.fleet import Fleet, Proxy, Scope
from rotator.core.identity import CredentialId, Owner, OwnerKind, spiffe_id
from rotator.core.jwk import jwks
from rotator.core.model import Denial, Facts
from rotator.core.spec import Spec
from rotator.publish import canonical

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Document:
    """`body` is the canonical JSON of the whole document, `digest` its SHA-256, `config_digest` that of its config."""

    proxy: str
    content: Mapping[str, Any]
    body: bytes
    digest: str
    config_digest: str

    def certificates(self) -> Mapping[str, Mapping[str, Any]]:
        """Credential name -> its facts as published (`credential_facts`)."""
        found: Mapping[str, Mapping[str, Any]] = self.content["certificates"]
        return found

    def signers(self) -> Mapping[str, Mapping[str, Any]]:
        """Signing key -> version, serial (the `kid`) and fingerprint of its newest verify key in here."""
        found: Mapping[str, Mapping[str, Any]] = self.content["trust"].get("signers", {})
        return found


@dataclass(frozen=True, slots=True)
class SignerKeys:
    """What proxies are told of one signing key. `signer`: its name as a credential. `keys`: newest first."""

    signer: str
    keys: tuple[Facts, ...]


@dataclass(frozen=True, slots=True)
class Denied:
    """A version of an agent's credential that a proxy must refuse."""

    target: CredentialId
    kind: str
    denial: Denial


@dataclass(frozen=True, slots=True)
class Trust:
    """Whom a proxy believes. bundle: PEM certificates that may sign agents, in any order. crl: PEM, empty for none."""

    bundle: tuple[str, ...]
    signers: tuple[SignerKeys, ...] = ()
    denied: tuple[Denied, ...] = ()
    crl: str = ""


def config_section(fleet: Fleet, proxy: Proxy) -> dict[str, Any]:
    """The part of the document that follows the configuration: who may do what, and where requests go."""
    return {
        "trust_domain": fleet.trust_domain,
        "kind": proxy.kind.value,
        "listener": {"address": proxy.listener.address, "port": proxy.listener.port},
        "connection_age_seconds": int(proxy.connection_age.total_seconds()),
        "upstreams": [
            {"name": up.name, "prefix": up.prefix, "address": up.address, "port": up.port} for up in proxy.upstreams
        ],
        "access": [
            {
                "agent": agent,
                "spiffe_id": spiffe_id(fleet.trust_domain, Owner(OwnerKind.AGENT, agent)),
                "scopes": [_scope(scope) for scope in scopes],
            }
            for agent, scopes in fleet.scopes_at(proxy.name)
        ],
    }


def credential_facts(spec: Spec, facts: Facts) -> dict[str, Any]:
    """What a follower must know to fetch one credential from Vault and to recognise it."""
    return {
        "kind": spec.kind,
        "version": facts.version,
        "kv_mount": spec.kv_mount,
        "kv_path": facts.kv_path,
        "kv_version": facts.kv_version,
        "serial": facts.serial,
        "fingerprint": facts.fingerprint,
        "not_before": facts.not_before.isoformat(),
        "not_after": facts.not_after.isoformat(),
        **({"details": dict(facts.details)} if facts.details else {}),
    }


def compose(proxy: str, config: Mapping[str, Any], trust: Trust, certificates: Mapping[str, Any]) -> Document:
    """One document from its three sections."""
    content = {
        "format": FORMAT,
        "proxy": proxy,
        "config": config,
        "trust": trust_section(trust),
        "certificates": certificates,
    }
    return _document(content)


def trust_section(trust: Trust) -> dict[str, Any]:
    """`denied` and `crl` stand there only while there is something to refuse."""
    return {
        "bundle": sorted(trust.bundle),
        **_verification(trust.signers),
        **denied_section(trust.denied),
        **({"crl": [trust.crl]} if trust.crl else {}),
    }


def denied_section(denied: tuple[Denied, ...]) -> dict[str, Any]:
    """`denied`: what is refused from the next request on; `fingerprint` is that of the published facts."""
    listed = [
        {
            "agent": one.target.owner.name,
            "credential": one.target.name,
            "kind": one.kind,
            "serial": one.denial.facts.serial,
            "fingerprint": one.denial.facts.fingerprint,
            "not_after": one.denial.facts.not_after.isoformat(),
        }
        for one in denied
    ]
    ordered = sorted(listed, key=lambda one: (one["agent"], one["credential"], one["not_after"], one["fingerprint"]))
    return {"denied": ordered} if ordered else {}


def denies(document: Document, denied: Denied) -> bool:
    """Whether this document refuses that version."""
    wanted = denied_section((denied,))["denied"][0]
    return wanted in document.content["trust"].get("denied", [])


def with_trust(document: Document, trust: Mapping[str, Any]) -> Document:
    """The same content with another trust section."""
    return _document({**document.content, "trust": trust})


def parse(body: bytes, expected_digest: str) -> Document:
    """A document as read from Consul. Rejected when the digest differs or the format is not ours."""
    if canonical.digest(body) != expected_digest:
        raise Rejected(Code.DOCUMENT_CORRUPT, "the document does not match its digest", hint="publish it again")
    content = canonical.decode(body, "the document")
    if content.get("format") != FORMAT:
        raise Rejected(Code.DOCUMENT_UNSUPPORTED, f"the document has format {content.get('format')!r}, not {FORMAT}")
    config_digest = canonical.digest(canonical.encode(content["config"]))
    return Document(content["proxy"], content, body, expected_digest, config_digest)


def expires_at(document: Document) -> datetime | None:
    """When the first of its certificates runs out; None without certificates."""
    ends = [datetime.fromisoformat(facts["not_after"]) for facts in document.certificates().values()]
    return min(ends, default=None)


def _document(content: Mapping[str, Any]) -> Document:
    body, config = canonical.encode(content), canonical.encode(content["config"])
    return Document(content["proxy"], content, body, canonical.digest(body), canonical.digest(config))


def _verification(signers: tuple[SignerKeys, ...]) -> dict[str, Any]:
    """`jwks`: the JWK Set by which tokens are verified. `signers`: the newest version of each signing key in it, by
    which a node says what it has adopted. Nothing where there are no tokens."""
    if not signers:
        return {}
    newest = {one.signer: one.keys[0] for one in signers if one.keys}
    return {
        "jwks": jwks(facts for one in signers for facts in one.keys),
        "signers": {
            name: {"version": facts.version, "serial": facts.serial, "fingerprint": facts.fingerprint}
            for name, facts in newest.items()
        },
    }


def _scope(scope: Scope) -> dict[str, Any]:
    rate = None
    if scope.rate is not None:
        rate = {"requests": scope.rate.requests, "per_seconds": int(scope.rate.per.total_seconds())}
    return {
        "path": scope.path,
        "match": scope.match.value,
        "methods": sorted(scope.methods),
        "permission": scope.permission.value,
        "rate": rate,
    }
