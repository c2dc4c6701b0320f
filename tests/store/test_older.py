"""A database that the version before wrote: a start migrates it in place, and what only reads it leaves it as it is."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ftgate.core.books import Books
from ftgate.store import requests
from ftgate.store.backup import make_backup, restore_backup
from ftgate.store.batch import Batch, write_batch
from ftgate.store.checkpoint import resume, statements
from ftgate.store.database import DatabaseFault, connect, read_only
from ftgate.store.entries import all_entries, entries_after
from ftgate.store.recovery import expire_orphans
from ftgate.store.schema import _MIGRATIONS, show_newest
from ftgate.store.verify import verify_ledger
from tests.store.faulty import Calls, read

ROWS = [
    ("req_1", 1, "ok", 30, 2, '{"input":3,"output":0,"cached":3,"cache_write":3,"cache_write_1h":3}'),
    ("req_2", 1, "error", 0, 4, ""),
    ("refused", 1, "refused", 0, 0, ""),
]
VERIFIED = {
    "ok": True, "accounts": 1, "entries": 6, "open_holds": 1, "requests": 3, "recomputed": 0,
    "not_recomputable": {"older": 3, "crashed": 0},
}  # fmt: skip


@pytest.fixture
def old(path: Path) -> Path:
    return written_long_ago(path)


def written_long_ago(path: Path) -> Path:
    """1 grant, 2 hold, 3 post 30, 4 hold, 5 void, 6 open hold, and a checkpoint, as schema 0001 holds them."""
    with sqlite3.connect(path, isolation_level=None) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(_MIGRATIONS["0001_first"])
        connection.execute("CREATE TABLE _sqlite_migrations (migration_set TEXT, name TEXT, applied_at TEXT)")
        connection.execute("INSERT INTO _sqlite_migrations VALUES ('ftgate', '0001_first', '2026-01-01')")
        calls, batch = Calls(), Batch()
        calls.grant(batch)
        calls.call(batch)
        ended = calls.books.void(calls.hold(batch).id, at_us=0)
        batch.remember(ended.entries, calls.balance)  # type: ignore[union-attr]
        calls.hold(batch)
        for entry in batch.entries:
            values = [getattr(entry, name) for name in entry.__struct_fields__ if name != "boot"]
            connection.execute(f"INSERT INTO entries VALUES ({', '.join('?' * len(values))})", values)
        connection.execute("INSERT INTO balances VALUES (1, 999970, 100, 0)")
        connection.execute("INSERT INTO spent VALUES (1, 30)")
        for at, (id, key, status, cost, hold, price) in enumerate(ROWS):
            connection.execute(
                "INSERT INTO requests VALUES (NULL, ?, ?, 1, ?, 'm', 'm', 'p', 'c', ?, 200, '', 'standard',"
                " 10, 3, 2, 4, 1, ?, 0, 1, 5, NULL, 1, 0, ?, ?)",
                (id, at, key, status, cost, hold, price),
            )
    connection.close()
    return path


def shown(path: Path) -> Any:
    """All that a person is shown."""
    return [
        requests.latest(path, 100),
        requests.stats(path),
        list(all_entries(path, username=None)),
    ]


def columns(path: Path, table: str) -> list[str]:
    return [name for (name,) in read(path, f"SELECT name FROM pragma_table_info('{table}')")]


def test_a_start_migrates_it_in_place_and_shows_the_same(old: Path) -> None:
    before, dumped = shown(old), [read(old, f"SELECT * FROM {table}") for table in ("entries", "requests")]
    said = verify_ledger(old)
    connect(old, durability="power").close()
    assert shown(old) == before and verify_ledger(old) == said == VERIFIED
    kinds = [id for (id,) in read(old, "SELECT kind FROM requests ORDER BY id")]
    assert read(old, "SELECT * FROM entries") == [(*row, 0) for row in dumped[0]]
    added = ("", "", "", "", 0, "", "", "")
    assert read(old, "SELECT * FROM requests") == [
        (*row, *added, kind, "") for row, kind in zip(dumped[1], kinds, strict=True)
    ]
    assert columns(old, "requests")[-10:] == [
        "route", "client_dialect", "channel_dialect", "multiplier", "cache_write_1h_tokens", "earlier", "remark",
        "tries", "kind", "upstream_id",
    ]  # fmt: skip
    assert read(old, "SELECT id, account, key, model, status, requests, pruned FROM kinds ORDER BY status") == [
        (kinds[1], 1, 1, "m", "error", 1, 0), (kinds[0], 1, 1, "m", "ok", 1, 0),
        (kinds[2], 1, 1, "m", "refused", 1, 0),
    ]  # fmt: skip
    assert read(old, "SELECT * FROM usage_quarters") == [(1, 0, "m", 3, 30, 9, 12, 0, 30)]
    assert read(old, "SELECT name FROM _sqlite_migrations ORDER BY name") == [(name,) for name in _MIGRATIONS]
    with closing(connect(old, durability="power")) as connection, pytest.raises(sqlite3.IntegrityError):
        connection.execute("UPDATE entries SET boot = 1")


def test_a_database_of_the_second_schema_is_read_and_migrated(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        first = {name: script for name, script in _MIGRATIONS.items() if name < "0003"}
        patch.setattr("ftgate.store.schema._MIGRATIONS", first)
        patch.setattr("ftgate.store.schema.open_inbox", lambda connection: None)
        connect(old, durability="power").close()
    assert columns(old, "requests")[-1] == "earlier"
    before = shown(old)
    assert before[0]["data"][0]["remark"] == ""
    connect(old, durability="power").close()
    assert columns(old, "requests")[-4] == "remark" and shown(old) == before and verify_ledger(old) == VERIFIED


def test_kinds_of_a_version_that_had_others_are_made_anew(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first that had any told every name of a model that was asked for apart."""
    with monkeypatch.context() as patch:
        ninth = {name: script for name, script in _MIGRATIONS.items() if name < "0010"}
        patch.setattr("ftgate.store.schema._MIGRATIONS", ninth)
        patch.setattr("ftgate.store.schema.open_inbox", lambda connection: None)
        connect(old, durability="power").close()
    right, before = read(old, "SELECT kind FROM requests ORDER BY id"), shown(old)
    indexes = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND name LIKE 'requests_by%' ORDER BY name"
    with closing(sqlite3.connect(old)) as connection:
        connection.executescript(
            "UPDATE requests SET kind = kind - 1; UPDATE kinds SET id = id - 1, model = 'another';"
            " DROP INDEX requests_by_time; CREATE INDEX requests_by_time ON requests(created_at_us)"
        )
    assert verify_ledger(old) == VERIFIED and shown(old) == before
    connect(old, durability="power").close()
    assert read(old, "SELECT kind FROM requests ORDER BY id") == right
    assert verify_ledger(old) == VERIFIED and shown(old) == before
    assert "(kind, created_at_us)" in read(old, indexes)[1][1]


def test_an_interrupted_migration_runs_again(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = _MIGRATIONS["0002_row_arithmetic"] + "CREATE TABLE users (a);"
    with monkeypatch.context() as patch:
        patch.setitem(_MIGRATIONS, "0002_row_arithmetic", broken)
        with pytest.raises(DatabaseFault, match="already exists"):
            connect(old, durability="power")
    assert "boot" not in columns(old, "entries") and "route" not in columns(old, "requests")
    assert verify_ledger(old) == VERIFIED
    connect(old, durability="power").close()
    assert verify_ledger(old) == VERIFIED


def test_reading_leaves_it_as_it_is(old: Path, tmp_path: Path) -> None:
    before = old.read_bytes()
    with closing(read_only(old)) as connection:
        show_newest(connection)
        sums = "SELECT account, quarter, model, requests, prompt_tokens, cost_lower FROM usage_quarters"
        assert connection.execute(sums).fetchall() == [(1, 0, "m", 3, 30, 30)]
        assert connection.execute("SELECT count(*) FROM kinds").fetchone() == (0,)
        assert {entry.boot for entry in entries_after(connection, 0, 6, 100)} == {0}
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            connection.execute("DELETE FROM main.requests")
    make_backup(old, tmp_path / "b", verify_ledger)
    assert restore_backup(tmp_path / "b", old, tmp_path / "kept", verify_ledger)["not_recomputable"]["older"] == 3
    assert "boot" not in columns(old, "entries") and (tmp_path / "kept").read_bytes() == before


def test_what_it_left_open_expires_and_has_a_row_from_now_on(old: Path) -> None:
    with closing(connect(old, durability="power")) as connection:
        books, batch = Books(next_id=7, boot=1), Batch()
        books.open_account(1, posted=999_970)
        books.open_key(1, limit=None, used=30)
        assert expire_orphans(connection, books, batch, at_us=9, charge_estimate=True) == (1, 0)
        write_batch(connection, batch)
    said = verify_ledger(old)
    assert said["ok"] and said["not_recomputable"] == {"older": 3, "crashed": 1}
    assert read(old, "SELECT status, cost, hold FROM requests WHERE request_id = 'req_3'") == [("crashed", 10, 6)]


def test_a_hold_that_the_version_before_ended_needs_no_row(old: Path) -> None:
    with closing(sqlite3.connect(old)) as connection:
        connection.execute(
            "INSERT INTO entries VALUES (7, 'expire', 1, 1, 'credits', 'revenue', 0, 6, 'req_3', 0, 0, '')"
        )
        connection.execute("UPDATE balances SET held = 0")
        connection.commit()
    assert verify_ledger(old) == {**VERIFIED, "entries": 7, "open_holds": 0}
    connect(old, durability="power").close()
    assert verify_ledger(old) == {**VERIFIED, "entries": 7, "open_holds": 0}


def test_a_checkpoint_of_the_version_before_is_read(old: Path) -> None:
    with closing(connect(old, durability="power")) as connection:
        audit = resume(connection)
        for entry in entries_after(connection, 0, 6, 100):
            audit.note(entry)
        ((insert, (last, at_us, state)), _) = statements(audit, 0)
        without_boot = str(state).replace('"",0]', '""]')
        assert without_boot != state
        connection.execute(insert, (last, at_us, without_boot))
    assert verify_ledger(old) == VERIFIED
