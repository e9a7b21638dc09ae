"""`rotator bootstrap`: prepares Vault and Consul. Says what it would do, and does it with `--apply` only."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from rotator.cli.console import DEFAULT_CONFIG, Column, ConfigOption, Console, Output, OutputOption
from rotator.core.errors import Code, Denied, Fault

ApplyOption = Annotated[bool, typer.Option("--apply", help="do it; without this it only says what it would do")]
PkiOption = Annotated[bool, typer.Option("--pki/--no-pki", help="also make CA and roles; off where others run the PKI")]
HandOutOption = Annotated[
    Path | None, typer.Option("--hand-out", help="folder for role ids, secret-ids and tokens, one 0600 file each")
]


def register(app: typer.Typer) -> None:
    @app.command()
    def bootstrap(
        config: ConfigOption = DEFAULT_CONFIG,
        apply: ApplyOption = False,
        vault: Annotated[bool, typer.Option("--vault/--no-vault", help="prepare Vault")] = True,
        consul: Annotated[bool, typer.Option("--consul/--no-consul", help="prepare Consul's ACLs")] = True,
        pki: PkiOption = True,
        hand_out: HandOutOption = None,
        output: OutputOption = Output.TABLE,
    ) -> None:
        """Prepare Vault and Consul for this configuration. Safe to repeat; deletes nothing.

        Administrator's tokens come from VAULT_TOKEN and CONSUL_HTTP_TOKEN.

        + would be made, ~ changed, = is so already, ! is for somebody else to make.
        """
        from rotator import app as wiring

        console = Console(output)
        try:
            settings = wiring.load(config)
            changes: list[tuple[str, Any]] = []
            if vault:
                changes += [("vault", change) for change in _vault(settings, apply, pki, hand_out)]
            if consul:
                changes += [("consul", change) for change in _consul(settings, apply, hand_out)]
        except Fault as fault:
            console.fail(fault)
        _show(console, changes, apply)


def _vault(settings: Any, apply: bool, pki: bool, hand_out: Path | None) -> Sequence[Any]:
    from rotator.provision import endpoints, vault_bootstrap, wanted
    from rotator.provision.consul_bootstrap import write_secret
    from rotator.provision.principals import principals

    admin = endpoints.vault_admin(settings.vault, _token("VAULT_TOKEN", "BAO_TOKEN"))
    options = wanted.Options(pki=pki)
    changes = vault_bootstrap.bootstrap(admin, wanted.vault(settings, options), apply=apply)
    if apply and hand_out is not None:
        for one in principals(settings.fleet):
            login = vault_bootstrap.login_for(admin, one, options)
            write_secret(hand_out, f"{one.policy}.role-id", _secret(login.role_id))
            write_secret(hand_out, f"{one.policy}.secret-id", login.secret_id)
    return changes


def _consul(settings: Any, apply: bool, hand_out: Path | None) -> Sequence[Any]:
    from rotator.provision import consul_bootstrap, endpoints
    from rotator.provision.principals import principals

    admin = endpoints.consul_admin(settings.consul, _token("CONSUL_HTTP_TOKEN"))
    changes = consul_bootstrap.bootstrap(admin, settings.fleet, settings.consul.prefix, apply=apply)
    if apply and hand_out is not None:
        for one in principals(settings.fleet):
            token = consul_bootstrap.token_for(admin, one)
            consul_bootstrap.write_secret(hand_out, f"{one.policy}.consul-token", token)
    return changes


def _token(*names: str) -> Any:
    found = next((os.environ[name] for name in names if os.environ.get(name)), "")
    if not found:
        text = f"bootstrap needs an administrator's token in {names[0]}"
        raise Denied(Code.VAULT_LOGIN_REFUSED, text, hint="or leave that server out with --no-vault or --no-consul")
    return _secret(found)


def _secret(text: str) -> Any:
    from rotator.core.secret import Secret

    return Secret(text)


def _show(console: Console, changes: Sequence[tuple[str, Any]], apply: bool) -> None:
    open_ones = sum(1 for _, change in changes if change.sign.value in "+~")
    owed = sum(1 for _, change in changes if change.sign.value == "!")
    if console.json:
        listed = [{"server": s, "sign": c.sign.value, "what": c.what, "fields": list(c.fields)} for s, c in changes]
        console.data({"applied": apply, "differing": open_ones, "owed": owed, "changes": listed})
        return
    rows = [(change.sign.value, server, change.what, ", ".join(change.fields)) for server, change in changes]
    console.table([Column(""), Column("SERVER"), Column("WHAT", "bold"), Column("FIELDS")], rows)
    if apply:
        console.say(f"{open_ones} of {len(changes)} brought about")
    else:
        console.say(f"{open_ones} of {len(changes)} would be made or changed; --apply does it")
    if owed:
        console.say(f"{owed} marked ! are for somebody else to make")
