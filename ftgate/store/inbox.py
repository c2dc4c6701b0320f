"""The inbox: how a batch goes into the database by one statement.

For each of a few SIZES the writer's connection has a view, and what is inserted into it goes into the tables by a
trigger. So a whole batch is one statement, which SQLite works through and commits without asking for the interpreter's
lock in between; the thread of the event loop holds that most of the time, and each asking costs both.

Entries and rows come as values, each in a column of its own: taking a row's JSON apart would cost SQLite as much as
keeping the row does. There is room for `size` rows and two entries for each of them; what a batch leaves free is filled
with EMPTY places, which are passed over. The last values of accounts and keys and the sums of the rows, of which a
batch has few, come as JSON lists.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import chain
from typing import Any

import msgspec
from msgspec.structs import astuple

from ftgate.core.books import Entry
from ftgate.ports import Row
from ftgate.store import rollups

ENTRIES = 2
"""Entries to a row: nearly every call is a hold and its end."""
_LISTS = ("mark", "balances", "spent", "sums")
_ENTRY, _ROW = Entry.__struct_fields__, Row.__struct_fields__
MOST_COLUMNS = 2000
"""What SQLite takes unless it was built for more."""
_MOST = (MOST_COLUMNS - len(_LISTS)) // (ENTRIES * len(_ENTRY) + len(_ROW))
SIZES = tuple(min(size, _MOST) for size in (1, 2, 4, 8, 16, 32))
"""Rows that are written by one statement. A longer batch is several statements, which take longer: each is a journal to
itself."""
SMALLEST = SIZES[:1]
"""Enough for a connection that seldom writes: making all takes tens of milliseconds."""
_NO_ENTRY, _NO_ROW = (0,) * len(_ENTRY), [0] * len(_ROW)
EMPTY = 0
"""What the first value of an empty place is: neither an entry's id nor a request's."""
_ESTIMATED, _STREAM, _FIRST_TOKEN = map(_ROW.index, ("estimated", "stream", "first_token_ms"))
_NO_TIME = ""
"""What stands for a null of the one column that may be null."""


class Sealed(msgspec.Struct, frozen=True):
    """A batch in the form in which it is written: the values of its entries and rows, and as JSON lists the balances,
    what keys have spent and the sums of the rows."""

    mark: int
    balances: str
    spent: str
    sums: str
    entries: list[tuple[Any, ...]]
    rows: list[list[Any]]


def row_values(row: Row) -> list[Any]:
    """A row as it is written: numbers and texts alone. For a value of any other type the sqlite3 module looks for
    somebody who makes one of these of it, each time, and that takes longer than all else about the value."""
    values = list(astuple(row))
    values[_ESTIMATED], values[_STREAM] = int(row.estimated), int(row.stream)
    if row.first_token_ms is None:
        values[_FIRST_TOKEN] = _NO_TIME
    return values


def wanted(sealed: Sealed) -> int:
    """How many of the SIZES, from the smallest on, writing this can make use of."""
    rows = max(len(sealed.rows), -(-len(sealed.entries) // ENTRIES))
    return next((many for many, size in enumerate(SIZES, 1) if size >= rows), len(SIZES))


def statements(sealed: Sealed, sizes: Sequence[int]) -> Iterator[tuple[str, Sequence[Any]]]:
    """What writes this into the inboxes of these sizes, to be executed in its order: nearly always one statement."""
    most = sizes[-1]
    lists = sealed.mark, sealed.balances, sealed.spent, sealed.sums
    for at in range(0, max(len(sealed.rows), -(-len(sealed.entries) // ENTRIES), 1), most):
        entries, rows = sealed.entries[at * ENTRIES : (at + most) * ENTRIES], sealed.rows[at : at + most]
        size = next(size for size in sizes if size >= len(rows) and size * ENTRIES >= len(entries))
        no_entries, no_rows = [_NO_ENTRY] * (size * ENTRIES - len(entries)), [_NO_ROW] * (size - len(rows))
        yield _SQL[size], [*lists, *chain.from_iterable(entries + no_entries), *chain.from_iterable(rows + no_rows)]
        lists = sealed.mark, "[]", "[]", "[]"


def _places(word: str, many: int, columns: tuple[str, ...]) -> list[list[str]]:
    """The names of an inbox's columns for so many entries or rows."""
    return [[f"{word}{place}_{at}" for at in range(len(columns))] for place in range(many)]


def _columns(size: int) -> list[str]:
    places = _places("e", size * ENTRIES, _ENTRY) + _places("r", size, _ROW)
    return [*_LISTS, *chain.from_iterable(places)]


_SQL = {size: f"INSERT INTO inbox_{size} VALUES ({', '.join('?' * len(_columns(size)))})" for size in SIZES}  # noqa: S608 - numbers of ours


def _insert_places(table: str, columns: tuple[str, ...], places: list[list[str]]) -> str:
    """SQL that inserts what stands in these places, in their order."""
    first = ", ".join(f"NEW.{value} AS {name}" for value, name in zip(places[0], columns, strict=True))
    given = " UNION ALL SELECT ".join([first, *(", ".join(f"NEW.{value}" for value in place) for place in places[1:])])
    rows = f"(SELECT {given}) WHERE {columns[0]} IS NOT {EMPTY}"
    values = ", ".join(f"nullif({name}, '{_NO_TIME}')" if name == _ROW[_FIRST_TOKEN] else name for name in columns)
    return f"INSERT INTO {table} ({', '.join(columns)}) SELECT {values} FROM {rows};\n"  # noqa: S608 - names of ours


def _insert_all(table: str, columns: tuple[str, ...], source: str, conflict: str) -> str:
    """SQL that inserts a JSON list of rows in its order, so that of two balances of one account the last one stays. The
    LIMIT keeps the inner SELECT apart: without it SQLite writes a row's JSON anew for each of its columns, which
    doubles the work."""
    values = ", ".join(f"json_extract(row, '$[{number}]')" for number in range(len(columns)))
    rows = f"(SELECT value AS row FROM json_each({source}) LIMIT -1)"  # noqa: S608 - names of ours
    return f"INSERT INTO {table} ({', '.join(columns)}) SELECT {values} FROM {rows} WHERE true {conflict};\n"  # noqa: S608 - as above


@cache
def _made(size: int, watched: bool) -> tuple[str, str]:
    """What makes the view for so many rows, and its trigger. `watched`: it calls passing() at two places."""
    balances = (
        "ON CONFLICT (account) DO UPDATE SET posted = excluded.posted, held = excluded.held, used = excluded.used"
    )
    steps = [
        "UPDATE last_batch SET mark = NEW.mark;\n",
        _insert_places("entries", _ENTRY, _places("e", size * ENTRIES, _ENTRY)),
        "SELECT passing('commit_begun');\n" if watched else "",
        _insert_all("balances", ("account", "posted", "held", "used"), "NEW.balances", balances),
        _insert_all("spent", ("key", "used"), "NEW.spent", "ON CONFLICT (key) DO UPDATE SET used = excluded.used"),
        rollups.written("NEW.sums"),
        _insert_places("requests", _ROW, _places("r", size, _ROW)),
        "SELECT passing('commit_written');\n" if watched else "",
    ]
    columns = ", ".join(f"{EMPTY} AS {name}" for name in _columns(size))
    return (
        f"CREATE TEMP VIEW inbox_{size} AS SELECT {columns}",
        f"CREATE TEMP TRIGGER inbox_{size}_in INSTEAD OF INSERT ON inbox_{size} BEGIN {''.join(steps)} END",
    )


def open_inbox(
    connection: sqlite3.Connection, sizes: Sequence[int] = SMALLEST, passing: Callable[[str], None] | None = None
) -> None:
    """Give this connection its inboxes. `passing` is called at two places within each, for tests."""
    if passing is not None:
        connection.create_function("passing", 1, passing)
    # Of several statements in a transaction each has a journal of its own, which would become a file in a directory for
    # temporary ones: slow, and where there is none that can be written to, a commit would fail.
    connection.execute("PRAGMA temp_store = MEMORY")
    for size in sizes:
        connection.execute(f"DROP VIEW IF EXISTS temp.inbox_{size}")
        for made in _made(size, passing is not None):
            connection.execute(made)
