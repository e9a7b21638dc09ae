"""What the contract suite of rotator needs to judge this kind; not part of the package.

In a checkout of rotator, with this package installed beside it:
ROTATOR_CONTRACT_SITES=docs/examples/rotator-kind-totp/contract_site.py pytest tests/kinds/contract -k totp_seed
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from rotator_kind_totp import FIELD, codes

from rotator.clients.clock import SystemClock
from rotator.clients.vault_paths import VaultPathCalls
from rotator.core.errors import Denied
from rotator.core.identity import CredentialId, Owner, OwnerKind
from rotator.core.kind_settings import ForeignSettings
from rotator.core.model import Facts
from rotator.core.spec import Policy, Spec
from tests.kinds.contract.site import Ground, Material, Site

MOUNT = "totp-contract"


class TotpSite(Site):
    """The accepting side is the engine: it is handed codes, as the party behind an agent would."""

    label = kind = "totp_seed"
    repeats = ("paths.write",)

    @classmethod
    @contextmanager
    def opened(cls, ground: Ground) -> Iterator[Site]:
        ground.admin.write(f"sys/mounts/{MOUNT}", {"type": "totp"})
        yield cls(ground)

    def sockets(self) -> Mapping[str, Any]:
        return {"paths": VaultPathCalls(self.ground.secrets.calls)}

    def spec(self, name: str) -> Spec:
        target = CredentialId(Owner(OwnerKind.AGENT, name), "seed")
        settings = ForeignSettings((("mount", json.dumps(MOUNT)),))
        return Spec(
            target, "totp_seed", timedelta(hours=1), "kv", f"agents/{name}/seed", settings, Policy(), digest="d" * 64
        )

    def works(self, spec: Spec, facts: Facts, material: Material) -> bool:
        """The engine takes each code once, so the neighbours are tried as well."""
        return any(self._takes(facts, one) for one in codes(material[FIELD], SystemClock().now(), 6))

    def spoil(self, spec: Spec, facts: Facts, material: Material) -> None:
        """Somebody replaced the key in the engine."""
        body = {"generate": True, "issuer": "rotator", "account_name": "other"}
        self.ground.admin.write(f"{MOUNT}/keys/{facts.serial}", body)

    def orphans(self, spec: Spec, known: Sequence[Facts]) -> int:
        alive = (key for key in self.ground.admin.listing(f"{MOUNT}/keys") if key.startswith(f"{spec.id.owner.name}-"))
        return len(set(alive) - {facts.serial for facts in known})

    def _takes(self, facts: Facts, one: str) -> bool:
        try:
            return bool(self.ground.admin.write(f"{MOUNT}/code/{facts.serial}", {"code": one})["valid"])
        except Denied:  # there is no such key any more, or this code was used already
            return False


SITES = (TotpSite,)
