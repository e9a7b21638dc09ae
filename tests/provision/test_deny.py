"""The deny suite: whatever a path of Vault is not in the printed policy answers 403 to the service's token."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

import pytest

from rotator.provision import vault_policy
from rotator.provision.principals import SERVICE
from rotator.provision.rule import Rule
from tests.provision.every_kind import Prepared

pytestmark = pytest.mark.servers
METHODS = {
    "get": ("GET", "read"),
    "post": ("POST", "update"),
    "delete": ("DELETE", "delete"),
    "patch": ("PATCH", "patch"),
}
# Fill the names of a path: strangers' and, which is the harder test, our own.
NAMES = ("stranger", "billing", "rotator-agent", "rotator-tokens", "app_a", "rotator-service")
PATHS = (
    "stranger",
    "agents/billing",
    "agents/billing/tls",
    "agents/billing/tls/deeper",
    "clients/billing",
    "oauth2/billing/grant",
)
# Vault answers these by rules of their own, to everybody: names of mounts and issuers, and wrapping by its own token.
BY_OTHER_RULES = re.compile(r"sys/internal/ui/.*|sys/wrapping/(lookup|unwrap|rewrap)|pki_(int|root)/issuers")
DENIED = (401, 403)  # 401: identity/oidc/provider, with the words of RFC 6750


def calls(prepared: Prepared) -> Iterator[tuple[str, str, str]]:
    """(method, path, capability) of everything that needs a token, with each name filled in."""
    for template, operations in prepared.every_path().items():
        if operations.get("x-vault-unauthenticated"):
            continue
        for path in filled(template.removeprefix("/")):
            for word, (method, capability) in METHODS.items():
                if word in operations:
                    yield method, path, capability
            if "get" in operations:
                yield "LIST", path, "list"


def filled(template: str) -> Iterator[str]:
    """Every choice for one name; for several, all of them the same one."""
    names = re.findall(r"\{([^}]+)\}", template)
    choices = PATHS if names == ["path"] else NAMES
    for one in choices if names else ("",):
        path = template
        for name in names:
            path = path.replace(f"{{{name}}}", one)
        yield path


def allows(rules: tuple[Rule, ...], path: str, capability: str) -> bool:
    wanted = f"{path.rstrip('/')}/" if capability == "list" else path
    return any(
        re.fullmatch(re.escape(rule.path).replace(r"\+", "[^/]+"), wanted)
        and (capability in rule.capabilities or (capability == "update" and "create" in rule.capabilities))
        for rule in rules
    )


def test_every_other_path_is_denied(prepared: Prepared, capsys: pytest.CaptureFixture[str]):
    """A stolen token of the service is worth what its policy says; the server names the paths, so none is forgotten."""
    rules, token = vault_policy.rules(prepared.settings, SERVICE), prepared.service()
    count: Counter[str] = Counter()
    open_ones, of_mounts = [], set()
    for method, path, capability in sorted(set(calls(prepared))):
        if BY_OTHER_RULES.fullmatch(path) or allows(rules, path, capability):
            count["allowed by the policy" if allows(rules, path, capability) else "by rules of their own"] += 1
            continue
        reply = prepared.call(token, method, path, {} if method in ("POST", "PATCH") else None)
        of_mounts.add(path.split("/")[0])
        if reply.status_code in DENIED:
            count["denied"] += 1
        else:
            open_ones.append((method, path, reply.status_code, reply.text[:100]))
    with capsys.disabled():
        told = ", ".join(f"{number} {what}" for what, number in sorted(count.items()))
        print(f"\n  deny suite: {sum(count.values())} calls: {told}")
    assert open_ones == []
    assert {"kv", "pki_int", "pki_root", "transit", "database", "auth", "sys", "identity"} <= of_mounts
    assert count["denied"] > 1000


def test_secret_ids_leave_wrapped_only_and_briefly(prepared: Prepared):
    """Whoever sees the service's traffic or its replies in a log sees no secret-id."""
    token, path = prepared.service(), "auth/agents/role/billing/secret-id"
    answers = {wrap: prepared.call(token, "POST", path, {}, wrap).status_code for wrap in ("", "60s", "600s")}
    assert answers == {"": 403, "60s": 200, "600s": 403}
