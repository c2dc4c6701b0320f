"""The command group. Commands are loaded when they are called, so that `keys list` does not import a web server."""

import errno
import gc
import importlib
import io
import sys
from typing import Any

import click

from ftgate import __version__

COMMANDS = {
    "serve": "ftgate.cli.serve:serve",
    "demo": "ftgate.cli.serve:demo",
    "init": "ftgate.cli.config:init",
    "check": "ftgate.cli.config:check",
    "reload": "ftgate.cli.config:reload_config",
    "route": "ftgate.cli.route:route",
    "users": "ftgate.cli.accounts:users",
    "keys": "ftgate.cli.accounts:keys",
    "credit": "ftgate.cli.accounts:credit",
    "payments": "ftgate.cli.payments:payments",
    "calls": "ftgate.cli.calls:calls",
    "channels": "ftgate.cli.catalogue:channels",
    "models": "ftgate.cli.catalogue:models",
    "prices": "ftgate.cli.catalogue:prices",
    "ledger": "ftgate.cli.ledger:ledger",
    "logs": "ftgate.cli.ledger:logs",
    "stats": "ftgate.cli.ledger:stats",
    "audit": "ftgate.cli.ledger:audit",
    "backup": "ftgate.cli.backup:backup",
    "restore": "ftgate.cli.backup:restore",
    "migrate": "ftgate.cli.migrate:migrate",
    "doctor": "ftgate.cli.doctor:doctor",
    "upgrade-check": "ftgate.cli.upgrade:upgrade_check",
    "export-user": "ftgate.cli.person:export_user",
    "forget-user": "ftgate.cli.person:forget_user",
    "service": "ftgate.cli.service:service",
    "connect": "ftgate.cli.connect:connect",
    "bench": "ftgate.cli.bench:bench",
    "help": "ftgate.cli.help:help_",
    "version": "ftgate.cli.group:version",
}


LOADING = 50_000
"""New objects in containers after which the collector looks at the youngest while the program loads: modules and what
they define stay, and looking for garbage among them is a tenth of a start."""


class LazyGroup(click.Group):
    """Loads a command's module when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        place = COMMANDS.get(cmd_name)
        if place is None:
            return None
        module, _, name = place.partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Without a command it is serve, whose options may stand alone: `ftgate --port 8401` does what it says."""
        if not args or (args[0].startswith("-") and args[0] not in {"-h", "--help", "--version"}):
            args = ["serve", *args]
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS:
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f" Did you mean {near[0]}?" if near else " `ftgate --help` lists the commands."
            raise click.UsageError(f"No such command {args[0]!r}.{hint}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """A command that fails says so in one line, in which nothing is anything but text."""
        from ftgate.cli.output import told
        from ftgate.core.redact import plain

        try:
            return super().invoke(ctx)
        except click.ClickException as wrong:
            wrong.message = plain(wrong.message, keep="\n")  # type: ignore[misc]
            raise
        except OSError as problem:
            if problem.errno == errno.EPIPE:  # click ends quietly where nobody reads on
                raise
            raise click.ClickException(plain(told(problem))) from None


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    subcommand_metavar="[COMMAND] [ARGS]...",
)
@click.version_option(__version__, "--version", message="ftgate %(version)s")
def cli() -> None:
    """ftgate: one OpenAI-compatible endpoint over your provider keys, with exact money.

    Without a command it serves.
    """


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def version(as_json: bool) -> None:
    """Print the version."""
    from ftgate.cli.output import document

    python = ".".join(map(str, sys.version_info[:3]))
    if as_json:
        document({"version": __version__, "python": python})
    else:
        click.echo(f"ftgate {__version__} (Python {python})")


def main() -> None:
    gc.set_threshold(LOADING, 20, 100)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what the terminal's encoding lacks is shown as an escape
            stream.reconfigure(errors="backslashreplace")
    cli(prog_name="ftgate")
