"""The wanted state of Vault as values: mounts and resources, in the order in which they can be made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rotator.config.settings import Settings
from rotator.core.identity import OwnerKind
from rotator.provision import vault_policy, wanted_kinds
from rotator.provision.pieces import Mount, Owed, Resource
from rotator.provision.principals import Principal, principals

DAY = 86400
# Vault's clock may be 30 s ahead of ours and a peer's 30 s behind: both still accept a fresh certificate (TIM-4).
BACKDATE_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Options:
    """pki: also make CA and roles (off where a PKI is run by others). root_mount: of the root that signs ours."""

    pki: bool = True
    root_mount: str = "pki_root"
    auth_mount: str = "approle"


DEFAULTS = Options()


@dataclass(frozen=True, slots=True)
class Authority:
    """An intermediate CA in `mount`, signed by a root in `root_mount`, where `mount` has no issuer yet."""

    mount: str
    root_mount: str
    name: str
    life: int
    root_life: int


@dataclass(frozen=True, slots=True)
class Wanted:
    mounts: tuple[Mount, ...]
    authority: Authority | None
    resources: tuple[Resource, ...]
    owed: tuple[Owed, ...] = ()


def vault(settings: Settings, options: Options = DEFAULTS) -> Wanted:
    """Everything that Vault must hold for this configuration. Nothing else is ever changed, nothing deleted."""
    authority = _authority(settings, options) if options.pki else None
    roles = (_revocation_list(settings), *_roles(settings)) if options.pki else ()
    listed = principals(settings.fleet)
    return Wanted(
        mounts=_mounts(settings, options, authority),
        authority=authority,
        resources=(
            _kv_config(settings),
            *roles,
            *wanted_kinds.resources(settings),
            *(_policy(settings, principal) for principal in listed),
            *(_approle(options.auth_mount, principal) for principal in listed),
        ),
        owed=wanted_kinds.owed(settings),
    )


def approle_path(options: Options, principal: Principal) -> str:
    return f"auth/{options.auth_mount}/role/{principal.policy}"


def versions_needed(settings: Settings) -> int:
    """How many KV versions must be kept, so that none is pushed out while a consumer may still read it.

    Every attempt can write one, and those of one attempt window can all await adoption at once.
    """
    return max([10, *(spec.policy.attempt_budget + 2 for spec in settings.fleet.specs())])


def _mounts(settings: Settings, options: Options, authority: Authority | None) -> tuple[Mount, ...]:
    pki: tuple[Mount, ...] = ()
    if authority is not None:
        pki = (
            Mount(authority.root_mount, "pki", max_lease_ttl=authority.root_life),
            Mount(authority.mount, "pki", max_lease_ttl=authority.life),
        )
    return (
        Mount(settings.vault.kv_mount, "kv", options={"version": "2"}),
        *pki,
        Mount(options.auth_mount, "approle", auth=True),
        *wanted_kinds.mounts(settings),
    )


def _authority(settings: Settings, options: Options) -> Authority:
    longest = vault_policy.longest_ttl_seconds(settings.fleet.specs())
    life = max(2 * 365 * DAY, 4 * longest)
    name = f"rotator intermediate ({settings.fleet.trust_domain})"
    return Authority(settings.vault.pki_mount, options.root_mount, name, life, 5 * life)


def _kv_config(settings: Settings) -> Resource:
    mount = settings.vault.kv_mount
    return Resource(f"kv {mount}", f"{mount}/config", {"max_versions": versions_needed(settings)})


def _revocation_list(settings: Settings) -> Resource:
    """A CRL that runs out makes peers refuse every certificate. Vault renews it in time; a new revocation waits for
    that, unless `crl/rotate` is called (measured on OpenBao 2.7)."""
    mount = settings.vault.pki_mount
    body = {"auto_rebuild": True, "auto_rebuild_grace_period": "24h", "expiry": "72h", "disable": False}
    return Resource(f"revocation list of {mount}", f"{mount}/config/crl", body)


def _roles(settings: Settings) -> tuple[Resource, ...]:
    vault = settings.vault
    return (
        _role(settings, vault.agent_role, OwnerKind.AGENT),
        _role(settings, vault.proxy_role, OwnerKind.PROXY),
    )


# What every PKI role has, whoever it is for.
_ROLE: Mapping[str, Any] = {
    "issuer_ref": "default",
    "allow_subdomains": False,
    "allow_glob_domains": False,
    "allow_any_name": False,
    "require_cn": True,
    "use_csr_common_name": False,
    "use_csr_sans": False,
    "cn_validations": ["disabled"],
    "key_type": "ec",
    "key_bits": 256,
    "key_usage": ["DigitalSignature"],
    "server_flag": True,
    "client_flag": True,
    "code_signing_flag": False,
    "email_protection_flag": False,
    "basic_constraints_valid_for_non_ca": True,
    "generate_lease": False,
    "no_store": True,
    "not_before_duration": BACKDATE_SECONDS,
}


def _role(settings: Settings, role: str, kind: OwnerKind) -> Resource:
    """A PKI role for one kind of owner.

    generate_lease, no_store: a lease per certificate brought Vault down at some 20 000 (hashicorp/vault#6417), storing
    costs a factor of 4 in speed; the price is that a certificate cannot be revoked by its serial without its body.
    use_csr_*: with `sign` the names come from the service's call, as with `issue`, never from the request.
    cn_validations: the common name is a plain name such as `billing`, and the URI is what counts (SPIFFE).
    """
    listed = settings.fleet.certificates()
    specs = [(spec, one) for spec, one in listed if spec.id.owner.kind is kind and one.role == role]
    longest = vault_policy.longest_ttl_seconds([spec for spec, _ in specs])
    dns = sorted({name for _, one in specs for name in one.dns_sans})
    body = {
        **_ROLE,
        "allowed_uri_sans": [f"spiffe://{settings.fleet.trust_domain}/{kind.value}/*"],
        "allowed_domains": dns,
        "allow_bare_domains": bool(dns),
        "allow_localhost": "localhost" in dns,
        "allow_ip_sans": any(one.ip_sans for _, one in specs),
        "ttl": longest,
        "max_ttl": longest,
    }
    return Resource(f"pki role {role}", f"{settings.vault.pki_mount}/roles/{role}", body)


def _policy(settings: Settings, principal: Principal) -> Resource:
    body = {"policy": vault_policy.text(settings, principal)}
    return Resource(f"policy {principal.policy}", f"sys/policies/acl/{principal.policy}", body)


def _approle(mount: str, principal: Principal) -> Resource:
    """Short tokens without the `default` policy. The secret-id stays usable, because every new login needs it."""
    body = {
        "token_policies": [principal.policy],
        "token_no_default_policy": True,
        "token_ttl": 3600,
        "token_max_ttl": DAY,
        "bind_secret_id": True,
    }
    return Resource(f"approle {principal.policy}", f"auth/{mount}/role/{principal.policy}", body)
