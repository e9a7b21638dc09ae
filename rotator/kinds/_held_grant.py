"""Refresh tokens between two uses: one KV v2 key for each credential, which no agent may read.

A server replaces the refresh token at each use, and the new one is the only way on: what a use brought is written as
one version, before anything else is done with it. The mark of the rotation lies inside, so that an interrupted one
finds its own access token. Before each use a version says that it is about to happen: this proves that Vault takes a
write here and now, for an answer that cannot be stored would be the end of the grant.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from rotator.core.errors import Conflict
from rotator.core.secret import Secret
from rotator.core.spec import Spec
from rotator.ports import Secrets

ROOT = "oauth2"


@dataclass(frozen=True, slots=True)
class Token:
    """What one call of the token endpoint brought. asked_at: before the call. expires_at: None where not said."""

    access_token: Secret
    token_type: str
    scope: str
    asked_at: datetime
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class HeldGrant:
    """consent: the refresh token that a person's consent brought; another one at `client_path` is a new consent.

    refresh_token: the one to use next. rotation_id: of the use that is under way or was last. token: None while it is
    not known what that use brought.
    """

    consent: Secret
    refresh_token: Secret
    rotation_id: str = ""
    token: Token | None = None

    @property
    def unanswered(self) -> bool:
        """The refresh token was sent, and what came back is not known: it may be used up."""
        return bool(self.rotation_id) and self.token is None


class HeldGrants:
    """Raises only Faults."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets

    def current(self, spec: Spec) -> tuple[int, HeldGrant | None]:
        """(newest version for CAS, what it holds). None: never used, destroyed, or changed by hand."""
        state = self._secrets.kv_state(spec.kv_mount, _path(spec))
        if state is None:
            return 0, None
        found = self._secrets.kv_read(spec.kv_mount, _path(spec), state.current_version)
        return state.current_version, None if found is None else _grant_of(found.fields)

    def about_to_use(self, spec: Spec, grant: HeldGrant, rotation_id: str, cas: int) -> int:
        """Says so durably and returns the new version. Conflict: another instance is at it, and nothing was done."""
        if grant.unanswered and grant.rotation_id == rotation_id and cas:
            return cas
        marked = replace(grant, rotation_id=rotation_id, token=None)
        return self._secrets.kv_write(spec.kv_mount, _path(spec), _fields_of(marked), cas)

    def keep(self, spec: Spec, grant: HeldGrant, cas: int) -> None:
        """After a use. If somebody wrote meanwhile, it goes on top: a refresh token is never dropped for a conflict."""
        fields = _fields_of(grant)
        try:
            self._secrets.kv_write(spec.kv_mount, _path(spec), fields, cas)
        except Conflict:
            newest, _ = self.current(spec)
            self._secrets.kv_write(spec.kv_mount, _path(spec), fields, newest)

    def destroy_used(self, spec: Spec) -> None:
        """Every version but the newest. Safe to repeat."""
        state = self._secrets.kv_state(spec.kv_mount, _path(spec))
        used = sorted(set(state.versions) - set(state.gone) - {state.current_version}) if state else []
        if used:
            self._secrets.kv_destroy(spec.kv_mount, _path(spec), used)


def _path(spec: Spec) -> str:
    """Names hold no slash, so no two credentials share one."""
    return f"{ROOT}/{spec.id.owner.name}/{spec.id.name}"


def _fields_of(grant: HeldGrant) -> Mapping[str, Secret]:
    fields = {
        "consent": grant.consent,
        "refresh_token": grant.refresh_token,
        "rotation_id": Secret(grant.rotation_id),
    }
    if grant.token is None:
        return fields
    ends = grant.token.expires_at
    return {
        **fields,
        "access_token": grant.token.access_token,
        "token_type": Secret(grant.token.token_type),
        "scope": Secret(grant.token.scope),
        "asked_at": Secret(grant.token.asked_at.isoformat()),
        "expires_at": Secret(ends.isoformat() if ends else ""),
    }


def _grant_of(fields: Mapping[str, Secret]) -> HeldGrant | None:
    try:
        return HeldGrant(
            fields["consent"],
            fields["refresh_token"],
            fields["rotation_id"].reveal(),
            _token_of(fields) if "access_token" in fields else None,
        )
    except (KeyError, ValueError):
        return None


def _token_of(fields: Mapping[str, Secret]) -> Token:
    ends = fields["expires_at"].reveal()
    return Token(
        fields["access_token"],
        fields["token_type"].reveal(),
        fields["scope"].reveal(),
        datetime.fromisoformat(fields["asked_at"].reveal()),
        datetime.fromisoformat(ends) if ends else None,
    )
