"""The tables refuse what must never be in them, and a file that cannot be used is named in one line and left alone
(F45)."""

import hashlib
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ftgate.store.batch import Batch, write_batch
from ftgate.store.database import DatabaseFault, connect, read_only
from ftgate.store.schema import migrate
from tests.store.faulty import Calls, read, row

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ftgate.sqlite3"


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
    " estimate, at_us, note FROM entries WHERE kind = 'post' LIMIT 1",
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


def test_how_the_writer_is_set(path: Path) -> None:
    for durability, synchronous in (("power", 2), ("process", 1)):
        with closing(connect(path, durability=durability)) as connection:
            assert connection.execute("PRAGMA synchronous").fetchone() == (synchronous,)
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            assert connection.execute("PRAGMA foreign_keys").fetchone() == (1,)


def test_a_reader_cannot_write(connection: sqlite3.Connection, path: Path) -> None:
    with closing(read_only(path)) as reader:
        assert reader.execute("SELECT count(*) FROM entries").fetchone()[0] > 0
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader.execute("INSERT INTO balances VALUES (9, 0, 0, 0)")


@pytest.mark.parametrize("name", ["a?b", "a#b", "a%41b", "ä b", "a'b"])
def test_a_reader_of_an_odd_path(tmp_path: Path, name: str) -> None:
    place = tmp_path / name
    place.mkdir()
    with closing(connect(place / "f.sqlite3", durability="process")) as connection:
        write_batch(connection, _batch())
        with closing(read_only(place / "f.sqlite3")) as reader:
            assert reader.execute("SELECT count(*) FROM requests").fetchone() == (1,)
    assert [found.name for found in tmp_path.iterdir()] == [name]


def _batch() -> Batch:
    batch = Batch()
    batch.rows.append(row("r"))
    return batch


# Opening


def test_a_second_migration_changes_nothing(path: Path) -> None:
    connect(path, durability="power").close()
    before = path.read_bytes()
    with closing(connect(path, durability="power")) as connection:
        migrate(connection)
    assert path.read_bytes() == before


def test_an_interrupted_first_migration_runs_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ftgate.store import schema

    whole = schema._FIRST
    monkeypatch.setattr(schema, "_FIRST", whole + "CREATE TABLE users (id INTEGER);")
    with pytest.raises(DatabaseFault, match="already exists"):
        connect(path, durability="power")
    assert read(path, "SELECT name FROM sqlite_master WHERE name = 'entries'") == []
    monkeypatch.setattr(schema, "_FIRST", whole)
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


def test_the_file_is_for_its_owner_only(path: Path) -> None:
    before = os.umask(0)
    try:
        with closing(connect(path, durability="power")) as connection:
            write_batch(connection, _batch())
            modes = {found.name: stat.S_IMODE(found.stat().st_mode) for found in path.parent.iterdir()}
    finally:
        os.umask(before)
    assert modes == {path.name + end: 0o600 for end in ("", "-wal", "-shm")}


def faulty(path: Path, words: str) -> None:
    """Opening fails in one line that names the file; the file stays as it was."""
    before = hashlib.sha256(path.read_bytes()).digest() if path.is_file() else None
    with pytest.raises(DatabaseFault, match=words) as caught:
        connect(path, durability="power")
    said = str(caught.value)
    assert "\n" not in said and str(path) in said
    if before is not None:
        assert hashlib.sha256(path.read_bytes()).digest() == before


def test_a_directory(path: Path) -> None:
    path.mkdir()
    faulty(path, "is a directory; give another --data")
    assert list(path.iterdir()) == []


def test_a_missing_directory(tmp_path: Path) -> None:
    faulty(tmp_path / "no" / "ftgate.sqlite3", "cannot be opened: .*No such file")


@pytest.mark.parametrize(
    "content",
    [b"hello", b"SQLite format 3\x00", b"SQLite format 3\x00" + b"\xff" * 5000],
    ids=["text", "short", "junk"],
)
def test_not_a_database(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    faulty(path, "is not a SQLite database|is damaged|file is not a database")


def test_an_empty_file_is_a_new_database(path: Path) -> None:
    path.touch()
    connect(path, durability="power").close()
    assert read(path, "SELECT count(*) FROM entries") == [(0,)]


def test_a_read_only_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connect(path, durability="power").close()
    monkeypatch.setattr(os, "access", lambda *_: False)  # the superuser may write everywhere
    faulty(path, "is read-only; make it writable")


def test_a_newer_database(path: Path) -> None:
    with closing(connect(path, durability="power")) as connection:
        connection.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('ftgate', '0099_wonder', '')"
        )
    faulty(path, "written by a newer ftgate .schema 0099_wonder.; start that version")


def filled(path: Path) -> int:
    """A closed database of some dozens of pages; how many."""
    calls, batch = Calls(), Batch()
    calls.grant(batch)
    for _ in range(500):
        calls.call(batch)
    with closing(connect(path, durability="power")) as connection:
        write_batch(connection, batch)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        pages: int = connection.execute("PRAGMA page_count").fetchone()[0]
        return pages


@pytest.mark.parametrize("place", [0, 0.3, 0.6, 0.99], ids=str)
def test_a_damaged_page(path: Path, place: float) -> None:
    pages = filled(path)
    with path.open("r+b") as file:
        file.seek(max(100, int(pages * place) * 4096))
        file.write(b"\xa5" * 2000)
    faulty(path, "is damaged|is not a SQLite database")


def test_a_file_cut_short(path: Path) -> None:
    pages = filled(path)
    os.truncate(path, (pages - 3) * 4096)
    faulty(path, "is damaged")


def test_the_check_of_a_large_file_has_an_end(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(path)
    monkeypatch.setattr("ftgate.store.database.CHECK_S", -1.0)
    connect(path, durability="power").close()
