"""Tokens: accepted by a proxy that knows the published verify keys and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from rotator.clients.clock import SystemClock
from rotator.clients.vault_transit import VaultTransit
from rotator.core.identity import CredentialId, Owner, OwnerKind
from rotator.core.kind_settings import JwtSettings, ScopeClaim
from rotator.core.model import Facts, Pending, Stage, rotation_id
from rotator.core.reasons import Cause, Reason
from rotator.core.secret import Secret
from rotator.core.spec import Policy, Spec
from rotator.kinds.base import KindPorts
from rotator.kinds.jwt import FIELD, JwtKind
from rotator.kinds.signing_key import SigningKeyKind
from tests.fakes.journal import NoFailpoint
from tests.kinds.contract.site import Ground, Material, Site
from tests.kinds.contract.sites.signing_key import key_spec, make_key
from tests.kinds.signing import PublishedKeys, accepted

SCOPES = (
    ScopeClaim("edge", "/orders", "prefix", ("GET", "POST"), "write"),
    ScopeClaim("edge", "/stock", "exact", ("GET",), "read"),
)


def token_spec(name: str, scopes: tuple[ScopeClaim, ...] = SCOPES) -> Spec:
    """Of an agent whose signer has its name."""
    target = CredentialId(Owner(OwnerKind.AGENT, name), "token")
    settings = JwtSettings(
        signer=key_spec(name).id,
        mount="transit",
        key=name,
        issuer="spiffe://example.test",
        subject=f"spiffe://example.test/agent/{name}",
        audience=("edge",),
        scopes=scopes,
    )
    return Spec(target, "jwt", timedelta(minutes=10), "kv", f"agents/{name}/token", settings, Policy(), digest="d" * 64)


def first_key(ports: KindPorts, name: str) -> Facts:
    """A signing key that stands."""
    spec, now = key_spec(name), ports.clock.now()
    cause = Cause(Reason.MISSING, "a test")
    pending = Pending(1, rotation_id(spec.id, 1, now), Stage.INTENDED, cause, now)
    return SigningKeyKind(ports).issue(spec, pending, 0, read_back=False).facts


class JwtSite(Site):
    """`ends_by_revoke` is the documents' part: they deny the `jti`."""

    label = kind = "jwt"
    ends_by_revoke = False

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self._signers = PublishedKeys()
        transit = VaultTransit(ground.secrets.calls)
        self._ports = KindPorts(ground.secrets, SystemClock(), NoFailpoint(), transit=transit, signers=self._signers)

    def sockets(self) -> Mapping[str, Any]:
        return {"transit": self._ports.transit, "signers": self._signers}

    def spec(self, name: str) -> Spec:
        make_key(self.ground, name)
        self._signers.keys[key_spec(name).id] = (first_key(self._ports, name),)
        return token_spec(name)

    def works(self, spec: Spec, facts: Facts, material: Material) -> bool:
        keys = self._signers.published(key_spec(spec.id.owner.name).id)
        return accepted(material[FIELD].reveal(), keys, "edge", self._ports.clock.now())

    def spoil(self, spec: Spec, facts: Facts, material: Material) -> Material:
        """Well signed, and good for more than the agent may do."""
        more = replace(token_spec(spec.id.owner.name, (*SCOPES, ScopeClaim("edge", "/", "prefix", ("GET",), "admin"))))
        elsewhere = replace(more, kv_path=f"{spec.kv_path}-spoiled")
        pending = Pending(1, facts.rotation_id, Stage.INTENDED, Cause(Reason.MISSING, "a test"), facts.issued_at)
        made = JwtKind(self._ports).issue(elsewhere, pending, 0, read_back=False).facts
        stored = self.ground.secrets.kv_read("kv", elsewhere.kv_path, made.kv_version)
        assert stored is not None
        return {FIELD: Secret(stored.fields[FIELD].reveal())}


SITES = (JwtSite,)
