"""From checked models to the frozen settings that everything else reads."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from pathlib import Path

from rotator.config import lifetimes, tokens
from rotator.config.fields import host_port
from rotator.config.inventory import Inventory
from rotator.config.kinds import choice, jwt
from rotator.config.kinds.choice import Around
from rotator.config.schema import (
    AgentModel,
    AuthModel,
    ConsulModel,
    CredentialModel,
    MainModel,
    PolicyModel,
    ProxyModel,
    TlsModel,
    VaultModel,
)
from rotator.config.settings import (
    AuditSettings,
    ConsulSettings,
    ServiceSettings,
    Settings,
    TlsSettings,
    VaultAuth,
    VaultAuthMethod,
    VaultSettings,
)
from rotator.core.fleet import Agent, Fleet, Listener, Proxy, Scope, Upstream
from rotator.core.identity import CredentialId, Owner, OwnerKind
from rotator.core.kind_settings import DatabaseSettings, KindSettings
from rotator.core.secret import Secret
from rotator.core.spec import Policy, Spec

# Of a proxy without any certificate around it: nothing limits its times.
NO_REST = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens from the environment; they replace what the file configures."""

    vault: Secret | None = None
    consul: Secret | None = None


def settings(
    main: MainModel, entries: Inventory, tokens: Tokens, config_hash: str, files: tuple[Path, ...]
) -> Settings:
    """Nothing is left to validate afterwards."""
    state_dir = main.service.state_dir
    host, port = host_port(main.service.http)
    audit_file = main.audit.file if main.audit.file.is_absolute() else state_dir / main.audit.file
    return Settings(
        service=ServiceSettings(
            instance=main.service.instance,
            state_dir=state_dir,
            tick=main.service.tick,
            wave=main.service.wave,
            http_address=host,
            http_port=port,
            log_format=main.service.log_format,
            log_level=main.service.log_level,
            versions_kept=main.service.versions_kept,
        ),
        vault=_vault(main.vault, tokens.vault),
        consul=_consul(main.consul, tokens.consul),
        audit=AuditSettings(audit_file, main.audit.stdout),
        fleet=fleet(main, entries),
        config_hash=config_hash,
        files=files,
    )


def fleet(main: MainModel, entries: Inventory) -> Fleet:
    agents = tuple(_agent(name, model, main, entries) for name, model in sorted(entries.agents.items()))
    rests = lifetimes.shortest_rests(entries)
    proxies = tuple(
        _fitted(_proxy(name, model, main, entries), model, rests[name][0] if name in rests else NO_REST)
        for name, model in sorted(entries.proxies.items())
    )
    return Fleet(main.trust_domain, agents, proxies, _signers(main, entries))


def policy(main: MainModel, entries: Inventory, credential: CredentialModel) -> Policy:
    """The policy of one credential. `default` need not be written down."""
    model = entries.policies.get(credential.policy, PolicyModel())
    return Policy(
        renew_at=model.renew_at,
        spread=model.spread,
        floor=model.floor,
        floor_minimum=main.service.tick * lifetimes.FLOOR_TICKS,
        overlap=lifetimes.overlap(credential.ttl, model),
        outage_budget=model.outage_budget,
        attempt_budget=model.attempts.budget,
        attempt_reserve=model.attempts.reserve,
        # A window longer than the life would spend a short credential's attempts on rotations that succeed.
        attempt_window=min(model.attempts.window, credential.ttl),
        windows=tuple(window.window() for window in model.windows),
    )


def _agent(name: str, model: AgentModel, main: MainModel, entries: Inventory) -> Agent:
    owner = Owner(OwnerKind.AGENT, name)
    scopes = tuple(
        Scope(
            proxy=scope.proxy,
            path=scope.match.spelled(scope.path),
            match=scope.match,
            methods=tuple(sorted({method.upper() for method in scope.methods})),
            permission=scope.permission,
            rate=scope.rate,
        )
        for scope in model.scopes
    )
    labels = tuple(sorted(model.labels.items()))
    specs = tuple(
        _spec(one, Around(CredentialId(owner, key), main, model.scopes), policy(main, entries, one), labels)
        for key, one in sorted(model.credentials.items())
    )
    return Agent(name, model.owner, scopes, specs)


def _proxy(name: str, model: ProxyModel, main: MainModel, entries: Inventory) -> Proxy:
    owner = Owner(OwnerKind.PROXY, name)
    labels = tuple(sorted(model.labels.items()))
    upstreams = []
    for key, one in sorted(model.upstreams.items()):
        host, port = host_port(one.address)
        upstreams.append(Upstream(key, one.prefix, host, port))
    specs = tuple(
        _spec(one, Around(CredentialId(owner, key), main), policy(main, entries, one), labels)
        for key, one in sorted(model.credentials.items())
    )
    return Proxy(
        name=name,
        kind=model.kind,
        listener=Listener(*host_port(model.listener)),
        upstreams=tuple(upstreams),
        credentials=specs,
        nodes=model.nodes,
        connection_age=model.connection_age,
        adoption_deadline=model.adoption_deadline,
        probe_address=model.probe or "",
    )


def _signers(main: MainModel, entries: Inventory) -> tuple[Spec, ...]:
    """The one key of all tokens, where there are any. Until a new one is adopted the old one signs: from then on it
    stays as long as the longest token that it may have signed."""
    lives = tokens.lives(entries)
    if not lives:
        return ()
    model = CredentialModel(kind=jwt.KEY_KIND, ttl=main.tokens.key_ttl, policy=main.tokens.policy)
    wanted = jwt.signing_key(main.tokens, main.vault.transit_mount, lives)
    chosen = policy(main, entries, model)
    spec = Spec(
        id=jwt.SIGNER,
        kind=jwt.KEY_KIND,
        ttl=model.ttl,
        kv_mount=main.vault.kv_mount,
        kv_path=kv_path(jwt.SIGNER),
        settings=wanted,
        policy=replace(chosen, overlap=wanted.longest_token + jwt.MARGIN, overlap_from_adoption=True),
        # A longer token changes how long an old key stays, not the key.
        digest=_digest(model, replace(wanted, longest_token=timedelta(0))),
    )
    return (spec,)


def _fitted(proxy: Proxy, model: ProxyModel, rest: timedelta) -> Proxy:
    """Times that nobody configured give way to short-lived credentials."""
    age, deadline = proxy.connection_age, proxy.adoption_deadline
    return replace(
        proxy,
        connection_age=age if "connection_age" in model.model_fields_set else min(age, rest),
        adoption_deadline=deadline if "adoption_deadline" in model.model_fields_set else min(deadline, rest / 2),
    )


def _spec(model: CredentialModel, around: Around, chosen: Policy, labels: tuple[tuple[str, str], ...]) -> Spec:
    wanted = choice.settings(model, around)
    if isinstance(wanted, DatabaseSettings) and wanted.overlaps:
        chosen = replace(chosen, spacing=model.ttl / 2)
    return Spec(
        id=around.target,
        kind=model.kind,
        ttl=model.ttl,
        kv_mount=around.main.vault.kv_mount,
        kv_path=kv_path(around.target),
        settings=wanted,
        policy=chosen,
        digest=_digest(model, wanted),
        labels=labels,
    )


_PLURAL = {OwnerKind.AGENT: "agents", OwnerKind.PROXY: "proxies", OwnerKind.SIGNER: "signers"}


def kv_path(target: CredentialId) -> str:
    """`agents/<agent>/<credential>`, `proxies/<proxy>/<credential>` or `signers/…`, below the KV mount."""
    return f"{_PLURAL[target.owner.kind]}/{target.owner.name}/{target.name}"


def _digest(model: CredentialModel, settings: KindSettings) -> str:
    """Changes exactly when an issued credential would be outdated."""
    wanted = {"kind": model.kind, "ttl": model.ttl.total_seconds(), "settings": asdict(settings)}
    return hashlib.sha256(json.dumps(wanted, sort_keys=True, default=str).encode()).hexdigest()


def tls(model: TlsModel) -> TlsSettings:
    """Of one connection, of the service or of a follower."""
    return TlsSettings(**dict(model))


def login(model: AuthModel, token: Secret | None) -> VaultAuth:
    """A token from the environment beats the file, as with the vendors' own tools."""
    if token is not None:
        return VaultAuth(VaultAuthMethod.TOKEN, token=token)
    fields = dict(model)
    fields["mount"] = model.mount or model.method.value
    return VaultAuth(**fields)


def _vault(model: VaultModel, token: Secret | None) -> VaultSettings:
    fields = {**dict(model), "auth": login(model.auth, token), "tls": tls(model.tls)}
    return VaultSettings(**fields)


def _consul(model: ConsulModel, token: Secret | None) -> ConsulSettings:
    fields = {**dict(model), "tls": tls(model.tls)}
    return ConsulSettings(token=token, **fields)
