"""Kind `totp_seed`: seeds of one-time codes (RFC 6238), made and accepted by Vault's TOTP engine.

Each version is a key of its own in the engine, named after its rotation: old and new are both accepted until the old
one is retired, and a repeated try writes over its own key instead of leaving one behind.

settings: `mount` (of the engine, default `totp`), `digits` (6 or 8, default 6).
Vault paths: `<mount>/keys/*` (update, read, delete), `<mount>/code/*` (read).
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from urllib.parse import parse_qs, urlsplit

from rotator.core.errors import Code, Rejected
from rotator.core.kind_settings import ForeignSettings
from rotator.core.model import Facts, Pending
from rotator.core.secret import Secret
from rotator.core.spec import Spec
from rotator.kinds.base import IssueResult, KindPorts
from rotator.kinds.keeping import Keeping, Made

FIELD = "seed"  # an agent finds it as the file <credential>/seed
PERIOD = 30  # seconds


class TotpSeedKind:
    name = "totp_seed"

    def __init__(self, ports: KindPorts) -> None:
        self._keeping, self._vault = Keeping(ports), ports.paths
        self._clock, self._failpoint = ports.clock, ports.failpoint

    def issue(self, spec: Spec, pending: Pending, stored_version: int, read_back: bool) -> IssueResult:
        if read_back and (adopted := self._keeping.find(spec, pending, stored_version)):
            return adopted
        now, (mount, digits) = self._clock.now(), settings_of(spec)
        key = f"{spec.id.owner.name}-{spec.id.name}-{pending.rotation_id}"
        asked = {"generate": True, "qr_size": 0, "issuer": "rotator", "account_name": spec.id.owner.name}
        reply = self._vault.write(f"{mount}/keys/{key}", {**asked, "digits": digits, "period": PERIOD})
        self._failpoint.reach("K2", str(spec.id))
        newest = self._keeping.newest(spec) if read_back else stored_version
        with self._dropped_if_refused(mount, key):
            made = Made({FIELD: seed_in(reply)}, (FIELD,), issued_at=now, not_after=now + spec.ttl, serial=key)
            return self._keeping.store(spec, pending, made, newest)

    def verify(self, spec: Spec, facts: Facts) -> None:
        """The engine shows the code that this seed makes. One step of the clock earlier or later is as good."""
        mount, digits = settings_of(spec)
        seed = self._keeping.read(spec, facts)[FIELD]
        with self._dropped_if_refused(mount, facts.serial):
            if self._vault.read(f"{mount}/keys/{facts.serial}") is None:
                raise Rejected(Code.MATERIAL_REJECTED, f"the TOTP engine has no key for version {facts.version}")
            shown = (self._vault.read(f"{mount}/code/{facts.serial}") or {}).get("code")
            if shown not in codes(seed, self._clock.now(), digits):
                raise Rejected(Code.MATERIAL_REJECTED, f"the stored seed of {spec.id} is not the one that is accepted")

    def retire(self, spec: Spec, facts: Facts) -> None:
        """The source first: while it exists there, its material must stay findable."""
        self._vault.delete(f"{settings_of(spec)[0]}/keys/{facts.serial}")
        self._failpoint.reach("K11", str(spec.id))
        self._keeping.destroy(spec, facts)

    def revoke(self, spec: Spec, facts: Facts) -> None:
        self.retire(spec, facts)

    @contextmanager
    def _dropped_if_refused(self, mount: str, key: str) -> Iterator[None]:
        """A refused rotation is given up and never looked at again: nobody else would end what it made."""
        try:
            yield
        except Rejected:
            self._vault.delete(f"{mount}/keys/{key}")
            raise


def build(ports: KindPorts) -> TotpSeedKind:
    return TotpSeedKind(ports)


def check(settings: Mapping[str, object]) -> Iterator[str]:
    """Of the table `settings` in the configuration: what is wrong with it."""
    yield from (f"{key} is no key of it; mount and digits are" for key in sorted(settings.keys() - {"mount", "digits"}))
    if settings.get("digits", 6) not in (6, 8):
        yield "digits must be 6 or 8"
    if not isinstance(settings.get("mount", ""), str):
        yield "mount must be the name of a mount"


def settings_of(spec: Spec) -> tuple[str, int]:
    """(mount, digits), already checked."""
    table = spec.settings.table() if isinstance(spec.settings, ForeignSettings) else {}
    return table.get("mount", "totp"), table.get("digits", 6)


def seed_in(reply: Mapping[str, object]) -> Secret:
    """From the otpauth:// URL that the engine answers."""
    found = parse_qs(urlsplit(str(reply.get("url"))).query).get("secret")
    if not found:
        raise Rejected(Code.MATERIAL_REJECTED, "the TOTP engine answered without a seed")
    return Secret(found[0])


def codes(seed: Secret, at: datetime, digits: int) -> tuple[str, ...]:
    """The codes of the step before `at`, of its own and of the one after."""
    step, text = int(at.timestamp()) // PERIOD, seed.reveal()
    key = base64.b32decode(text + "=" * (-len(text) % 8))
    return tuple(code(key, step + one, digits) for one in (-1, 0, 1))


def code(key: bytes, step: int, digits: int) -> str:
    """RFC 4226, 5.3."""
    mac = hmac.digest(key, step.to_bytes(8, "big"), "sha1")
    offset = mac[-1] & 15
    number = int.from_bytes(mac[offset : offset + 4], "big") & 0x7FFFFFFF
    return f"{number % 10**digits:0{digits}}"
