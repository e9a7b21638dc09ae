"""Signing keys of tokens: versions of one transit key that never leaves Vault.

KV holds no secret, only what is public, so that a signing key walks the same street as everything else. The order of
the steps that keep every token verifiable (`rotation/standing.py`): the new verify key is in the documents of all
proxies, then every node runs it, then the first token is signed with it. The old one stays published for the longest
life of a token after that.

Vault paths: `<transit_mount>/keys/<key>` (read), `<transit_mount>/keys/<key>/rotate` (update),
`<transit_mount>/sign/<key>/sha2-256` (update); and as every kind, its place in KV. `min_decryption_version` of the key
belongs to the operator: nothing here raises it.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from rotator.core import jwk
from rotator.core.errors import Code, Rejected
from rotator.core.kind_settings import SigningKeySettings
from rotator.core.model import Facts, Pending
from rotator.core.secret import Secret
from rotator.core.spec import Spec
from rotator.kinds.base import IssueResult, KindPorts
from rotator.kinds.keeping import Keeping, Made
from rotator.ports import VerifyKey

PUBLIC_KEY, KID = "public_key", "kid"
# How far Vault's clock may be behind ours for a version to count as one of this intent. Being wrong costs one more
# version that nothing was ever signed with.
CLOCKS_APART = timedelta(seconds=30)
# KV v2 keeps ten versions unless told otherwise; older ones are not looked for.
VERSIONS_LOOKED_AT = 10


class SigningKeyKind:
    """Kind `signing_key`. Configured by `[tokens]`, never by hand."""

    name = "signing_key"

    def __init__(self, ports: KindPorts) -> None:
        self._keeping = Keeping(ports)
        self._transit, self._clock, self._failpoint = ports.transit, ports.clock, ports.failpoint

    def issue(self, spec: Spec, pending: Pending, stored_version: int, read_back: bool) -> IssueResult:
        """As `Kind.issue`. The very first version is the newest that the key already has."""
        if read_back and (adopted := self._keeping.find(spec, pending, stored_version)):
            return adopted
        now = self._clock.now()
        newest = self._keeping.newest(spec) if read_back else stored_version
        keys = self._transit.verify_keys(_settings(spec).mount, _settings(spec).key)
        last = keys[-1] if keys else None
        first = stored_version == newest == 0
        if last is None or not (first or (read_back and self._made_by_us(spec, pending, last, newest))):
            last = self._one_more(spec, last)
        self._failpoint.reach("K2", str(spec.id))
        return self._keeping.store(spec, pending, _made(spec, last, now), newest)

    def verify(self, spec: Spec, facts: Facts) -> None:
        """Signs a text that is no token with exactly this version, and checks it with the key as it is published."""
        material = self._keeping.read(spec, facts)
        pem = material.get(PUBLIC_KEY, Secret("")).reveal()
        point = jwk.public_point(pem)
        if (point.x, point.y, point.thumbprint) != _published(facts):
            raise Rejected(Code.MATERIAL_REJECTED, f"the published verify key of {spec.id} is not the stored one")
        want = _settings(spec)
        message = f"a check of {spec.id}, rotation {facts.rotation_id}".encode()
        signature = self._transit.sign(want.mount, want.key, key_version(facts), message)
        if not signed_by(pem, signature, message):
            raise Rejected(
                Code.MATERIAL_REJECTED,
                f"version {key_version(facts)} of {want.mount}/{want.key} signs with another key than is published",
                hint="see whether somebody restored or replaced the transit key",
            )

    def retire(self, spec: Spec, facts: Facts) -> None:
        """Destroys the copy in KV; the verify key leaves the documents with the record."""
        self._keeping.destroy(spec, facts)

    def revoke(self, spec: Spec, facts: Facts) -> None:
        """The same: documents drop a denied verify key at once, and nothing is signed with it any more."""
        self._keeping.destroy(spec, facts)

    def _made_by_us(self, spec: Spec, pending: Pending, last: VerifyKey, newest: int) -> bool:
        """Whether an interrupted try of this rotation made it: above every stored one, and made after the intent.

        Where nothing stored tells, it could be the version in use: then one more is made.
        """
        oldest = max(newest - VERSIONS_LOOKED_AT, 0)
        stored = (self._keeping.facts(spec, number) for number in range(newest, oldest, -1))
        known = max((key_version(facts) for facts in stored if facts is not None), default=last.version)
        return last.version > known and last.created_at >= pending.intended_at - CLOCKS_APART

    def _one_more(self, spec: Spec, last: VerifyKey | None) -> VerifyKey:
        want = _settings(spec)
        self._transit.rotate(want.mount, want.key)
        after = self._transit.verify_keys(want.mount, want.key)
        if not after or (last is not None and after[-1].version <= last.version):
            raise Rejected(Code.MATERIAL_REJECTED, f"Vault made no new version of {want.mount}/{want.key}")
        return after[-1]


def build(ports: KindPorts) -> SigningKeyKind:
    return SigningKeyKind(ports)


def _made(spec: Spec, chosen: VerifyKey, now: datetime) -> Made:
    point = jwk.public_point(chosen.pem)
    names = (jwk.KID, point.thumbprint), (jwk.KEY_VERSION, str(chosen.version)), (jwk.X, point.x), (jwk.Y, point.y)
    return Made(
        {PUBLIC_KEY: Secret(chosen.pem), KID: Secret(point.thumbprint)},
        (PUBLIC_KEY,),
        issued_at=now,
        not_after=now + spec.ttl,
        serial=point.thumbprint,
        details=names,
    )


def key_version(facts: Facts) -> int:
    """The version of the transit key. Rejected when the facts name none."""
    try:
        return int(dict(facts.details)[jwk.KEY_VERSION])
    except (KeyError, ValueError):
        raise Rejected(Code.FACTS_UNREADABLE, f"the facts of version {facts.version} name no key version") from None


def signed_by(pem: str, signature: bytes, message: bytes) -> bool:
    """Whether `signature` (r || s, RFC 7518, 3.4) over `message` is of the key `pem`."""
    key = load_pem_public_key(pem.encode())
    if not isinstance(key, ec.EllipticCurvePublicKey):
        return False
    half = len(signature) // 2
    numbers = int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big")
    try:
        key.verify(utils.encode_dss_signature(*numbers), message, ec.ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True


def _published(facts: Facts) -> tuple[str, str, str]:
    known = dict(facts.details)
    return known.get(jwk.X, ""), known.get(jwk.Y, ""), known.get(jwk.KID, "")


def _settings(spec: Spec) -> SigningKeySettings:
    if not isinstance(spec.settings, SigningKeySettings):
        raise Rejected(Code.CONFIG_INVALID, f"{spec.id} has no settings of a signing key")
    return spec.settings
