"""Brings Consul's ACLs to the wanted state. Safe to repeat, never deletes; dry without `apply`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from rotator.clients.consul_admin import ConsulAdmin
from rotator.core.errors import Code, Denied
from rotator.core.fleet import Fleet
from rotator.core.secret import Secret
from rotator.provision import consul_policy
from rotator.provision.changes import Change, Sign
from rotator.provision.principals import Principal, principals


def bootstrap(admin: ConsulAdmin, fleet: Fleet, prefix: str, *, apply: bool) -> tuple[Change, ...]:
    """One policy and one token per principal. The token is found again by its description."""
    return tuple(change for one in principals(fleet) for change in _principal(admin, fleet, prefix, one, apply))


def token_for(admin: ConsulAdmin, principal: Principal) -> Secret:
    """The principal's token. Denied when it was never made."""
    found = admin.token(_description(principal), principal.policy)
    if found is None:
        raise Denied(Code.CONSUL_DENIED, f"there is no token for {principal}", hint="rotator bootstrap --apply")
    return found


def write_secret(directory: Path, name: str, secret: Secret) -> Path:
    """Writes it to a new file with mode 0600 and swaps it in, so that no reader sees half of it or a wider mode."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    target, draft = directory / name, directory / f".{name}.new"
    draft.unlink(missing_ok=True)
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secret.reveal())
        file.flush()
        os.fsync(file.fileno())
    draft.rename(target)
    return target


def _principal(admin: ConsulAdmin, fleet: Fleet, prefix: str, principal: Principal, apply: bool) -> Iterator[Change]:
    name, rules = principal.policy, consul_policy.text(fleet, prefix, principal)
    found = admin.policy(name)
    same = found is not None and str(found["Rules"]).strip() == rules.strip()
    if apply and not same:
        admin.save_policy(name, rules, str(found["ID"]) if found else "")
    sign = Sign.SAME if same else Sign.CREATE if found is None else Sign.CHANGE
    yield Change(sign, f"policy {name}", ("Rules",) if sign is Sign.CHANGE else ())
    has_token = admin.token(_description(principal), name) is not None
    if apply and not has_token:
        admin.make_token(_description(principal), name)
    yield Change(Sign.SAME if has_token else Sign.CREATE, f"token for {principal}")


def _description(principal: Principal) -> str:
    return f"rotator bootstrap: {principal}"
