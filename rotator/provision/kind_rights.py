"""What each kind of credential needs in Vault beside its place in KV: the `Vault paths` of its file in `kinds/`.

Unwrapping needs no line: the wrapping token brings its own right, and `sys/wrapping/lookup` asks for none.
"""

from __future__ import annotations

from collections.abc import Iterator

from rotator.core.kind_settings import (
    AppRoleSettings,
    CertificateSettings,
    DatabaseSettings,
    ForeignSettings,
    Grant,
    JwtSettings,
    OAuth2Settings,
    SigningKeySettings,
)
from rotator.core.spec import Spec
from rotator.provision.rule import Rule

# Around the wrapping of the service's own requests (60 s): without a bound, an unwrapped secret-id would be allowed.
WRAPPING = ("1s", "120s")


def of(spec: Spec) -> Iterator[Rule]:
    """Nothing for a kind of another package: only its author knows what it needs."""
    match spec.settings:
        case CertificateSettings() as want:
            yield from _certificate(want)
        case AppRoleSettings() as want:
            yield from _approle(want)
        case JwtSettings() as want:
            yield Rule(f"{want.mount}/sign/{want.key}/sha2-256", ("update",), "sign tokens")
        case SigningKeySettings() as want:
            yield from _signing_key(want)
        case DatabaseSettings() as want:
            yield from _database(want)
        case OAuth2Settings() as want:
            yield from _oauth2(spec, want)


def foreign(specs: tuple[Spec, ...]) -> tuple[str, ...]:
    """A sentence for each kind of another package."""
    kinds = sorted({spec.kind for spec in specs if isinstance(spec.settings, ForeignSettings)})
    return tuple(f"kind {kind} is of another package: add the paths that it names" for kind in kinds)


def _certificate(want: CertificateSettings) -> Iterator[Rule]:
    if want.local_key:
        yield Rule(f"{want.mount}/sign/{want.role}", ("update",), "sign requests for this role, whose keys stay here")
    else:
        yield Rule(f"{want.mount}/issue/{want.role}", ("update",), "issue certificates of this role")
    yield Rule(f"{want.mount}/revoke-with-key", ("update",), "compromise: revoke a certificate whose key we hold")
    # `auto_rebuild` keeps the list from running out, and leaves new revocations for the next rebuild.
    yield Rule(f"{want.mount}/crl/rotate", ("read",), "compromise: put the revocation on the list at once")


def _approle(want: AppRoleSettings) -> Iterator[Rule]:
    role = f"auth/{want.mount}/role/{want.role}"
    yield Rule(f"{role}/role-id", ("read",), "the role id that goes with a secret-id")
    yield Rule(f"{role}/secret-id", ("update",), "make secret-ids, wrapped only", WRAPPING)
    # With the slash: the wrapping would hold for the list as well, and a list is never wrapped.
    yield Rule(f"{role}/secret-id/", ("list",), "find secret-ids that a crash has left")
    yield Rule(f"{role}/secret-id/lookup", ("update",), "check a secret-id without using it")
    yield Rule(f"{role}/secret-id-accessor/lookup", ("update",), "whose secret-id it is")
    yield Rule(f"{role}/secret-id-accessor/destroy", ("update",), "destroy the old secret-id")


def _signing_key(want: SigningKeySettings) -> Iterator[Rule]:
    yield Rule(f"{want.mount}/keys/{want.key}", ("read",), "verify keys of the tokens")
    yield Rule(f"{want.mount}/keys/{want.key}/rotate", ("update",), "make a new signing key")
    yield Rule(f"{want.mount}/sign/{want.key}/sha2-256", ("update",), "prove that the new key signs")


def _database(want: DatabaseSettings) -> Iterator[Rule]:
    for role in want.roles:
        yield Rule(f"{want.mount}/rotate-role/{role}", ("update",), "change the password of this account")
        yield Rule(f"{want.mount}/static-creds/{role}", ("read",), "the password of this account")
        yield Rule(f"{want.mount}/static-roles/{role}", ("read",), "rotator doctor: facts of the static role")


def _oauth2(spec: Spec, want: OAuth2Settings) -> Iterator[Rule]:
    mount = spec.kv_mount
    yield Rule(f"{mount}/data/{want.client_path}", ("read",), "the client that somebody else has registered")
    if want.grant is Grant.REFRESH_TOKEN:
        held = f"oauth2/{spec.id.owner.name}/{spec.id.name}"
        yield Rule(f"{mount}/data/{held}", ("create", "update", "read"), "refresh tokens, where no agent reads")
        yield Rule(f"{mount}/metadata/{held}", ("read",), "version numbers of refresh tokens")
        yield Rule(f"{mount}/destroy/{held}", ("update",), "destroy refresh tokens that were used")
