"""AppRole secret-ids: accepted by a login to the same OpenBao, in a mount of agents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from rotator.clients.vault_approle import VaultAppRoles
from rotator.core.errors import Rejected
from rotator.core.identity import CredentialId, Owner, OwnerKind
from rotator.core.kind_settings import AppRoleSettings
from rotator.core.model import Facts
from rotator.core.spec import Policy, Spec
from tests.kinds.contract.site import Material, Site

MOUNT = "contract-agents"


class AppRoleSite(Site):
    """A role for each credential. Orphans are secret-ids of the role that no known version names."""

    label = kind = "approle"
    repeats = ("approles.new_secret_id",)

    def sockets(self) -> Mapping[str, Any]:
        return {"approles": VaultAppRoles(self.ground.secrets.calls)}

    def spec(self, name: str) -> Spec:
        admin = self.ground.admin
        if f"{MOUNT}/" not in (admin.read("sys/auth") or {}):
            admin.write(f"sys/auth/{MOUNT}", {"type": "approle"})
        admin.write(f"auth/{MOUNT}/role/{name}", {"token_policies": ["default"], "token_ttl": "5m"})
        owner = CredentialId(Owner(OwnerKind.AGENT, name), "login")
        settings = AppRoleSettings(MOUNT, name)
        path = f"agents/{name}/login"
        return Spec(owner, "approle", timedelta(hours=1), "kv", path, settings, Policy(), digest="d" * 64)

    def works(self, spec: Spec, facts: Facts, material: Material) -> bool:
        approles = VaultAppRoles(self.ground.secrets.calls)
        try:
            approles.try_login(MOUNT, material["role_id"].reveal(), material["secret_id"])
        except Rejected:
            return False
        return True

    def spoil(self, spec: Spec, facts: Facts, material: Material) -> None:
        """Somebody destroyed it."""
        VaultAppRoles(self.ground.secrets.calls).destroy_secret_id(MOUNT, spec.id.owner.name, facts.serial)

    def orphans(self, spec: Spec, known: Sequence[Facts]) -> int:
        there = VaultAppRoles(self.ground.secrets.calls).secret_ids(MOUNT, spec.id.owner.name)
        return len({one.accessor for one in there} - {facts.serial for facts in known})


SITES = (AppRoleSite,)
