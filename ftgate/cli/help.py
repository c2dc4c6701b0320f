"""`ftgate help`: the manual on a terminal, and what a command's --help says."""

import re
import sys
from difflib import get_close_matches

import click

from ftgate.cli.accounts import as_json_option
from ftgate.cli.output import document, line
from ftgate.manual import LINK, Topic, UnknownTopic, groups, topic

WIDTH = 100
"""The most columns that lines of prose are given."""

RULE = re.compile(r"\n\|[-|]+\|\n")
"""Below the headings of a table."""


@click.command("help")
@click.argument("about", nargs=-1, metavar="[TOPIC|COMMAND]...")
@as_json_option
@click.pass_context
def help_(ctx: click.Context, about: tuple[str, ...], as_json: bool) -> None:
    """Read the manual: TOPIC of it, or what COMMAND takes. Alone it lists the topics."""
    if not about:
        _list(as_json)
        return
    near: list[str] = []
    if len(about) == 1:
        try:
            _show(ctx, topic(about[0]), as_json)
            return
        except UnknownTopic as unknown:
            near = unknown.near
    text = _command(ctx, about, near)
    if as_json:
        document({"command": " ".join(about), "text": text})
    else:
        line(text)


def _list(as_json: bool) -> None:
    if as_json:
        document([{"topic": one.name, "about": one.about} for _, topics in groups() for one in topics])
        return
    for heading, topics in groups():
        line(heading)
        for one in topics:
            line(f"  {one.name:<16}  {one.about}")
    line("\n`ftgate help TOPIC` shows one of them, `ftgate help COMMAND` what a command takes.")


def _show(ctx: click.Context, found: Topic, as_json: bool) -> None:
    if as_json:
        document({"topic": found.name, "title": found.title, "about": found.about, "text": found.text})
        return
    if sys.stdout.isatty():
        render(found)
    else:
        line(found.text.removesuffix("\n"))
    group = ctx.find_root().command
    if isinstance(group, click.Group) and found.name in group.list_commands(ctx):
        line(f"There is a command of this name too: `ftgate {found.name} --help`.", err=True)


def render(found: Topic) -> None:
    """On a terminal; links lead to what one would type."""
    from rich.console import Console  # listing topics does not wait for it

    from ftgate.cli import markdown

    console = Console(markup=False, emoji=False, highlight=False)
    text = LINK.sub(r"\1 (`ftgate help \2`)", found.text)
    text = "\n".join(map(_row, RULE.sub("\n", text).split("\n")))
    markdown.show(text, console, min(console.width, WIDTH))


def _row(line: str) -> str:
    """A table's row as an item of a list: a column would cut the names in it."""
    if not line.startswith("| "):
        return line
    return f"- {' · '.join(filter(None, map(str.strip, line.split('|'))))}"


def _command(ctx: click.Context, words: tuple[str, ...], near: list[str]) -> str:
    """What a command says of itself. Raises UsageError, with the topics that are `near`."""
    context = ctx.find_root()
    for word in words:
        group = context.command
        known = group.list_commands(context) if isinstance(group, click.Group) else []
        inner = group.get_command(context, word) if isinstance(group, click.Group) and word in known else None
        if inner is None:
            names = dict.fromkeys([*near, *get_close_matches(word.lower(), known, n=2)])
            hint = f"Did you mean {' or '.join(names)}?" if names else "`ftgate help` lists the topics."
            raise click.UsageError(f"There is no topic and no command {' '.join(words)!r}. {hint}")
        context = click.Context(inner, parent=context, info_name=word)
    return context.command.get_help(context)
