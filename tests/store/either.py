"""The same tests on either database: where they write and read what they compare, in words of the one and the other."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ftgate.core.books import Entry
from ftgate.ports import Row
from ftgate.store.batch import Batch, write_batch
from ftgate.store.database import connect, read_only
from ftgate.store.postgres import connection as postgresql
from ftgate.store.rollups import GROUPED, KIND, SUMS
from ftgate.store.source import Postgres, Source
from tests.postgres import Server

EITHER = ["sqlite", "postgres"]


@contextmanager
def fresh(request: pytest.FixtureRequest, folder: Path) -> Iterator[Source]:
    """An empty database of the kind that the fixture's parameter names."""
    if request.param == "sqlite":
        path = folder / "ftgate.sqlite3"
        connect(path, durability="process").close()
        yield path
    else:
        server: Server = request.getfixturevalue("postgres")
        with server.database() as source:
            yield source


@contextmanager
def opened(source: Source) -> Iterator[Any]:
    """A connection that writes."""
    if isinstance(source, Postgres):
        with closing(postgresql.connect(source, readonly=False)) as connection:
            yield connection
    else:
        with closing(connect(source, durability="process")) as file:
            yield file


def write(source: Source, rows: list[Row], group: int = 7) -> None:
    """So many rows in a batch."""
    with opened(source) as connection:
        for at in range(0, len(rows), group):
            batch = Batch()
            batch.rows += rows[at : at + group]
            put(connection, batch)
        if isinstance(source, Postgres) and len(rows) > 100:  # as its own vacuum does soon
            connection.execute("ANALYZE requests, kinds, usage_quarters")


def put(connection: Any, batch: Batch) -> None:
    """Write a batch, whole or not at all."""
    if isinstance(connection, sqlite3.Connection):
        write_batch(connection, batch)
        return
    if batch.sealed is None:
        batch.seal()
    assert batch.sealed is not None
    connection.execute("BEGIN")
    for sql, values in batch.statements:
        connection.execute(sql, values)
    _insert(connection, "entries", Entry.__struct_fields__, batch.sealed.entries)
    for table, names, said in (
        ("balances", ("account", "posted", "held", "used"), batch.sealed.balances),
        ("spent", ("key", "used"), batch.sealed.spent),
    ):
        last = f" ON CONFLICT ({names[0]}) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in names[1:])}"
        _insert(connection, table, names, msgspec.json.decode(said), last)
    kinds: dict[int, list[Any]] = {}
    quarters: dict[tuple[Any, ...], list[int]] = {}
    for group in msgspec.json.decode(batch.sealed.sums):
        said = dict(zip(GROUPED, group, strict=True))
        kinds.setdefault(said["kind"], [said["kind"], *(said[name] for name in KIND), 0])[-1] += said["requests"]
        sums = quarters.setdefault((said["account"], said["quarter"], said["by_model"]), [0] * len(SUMS))
        sums[:] = [whole + said[name] for whole, name in zip(sums, SUMS, strict=True)]
    more = " ON CONFLICT (id) DO UPDATE SET requests = kinds.requests + excluded.requests"
    _insert(connection, "kinds", ("id", *KIND, "requests"), kinds.values(), more)
    added = ", ".join(f"{name} = usage_quarters.{name} + excluded.{name}" for name in SUMS)
    more = f" ON CONFLICT (account, quarter, model) DO UPDATE SET {added}"
    named = ("account", "quarter", "model", *SUMS)
    _insert(connection, "usage_quarters", named, [[*place, *sums] for place, sums in quarters.items()], more)
    names = Row.__struct_fields__
    timeless = names.index("first_token_ms")
    rows = [
        [*row[:timeless], None if row[timeless] == "" else row[timeless], *row[timeless + 1 :]]
        for row in batch.sealed.rows
    ]
    _insert(connection, "requests", names, rows)
    connection.execute("COMMIT")


def _insert(
    connection: Any, table: str, names: Sequence[str], rows: Iterable[Sequence[object]], more: str = ""
) -> None:  # fmt: skip
    values = [*rows]
    if values:
        places = ", ".join([f"({', '.join('?' * len(names))})"] * len(values))
        sql = f"INSERT INTO {table} ({', '.join(names)}) VALUES {places}{more}"
        connection.execute(sql, [value for row in values for value in row])


def read(source: Source, sql: str, *values: Any) -> list[Any]:
    """What a connection of its own reads."""
    with closing(read_only(source)) as connection:
        return [tuple(row) for row in connection.execute(sql, values)]


def tamper(source: Source, sql: str) -> None:
    """Change what is never changed, past triggers and checks."""
    with opened(source) as connection:
        if isinstance(source, Postgres):
            connection.execute("SET session_replication_role = replica")
            checks = "SELECT conrelid::regclass::text, conname FROM pg_constraint WHERE contype = 'c' AND conrelid <> 0"
            for table, name in connection.execute(f"{checks} AND connamespace = 'public'::regnamespace"):
                connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
        else:
            triggers = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
            for (name,) in connection.execute(triggers).fetchall():
                connection.execute(f"DROP TRIGGER {name}")
            connection.execute("PRAGMA ignore_check_constraints = ON")
        assert connection.execute(sql).rowcount > 0
