"""Brings Vault to the wanted state. Safe to repeat, never deletes; without `apply` it only says what it would do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rotator.clients.vault_admin import VaultAdmin
from rotator.core.errors import Code, Denied
from rotator.core.secret import Secret
from rotator.provision.changes import Change, Sign, differing
from rotator.provision.pieces import Mount, Owed, Resource
from rotator.provision.principals import Principal
from rotator.provision.wanted import DEFAULTS, Authority, Options, Wanted, approle_path

# A CA that was made just now must already be valid for everybody whose clock is behind.
CA_BACKDATE = "3600s"


@dataclass(frozen=True, slots=True)
class AppRoleLogin:
    """What a process needs to log in. A new secret-id with every call."""

    role_id: str
    secret_id: Secret


def bootstrap(admin: VaultAdmin, wanted: Wanted, *, apply: bool) -> tuple[Change, ...]:
    """One Change per thing that is wanted. Raises Denied when a mount of another type is in the way."""
    return tuple(_steps(admin, wanted, apply))


def login_for(admin: VaultAdmin, principal: Principal, options: Options = DEFAULTS) -> AppRoleLogin:
    """Role id and a fresh secret-id of a principal's AppRole."""
    path = approle_path(options, principal)
    role = admin.read(f"{path}/role-id")
    if role is None:
        raise Denied(
            Code.VAULT_NOT_CONFIGURED, f"there is no AppRole {principal.policy}", hint="rotator bootstrap --apply"
        )
    secret = admin.write(f"{path}/secret-id", {})
    return AppRoleLogin(str(role["role_id"]), Secret(str(secret["secret_id"])))


def _steps(admin: VaultAdmin, wanted: Wanted, apply: bool) -> Iterator[Change]:
    for mount in wanted.mounts:
        yield _mount(admin, mount, apply)
    if wanted.authority is not None:
        yield _authority(admin, wanted.authority, apply)
        yield from _issuer(admin, wanted.authority, apply)
    for resource in wanted.resources:
        yield _resource(admin, resource, apply)
    for owed in wanted.owed:
        yield _owed(admin, owed)


def _mount(admin: VaultAdmin, mount: Mount, apply: bool) -> Change:
    table = "sys/auth" if mount.auth else "sys/mounts"
    what = f"{'auth' if mount.auth else 'mount'} {mount.path} ({mount.type})"
    found = (admin.read(table) or {}).get(f"{mount.path}/")
    if found is None:
        if apply:
            config = {"max_lease_ttl": f"{mount.max_lease_ttl}s"} if mount.max_lease_ttl else {}
            body = {"type": mount.type, "options": dict(mount.options), "config": config}
            admin.write(f"{table}/{mount.path}", body)
        return Change(Sign.CREATE, what)
    if found["type"] != mount.type or differing(mount.options, found.get("options") or {}):
        raise Denied(
            Code.VAULT_NOT_CONFIGURED,
            f"{mount.path}/ is a mount of another type or version than {mount.type}",
            hint="name another mount in the configuration; this one is left alone",
        )
    if mount.max_lease_ttl <= found["config"]["max_lease_ttl"]:
        return Change(Sign.SAME, what)
    if apply:
        admin.write(f"{table}/{mount.path}/tune", {"max_lease_ttl": f"{mount.max_lease_ttl}s"})
    return Change(Sign.CHANGE, what, ("max_lease_ttl",))


def _authority(admin: VaultAdmin, wanted: Authority, apply: bool) -> Change:
    """A root where there is none, and an intermediate signed by it. An existing issuer is never touched."""
    what = f"issuer in {wanted.mount}"
    if admin.listing(f"{wanted.mount}/issuers"):
        return Change(Sign.SAME, what)
    if apply:
        if not admin.listing(f"{wanted.root_mount}/issuers"):
            _generate_root(admin, wanted)
        _sign_intermediate(admin, wanted)
    return Change(Sign.CREATE, what)


def _generate_root(admin: VaultAdmin, wanted: Authority) -> None:
    name = wanted.name.replace("intermediate", "root")
    body = {
        "common_name": name,
        "issuer_name": "root",
        "key_type": "ec",
        "key_bits": 256,
        "ttl": f"{wanted.root_life}s",
        "not_before_duration": CA_BACKDATE,
    }
    admin.write(f"{wanted.root_mount}/root/generate/internal", body)


def _sign_intermediate(admin: VaultAdmin, wanted: Authority) -> None:
    """The default issuer is set by name: hashicorp/vault#19210, a half-failed set-signed leaves none."""
    request = {"common_name": wanted.name, "key_type": "ec", "key_bits": 256}
    csr = admin.write(f"{wanted.mount}/intermediate/generate/internal", request)["csr"]
    wish = {
        "csr": csr,
        "common_name": wanted.name,
        "ttl": f"{wanted.life}s",
        "format": "pem_bundle",
        "not_before_duration": CA_BACKDATE,
    }
    signed = admin.write(f"{wanted.root_mount}/root/sign-intermediate", wish)
    imported = admin.write(f"{wanted.mount}/intermediate/set-signed", {"certificate": signed["certificate"]})
    issuer = next(one for one, key in imported["mapping"].items() if key)
    admin.write(f"{wanted.mount}/config/issuers", {"default": issuer})


def _issuer(admin: VaultAdmin, wanted: Authority, apply: bool) -> Iterator[Change]:
    """`err`: with `truncate`, an expired issuer hands out expired certificates (hashicorp/vault#30621)."""
    path, what = f"{wanted.mount}/issuer/default", f"issuer settings of {wanted.mount}"
    body = {"leaf_not_after_behavior": "err"}
    found = admin.read(path) if admin.listing(f"{wanted.mount}/issuers") else None
    if found is None:
        yield Change(Sign.CREATE, what)
        return
    fields = differing(body, found)
    if fields and apply:
        # A write replaces every setting of the issuer, so those that are there go back with it.
        kept = ("issuer_name", "manual_chain", "usage")
        admin.write(path, {**{name: found[name] for name in kept if found.get(name)}, **body})
    yield Change(Sign.CHANGE if fields else Sign.SAME, what, fields)


def _resource(admin: VaultAdmin, resource: Resource, apply: bool) -> Change:
    found = admin.read(resource.path)
    fields = differing(resource.body, found or {})
    if found is not None and not fields:
        return Change(Sign.SAME, resource.label)
    if found is not None and resource.final:
        raise Denied(
            Code.VAULT_NOT_CONFIGURED,
            f"{resource.label} at {resource.path} is there already, with another {', '.join(fields)}",
            hint="this cannot be changed: name another one in the configuration",
        )
    if apply:
        # A write of a PKI role resets what it leaves out, so what others set there is sent back.
        admin.write(resource.path, {**_kept(resource, found or {}), **resource.body})
    return Change(Sign.CREATE if found is None else Sign.CHANGE, resource.label, fields if found is not None else ())


def _owed(admin: VaultAdmin, owed: Owed) -> Change:
    """Its settings are judged by `rotator doctor`."""
    return Change(Sign.SAME if admin.read(owed.path) is not None else Sign.OWED, owed.label)


def _kept(resource: Resource, found: dict[str, object] | object) -> dict[str, object]:
    """Settings of an existing PKI role that the wanted state does not speak of."""
    if "/roles/" not in resource.path or not isinstance(found, dict):
        return {}
    return {name: value for name, value in found.items() if value not in (None, "", [], {})}
