"""The front desk: collects the commands. Every other file of this folder is one command with `register(app)`."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from typing import Annotated

import typer

from rotator import __version__, cli
from rotator.cli.console import FLAGS, Console, Exit, Output
from rotator.core.errors import Code, Fault

HELP = """Keeps API agents' credentials fresh and their secure API proxies correctly configured.

Exit codes: 0 ok · 1 failed · 2 usage · 3 configuration invalid · 4 not authorised · 5 unreachable · 6 partly done ·
7 another instance holds the lock · 130 interrupted.
"""
_NOT_COMMANDS = frozenset({"main", "console", "asking", "looking"})

app = typer.Typer(
    name="rotator",
    help=HELP,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"rotator {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="print the version and exit")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="only data and failures, no words beside them")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="show the traceback of something unforeseen")] = False,
    show_requests: Annotated[
        bool, typer.Option("--show-requests", help="name every call to Vault and Consul on stderr, without secrets")
    ] = False,
) -> None:
    """Options that hold for every command."""
    FLAGS.quiet, FLAGS.debug, FLAGS.show_requests = quiet, debug, show_requests


def load_commands() -> None:
    """Finds the command files. They import heavy rooms inside their functions, so that `--help` stays quick."""
    for module in sorted(pkgutil.iter_modules(cli.__path__), key=lambda found: found.name):
        if module.name not in _NOT_COMMANDS and not module.name.startswith("_"):
            importlib.import_module(f"rotator.cli.{module.name}").register(app)


def run(arguments: list[str] | None = None) -> int:
    """Runs one command. A Fault that a command let through still becomes words, never a traceback."""
    load_commands()
    try:
        code = app(arguments, standalone_mode=False)
    except Fault as fault:
        return _report(fault)
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except typer.Abort:
        return Exit.INTERRUPTED
    except typer.TyperException as problem:
        return _usage(problem)
    except Exception as problem:
        if FLAGS.debug:
            raise
        return _report(bug(problem))
    return code if isinstance(code, int) else Exit.OK


def _usage(problem: typer.TyperException) -> int:
    """Usage errors print themselves with the usage line; typer types only their common ancestor."""
    show = getattr(problem, "show", None)
    if show is None:
        typer.echo(problem.message, err=True)
    else:
        show()
    return problem.exit_code


def _report(fault: Fault) -> int:
    try:
        Console(Output.JSON if "json" in sys.argv else Output.TABLE).fail(fault)
    except typer.Exit as leaving:
        return leaving.exit_code


def bug(problem: BaseException) -> Fault:
    """The words for something unforeseen: type only, because its text may carry a secret."""
    return Fault(
        Code.BUG, f"an unforeseen {type(problem).__name__}", hint="run again with rotator --debug … and report it"
    )
