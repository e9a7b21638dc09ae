"""A signing key and an agent's token on a real OpenBao."""

from __future__ import annotations

import urllib.request
from collections.abc import Sequence
from datetime import timedelta

from rotator.clients.clock import SystemClock
from rotator.clients.vault import VaultSecrets
from rotator.clients.vault_admin import VaultAdmin
from rotator.clients.vault_transit import VaultTransit
from rotator.config.settings import VaultAuth, VaultAuthMethod, VaultSettings
from rotator.core.model import Facts, Pending, Stage, rotation_id
from rotator.core.reasons import Cause, Reason
from rotator.core.secret import Secret
from rotator.core.spec import Spec
from rotator.kinds.base import KindPorts
from rotator.kinds.jwt import FIELD, JwtKind
from rotator.kinds.signing_key import SigningKeyKind
from rotator.ports import VerifyKey
from tests.fakes.journal import NoFailpoint
from tests.kinds.contract.sites.jwt import token_spec
from tests.kinds.contract.sites.signing_key import key_spec
from tests.kinds.signing import PublishedKeys

CAUSE = Cause(Reason.DUE, "a test")


class Room:
    """name: of the transit key and of the agent."""

    def __init__(self, address: str, admin: VaultAdmin, name: str) -> None:
        settings = VaultSettings(address, VaultAuth(VaultAuthMethod.TOKEN, token=Secret("root")))
        self.vault = VaultSecrets(settings, SystemClock())
        self.address, self.admin, self.name = address, admin, name
        self.transit, self.signers = VaultTransit(self.vault.calls), PublishedKeys()
        self.ports = KindPorts(self.vault, SystemClock(), NoFailpoint(), transit=self.transit, signers=self.signers)
        self.key_kind, self.token_kind = SigningKeyKind(self.ports), JwtKind(self.ports)
        self.key, self.token = key_spec(name), token_spec(name)
        admin.write(f"transit/keys/{name}", {"type": "ecdsa-p256"})

    def pending(self, spec: Spec, version: int = 1, ago: timedelta = timedelta(0)) -> Pending:
        at = self.ports.clock.now() - ago
        return Pending(version, rotation_id(spec.id, version, at), Stage.INTENDED, CAUSE, at)

    def delete_key(self) -> None:
        """By an administrator's hand; no client of the product can."""
        request = urllib.request.Request(  # noqa: S310 - loopback only
            f"{self.address}/v1/transit/keys/{self.name}", headers={"X-Vault-Token": "root"}, method="DELETE"
        )
        with urllib.request.urlopen(request, timeout=10) as reply:  # noqa: S310 - loopback only
            assert reply.status == 204

    def new_key(self, version: int = 1) -> Facts:
        """One more version, stored and not told to anybody."""
        return self.key_kind.issue(self.key, self.pending(self.key, version), version - 1, read_back=False).facts

    def tell(self, *keys: Facts) -> None:
        """What proxies verify from now on, newest first."""
        self.signers.keys[self.key.id] = keys

    def new_token(self, version: int = 1, spec: Spec | None = None) -> Facts:
        wanted = spec or self.token
        return self.token_kind.issue(wanted, self.pending(wanted, version), version - 1, read_back=False).facts

    def text(self, facts: Facts) -> str:
        stored = self.vault.kv_read("kv", facts.kv_path, facts.kv_version)
        assert stored is not None
        return stored.fields[FIELD].reveal()

    def versions(self) -> Sequence[VerifyKey]:
        return self.transit.verify_keys("transit", self.name)
