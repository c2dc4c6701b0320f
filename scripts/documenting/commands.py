"""The topic `commands`: each command with its arguments and options, as click knows them."""

from collections.abc import Iterator

import click

from ftgate.cli.group import cli

HEAD = """\
# Commands

Every command and every option.

From a checkout `scripts/run` stands for `ftgate`, with the one file `python3 ftgate.pyz` does. `ftgate` alone serves.
Commands work beside a running server. Most take `--json`, for programs; in a pipe tables are lines with tabs. They
end with 0, with 1 when something is wrong, and with 2 when they were called wrongly. `-h` and `--help` explain each.
"""
OFTEN = ("config", "data", "json", "help")
"""Options of nearly all commands, told once at the end."""


def commands() -> str:
    """The topic's text."""
    return HEAD + "".join(_told(path, command) for path, command in leaves()) + TAIL


TAIL = """
## Options of most commands

- `--config FILE`: The config file, where it is not the one named by `FTGATE_CONFIG`, or `ftgate.toml` here.
- `--data DIRECTORY`: The data directory, where it is not the `server.data_dir`, or the one named by `FTGATE_DATA`.
- `--json`: Print one JSON document.
- `--help`: What the command takes.
- `ftgate --version`: The version.
"""


def leaves(path: str = "ftgate", command: click.Command = cli) -> Iterator[tuple[str, click.Command]]:
    """Every command that does something by itself, with its name."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None, name
            yield from leaves(f"{path} {name}", inner)
    else:
        yield path, command


def options(command: click.Command) -> set[str]:
    """Every spelling of every option, `--help` and `-h` too."""
    found = {name for one in command.params for name in (*one.opts, *one.secondary_opts) if name.startswith("-")}
    return found | {"--help", "-h"}


def _told(path: str, command: click.Command) -> str:
    context = click.Context(command, info_name=path)
    arguments = [one.make_metavar(context) for one in command.params if isinstance(one, click.Argument)]
    prose = " ".join((command.help or "").split())
    lines = [
        f"- `{', '.join(_spelt(one))}{_value(one, context)}`: {_help(one, context)}\n"
        for one in command.params
        if isinstance(one, click.Option) and not one.hidden and one.opts[0].removeprefix("--") not in OFTEN
    ]
    return f"\n## {' '.join([path, *arguments])}\n\n{prose}\n" + ("\n" + "".join(lines) if lines else "")


def _spelt(option: click.Option) -> list[str]:
    return [*option.opts, *option.secondary_opts]


def _value(option: click.Option, context: click.Context) -> str:
    return "" if option.is_flag or option.count else f" {option.make_metavar(context)}"


def _help(option: click.Option, context: click.Context) -> str:
    words = option.help or ""
    if option.required:
        return f"{words} Needed."
    if option.show_default and option.default not in (None, False):
        return f"{words} By default {option.default}."
    return words
