"""The agents' secret-ids in Vault or OpenBao behind `ports.AppRoles`.

Vault paths, all below `auth/<agents_mount>/role/<role>/`: `role-id` (read), `secret-id` (update, with
min_wrapping_ttl and max_wrapping_ttl around WRAP_TTL), `secret-id/` (list), `secret-id/lookup`,
`secret-id-accessor/lookup` and `secret-id-accessor/destroy` (update). The test login has no token of ours; the token
that it brings revokes itself, for which the role's policies should allow `auth/token/revoke-self`.

Measured on OpenBao 2.7: destroying what is gone is a 500, so is a CIDR that it cannot read; a missing role is 404
here and 400 there, and a refused address uses up no login. The max_lease_ttl of the mount shortens a life without a
word: `secret_id_ttl` then shows what was asked for, and only `expiration_time` tells.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from rotator.clients.vault_calls import Ask, VaultCalls, shaped
from rotator.clients.vault_errors import VaultReply, is_absent, login_refusal, malformed, refusal, wrapping_suspect
from rotator.clients.vault_wrapping import UNWRAP, Wrapping, text_in
from rotator.core.errors import Code, Denied, Fault, Rejected
from rotator.core.secret import Secret
from rotator.ports import LoginProof, SecretId, SecretIdRequest

# Long enough for a slow server; an interceptor has as long.
WRAP_TTL = "60s"
_ROLE_GONE = "does not exist"


class VaultAppRoles:
    """Thread-safe. Names of mounts and roles come from the checked configuration and need no quoting."""

    def __init__(self, calls: VaultCalls) -> None:
        self._calls = calls

    def role_id(self, mount: str, role: str) -> str:
        found = self._role_id(mount, role)
        if found is None:
            raise _no_role(mount, role)
        return found

    def new_secret_id(self, request: SecretIdRequest) -> SecretId:
        path = f"{_role(request.mount, request.role)}/secret-id"
        reply = self._calls.try_write(Ask("approle_secret_id", path, _body(request), wrap_ttl=WRAP_TTL))
        if not reply.ok:
            raise _not_made(reply, request, path)
        value = Secret(self._unwrapped(reply.body or {}, path))
        found = self.look_up(request.mount, request.role, value)
        if found is None:
            raise Rejected(Code.MATERIAL_REJECTED, f"Vault does not know the secret-id that it has just made at {path}")
        return replace(found, value=value)

    def look_up(self, mount: str, role: str, value: Secret) -> SecretId | None:
        return self._found(f"{_role(mount, role)}/secret-id/lookup", {"secret_id": value.reveal()})

    def secret_ids(self, mount: str, role: str) -> tuple[SecretId, ...]:
        path = _role(mount, role)
        try:
            accessors = self._calls.listing(Ask("approle_list", f"{path}/secret-id", idempotent=True))
        except Denied as refused:
            if refused.code is Code.VAULT_NOT_CONFIGURED and self._role_id(mount, role) is None:
                return ()
            raise
        # One that ends between the two questions is simply not there any more.
        asked = (self._found(f"{path}/secret-id-accessor/lookup", {"secret_id_accessor": one}) for one in accessors)
        return tuple(one for one in asked if one is not None)

    def destroy_secret_id(self, mount: str, role: str, accessor: str) -> None:
        path = f"{_role(mount, role)}/secret-id-accessor/destroy"
        body = {"secret_id_accessor": accessor}
        reply = self._calls.try_write(Ask("approle_destroy", path, body, idempotent=True))
        gone = is_absent(reply) or reply.says("failed to find accessor entry", _ROLE_GONE)
        if not (reply.ok or gone):
            raise refusal(reply, path)

    def try_login(self, mount: str, role_id: str, secret_id: Secret) -> LoginProof:
        path = f"auth/{mount}/login"
        body = {"role_id": role_id, "secret_id": secret_id.reveal()}
        reply = self._calls.without_token(Ask("approle_login", path, body))
        if reply.status in (400, 403) and reply.says("cidr restrictions"):
            return LoginProof.OUTSIDE
        if reply.status in (400, 401, 403) and not reply.says("no handler for route", "unsupported path"):
            raise Rejected(
                Code.MATERIAL_REJECTED,
                f"Vault refuses a login at {path} with the new secret-id",
                hint="somebody has destroyed it or used it up, or role and role id do not belong together",
            )
        if not reply.ok:
            raise login_refusal(reply, mount)
        token = text_in(reply.body or {}, "auth", "client_token")
        if not token:
            raise malformed(path)
        return self._ended(Secret(token))

    def _ended(self, token: Secret) -> LoginProof:
        """The login is proven by now: a token that cannot be revoked (policy, address, batch type, outage) runs out."""
        try:
            reply = self._calls.with_token(Ask("approle_logout", "auth/token/revoke-self", {}, idempotent=True), token)
        except Fault:
            return LoginProof.LEFT
        return LoginProof.ENDED if reply.ok else LoginProof.LEFT

    def _unwrapped(self, body: Mapping[str, Any], path: str) -> str:
        token = text_in(body, "wrap_info", "token")
        if not token:
            if text_in(body, "data", "secret_id"):
                raise wrapping_suspect(
                    f"the secret-id made at {path} came in the open although it was asked for wrapped"
                )
            raise malformed(path)
        wrapping = Wrapping(self._post, Secret(token), path, "the new secret-id")
        wrapping.check()
        value = text_in(wrapping.open(), "data", "secret_id")
        if not value:
            raise malformed(UNWRAP)
        return value

    def _post(self, operation: str, path: str, body: Mapping[str, Any] | None, token: Secret | None, /) -> VaultReply:
        ask = Ask(operation, path, body)
        return self._calls.without_token(ask) if token is None else self._calls.with_token(ask, token)

    def _role_id(self, mount: str, role: str) -> str | None:
        path = f"{_role(mount, role)}/role-id"
        data = self._calls.read(Ask("approle_role_id", path, idempotent=True))
        return None if data is None else shaped(path, lambda: _text(data["role_id"]))

    def _found(self, path: str, body: Mapping[str, str]) -> SecretId | None:
        reply = self._calls.try_write(Ask("approle_lookup", path, body, idempotent=True))
        if is_absent(reply) or reply.says(_ROLE_GONE) or (reply.ok and not (reply.body or {}).get("data")):
            return None
        if not reply.ok:
            raise refusal(reply, path)
        found = reply.body or {}
        return shaped(path, lambda: _secret_id(found["data"]))


def _role(mount: str, role: str) -> str:
    return f"auth/{mount}/role/{role}"


def _body(request: SecretIdRequest) -> Mapping[str, Any]:
    body: dict[str, Any] = {
        "ttl": f"{int(request.ttl.total_seconds())}s",
        "num_uses": request.num_uses,
        "metadata": json.dumps(dict(request.metadata), sort_keys=True),
    }
    cidrs = {"cidr_list": request.secret_id_cidrs, "token_bound_cidrs": request.token_cidrs}
    return {**body, **{name: list(given) for name, given in cidrs.items() if given}}


def _secret_id(data: Mapping[str, Any]) -> SecretId:
    expires = _time(data["expiration_time"])
    return SecretId(
        accessor=_text(data["secret_id_accessor"]),
        created_at=_time(data["creation_time"]),
        expires_at=None if expires.year == 1 else expires,  # Go's zero time: no end
        uses_left=int(data["secret_id_num_uses"]),
        metadata={str(name): str(value) for name, value in (data.get("metadata") or {}).items()},
        secret_id_cidrs=tuple(data.get("cidr_list") or ()),
        token_cidrs=tuple(data.get("token_bound_cidrs") or ()),
    )


def _time(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError("a time without a zone")
    return found


def _text(found: Any) -> str:
    if not isinstance(found, str) or not found:
        raise ValueError("no text")
    return found


def _no_role(mount: str, role: str) -> Denied:
    return Denied(
        Code.VAULT_NOT_CONFIGURED,
        f"there is no AppRole at {_role(mount, role)}",
        hint="`rotator bootstrap` makes it, or correct `role`",
    )


def _not_made(reply: VaultReply, request: SecretIdRequest, path: str) -> Fault:
    """What the role does not allow, told apart by Vault's words: most of it comes as a 500 or as a bare 400."""
    if reply.says(_ROLE_GONE) or is_absent(reply):
        return _no_role(request.mount, request.role)
    if reply.says("secret_id_num_uses"):
        wants = f"{request.num_uses} logins" if request.num_uses else "any number of logins"
        least = f" or {request.num_uses} and more" if request.num_uses else ""
        return _refused(
            f"the role behind {path} does not allow a secret-id for {wants}", f"secret_id_num_uses = 0{least}"
        )
    if reply.says("secret_id_ttl"):
        text = f"the role behind {path} does not allow a secret-id that lives for {request.ttl}"
        return _refused(text, f"secret_id_ttl = 0 or {int(request.ttl.total_seconds())}s and more")
    if reply.says("cidr"):
        text = f"the role behind {path} does not allow a secret-id bound to these addresses"
        return _refused(text, "secret_id_bound_cidrs and token_bound_cidrs, which must contain them")
    return refusal(reply, path)


def _refused(text: str, change: str) -> Denied:
    return Denied(Code.VAULT_NOT_CONFIGURED, text, hint=f"on the role: {change}")
