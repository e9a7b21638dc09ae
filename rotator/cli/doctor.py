"""`rotator doctor`: is this installation fit to run? Every finding says what to do about it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import typer

from rotator.cli.console import DEFAULT_CONFIG, Column, ConfigOption, Console, Exit, Output, OutputOption
from rotator.core.errors import Fault

_STYLE = {"pass": "ok", "warn": "warn", "fail": "FAIL"}


def register(app: typer.Typer) -> None:
    @app.command()
    def doctor(config: ConfigOption = DEFAULT_CONFIG, output: OutputOption = Output.TABLE) -> int:
        """Check configuration, clocks, Vault, Consul and this host with the service's own identity.

        Exit code 1 when something failed; warnings alone leave it 0.
        """
        from rotator import app as wiring
        from rotator.provision.examine import guarded, inotify, state_directory
        from rotator.provision.finding import Finding, Verdict

        console = Console(output)
        try:
            settings = wiring.load(config)
        except Fault as fault:
            console.fail(fault)
        counted = f"{len(settings.fleet.agents)} agents, {len(settings.fleet.proxies)} proxies"
        findings = [
            Finding(Verdict.PASS, "configuration", counted),
            *guarded("vault", lambda: _vault(settings)),
            *guarded("consul", lambda: _consul(settings)),
            *guarded("state directory", lambda: state_directory(settings.service.state_dir)),
            *guarded("inotify", inotify),
        ]
        _show(console, findings)
        return Exit.FAILED if any(one.verdict is Verdict.FAIL for one in findings) else Exit.OK


def _vault(settings: Any) -> Iterator[Any]:
    from rotator.clients.clock import SystemClock
    from rotator.provision import endpoints, examine
    from rotator.provision.finding import Finding, Verdict

    plain = settings.vault.address.startswith("http://")
    text = "plain HTTP, as on loopback" if plain else "certificates are checked"
    yield Finding(Verdict.WARN if plain else Verdict.PASS, "vault tls", text, "use https" * plain)
    token = endpoints.service_token(settings.vault)
    if token is None:
        why = "not asked with this login method: it would use up the service's own secret"
        yield Finding(Verdict.WARN, "vault login", why, "see the service's readiness instead")
        return
    yield Finding(Verdict.PASS, "vault login", f"by {settings.vault.auth.method.value}")
    yield from examine.vault(settings, endpoints.vault_admin(settings.vault, token), SystemClock().now)


def _consul(settings: Any) -> Iterator[Any]:
    from rotator.core.secret import Secret
    from rotator.provision import endpoints, examine

    own = endpoints.consul_admin(settings.consul, endpoints.consul_token(settings.consul))
    yield from examine.consul(settings, own, endpoints.consul_admin(settings.consul, Secret("")))


def _show(console: Console, findings: Sequence[Any]) -> None:
    if console.json:
        listed = [{"verdict": f.verdict.value, "what": f.what, "text": f.text, "fix": f.fix} for f in findings]
        console.data({"fit": all(f.verdict.value != "fail" for f in findings), "findings": listed})
        return
    rows = [(_STYLE[f.verdict.value], f.what, f.text, f.fix) for f in findings]
    console.table([Column(""), Column("WHAT", "bold"), Column("FOUND"), Column("FIX")], rows)
