"""What tests of tokens stand on: verify keys as proxies are told of them, and a proxy's own look at a token."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.hashes import SHA256

from rotator.core.identity import CredentialId
from rotator.core.jwk import jwks
from rotator.core.model import Facts


class PublishedKeys:
    """`ports.Signers` that a test fills: newest first; the first one is the one to sign with."""

    def __init__(self) -> None:
        self.keys: dict[CredentialId, tuple[Facts, ...]] = {}
        self.unready: set[CredentialId] = set()

    def active(self, signer: CredentialId) -> Facts | None:
        listed = () if signer in self.unready else self.published(signer)
        return listed[0] if listed else None

    def published(self, signer: CredentialId) -> tuple[Facts, ...]:
        return self.keys.get(signer, ())


def part(token: str, number: int) -> Any:
    """Header (0) or claims (1), unchecked."""
    return json.loads(_raw(token.split(".")[number]))


def accepted(token: str, keys: Iterable[Facts], audience: str, now: datetime) -> bool:
    """As a proxy that knows nothing of this service would say, from the JWK Set alone (RFC 7515, 5.2)."""
    signed, _, signature = token.rpartition(".")
    header, claims = part(token, 0), part(token, 1)
    found = [one for one in jwks(keys)["keys"] if one["kid"] == header["kid"]]
    if not found or header["alg"] != "ES256" or not _verified(found[0], _raw(signature), signed.encode()):
        return False
    return bool(audience in claims["aud"] and claims["nbf"] <= now.timestamp() < claims["exp"])


def _verified(jwk: Mapping[str, str], signature: bytes, message: bytes) -> bool:
    x, y = (int.from_bytes(_raw(jwk[name]), "big") for name in ("x", "y"))
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    key = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    try:
        key.verify(utils.encode_dss_signature(r, s), message, ec.ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True


def _raw(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
