"""Secret-ids of agents' AppRoles: asked for wrapped, proven by a login, stored, and destroyed after adoption.

A login uses up a use. So a secret-id with counted uses is asked for with one more than its agent gets, and that one is
used here, before the material is stored; `verify` after a restart only looks such a secret-id up. Where this process
is outside of the addresses that a secret-id is bound to, it is looked up as well, and asked for without the extra use.
Which proof it was stands in the facts as `proof` (`ports.LoginProof`).

Orphans: every secret-id carries credential, rotation id and version as its metadata. Those of a rotation that went
wrong are destroyed at once or by its next try, and what is left of older versions when a version is retired. A
secret-id without our mark is never touched, nor one that a living KV version holds.

Vault paths: `auth/<agents_mount>/role/<role>/role-id` (read), `…/secret-id` (update, only wrapped), `…/secret-id/`
(list; with the slash, or the wrapping rule would hold for it), `…/secret-id/lookup`, `…/secret-id-accessor/lookup`,
`…/secret-id-accessor/destroy` (update); and as every kind, its place in KV. The agent's own role needs
`auth/token/revoke-self` (update), or the token of each test login is left to run out.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from rotator.core.errors import Code, Denied, Family, Fault, Rejected
from rotator.core.kind_settings import AppRoleSettings
from rotator.core.model import Facts, Pending
from rotator.core.secret import Secret
from rotator.core.spec import Spec
from rotator.kinds.base import IssueResult, KindPorts
from rotator.kinds.keeping import Keeping, Made
from rotator.ports import LoginProof, SecretId, SecretIdRequest

ROLE_ID, SECRET_ID = "role_id", "secret_id"
MOUNT, ROLE, PROOF = "mount", "role", "proof"
CREDENTIAL, ROTATION, VERSION = "credential", "rotation_id", "version"
# How much shorter than asked for a life may be: Vault counts whole seconds.
SHORTFALL = timedelta(seconds=5)

Mark = Callable[[Mapping[str, str]], bool]


class AppRoleKind:
    """Kind `approle`. Tokens of the agent's earlier logins outlive the secret-id; they end by their own TTL."""

    name = "approle"

    def __init__(self, ports: KindPorts) -> None:
        self._keeping = Keeping(ports)
        self._approles, self._secrets = ports.approles, ports.secrets
        self._clock, self._failpoint = ports.clock, ports.failpoint

    def issue(self, spec: Spec, pending: Pending, stored_version: int, read_back: bool) -> IssueResult:
        """As `Kind.issue`. What an earlier try of this rotation has left is destroyed first, unless it is stored."""
        role_id = self._approles.role_id(_settings(spec).mount, _settings(spec).role)
        adopted = self._keeping.find(spec, pending, stored_version) if read_back else None
        if read_back:
            self._sweep(spec, _place(spec), _of_rotation(pending.rotation_id))
        if adopted is not None:
            return adopted
        newest = self._keeping.newest(spec) if read_back else stored_version
        try:
            return self._new(spec, pending, role_id, newest)
        except Fault as fault:
            # After a lost reply this rotation is tried again and reads back; after other failures it may not be.
            if fault.family is not Family.UNAVAILABLE:
                self._sweep_after(spec, pending.rotation_id)
            raise

    def verify(self, spec: Spec, facts: Facts) -> None:
        """Looks it up and, where uses are not counted, logs in with it."""
        try:
            self._verify(spec, facts)
        except Rejected:
            # It will never be published, and its KV version, which stays, would shield it from every later sweep. So an
            # outage in between means that it is verified, and refused, once more.
            with suppress(Denied, Rejected):
                self._sweep(spec, _place(spec, facts), _of_rotation(facts.rotation_id), but=facts.kv_version)
            raise

    def retire(self, spec: Spec, facts: Facts) -> None:
        """Destroys the secret-id, then what abandoned rotations of older versions have left, then the copy in KV."""
        place = _place(spec, facts)
        if facts.serial:
            self._approles.destroy_secret_id(*place, facts.serial)
        self._failpoint.reach("K11", str(spec.id))
        self._sweep(spec, place, _older_than(facts.version), but=facts.kv_version)
        self._keeping.destroy(spec, facts)

    def revoke(self, spec: Spec, facts: Facts) -> None:
        """The same: no login is possible with it any more."""
        self.retire(spec, facts)

    def _new(self, spec: Spec, pending: Pending, role_id: str, newest: int) -> IssueResult:
        made, proof = self._proven(spec, pending, role_id)
        now = self._clock.now()
        mount, role = _place(spec)
        fields = {ROLE_ID: Secret(role_id), SECRET_ID: made.value or Secret("")}
        details = ((MOUNT, mount), (ROLE, role), (PROOF, proof.value))
        ready = Made(fields, (SECRET_ID,), now, not_after=_end(spec, made, now), serial=made.accessor, details=details)
        result = self._keeping.store(spec, pending, ready, newest)
        if result.adopted:
            self._sweep_after(spec, pending.rotation_id)
            return result
        return replace(result, verified=True)

    def _proven(self, spec: Spec, pending: Pending, role_id: str) -> tuple[SecretId, LoginProof]:
        uses = _settings(spec).num_uses
        mount, role = _place(spec)
        made = self._asked(spec, pending, uses + 1 if uses else 0)
        value = made.value or Secret("")
        proof = self._approles.try_login(mount, role_id, value)
        if uses and proof is LoginProof.OUTSIDE:
            self._approles.destroy_secret_id(mount, role, made.accessor)
            return self._asked(spec, pending, uses), proof
        if uses:
            left = self._approles.look_up(mount, role, value)
            _refuse(spec, _deviations(spec, left, uses, pending.rotation_id))
        return made, proof

    def _asked(self, spec: Spec, pending: Pending, uses: int) -> SecretId:
        """A new one, looked at and not used yet."""
        want = _settings(spec)
        mark = {CREDENTIAL: str(spec.id), ROTATION: pending.rotation_id, VERSION: str(pending.version)}
        cidrs = (want.secret_id_cidrs, want.token_cidrs)
        request = SecretIdRequest(want.mount, want.role, spec.ttl, uses, *cidrs, metadata=mark)
        made = self._approles.new_secret_id(request)
        self._failpoint.reach("K2", str(spec.id))
        _refuse(spec, _deviations(spec, made, uses, pending.rotation_id))
        return made

    def _verify(self, spec: Spec, facts: Facts) -> None:
        material = self._keeping.read(spec, facts)
        want, value = _settings(spec), material.get(SECRET_ID, Secret(""))
        role_id = material.get(ROLE_ID, Secret("")).reveal()
        found = self._approles.look_up(want.mount, want.role, value)
        wrong = list(_deviations(spec, found, want.num_uses, facts.rotation_id))
        if found is not None and found.accessor != facts.serial:
            wrong.append("its accessor is another one")
        if role_id != self._approles.role_id(want.mount, want.role):
            wrong.append("the role has another role id")
        if self._clock.now() >= facts.not_after:
            wrong.append("its life is over")
        _refuse(spec, wrong)
        if not want.num_uses:
            self._approles.try_login(want.mount, role_id, value)

    def _sweep_after(self, spec: Spec, rotation_id: str) -> None:
        """After a failure that must not be hidden by another one. What is left here is found at a later retirement."""
        with suppress(Fault):
            self._sweep(spec, _place(spec), _of_rotation(rotation_id))

    def _sweep(self, spec: Spec, place: tuple[str, str], mark: Mark, but: int = 0) -> None:
        """Destroys secret-ids of this credential with this mark that no living KV version holds; `but` does not count
        as living."""
        ours = [
            one.accessor
            for one in self._approles.secret_ids(*place)
            if one.metadata.get(CREDENTIAL) == str(spec.id) and mark(one.metadata)
        ]
        held = self._held(spec, but) if ours else frozenset()
        for accessor in ours:
            if accessor not in held:
                self._approles.destroy_secret_id(*place, accessor)

    def _held(self, spec: Spec, but: int) -> frozenset[str]:
        state = self._secrets.kv_state(spec.kv_mount, spec.kv_path)
        living = set(state.versions) - set(state.gone) - {but} if state else set()
        found = (self._keeping.facts(spec, number) for number in living)
        return frozenset(facts.serial for facts in found if facts is not None)


def build(ports: KindPorts) -> AppRoleKind:
    return AppRoleKind(ports)


def _of_rotation(rotation_id: str) -> Mark:
    return lambda metadata: metadata.get(ROTATION) == rotation_id


def _older_than(version: int) -> Mark:
    def older(metadata: Mapping[str, str]) -> bool:
        number = metadata.get(VERSION, "")
        return number.isdecimal() and int(number) < version

    return older


def _place(spec: Spec, facts: Facts | None = None) -> tuple[str, str]:
    """(mount, role): of a version that exists where it was made, because the configuration may name another since."""
    want, known = _settings(spec), dict(facts.details) if facts else {}
    return known.get(MOUNT, want.mount), known.get(ROLE, want.role)


def _end(spec: Spec, made: SecretId, now: datetime) -> datetime:
    """The earlier of what Vault says and what was asked for, by our clock: Vault's may go ahead."""
    asked = now + spec.ttl
    return asked if made.expires_at is None else min(made.expires_at, asked)


def _deviations(spec: Spec, found: SecretId | None, uses: int, rotation_id: str) -> Iterator[str]:
    """What differs from what was asked for, in words."""
    if found is None:
        yield "Vault does not know it"
        return
    want = _settings(spec)
    if (found.metadata.get(CREDENTIAL), found.metadata.get(ROTATION)) != (str(spec.id), rotation_id):
        yield "it carries the mark of another rotation"
    if found.uses_left != uses:
        yield f"it is good for {found.uses_left} logins instead of {uses}"
    if _networks(found.secret_id_cidrs) != _networks(want.secret_id_cidrs):
        yield "it is bound to other addresses"
    if _networks(found.token_cidrs) != _networks(want.token_cidrs):
        yield "its tokens are bound to other addresses"
    if found.expires_at is not None and found.expires_at - found.created_at < spec.ttl - SHORTFALL:
        life = found.expires_at - found.created_at
        yield f"it lives for {life} instead of {spec.ttl} (see the max_lease_ttl of its mount)"


def _networks(cidrs: tuple[str, ...]) -> frozenset[str]:
    """Vault may write one and the same network in another way."""
    try:
        return frozenset(str(ipaddress.ip_network(one, strict=False)) for one in cidrs)
    except ValueError:
        return frozenset(cidrs)


def _refuse(spec: Spec, deviations: Iterator[str] | list[str]) -> None:
    found = list(deviations)
    if found:
        raise Rejected(
            Code.MATERIAL_REJECTED,
            f"the secret-id of {spec.id} is not what was asked for: {'; '.join(found)}",
            hint="compare the role with the settings of the credential; see Vault's audit log for who used it",
        )


def _settings(spec: Spec) -> AppRoleSettings:
    if not isinstance(spec.settings, AppRoleSettings):
        raise Rejected(Code.CONFIG_INVALID, f"{spec.id} has no settings of an AppRole")
    return spec.settings
