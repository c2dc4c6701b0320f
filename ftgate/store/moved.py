"""The mark in a database file whose ledger is elsewhere now: every open for writing refuses it.

It stands among the migrations, as one that no version knows: so versions from before this mark refuse the file too. It
names the PostgreSQL, without its password, when that was, and the move, which the PostgreSQL has noted as well.
"""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from ftgate.store.source import Postgres

_BEGINS = "moved to "
_NAMES = "SELECT name, applied_at FROM _sqlite_migrations WHERE migration_set = 'ftgate' AND name LIKE 'moved to %'"


class Moved(NamedTuple):
    """Where a ledger has gone, when, and by which move."""

    place: str
    at: str
    move: str


Statement = tuple[str, tuple[object, ...]]


def is_mark(name: str) -> bool:
    """Whether a migration of that name is none, but a mark."""
    return name.startswith(_BEGINS)


def mark(source: Postgres, move: str) -> Statement:
    """What puts the mark into a database."""
    at = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
    sql = "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('ftgate', ?, ?)"
    return sql, (f"{_BEGINS}{source} {move}", at)


UNMARK: Statement = ("DELETE FROM _sqlite_migrations WHERE migration_set = 'ftgate' AND name LIKE 'moved to %'", ())


def moved(connection: sqlite3.Connection) -> Moved | None:
    """Where the ledger of this file has gone; None where it is here. Raises sqlite3.Error."""
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = '_sqlite_migrations'").fetchone():
        return None
    found = connection.execute(_NAMES).fetchone()
    if found is None:
        return None
    place, _, move = found[0].removeprefix(_BEGINS).rpartition(" ")
    return Moved(place, found[1], move)


def words(found: Moved) -> str:
    """Why such a file is refused, and what to do."""
    return (
        f"its ledger has moved to {found.place} ({found.at}), and two living copies of one ledger would spend credits "
        "twice. Name that in [database] url. `ftgate migrate postgres` brings it back here; `ftgate migrate undo` lets "
        "this file serve again as it was then"
    )


def unmark(path: Path) -> None:
    """Let a file be used again. The caller holds the data directory's lock. Raises sqlite3.Error."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(*UNMARK)
