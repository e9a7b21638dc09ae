"""The doctor's questions about what kinds of credentials need in Vault: revocation lists, signing keys, logins, static
roles. Asked with the service's own token."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rotator.clients.vault_admin import VaultAdmin
from rotator.config.settings import Settings
from rotator.core.kind_settings import AppRoleSettings, SigningKeySettings
from rotator.provision.finding import Finding, Verdict, finding
from rotator.provision.wanted_kinds import GOOD_PERIODS, LEAST_PERIODS, StaticRole, static_roles


def kinds(settings: Settings, admin: VaultAdmin) -> Iterator[Finding]:
    wants = [spec.settings for spec in settings.fleet.specs()]
    for mount, key in sorted({(one.mount, one.key) for one in wants if isinstance(one, SigningKeySettings)}):
        yield signing_key(key, admin.read(f"{mount}/keys/{key}"))
    for mount, role in sorted({(one.mount, one.role) for one in wants if isinstance(one, AppRoleSettings)}):
        there = admin.read(f"auth/{mount}/role/{role}/role-id") is not None
        what, fix = f"agent's approle {role}", "rotator bootstrap --apply"
        yield finding(there, what, f"auth/{mount} has it" if there else "does not exist", fix)
    for one in static_roles(settings):
        yield static_role(one, admin.read(one.path))


def revocation_list(mount: str, found: Mapping[str, Any] | None) -> Finding:
    """A list that runs out makes peers refuse every certificate."""
    good = bool((found or {}).get("auto_rebuild")) and not (found or {}).get("disable")
    text = "renews itself" if good else "runs out unless somebody rotates it"
    fix = f"rotator bootstrap --apply, or set auto_rebuild=true at {mount}/config/crl"
    return finding(good, f"revocation list of {mount}", text, fix, Verdict.WARN)


def signing_key(key: str, found: Mapping[str, Any] | None) -> Finding:
    what = f"transit key {key}"
    if found is None:
        return Finding(Verdict.FAIL, what, "does not exist", "rotator bootstrap --apply")
    if found.get("type") != "ecdsa-p256":
        return Finding(
            Verdict.FAIL, what, f"is of type {found.get('type')}, not ecdsa-p256", "name another in [tokens]"
        )
    closed = not found.get("exportable") and not found.get("allow_plaintext_backup")
    text = "cannot leave Vault" if closed else "can be exported, and that cannot be undone"
    return finding(closed, what, text, "name another in [tokens]", Verdict.WARN)


def static_role(wanted: StaticRole, found: Mapping[str, Any] | None) -> Finding:
    """Vault must never change a password before the service does: the stored copy would be dead."""
    what, task = f"static role {wanted.role}", f"the database's administrator makes it: {wanted.task}"
    if found is None:
        return Finding(Verdict.FAIL, what, "does not exist", task)
    # With a schedule in place of a period nobody can say from here when Vault acts.
    period = int(found.get("rotation_period") or 0)
    text = f"Vault changes its password every {period} s; a stored copy lives for {wanted.ttl} s"
    fix = f"rotation_period={wanted.ttl * GOOD_PERIODS}s or more at {wanted.path}"
    if period < wanted.ttl * LEAST_PERIODS:
        return Finding(Verdict.FAIL, what, text if period else "Vault changes its password by a schedule", fix)
    return finding(period >= wanted.ttl * GOOD_PERIODS, what, text, fix, Verdict.WARN)
