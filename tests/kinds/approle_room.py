"""The AppRole kind on a real OpenBao, for one credential with a role of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from rotator.clients.clock import SystemClock
from rotator.clients.vault import VaultSecrets
from rotator.clients.vault_admin import VaultAdmin
from rotator.clients.vault_approle import VaultAppRoles
from rotator.config.settings import VaultAuth, VaultAuthMethod, VaultSettings
from rotator.core.errors import Code, Fault, Rejected, Unavailable
from rotator.core.identity import CredentialId, Owner, OwnerKind
from rotator.core.kind_settings import AppRoleSettings
from rotator.core.model import Facts, Pending, Stage, rotation_id
from rotator.core.reasons import Cause, Reason
from rotator.core.secret import Secret
from rotator.core.spec import Policy, Spec
from rotator.kinds import approle
from rotator.kinds.base import KindPorts
from rotator.ports import LoginProof, SecretId, SecretIdRequest
from tests.assets.vault_wire import VaultWire
from tests.kinds.points import Points

MOUNT = "agents-rooms"
TTL = timedelta(minutes=30)


class AppRoleWire:
    """The real client. The reply of `lose_next` is lost after its effect; `bend` changes what was made on its way to
    us; `fault` is what comes instead of a new secret-id that has been made."""

    def __init__(self, approles: VaultAppRoles) -> None:
        self._approles = approles
        self.lose_next = ""
        self.bend: Callable[[SecretId], SecretId] = lambda made: made
        self.fault: Fault | None = None
        self.calls: list[str] = []

    def role_id(self, mount: str, role: str) -> str:
        return self._reply("role_id", self._approles.role_id(mount, role))

    def new_secret_id(self, request: SecretIdRequest) -> SecretId:
        made = self.bend(self._approles.new_secret_id(request))
        if self.fault is not None:
            raise self.fault
        return self._reply("new_secret_id", made)

    def look_up(self, mount: str, role: str, value: Secret) -> SecretId | None:
        return self._reply("look_up", self._approles.look_up(mount, role, value))

    def secret_ids(self, mount: str, role: str) -> tuple[SecretId, ...]:
        return self._reply("secret_ids", self._approles.secret_ids(mount, role))

    def destroy_secret_id(self, mount: str, role: str, accessor: str) -> None:
        self._reply("destroy_secret_id", self._approles.destroy_secret_id(mount, role, accessor))

    def try_login(self, mount: str, role_id: str, secret_id: Secret) -> LoginProof:
        return self._reply("try_login", self._approles.try_login(mount, role_id, secret_id))

    def _reply(self, name: str, found: Any) -> Any:
        self.calls.append(name)
        if self.lose_next == name:
            self.lose_next = ""
            raise Unavailable(Code.VAULT_UNREACHABLE, "the reply was lost")
        return found


class Room:
    def __init__(self, address: str, admin: VaultAdmin, name: str) -> None:
        self.admin, self.role, self.points = admin, name, Points()
        if f"{MOUNT}/" not in (admin.read("sys/auth") or {}):
            admin.write(f"sys/auth/{MOUNT}", {"type": "approle"})
        self.set_role(token_policies=["default"], token_ttl="5m")
        auth = VaultAuth(VaultAuthMethod.TOKEN, token=Secret("root"))
        self.approles = VaultAppRoles(VaultSecrets(VaultSettings(address, auth), SystemClock()).calls)
        self.wire, self.vault = AppRoleWire(self.approles), VaultWire(admin)
        target = CredentialId(Owner(OwnerKind.AGENT, name), "login")
        settings = AppRoleSettings(MOUNT, name)
        self.spec = Spec(target, "approle", TTL, "kv", f"agents/{name}/login", settings, Policy(), "d" * 64)
        self.kind = approle.build(KindPorts(self.vault, SystemClock(), self.points, approles=self.wire))

    def set_role(self, name: str = "", **given: Any) -> None:
        self.admin.write(f"auth/{MOUNT}/role/{name or self.role}", given)

    def want(self, **settings: Any) -> None:
        assert isinstance(self.spec.settings, AppRoleSettings)
        self.spec = replace(self.spec, settings=replace(self.spec.settings, **settings))

    def pending(self, version: int = 1, second: int = 0) -> Pending:
        at = datetime(2026, 1, 1, second=second, tzinfo=UTC)
        mark = rotation_id(self.spec.id, version, at)
        return Pending(version, mark, Stage.INTENDED, Cause(Reason.DUE), at)

    def issue(self, version: int, stored: int) -> Facts:
        """A whole issue without trouble."""
        return self.kind.issue(self.spec, self.pending(version), stored, read_back=False).facts

    def plant(self, version: int, credential: str = "", mark: str = "abandoned") -> str:
        """The accessor of a secret-id as a rotation leaves it that died before it stored it."""
        metadata = {
            "credential": credential or str(self.spec.id),
            "rotation_id": mark,
            "version": str(version),
        }
        return self.approles.new_secret_id(SecretIdRequest(MOUNT, self.role, TTL, metadata=metadata)).accessor

    def foreign(self) -> str:
        """The accessor of a secret-id that somebody made by hand, without any mark."""
        return str(self.admin.write(f"auth/{MOUNT}/role/{self.role}/secret-id", {})["secret_id_accessor"])

    def alive(self) -> set[str]:
        return {one.accessor for one in self.approles.secret_ids(MOUNT, self.role)}

    def newest(self) -> int:
        state = self.vault.kv_state("kv", self.spec.kv_path)
        return state.current_version if state else 0

    def material(self, facts: Facts) -> tuple[str, Secret]:
        """(role id, secret-id) as a follower places them."""
        stored = self.vault.kv_read("kv", facts.kv_path, facts.kv_version)
        assert stored is not None
        return stored.fields["role_id"].reveal(), stored.fields["secret_id"]

    def accepts(self, facts: Facts) -> bool:
        """As the agent: logs in, which uses up one use."""
        return self.admits(*self.material(facts))

    def admits(self, role_id: str, secret_id: Secret) -> bool:
        try:
            self.approles.try_login(MOUNT, role_id, secret_id)
        except Rejected:
            return False
        return True

    def logins(self, facts: Facts, at_most: int = 10) -> int:
        """How many logins the agent gets, tried out."""
        return next((count for count in range(at_most) if not self.accepts(facts)), at_most)


def accessors(*facts: Facts) -> set[str]:
    return {one.serial for one in facts}
