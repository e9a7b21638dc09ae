"""API keys: random texts that live in KV v2. The previous one stays readable during the overlap."""

from __future__ import annotations

import secrets as randomness

from rotator.core.errors import Code, Rejected
from rotator.core.kind_settings import ApiKeySettings
from rotator.core.model import Facts, Pending
from rotator.core.secret import Secret
from rotator.core.spec import Spec
from rotator.kinds.base import IssueResult, KindPorts
from rotator.kinds.keeping import Keeping, Made

FIELD = "api_key"


class ApiKeyKind:
    """Kind `api_key`. Whoever accepts it reads both values during the overlap."""

    name = "api_key"

    def __init__(self, ports: KindPorts) -> None:
        self._keeping = Keeping(ports)
        self._clock, self._failpoint = ports.clock, ports.failpoint

    def issue(self, spec: Spec, pending: Pending, stored_version: int, read_back: bool) -> IssueResult:
        """As `Kind.issue`. Nothing outside is made before it is stored, so a lost try leaves nothing behind."""
        if read_back and (adopted := self._keeping.find(spec, pending, stored_version)):
            return adopted
        now = self._clock.now()
        value = Secret(draw(_settings(spec)))
        self._failpoint.reach("K2", str(spec.id))
        made = Made({FIELD: value}, (FIELD,), issued_at=now, not_after=now + spec.ttl)
        return self._keeping.store(spec, pending, made, self._keeping.newest(spec) if read_back else stored_version)

    def verify(self, spec: Spec, facts: Facts) -> None:
        want = _settings(spec)
        value = self._keeping.read(spec, facts)[FIELD].reveal()
        drawn = value.removeprefix(want.prefix)
        if not value.startswith(want.prefix) or len(drawn) != want.length or not set(drawn) <= set(want.alphabet):
            raise Rejected(Code.MATERIAL_REJECTED, f"the stored key of {spec.id} has another shape than was asked for")

    def retire(self, spec: Spec, facts: Facts) -> None:
        self._keeping.destroy(spec, facts)

    def revoke(self, spec: Spec, facts: Facts) -> None:
        """The same: whoever reads the accepted keys from KV does not find it any more."""
        self._keeping.destroy(spec, facts)


def build(ports: KindPorts) -> ApiKeyKind:
    return ApiKeyKind(ports)


def draw(want: ApiKeySettings) -> str:
    """Each character with equal chance, from the system's own source."""
    return want.prefix + "".join(randomness.choice(want.alphabet) for _ in range(want.length))


def _settings(spec: Spec) -> ApiKeySettings:
    if not isinstance(spec.settings, ApiKeySettings):
        raise Rejected(Code.CONFIG_INVALID, f"{spec.id} has no settings of an API key")
    return spec.settings
