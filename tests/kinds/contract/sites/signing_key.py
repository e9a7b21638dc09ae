"""Signing keys: versions of a transit key. What a version signs is accepted where its verify key is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from rotator.clients.vault_transit import VaultTransit
from rotator.core.identity import CredentialId, Owner, OwnerKind
from rotator.core.kind_settings import SigningKeySettings
from rotator.core.model import Facts
from rotator.core.secret import Secret
from rotator.core.spec import Policy, Spec
from rotator.kinds.signing_key import PUBLIC_KEY, key_version, signed_by
from tests.kinds.contract.site import Ground, Material, Site

MESSAGE = b"some bytes"


def make_key(ground: Ground, name: str) -> None:
    """As bootstrap does."""
    ground.admin.write(f"transit/keys/{name}", {"type": "ecdsa-p256"})


def key_spec(name: str) -> Spec:
    target = CredentialId(Owner(OwnerKind.SIGNER, name), "key")
    settings = SigningKeySettings("transit", name, timedelta(minutes=10))
    return Spec(
        target, "signing_key", timedelta(days=1), "kv", f"signers/{name}/key", settings, Policy(), digest="d" * 64
    )


class SigningKeySite(Site):
    """`ends_by_revoke` is the documents' part: they drop the verify key (tests/street/test_signing_keys.py)."""

    label = kind = "signing_key"
    repeats = ("transit.verify_keys",)
    ends_by_revoke = False

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self._transit = VaultTransit(ground.secrets.calls)

    def sockets(self) -> Mapping[str, Any]:
        return {"transit": self._transit}

    def spec(self, name: str) -> Spec:
        make_key(self.ground, name)
        return key_spec(name)

    def works(self, spec: Spec, facts: Facts, material: Material) -> bool:
        signature = self._transit.sign("transit", str(spec.id.owner.name), key_version(facts), MESSAGE)
        return signed_by(material[PUBLIC_KEY].reveal(), signature, MESSAGE)

    def spoil(self, spec: Spec, facts: Facts, material: Material) -> Material:
        """A good key, and not the one that signs."""
        other = ec.generate_private_key(ec.SECP256R1()).public_key()
        pem = other.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        return {**material, PUBLIC_KEY: Secret(pem)}

    def orphans(self, spec: Spec, known: Sequence[Facts]) -> int:
        """Versions of the key above the ones that are known: nothing names them. The older ones stay in Vault."""
        newest = max((key_version(facts) for facts in known), default=0)
        return sum(1 for one in self._transit.verify_keys("transit", spec.id.owner.name) if one.version > newest)


SITES = (SigningKeySite,)
