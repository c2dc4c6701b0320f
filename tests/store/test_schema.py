"""The tables refuse what must never be in them; migrations run once and whole."""

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ftgate.store.batch import Batch, write_batch
from ftgate.store.database import DatabaseFault, connect
from ftgate.store.schema import _MIGRATIONS, migrate
from tests.store.faulty import Calls, read

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def connection(path: Path) -> Iterator[sqlite3.Connection]:
    connect(
        path, durability="power"
    ).close()  # what sqlite-utils sets on a connection at the first start is gone at the second
    with closing(connect(path, durability="power")) as connection:
        calls, batch = Calls(), Batch()
        batch.statements.append(
            (
                "INSERT INTO users (id, username, role, status, plan, created_at_us) VALUES (1, 'u', 'user', "
                "'active', 'p', 0)",
                (),
            )
        )
        calls.grant(batch)
        calls.call(batch)
        calls.call(batch, 150)
        calls.hold(batch)
        write_batch(connection, batch)
        yield connection


MONEY = [
    "INSERT INTO entries (id, kind, account, key, debit, credit, amount, ref, at_us) VALUES (99, 'x', 1, 1, 'a', "
    "'b', 0.5, 'r', 0)",
    "INSERT INTO entries (id, kind, account, key, debit, credit, amount, ref, at_us) VALUES (99, 'x', 1, 1, 'a', "
    "'b', -1, 'r', 0)",
    "INSERT INTO entries (id, kind, account, key, debit, credit, amount, ref, at_us) VALUES (99, 'x', 1, 1, 'a', "
    "'b', '1.5', 'r', 0)",
    "INSERT INTO balances VALUES (9, 0.1, 0, 0)",
    "INSERT INTO balances VALUES (9, 0, 0.1, 0)",
    "INSERT INTO balances VALUES (9, 0, 0, 0.1)",
    "INSERT INTO balances VALUES (9, 0, -1, 0)",
    "UPDATE balances SET posted = 9223372036854775807 + 1",
    "INSERT INTO spent VALUES (9, 0.1)",
    "UPDATE requests SET cost = 0.1",
    "UPDATE requests SET lost = 0.1",
    "UPDATE entries SET note = 'x'",
    "UPDATE entries SET amount = 1 WHERE id = 1",
    "DELETE FROM entries",
    "DELETE FROM entries WHERE id = 1",
    "INSERT OR REPLACE INTO entries SELECT * FROM entries WHERE id = 999 UNION SELECT 7, kind, account, key, debit, "
    "credit, amount, 2, ref,"
    " estimate, at_us, note, boot FROM entries WHERE kind = 'post' LIMIT 1",
    "INSERT INTO keys (account, name, prefix, hash, status, created_at_us) VALUES (77, 'n', 'p', x'00', 'active', 0)",
    "INSERT INTO users (id, username, role, status, plan, created_at_us) VALUES (2, 'U', 'user', 'active', 'p', 0)",
]


@pytest.mark.parametrize("sql", MONEY)
def test_the_tables_refuse(connection: sqlite3.Connection, path: Path, sql: str) -> None:
    before = [
        read(path, f"SELECT * FROM {table}") for table in ("entries", "balances", "spent", "requests", "keys", "users")
    ]
    with pytest.raises(sqlite3.IntegrityError):
        connection.execute(sql)
    assert before == [
        read(path, f"SELECT * FROM {table}") for table in ("entries", "balances", "spent", "requests", "keys", "users")
    ]


@pytest.mark.parametrize("kind", ["post", "void", "expire"])
def test_a_second_end_of_a_hold_is_refused(connection: sqlite3.Connection, kind: str) -> None:
    insert = (
        "INSERT INTO entries (id, kind, account, key, debit, credit, amount, hold, ref, at_us)"
        " VALUES (?, ?, 1, 1, 'credits', 'revenue', 0, ?, 'r', 0)"
    )
    with pytest.raises(sqlite3.IntegrityError, match=r"UNIQUE.*entries\.hold"):
        connection.execute(insert, (99, kind, 2))
    ended = connection.execute(
        "SELECT count(*) FROM entries WHERE hold = 2 AND kind IN ('post', 'void', 'expire')"
    ).fetchone()
    assert ended == (1,)
    connection.execute(insert, (99, kind, 7))  # the one that is open


def test_a_grant_or_hold_of_the_same_ref_is_refused(connection: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.IntegrityError, match=r"UNIQUE.*entries\.ref"):
        connection.execute(
            "INSERT INTO entries (id, kind, account, key, debit, credit, amount, ref, at_us)"
            " VALUES (99, 'grant', 1, 0, 'grants', 'credits', 1, 'g1', 0)"
        )


def test_every_money_table_is_strict(connection: sqlite3.Connection) -> None:
    tables = connection.execute(
        "SELECT name, strict FROM pragma_table_list WHERE schema = 'main' AND name NOT LIKE 'sqlite%'"
    ).fetchall()
    assert {name for name, strict in tables if not strict} == {"_sqlite_migrations"}


def test_a_second_migration_changes_nothing(path: Path) -> None:
    connect(path, durability="power").close()
    before = path.read_bytes()
    with closing(connect(path, durability="power")) as connection:
        migrate(connection)
    assert path.read_bytes() == before


def test_an_interrupted_first_migration_runs_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = _MIGRATIONS["0001_first"] + "CREATE TABLE users (id INTEGER);"
    with monkeypatch.context() as patch:
        patch.setitem(_MIGRATIONS, "0001_first", broken)
        with pytest.raises(DatabaseFault, match="already exists"):
            connect(path, durability="power")
    assert read(path, "SELECT name FROM sqlite_master WHERE name = 'entries'") == []
    connect(path, durability="power").close()
    assert read(path, "SELECT name FROM sqlite_master WHERE name = 'entries'") == [("entries",)]


def test_an_ordinary_start_does_not_load_sqlite_utils(path: Path) -> None:
    connect(path, durability="power").close()
    code = (
        "import sys; from pathlib import Path; from ftgate.store import database; import ftgate.app;"
        " database.connect(Path(sys.argv[1]), durability='power').close(); print('sqlite_utils' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(path)]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip() == "False"
