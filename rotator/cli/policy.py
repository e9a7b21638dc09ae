"""`rotator policy vault|consul`: the least-privilege policies for this configuration, to review and to load."""

from __future__ import annotations

from typing import Annotated

import typer

from rotator.cli.console import DEFAULT_CONFIG, ConfigOption, Console
from rotator.core.errors import Fault

ForOption = Annotated[str, typer.Option("--for", help="service, proxy/NAME or agent/NAME; all when left out")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Print the least-privilege policies for this configuration.", no_args_is_help=True)
    app.add_typer(group, name="policy")

    @group.command()
    def vault(config: ConfigOption = DEFAULT_CONFIG, who: ForOption = "") -> None:
        """Vault policies as HCL: exact paths, nothing on sys/ but the question what the own token may do."""
        _print("vault", config, who)

    @group.command()
    def consul(config: ConfigOption = DEFAULT_CONFIG, who: ForOption = "") -> None:
        """Consul ACL rules as HCL, for default_policy = deny."""
        _print("consul", config, who)


def _print(server: str, config: str, who: str) -> None:
    from rotator import app as wiring
    from rotator.provision import consul_policy, principals, vault_policy

    console = Console()
    try:
        settings = wiring.load(config)
        fleet = settings.fleet
        chosen = (principals.find(fleet, who),) if who else principals.principals(fleet)
        for one in chosen:
            if server == "vault":
                console.text(vault_policy.text(settings, one))
            else:
                console.text(consul_policy.text(fleet, settings.consul.prefix, one))
    except Fault as fault:
        console.fail(fault)
