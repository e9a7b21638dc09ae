"""Public P-256 keys as JWK (RFC 7517), and their names (RFC 7638). Pure computation."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from rotator.core.errors import Code, Rejected
from rotator.core.model import Facts

# Names of the details of a signing key's facts: from them alone the JWK is made.
KID, KEY_VERSION, X, Y = "kid", "key_version", "x", "y"
_COORDINATE_BYTES = 32


@dataclass(frozen=True, slots=True)
class PublicPoint:
    """The affine coordinates of a P-256 key, base64url without padding (RFC 7518, 6.2.1)."""

    x: str
    y: str

    @property
    def thumbprint(self) -> str:
        """RFC 7638: base64url of the SHA-256 over the required members in lexical order, without white space."""
        members = json.dumps({"crv": "P-256", "kty": "EC", "x": self.x, "y": self.y}, separators=(",", ":"))
        return base64url(hashlib.sha256(members.encode()).digest())


def public_point(pem: str) -> PublicPoint:
    """Of a SubjectPublicKeyInfo. Rejected when it is no P-256 key."""
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise Rejected(Code.MATERIAL_REJECTED, "the verify key is no P-256 key, which ES256 needs")
    numbers = key.public_numbers()
    return PublicPoint(_coordinate(numbers.x), _coordinate(numbers.y))


def jwk(facts: Facts) -> dict[str, str]:
    """The verify key of one version of a signing key. Rejected when its facts name none."""
    known = dict(facts.details)
    if not (known.get(X) and known.get(Y) and known.get(KID)):
        raise Rejected(Code.FACTS_UNREADABLE, f"the facts of version {facts.version} name no verify key")
    return {
        "kty": "EC",
        "crv": "P-256",
        "x": known[X],
        "y": known[Y],
        "kid": known[KID],
        "use": "sig",
        "alg": "ES256",
    }


def jwks(keys: Iterable[Facts]) -> Mapping[str, list[dict[str, str]]]:
    """A JWK Set (RFC 7517, 5), sorted by `kid`, so that equal sets are equal texts."""
    return {"keys": sorted((jwk(facts) for facts in keys), key=lambda one: one["kid"])}


def base64url(raw: bytes) -> str:
    """Without padding (RFC 7515, 2)."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _coordinate(number: int) -> str:
    return base64url(number.to_bytes(_COORDINATE_BYTES, "big"))
