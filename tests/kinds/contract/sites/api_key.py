"""API keys: whoever accepts them reads all living versions from KV."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from rotator.core.identity import CredentialId, Owner, OwnerKind
from rotator.core.kind_settings import ApiKeySettings
from rotator.core.model import Facts
from rotator.core.secret import Secret
from rotator.core.spec import Policy, Spec
from rotator.kinds.api_key import FIELD
from tests.kinds.contract.site import Material, Site


class ApiKeySite(Site):
    """The accepting side is a reader of KV, as the API behind an agent would be."""

    label = kind = "api_key"

    def spec(self, name: str) -> Spec:
        owner = CredentialId(Owner(OwnerKind.AGENT, name), "key")
        settings = ApiKeySettings("abcdef0123456789", 40, "key_")
        return Spec(
            owner, "api_key", timedelta(hours=1), "kv", f"agents/{name}/key", settings, Policy(), digest="d" * 64
        )

    def works(self, spec: Spec, facts: Facts, material: Material) -> bool:
        state = self.ground.secrets.kv_state(spec.kv_mount, spec.kv_path)
        living = set(state.versions) - set(state.gone) if state else set()
        found = (self.ground.secrets.kv_read(spec.kv_mount, spec.kv_path, number) for number in living)
        return any(one.fields[FIELD].matches(material[FIELD]) for one in found if one and FIELD in one.fields)

    def spoil(self, spec: Spec, facts: Facts, material: Material) -> Material:
        """Too short for what was asked."""
        return {FIELD: Secret("key_0")}

    def repeating(self, spec: Spec) -> Spec:
        return replace(spec, settings=ApiKeySettings("a", 40, "key_"))


SITES = (ApiKeySite,)
