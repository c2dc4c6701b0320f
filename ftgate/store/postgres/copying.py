"""A ledger copied whole, table by table under the same names, between a SQLite file and a PostgreSQL.

Either way it is one transaction here and one there, and nothing is left of one that did not come to its end. What only
one of them has is not copied: SQLite's mark of the last batch and its migrations; PostgreSQL's head, notes and open
holds, which are entries in both (store.recovery ends those of processes that are gone).
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from ftgate.store.postgres.connection import Connection, Cursor, connect
from ftgate.store.postgres.dialect import storable
from ftgate.store.schema import migrate
from ftgate.store.source import Connection as AnyConnection
from ftgate.store.source import Postgres

COPY_S = 6 * 3600.0
"""Longest statement: a table."""
_NOT_COPIED = ("_sqlite_migrations", "last_batch")
_FIRST = ("users", "keys")
"""Others point at them."""
_FOLLOWED = "SELECT DISTINCT tgrelid::regclass::text FROM pg_trigger WHERE NOT tgisinternal AND tgname LIKE '%_touched'"
_COUNTED = ("requests", "audit", "checkpoints")
"""Their ids are given by PostgreSQL."""
_MANY = 1000
Table = tuple[str, tuple[str, ...], tuple[int, ...]]
"""A table, its columns, and which of them hold texts."""
Told = Callable[[str, int], None]
"""Hears of each table when it was copied, and how many rows it has."""


class Copied(NamedTuple):
    """Rows of all tables; texts in which a NUL became U+FFFD."""

    rows: int
    bent: int


def _nobody(table: str, rows: int) -> None:
    """Who does not ask."""


def tables(file: sqlite3.Connection) -> list[Table]:
    """What is copied of a file of this version, or into it."""
    names = [name for (name,) in file.execute("SELECT name FROM main.sqlite_master WHERE type = 'table' ORDER BY name")]
    found: list[Table] = []
    for name in [*_FIRST, *(name for name in names if name not in (*_FIRST, *_NOT_COPIED))]:
        columns = file.execute("SELECT name, type FROM pragma_table_info(?) ORDER BY cid", (name,)).fetchall()
        texts = tuple(at for at, (_, kind) in enumerate(columns) if kind == "TEXT")
        found.append((name, tuple(column for column, _ in columns), texts))
    return found


def into(connection: Connection, file: sqlite3.Connection, told: Told = _nobody) -> Copied:
    """Copy all of a file into a PostgreSQL whose tables were made in the open transaction of `connection`. Raises
    PostgresError, sqlite3.Error."""
    followed = [name for (name,) in connection.execute(_FOLLOWED)]
    for name in followed:  # nobody follows yet
        connection.execute(f"ALTER TABLE {name} DISABLE TRIGGER {name}_touched")
    rows = bent = 0
    for name, columns, texts in tables(file):
        if name in ("plan_ids", "pruned"):  # the schema has begun them
            connection.execute(f"DELETE FROM {name}")  # noqa: S608 - names of ours
        listed = ", ".join(columns)
        more, own = (", ended", ", 1") if name == "boots" else ("", "")  # processes that are gone
        filled = _Filled(file.execute(f"SELECT {listed}{own} FROM {name}"), texts)  # noqa: S608 - as above
        connection.put(f"COPY {name} ({listed}{more}) FROM STDIN", filled)
        told(name, filled.rows)
        rows, bent = rows + filled.rows, bent + filled.bent
    for name in _COUNTED:
        (last,) = connection.execute(f"SELECT coalesce(max(id), 0) + 1 FROM {name}").fetchone()  # noqa: S608 - as above
        connection.execute(f"ALTER TABLE {name} ALTER COLUMN id RESTART WITH {last}")
    for name in followed:
        connection.execute(f"ALTER TABLE {name} ENABLE TRIGGER {name}_touched")
    connection.execute("ANALYZE")
    return Copied(rows, bent)


class _Filled:
    """Rows on their way, counted, without a NUL in a text."""

    def __init__(self, rows: Iterable[Sequence[Any]], texts: tuple[int, ...]) -> None:
        self._rows, self._texts = rows, texts
        self.rows = self.bent = 0

    def __iter__(self) -> Iterator[Sequence[Any]]:
        for row in self._rows:
            self.rows += 1
            for at in self._texts:
                if row[at] is not None and "\0" in row[at]:
                    self.bent += 1
                    row = [*row[:at], storable(row[at]), *row[at + 1 :]]
            yield row


def out_of(
    connection: Connection, part: Path, ends: Callable[[], bool] = lambda: False, told: Told = _nobody
) -> int:  # fmt: skip
    """Write all that the open transaction of `connection` sees into an empty file, as one that a single ftgate opens.
    The number of rows. `ends` is asked again and again whether to give it up. Raises PostgresError, sqlite3.Error,
    InterruptedError."""
    rows = 0
    with closing(sqlite3.connect(part, isolation_level=None)) as file:
        file.execute("PRAGMA synchronous = OFF")  # it is forced to disk when it is whole
        migrate(file)
        file.execute("BEGIN")
        for name, columns, _ in tables(file):
            if name in ("plan_ids", "pruned"):
                file.execute(f"DELETE FROM {name}")  # noqa: S608 - names of ours
            listed, places = ", ".join(columns), ", ".join("?" * len(columns))
            found = connection.get(f"SELECT {listed} FROM {name}")  # noqa: S608 - as above
            before = rows
            while page := list(islice(found, _MANY)):
                if ends():
                    raise InterruptedError("it was given up")
                file.executemany(f"INSERT INTO {name} ({listed}) VALUES ({places})", page)  # noqa: S608 - as above
                rows += len(page)
            told(name, rows - before)
        file.execute("COMMIT")
    return rows


_SUMS = {
    "entries": "account, count(*), sum(amount / 1000000), sum(amount % 1000000), max(id) FROM entries GROUP BY account",
    "requests": "account, count(*), sum(cost / 1000000), sum(cost % 1000000), sum(lost / 1000000), sum(lost % 1000000),"
    " sum(prompt_tokens), sum(completion_tokens) FROM requests GROUP BY account",
    "balances": "account, posted, held, used FROM balances",
    "quotas": "id, account, quota, window_us, window_used, (SELECT used FROM spent WHERE key = keys.id) FROM keys",
    "payments": "account, count(*), sum(credited / 1000000), sum(taken / 1000000) FROM payments GROUP BY account",
}
"""What must be the same on both sides, account by account."""


def unequal(one: AnyConnection, other: AnyConnection, among: Sequence[Table]) -> str | None:
    """The first difference of two copies, in words; None where there is none. Raises sqlite3.Error."""
    for name, _, _ in among:
        counts = [at.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for at in (one, other)]  # noqa: S608 - names of ours
        if counts[0] != counts[1]:
            return f"{name} has {counts[0]} rows on the one side and {counts[1]} on the other"
    for what, sql in _SUMS.items():
        rows = [sorted(map(tuple, at.execute(f"SELECT {sql}"))) for at in (one, other)]
        if rows[0] != rows[1]:
            first = next(pair for pair in zip(*rows, strict=False) if pair[0] != pair[1])
            return f"{what} differ: {first[0]} on the one side, {first[1]} on the other"
    return None


class Within:
    """A connection in a transaction that stands open, for a reading that would begin and end its own."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @property
    def in_transaction(self) -> bool:
        return self._connection.in_transaction

    def execute(self, sql: str, values: Any = (), /) -> Cursor:
        return self._connection.execute("SELECT 1" if sql in ("BEGIN", "COMMIT") else sql, values)

    def close(self) -> None:
        """It is whose it was."""


def snapshot_into(source: Postgres, part: Path, ends: Callable[[], bool] = lambda: False) -> int:
    """Write one moment of a PostgreSQL into an empty file; the number of rows. Raises as out_of()."""
    with closing(connect(source, readonly=True, timeout_s=COPY_S)) as connection:
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        return out_of(connection, part, ends)


def bytes_of(source: Postgres) -> int:
    """The size of the database. Raises PostgresError."""
    with closing(connect(source, readonly=True)) as connection:
        return int(connection.execute("SELECT pg_database_size(current_database())").fetchone()[0])
