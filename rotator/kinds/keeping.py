"""How every kind but `certificate` keeps its material: one KV v2 version with the mark of its rotation inside.

A kind makes material; this file stores it by CAS, finds it again after a crash, checks it and destroys it.
The mark lies inside the version (docs/decisions/0003-mark-inside-the-version.md).
"""

from __future__ import annotations

import json
import secrets as randomness
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from rotator.core.errors import Code, Conflict, Rejected
from rotator.core.material import FACTS, SALT, fingerprint, material_of
from rotator.core.model import Facts, Pending
from rotator.core.secret import Secret
from rotator.core.spec import Spec
from rotator.kinds.base import IssueResult, KindPorts
from rotator.ports import KvVersion

SALT_BYTES = 16


@dataclass(frozen=True, slots=True)
class Made:
    """Material of one version, not stored yet.

    fields: what consumers need; a follower places each under its name. fresh: the fields that must differ from the old
    version, because an equal value would be no rotation. The other fields: as in `core.model.Facts`.
    """

    fields: Mapping[str, Secret]
    fresh: tuple[str, ...]
    issued_at: datetime
    not_after: datetime
    not_before: datetime | None = None
    serial: str = ""
    issuer: str = ""
    details: tuple[tuple[str, str], ...] = ()


class Keeping:
    """Of one kind. Every method raises only Faults."""

    def __init__(self, ports: KindPorts) -> None:
        self._secrets, self._failpoint = ports.secrets, ports.failpoint

    def find(self, spec: Spec, pending: Pending, stored_version: int) -> IssueResult | None:
        """What an interrupted try of this rotation has stored above `stored_version`, newest first; else None."""
        for number in range(self.newest(spec), stored_version, -1):
            stored = self._secrets.kv_read(spec.kv_mount, spec.kv_path, number)
            facts = None if stored is None else _facts_of(spec, stored)
            if facts is not None and facts.rotation_id == pending.rotation_id:
                return IssueResult(facts, adopted=True, verified=False)
        return None

    def newest(self, spec: Spec) -> int:
        """The KV version to replace by CAS; 0 when there is none."""
        state = self._secrets.kv_state(spec.kv_mount, spec.kv_path)
        return 0 if state is None else state.current_version

    def store(self, spec: Spec, pending: Pending, made: Made, cas: int) -> IssueResult:
        """Writes the version above `cas`. Rejected when a `fresh` field is what it was; Conflict when somebody else
        wrote. Reaches K3 before and K4, K5 after the write."""
        self._refuse_equal(spec, made, cas)
        self._failpoint.reach("K3", str(spec.id))
        salt = Secret(randomness.token_hex(SALT_BYTES))
        facts = _new_facts(spec, pending, made, fingerprint(made.fields, salt), cas + 1)
        stored = {**made.fields, SALT: salt, FACTS: Secret(_public(facts))}
        try:
            version = self._secrets.kv_write(spec.kv_mount, spec.kv_path, stored, cas)
        except Conflict:
            adopted = self.find(spec, pending, cas)
            if adopted is not None:
                return adopted
            raise Conflict(
                Code.KV_CONFLICT,
                f"{spec.kv_path} is not at KV version {cas} any more, and what is there is not of this rotation",
                hint="see who else writes there; the next try goes on above it",
            ) from None
        self._failpoint.reach("K4", str(spec.id))
        if version != facts.kv_version:
            raise Rejected(Code.MATERIAL_REJECTED, f"Vault stored KV version {version} where {cas + 1} was asked for")
        self._failpoint.reach("K5", str(spec.id))
        return IssueResult(facts, adopted=False, verified=False)

    def read(self, spec: Spec, facts: Facts) -> Mapping[str, Secret]:
        """The material of a stored version. Rejected when it is gone, of another rotation, or not what was stored."""
        stored = self._secrets.kv_read(spec.kv_mount, facts.kv_path, facts.kv_version)
        if stored is None:
            raise Rejected(Code.MATERIAL_REJECTED, f"KV version {facts.kv_version} of {spec.id} is gone")
        known = _facts_of(spec, stored)
        if known is None or known.rotation_id != facts.rotation_id:
            raise Rejected(Code.MATERIAL_REJECTED, f"KV version {facts.kv_version} belongs to another rotation")
        material = material_of(stored.fields)
        if fingerprint(material, stored.fields.get(SALT, Secret(""))) != facts.fingerprint:
            raise Rejected(Code.MATERIAL_REJECTED, f"KV version {facts.kv_version} is not what was stored there")
        return material

    def previous(self, spec: Spec, version: int) -> Mapping[str, Secret]:
        """The material of a KV version, unchecked; empty when there is none any more."""
        stored = self._secrets.kv_read(spec.kv_mount, spec.kv_path, version) if version else None
        return {} if stored is None else material_of(stored.fields)

    def facts(self, spec: Spec, version: int) -> Facts | None:
        """The facts of a KV version; None when it is gone, or was not written by this service."""
        stored = self._secrets.kv_read(spec.kv_mount, spec.kv_path, version) if version else None
        return None if stored is None else _facts_of(spec, stored)

    def destroy(self, spec: Spec, facts: Facts) -> None:
        """The material for good. Reaches K10 after. Safe to repeat."""
        self._secrets.kv_destroy(spec.kv_mount, facts.kv_path, (facts.kv_version,))
        self._failpoint.reach("K10", str(spec.id))

    def _refuse_equal(self, spec: Spec, made: Made, cas: int) -> None:
        old = self.previous(spec, cas)
        same = [name for name in made.fresh if name in old and old[name].matches(made.fields[name])]
        if same:
            raise Rejected(
                Code.MATERIAL_REJECTED,
                f"the new {', '.join(same)} of {spec.id} equals the old one; that is no rotation",
                hint="whatever makes it repeats itself: look there",
            )


def _new_facts(spec: Spec, pending: Pending, made: Made, mark: str, kv_version: int) -> Facts:
    return Facts(
        version=pending.version,
        rotation_id=pending.rotation_id,
        kv_path=spec.kv_path,
        kv_version=kv_version,
        issued_at=made.issued_at,
        not_before=made.not_before or made.issued_at,
        not_after=made.not_after,
        serial=made.serial,
        fingerprint=mark,
        issuer=made.issuer,
        spec_digest=spec.digest,
        details=made.details,
    )


def _public(facts: Facts) -> str:
    """As `_facts_of` reads it; KV path and version are known from where it lies."""
    return json.dumps(
        {
            "version": facts.version,
            "rotation_id": facts.rotation_id,
            "issued_at": facts.issued_at.isoformat(),
            "not_before": facts.not_before.isoformat(),
            "not_after": facts.not_after.isoformat(),
            "serial": facts.serial,
            "fingerprint": facts.fingerprint,
            "issuer": facts.issuer,
            "spec_digest": facts.spec_digest,
            "details": [list(pair) for pair in facts.details],
        },
        sort_keys=True,
    )


def _facts_of(spec: Spec, stored: KvVersion) -> Facts | None:
    """None for a version that was not written by this file: somebody's hand, or a damaged one."""
    try:
        raw = json.loads(stored.fields[FACTS].reveal())
        return Facts(
            version=int(raw["version"]),
            rotation_id=str(raw["rotation_id"]),
            kv_path=spec.kv_path,
            kv_version=stored.version,
            issued_at=datetime.fromisoformat(raw["issued_at"]),
            not_before=datetime.fromisoformat(raw["not_before"]),
            not_after=datetime.fromisoformat(raw["not_after"]),
            serial=str(raw["serial"]),
            fingerprint=str(raw["fingerprint"]),
            issuer=str(raw["issuer"]),
            spec_digest=str(raw["spec_digest"]),
            details=tuple((str(name), str(value)) for name, value in raw["details"]),
        )
    except (KeyError, TypeError, ValueError):
        return None
