"""Printing: a table on a terminal, tab-separated lines in a pipe, one JSON document with --json."""

import json
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import click


def document(value: Any) -> None:
    click.echo(json.dumps(value, ensure_ascii=False))


def table(rows: Iterable[Mapping[str, Any]], columns: Mapping[str, str]) -> None:
    """Print rows; `columns` maps a field to its heading. None shows as a dash, a list with commas."""
    lines = [[_cell(row.get(name)) for name in columns] for row in rows]
    if not sys.stdout.isatty():
        for line in lines:
            click.echo("\t".join(line))
        return
    from rich.console import Console
    from rich.table import Table

    shown = Table(box=None, pad_edge=False, header_style="bold")
    for heading in columns.values():
        shown.add_column(heading, overflow="fold")
    for line in lines:
        shown.add_row(*line)
    Console().print(shown)


def _cell(value: Any) -> str:
    if value is None or value == []:
        return "-"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value)
