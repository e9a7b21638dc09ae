"""ES256 tokens for agents (RFC 7519, RFC 9068), signed by a transit key with the version that every proxy verifies.

Claims: `iss sub aud exp nbf iat jti`, `client_id` (RFC 9068, 2.2; equal to `sub`), `scope` as words
`<permission>:<proxy>` (RFC 8693, 4.2), and `endpoints`, a list of {proxy, path, match, methods, permission} as in the
proxies' documents. Header: `alg` ES256, `typ` at+jwt, `kid` (RFC 7638).

Vault paths: `<transit_mount>/sign/<key>/sha2-256` (update); and as every kind, its place in KV.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from rotator.core import jwk
from rotator.core.errors import Code, Rejected, Unavailable
from rotator.core.kind_settings import JwtSettings
from rotator.core.model import Facts, Pending
from rotator.core.secret import Secret
from rotator.core.spec import Spec
from rotator.kinds.base import IssueResult, KindPorts
from rotator.kinds.keeping import Keeping, Made
from rotator.kinds.signing_key import key_version

FIELD = "token"
ALGORITHM, TYPE = "ES256", "at+jwt"
# A peer whose clock is 30 s behind, and a Vault or node half as far ahead, accept a fresh token (TIM-4).
BACKDATE = timedelta(seconds=60)
# No token shorter than this: it would have run out before an agent has it.
SHORTEST = timedelta(seconds=10)


class JwtKind:
    """Kind `jwt`. The previous token stays good until its own `exp`."""

    name = "jwt"

    def __init__(self, ports: KindPorts) -> None:
        self._keeping = Keeping(ports)
        self._transit, self._signers = ports.transit, ports.signers
        self._clock, self._failpoint = ports.clock, ports.failpoint

    def issue(self, spec: Spec, pending: Pending, stored_version: int, read_back: bool) -> IssueResult:
        """As `Kind.issue`. Unavailable while no version of the signing key is verified by every proxy.

        `jti` is the rotation id, so that a token of a lost try is denied together with the one that was stored.
        """
        if read_back and (adopted := self._keeping.find(spec, pending, stored_version)):
            return adopted
        want, now = _settings(spec), self._clock.now().replace(microsecond=0)
        signer = self._signer(want)
        # After its key has left the proxies' documents a token is refused whatever it says: it must not say more.
        ends = min(now + spec.ttl, signer.not_after.replace(microsecond=0))
        if ends - now < SHORTEST:
            raise _no_signer(want, "has run out, and its successor is not verified by every proxy yet")
        claims = {
            **wanted_claims(want),
            "exp": _seconds(ends),
            "nbf": _seconds(now - BACKDATE),
            "iat": _seconds(now),
            "jti": pending.rotation_id,
        }
        token = self._signed(want, signer, claims)
        self._failpoint.reach("K2", str(spec.id))
        made = Made(
            {FIELD: Secret(token)},
            (FIELD,),
            issued_at=now,
            not_before=now - BACKDATE,
            not_after=ends,
            serial=pending.rotation_id,
            details=((jwk.KID, signer.serial), ("sub", want.subject)),
        )
        return self._keeping.store(spec, pending, made, self._keeping.newest(spec) if read_back else stored_version)

    def verify(self, spec: Spec, facts: Facts) -> None:
        """As a proxy does, with the published verify keys and the algorithm pinned; and every claim as asked for."""
        token = self._keeping.read(spec, facts).get(FIELD, Secret(""))
        want = _settings(spec)
        kid = dict(facts.details).get(jwk.KID, "")
        keys = [one for one in self._signers.published(want.signer) if one.serial == kid]
        if not keys:
            text = f"the verify key of version {facts.version} of {spec.id} is not published any more"
            raise Rejected(Code.MATERIAL_REJECTED, text, hint="the next version is signed with another key")
        check_token(spec, facts, token, jwk.jwk(keys[0]), self._clock.now())

    def retire(self, spec: Spec, facts: Facts) -> None:
        """Destroys the copy in KV; the token itself runs out at its `exp`."""
        self._keeping.destroy(spec, facts)

    def revoke(self, spec: Spec, facts: Facts) -> None:
        """The same: proxies refuse its `jti` until its `exp` (`Record.denied`)."""
        self._keeping.destroy(spec, facts)

    def _signer(self, want: JwtSettings) -> Facts:
        signer = self._signers.active(want.signer)
        if signer is None:
            raise _no_signer(want, "has no version yet that every proxy verifies")
        return signer

    def _signed(self, want: JwtSettings, signer: Facts, claims: Mapping[str, Any]) -> str:
        """Compact JWS (RFC 7515, 7.1)."""
        header = {"alg": ALGORITHM, "kid": signer.serial, "typ": TYPE}
        signed = ".".join(jwk.base64url(_json(part)) for part in (header, claims))
        signature = self._transit.sign(want.mount, want.key, key_version(signer), signed.encode())
        return f"{signed}.{jwk.base64url(signature)}"


def build(ports: KindPorts) -> JwtKind:
    return JwtKind(ports)


def wanted_claims(want: JwtSettings) -> dict[str, Any]:
    """The claims that follow the configuration."""
    return {
        "iss": want.issuer,
        "sub": want.subject,
        "client_id": want.subject,
        "aud": list(want.audience),
        "scope": " ".join(sorted({f"{scope.permission}:{scope.proxy}" for scope in want.scopes})),
        "endpoints": [
            {
                "proxy": scope.proxy,
                "path": scope.path,
                "match": scope.match,
                "methods": list(scope.methods),
                "permission": scope.permission,
            }
            for scope in want.scopes
        ],
    }


def check_token(spec: Spec, facts: Facts, token: Secret, key: Mapping[str, str], now: datetime) -> None:
    """Rejected when a proxy with this verify key would refuse the token, or it says something else than was asked for.

    The key's type binds the algorithm, and only ES256 is taken; nothing in the token chooses a key.
    """
    try:
        found = jwt.decode(token.reveal(), ECKey.import_key(dict(key)), algorithms=[ALGORITHM])
    except (JoseError, ValueError):
        raise _refused(spec, facts, "is not signed by its verify key") from None
    if (found.header.get("typ"), found.header.get("kid")) != (TYPE, key["kid"]):
        raise _refused(spec, facts, "names another type or key in its header")
    expected = {
        **wanted_claims(_settings(spec)),
        "exp": _seconds(facts.not_after),
        "nbf": _seconds(facts.not_before),
        "iat": _seconds(facts.issued_at),
        "jti": facts.serial,
    }
    wrong = sorted(name for name in {*expected, *found.claims} if expected.get(name) != found.claims.get(name))
    if wrong:
        raise _refused(spec, facts, f"says something else than was asked for in {', '.join(wrong)}")
    if not facts.not_before <= now < facts.not_after:
        raise _refused(spec, facts, "is not valid now")


def _no_signer(want: JwtSettings, text: str) -> Unavailable:
    return Unavailable(
        Code.SIGNER_NOT_READY,
        f"{want.signer} {text}; nothing is signed before",
        hint="rotator explain shows which nodes have not adopted the verify key",
    )


def _refused(spec: Spec, facts: Facts, text: str) -> Rejected:
    return Rejected(Code.MATERIAL_REJECTED, f"the token of version {facts.version} of {spec.id} {text}")


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _seconds(at: datetime) -> int:
    """NumericDate (RFC 7519, 2), whole seconds."""
    return int(at.astimezone(UTC).timestamp())


def _settings(spec: Spec) -> JwtSettings:
    if not isinstance(spec.settings, JwtSettings):
        raise Rejected(Code.CONFIG_INVALID, f"{spec.id} has no settings of a token")
    return spec.settings
