"""Is this installation fit to run? One finding per question, each with what to do about it.

Looks only; nothing is written but one Consul session that ends at once. A question that cannot be asked is a finding
like any other: one dead server does not hide what is wrong with the other.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509

from rotator.clients.consul_admin import ConsulAdmin
from rotator.clients.vault_admin import VaultAdmin
from rotator.config.settings import Settings
from rotator.core.errors import Fault
from rotator.provision import examine_kinds, vault_policy, wanted
from rotator.provision.finding import Finding, Verdict, finding
from rotator.provision.principals import SERVICE
from rotator.publish.layout import Layout

SKEW_WARNS, SKEW_FAILS = timedelta(seconds=5), timedelta(seconds=30)


def guarded(what: str, ask: Callable[[], Iterator[Finding]]) -> tuple[Finding, ...]:
    """The findings of one group; a Fault on the way is the last of them."""
    found: list[Finding] = []
    try:
        found.extend(ask())
    except Fault as fault:
        found.append(Finding(Verdict.FAIL, what, str(fault), fault.hint))
    return tuple(found)


def vault(settings: Settings, admin: VaultAdmin, now: Callable[[], datetime]) -> Iterator[Finding]:
    """Seal, clock, rights, roles, issuer life, kept versions; `admin` carries the service's own token."""
    status, date = admin.status()
    sealed = status in (501, 503)
    yield finding(not sealed, "vault seal", f"sys/health says {status}", "unseal or initialise Vault")
    if sealed:
        return
    if date is not None:
        yield clock(now() - date)
    yield from _rights(settings, admin)
    for mount, role in vault_policy.issuing_paths(settings):
        yield from role_facts(settings, role, admin.read(f"{mount}/roles/{role}"))
    for mount in sorted({mount for mount, _ in vault_policy.issuing_paths(settings)}):
        issuer = admin.read(f"{mount}/cert/ca_chain") or {}
        yield issuer_life(settings, mount, str(issuer.get("certificate") or ""), now())
        yield issuer_settings(mount, admin.read(f"{mount}/issuer/default") or {})
        yield examine_kinds.revocation_list(mount, admin.read(f"{mount}/config/crl"))
    yield from examine_kinds.kinds(settings, admin)
    kept = int((admin.read(f"{settings.vault.kv_mount}/config") or {}).get("max_versions") or 10)
    needed = wanted.versions_needed(settings)
    yield finding(
        kept >= needed, "kv versions", f"{kept} are kept, {needed} needed", "rotator bootstrap --apply", Verdict.WARN
    )


def consul(settings: Settings, own: ConsulAdmin, anonymous: ConsulAdmin) -> Iterator[Finding]:
    """Leader, own rights, session, and whether anybody at all may read our keys."""
    leader = own.leader()
    yield finding(bool(leader), "consul leader", leader or "there is none", "repair the cluster: consul members")
    lock = Layout(settings.consul.prefix).lock
    fix = "give the token the rules of `rotator policy consul --for service`"
    yield finding(own.may_read(lock), "consul policy", f"reads {lock}", fix)
    closed = not anonymous.may_read(lock)
    text = "nobody reads without a token" if closed else "ACLs are off, or everybody may read"
    yield finding(closed, "consul acl", text, 'set default_policy = "deny"', Verdict.WARN)
    own.try_session()
    yield Finding(Verdict.PASS, "consul session", "can be made and ended")


def clock(skew: timedelta) -> Finding:
    """Difference to Vault's clock: at 30 s fresh certificates are not valid yet for somebody."""
    size = abs(skew)
    verdict = Verdict.PASS if size < SKEW_WARNS else Verdict.WARN if size < SKEW_FAILS else Verdict.FAIL
    fix = "" if verdict is Verdict.PASS else "synchronise the clocks of this host and of Vault"
    return Finding(verdict, "clock", f"{size.total_seconds():.0f} s away from Vault's", fix)


def role_facts(settings: Settings, role: str, found: Mapping[str, Any] | None) -> Iterator[Finding]:
    """The PKI role allows what will be asked for, and leaves nothing behind in Vault's storage."""
    what = f"pki role {role}"
    if found is None:
        yield Finding(Verdict.FAIL, what, "does not exist", "rotator bootstrap --apply")
        return
    specs = [spec for spec, one in settings.fleet.certificates() if one.role == role]
    longest, most = vault_policy.longest_ttl_seconds(specs), int(found.get("max_ttl") or 0)
    text = f"max_ttl {most} s, longest configured lifetime {longest} s"
    yield finding(not specs or most == 0 or most >= longest, what, text, "raise max_ttl or shorten ttl")
    lease = bool(found.get("generate_lease"))
    yield finding(not lease, what, f"generate_lease is {str(lease).lower()}", "set generate_lease=false", Verdict.WARN)
    backdate = int(found.get("not_before_duration") or 0)
    text = f"not_before_duration is {backdate} s"
    yield finding(backdate >= wanted.BACKDATE_SECONDS, what, text, "set it to 60s: peers' clocks differ", Verdict.WARN)


def issuer_life(settings: Settings, mount: str, chain: str, now: datetime) -> Finding:
    """Issuing stops when the CA has less life left than a leaf needs (canonical/vault-k8s-operator#500)."""
    what, fix = f"issuer of {mount}", "renew the issuing CA, and publish its bundle before the first leaf"
    try:
        ends = x509.load_pem_x509_certificates(chain.encode())[0].not_valid_after_utc
    except ValueError:
        return Finding(Verdict.FAIL, what, "there is no issuing certificate", "rotator bootstrap --apply")
    longest = timedelta(seconds=vault_policy.longest_ttl_seconds(settings.fleet.specs()))
    left = ends - now
    verdict = Verdict.FAIL if left < longest else Verdict.WARN if left < 2 * longest else Verdict.PASS
    text = f"ends {ends.isoformat(timespec='seconds')}, longest lifetime {longest}"
    return Finding(verdict, what, text, "" if verdict is Verdict.PASS else fix)


def issuer_settings(mount: str, found: Mapping[str, Any]) -> Finding:
    """With `truncate`, an expired issuer hands out expired certificates (hashicorp/vault#30621)."""
    behaviour = str(found.get("leaf_not_after_behavior") or "err")
    fix = "set leaf_not_after_behavior=err on the issuer"
    text = f"leaf_not_after_behavior is {behaviour}"
    return finding(behaviour == "err", f"issuer of {mount}", text, fix, Verdict.WARN)


def state_directory(directory: Path) -> Iterator[Finding]:
    """Ours alone: audit and lock live there."""
    try:
        mode = stat.S_IMODE(directory.stat().st_mode)
    except OSError as problem:
        yield Finding(Verdict.FAIL, "state directory", f"{directory}: {problem.strerror}", "create it with mode 0700")
        return
    writable = os.access(directory, os.W_OK | os.X_OK)
    yield finding(writable, "state directory", f"{directory} is {'' if writable else 'not '}writable", "chown it")
    yield finding(not mode & 0o027, "state directory", f"mode {mode:04o}", f"chmod 0700 {directory}", Verdict.WARN)


def inotify(limits: Path = Path("/proc/sys/fs/inotify")) -> Iterator[Finding]:
    """Consul and followers watch files; the usual limit of 128 instances is used up quickly on a busy host."""
    try:
        found = int((limits / "max_user_instances").read_text())
    except (OSError, ValueError):
        return
    fix = "sysctl fs.inotify.max_user_instances=512"
    yield finding(found >= 128, "inotify", f"{found} instances per user", fix, Verdict.WARN)


def _rights(settings: Settings, admin: VaultAdmin) -> Iterator[Finding]:
    """Asks for exactly the paths of the printed policy, with each `+` filled in by a name."""
    rules = vault_policy.rules(settings, SERVICE)
    paths = {rule.path.replace("+", "doctor"): rule for rule in rules}
    answer = admin.write("sys/capabilities-self", {"paths": list(paths)})
    lacking = [
        rule.path
        for path, rule in paths.items()
        if "root" not in answer.get(path, ()) and set(rule.capabilities) - set(answer.get(path, ()))
    ]
    text = f"lacks {', '.join(lacking)}" if lacking else "has every capability that is needed"
    yield finding(not lacking, "vault policy", text, "load `rotator policy vault --for service`")
    root = any("root" in capabilities for capabilities in answer.values() if isinstance(capabilities, list))
    yield finding(
        not root, "vault token", "is a root token" if root else "is no root token", "use AppRole", Verdict.WARN
    )
