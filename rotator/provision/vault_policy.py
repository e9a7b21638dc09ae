"""Least privilege in Vault, as HCL text to review: exact paths from the configuration, one line per need.

The model was tried on OpenBao: all that is not listed answers 403. `+` stands for exactly one whole path segment.
Without the three self paths a valid token looks dead to `lookup-self`, because it does not have the `default` policy.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rotator.config.settings import Settings
from rotator.core.fleet import Fleet
from rotator.core.identity import OwnerKind
from rotator.core.spec import Spec
from rotator.provision import kind_rights
from rotator.provision.principals import Principal
from rotator.provision.rule import Rule, merged, render

SELF = (
    Rule("auth/token/lookup-self", ("read",), "is the own token alive"),
    Rule("auth/token/renew-self", ("update",), "keep it alive"),
    Rule("auth/token/revoke-self", ("update",), "end it at shutdown"),
)
# What the holder may do, and nothing else: `rotator doctor` needs it. The only path below sys/.
CAPABILITIES = Rule("sys/capabilities-self", ("update",), "rotator doctor: may I do what I must")


def rules(settings: Settings, principal: Principal) -> tuple[Rule, ...]:
    """Everything the principal may do in Vault."""
    return _service(settings) if principal.owner is None else _follower(settings.fleet, principal)


def text(settings: Settings, principal: Principal) -> str:
    """The policy as HCL."""
    notes = kind_rights.foreign(settings.fleet.specs()) if principal.owner is None else ()
    return render(f"rotator: {principal}", rules(settings, principal), notes)


def issuing_paths(settings: Settings) -> tuple[tuple[str, str], ...]:
    """(mount, role) of every PKI role that the service uses."""
    return tuple(sorted({(one.mount, one.role) for _, one in settings.fleet.certificates()}))


def folders(settings: Settings) -> tuple[tuple[str, str], ...]:
    """(KV mount, path pattern) below which the service keeps material."""
    return tuple(sorted({(spec.kv_mount, _pattern(spec)) for spec in settings.fleet.specs()}))


def _pattern(spec: Spec) -> str:
    """`agents/billing/tls` -> `agents/+/+`: the names may change, the depth and the first folder may not."""
    first, *rest = spec.kv_path.split("/")
    return "/".join([first, *("+" for _ in rest)])


def _service(settings: Settings) -> tuple[Rule, ...]:
    return merged((*SELF, CAPABILITIES, *_kinds(settings), *_doctor(settings), *_material(settings)))


def _kinds(settings: Settings) -> Iterator[Rule]:
    for spec in settings.fleet.specs():
        yield from kind_rights.of(spec)


def _doctor(settings: Settings) -> Iterator[Rule]:
    for mount, role in issuing_paths(settings):
        yield Rule(f"{mount}/roles/{role}", ("read",), "rotator doctor: role facts")
    for mount in sorted({mount for mount, _ in issuing_paths(settings)}):
        # The CA chain itself needs no line: Vault gives it to everybody.
        yield Rule(f"{mount}/issuer/default", ("read",), "rotator doctor: the issuer's settings")
        yield Rule(f"{mount}/config/crl", ("read",), "rotator doctor: does the revocation list renew itself")
    for mount in sorted({mount for mount, _ in folders(settings)}):
        yield Rule(f"{mount}/config", ("read",), "rotator doctor: how many versions are kept")


def _material(settings: Settings) -> Iterator[Rule]:
    for mount, pattern in folders(settings):
        yield Rule(f"{mount}/data/{pattern}", ("create", "update", "read"), "material, written by CAS")
        yield Rule(f"{mount}/metadata/{pattern}", ("read",), "version numbers, without material")
        yield Rule(f"{mount}/destroy/{pattern}", ("update",), "retire old versions")


def _follower(fleet: Fleet, principal: Principal) -> tuple[Rule, ...]:
    """The own token and the own credentials, by their full paths."""
    own = [spec for spec in fleet.specs() if spec.id.owner == principal.owner]
    reading = (
        Rule(f"{spec.kv_mount}/data/{spec.kv_path}", ("read",), f"its credential {spec.id.name}") for spec in own
    )
    return (*SELF, *reading)


def longest_ttl_seconds(specs: Sequence[Spec], kind: OwnerKind | None = None) -> int:
    """The longest lifetime that is asked for; a day where nothing is configured yet."""
    spans = [int(spec.ttl.total_seconds()) for spec in specs if kind is None or spec.id.owner.kind is kind]
    return max(spans, default=86400)
