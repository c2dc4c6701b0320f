"""Printing: a table on a terminal, tab-separated lines in a pipe, one JSON document with --json.

What is printed may come from a caller: a model's name, a note, a key's name. None of it reaches a terminal as anything
but text: what is no printable character is shown as an escape, and nothing is read as markup.
"""

import json
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import click

from ftgate.core.redact import plain, shows


def as_json(value: Any) -> str:
    """One line of JSON that is the same value to a program and plain text to a terminal."""
    text = json.dumps(value, ensure_ascii=False)
    if text.isprintable():
        return text
    return "".join(c if shows(c) else json.dumps(c)[1:-1] for c in text)


def line(text: str, *, err: bool = False) -> None:
    """Print a text for a person; its own line ends are the only ones."""
    click.echo(plain(text, keep="\n"), err=err)


def told(problem: OSError) -> str:
    """What the system refused, without Python's words around it."""
    where = f"{problem.filename}: " if problem.filename else ""
    return f"{where}{problem.strerror or problem}"


MOST_FOLDED = 2
"""A table that wants more than so many times the terminal's columns is shown row by row, a line for each field."""


def document(value: Any) -> None:
    click.echo(as_json(value))


def table(rows: Iterable[Mapping[str, Any]], columns: Mapping[str, str], *, seldom: str = "") -> None:
    """Print rows; `columns` maps a field to its heading. None shows as a dash, a list with commas. A column that is
    `seldom` filled is left out on a terminal where no row has it; elsewhere the columns are always the same."""
    rows = list(rows)
    if sys.stdout.isatty() and not any(row.get(seldom) for row in rows):
        columns = {name: heading for name, heading in columns.items() if name != seldom}
    lines = [[_cell(row.get(name)) for name in columns] for row in rows]
    if not sys.stdout.isatty():
        for line in lines:
            click.echo("\t".join(line))
        return
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table

    console = Console(markup=False, emoji=False, highlight=False)
    headings = list(columns.values())
    widths = [max(map(cell_len, column)) for column in zip(headings, *lines, strict=True)]
    if sum(widths) + len(widths) > MOST_FOLDED * console.width:  # columns would be too narrow to be read, or none
        for line in lines:
            click.echo("".join(f"{heading}: {cell}\n" for heading, cell in zip(headings, line, strict=True)))
        return
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for heading in columns.values():
        shown.add_column(heading, overflow="fold")
    for line in lines:
        shown.add_row(*line)
    console.print(shown)


def _cell(value: Any) -> str:
    if value is None or value == []:
        return "-"
    if isinstance(value, list):
        return plain(", ".join(map(str, value)))
    return plain(str(value))
