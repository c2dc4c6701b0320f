"""A ledger moved from its file to a PostgreSQL and back, and the commands that read it where it is."""

import json
import os
import secrets
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import trio
from click.testing import CliRunner, Result

from ftgate.cli.group import cli
from ftgate.house.house import DATABASE
from ftgate.house.lock import Lock
from ftgate.store.moved import moved
from ftgate.store.postgres import copying
from ftgate.store.postgres.connection import close_idle
from ftgate.store.source import Postgres
from tests.postgres import Server
from tests.store.either import opened, read
from tests.store.houses import lived

CONFIG = (
    '[server]\ndata_dir = "data"\n[[channel]]\nname = "lab"\nprovider = "openai-compatible"\n'
    'base_url = "http://127.0.0.1:1/v1"\nkeys = ["none"]\n[channel.models]\nm = { input = 0, output = 0 }\n'
)
PASSWORD = "hunter2-of-the-database"


@pytest.fixture
def target(postgres: Server) -> Iterator[Postgres]:
    """An empty database, by a URL with a password."""
    name = f"ftgate_{secrets.token_hex(6)}"
    postgres.told(f"CREATE DATABASE {name} TEMPLATE template0")
    plain = postgres.at(name)
    with_password = Postgres(plain.url.replace("ftgate@", f"ftgate:{PASSWORD}@"))
    try:
        yield with_password
    finally:
        close_idle(with_password)
        postgres.told(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: Postgres) -> Path:
    """The file of a data directory with a history: 14 entries, the last an open hold of a killed process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LEDGER", target.url)
    for name, text in {"ftgate.toml": CONFIG, "pg.toml": CONFIG + '[database]\nurl = "env:LEDGER"\n'}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    return trio.run(lived, tmp_path / "data")


def ftgate(*arguments: str, code: int = 0) -> Result:
    found = CliRunner().invoke(cli, arguments)
    assert found.exit_code == code, found.output
    assert PASSWORD not in found.output
    return found


def said(*arguments: str) -> Any:
    return json.loads(ftgate(*arguments, "--json").stdout)


def gone(path: Path) -> bool:
    with closing(sqlite3.connect(path)) as connection:
        return moved(connection) is not None


READING = (
    ("ledger", "entries"), ("ledger", "verify"), ("logs",), ("stats",), ("audit",), ("users", "list"), ("keys", "list"),
    ("channels", "list"),
)  # fmt: skip
PG = ("--config", "pg.toml")


def test_there_and_back(data: Path, target: Postgres, tmp_path: Path) -> None:
    ftgate("users", "create", "bob")
    with closing(sqlite3.connect(data)) as connection:
        connection.execute("UPDATE users SET display_name = 'a' || char(0) || 'b' WHERE username = 'bob'")
        connection.commit()
    key = (data.parent / "server.key").read_bytes()
    before = {words: said(*words) for words in READING}
    came = said("migrate", "sqlite", "env:LEDGER")
    assert (came["entries"], came["requests"], came["bent"]) == (13, 6, 1), came
    for words in READING:
        assert said(*words, *PG) == before[words], words
    exported = ftgate("ledger", "export", *PG).output
    assert exported == ftgate("ledger", "export", "--data", str(data.parent)).stdout
    assert read(target, "SELECT value FROM secrets") == [(key,)]
    assert read(target, "SELECT count(*) FROM holds") == [(0,)]

    refused = ftgate("users", "create", "dora", code=1).output
    assert "has moved to postgresql://127.0.0.1:" in refused and "`ftgate migrate postgres`" in refused
    assert "its ledger has moved" in ftgate("stats").stderr
    assert "migrate" in ftgate("upgrade-check", code=1).output
    assert said("migrate", "sqlite", "env:LEDGER")["again"]

    ftgate("users", "create", "dora", "--credits", "2", *PG)
    ftgate("keys", "create", "--user", "dora", *PG)
    there = {words: said(*words, *PG) for words in READING}
    back = said("migrate", "postgres", *PG)
    assert back["entries"] == 14 and "before-migrate-" in back["kept"]
    assert {words: said(*words) for words in READING} == there
    assert (data.parent / "server.key").read_bytes() == key
    assert "has moved to" in ftgate("users", "create", "eve", *PG, code=1).output
    assert not [left for left in data.parent.iterdir() if "migrating" in left.name]
    ftgate("users", "create", "eve")
    assert "serves again" in ftgate("migrate", "undo", "--yes", *PG).output
    assert "eve" not in ftgate("users", "list", *PG).output


@pytest.mark.parametrize("place", ["copied", "marked"])
def test_a_move_that_was_killed_is_done_by_the_next(data: Path, target: Postgres, place: str) -> None:
    killed("migrate", "sqlite", "env:LEDGER", place=place)
    assert read(target, "SELECT to_regclass('meta')") == [(None,)]
    assert gone(data) is (place == "marked")
    if place == "copied":
        ftgate("users", "create", "dora")
    came = said("migrate", "sqlite", "env:LEDGER")
    assert not came["again"] and gone(data) and said("ledger", "verify", *PG)["entries"] == 13


def test_a_way_back_that_was_killed_is_done_by_the_next(data: Path) -> None:
    ftgate("migrate", "sqlite", "env:LEDGER")
    killed("migrate", "postgres", *PG, place="returned")
    assert gone(data)
    ftgate("users", "list", *PG, code=1)
    assert said("migrate", "postgres", *PG)["again"]
    assert said("ledger", "verify")["entries"] == 13 and not gone(data)


def killed(*arguments: str, place: str) -> None:
    environ = {**os.environ, "FTGATE_FAILPOINT": f"{place}=kill:1"}
    ended = subprocess.run([sys.executable, "-m", "ftgate", *arguments], env=environ, capture_output=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr


@pytest.mark.parametrize("table", ["audit", "requests"])
def test_a_copy_that_lacks_a_row_is_none(
    data: Path, target: Postgres, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = copying.Connection.put

    def put(self: copying.Connection, sql: str, rows: Any) -> None:
        rows = iter(rows)
        if f"COPY {table} " in sql:
            next(rows)
        real(self, sql, rows)

    monkeypatch.setattr(copying.Connection, "put", put)
    refused = ftgate("migrate", "sqlite", "env:LEDGER", code=1).output
    assert "the ledger in the PostgreSQL does not verify" in refused or f"{table} has " in refused
    assert not gone(data) and read(target, "SELECT to_regclass('meta')") == [(None,)]
    ftgate("users", "create", "dora")


def test_what_is_refused(data: Path, target: Postgres, tmp_path: Path) -> None:
    lock = Lock(data.parent, serving=True)
    try:
        assert "stop it first" in ftgate("migrate", "sqlite", "env:LEDGER", code=1).output
    finally:
        lock.release()
    assert "NOWHERE is not set" in ftgate("migrate", "sqlite", "env:NOWHERE", code=1).output
    assert "is no PostgreSQL" in ftgate("migrate", "sqlite", f"mysql://a:{PASSWORD}@h/n", code=1).output
    assert "names no database.url" in ftgate("migrate", "sqlite", code=1).output
    closed = f"postgresql://ftgate:{PASSWORD}@127.0.0.1:1/nothing"
    assert "Nothing was changed" in ftgate("migrate", "sqlite", closed, code=1).output
    assert "--yes" in ftgate("migrate", "undo", code=1).output
    assert "nothing was changed" in ftgate("migrate", "undo", "--yes", code=1).output
    ftgate("users", "list", *PG)  # makes the tables
    assert "holds a ledger already" in ftgate("migrate", "sqlite", "env:LEDGER", code=1).output
    assert "a ledger of its own" in ftgate("migrate", "postgres", *PG, code=1).output
    with opened(target) as connection:
        connection.execute("INSERT INTO boots (id, at_us, version, gateway) VALUES (99, 0, '1', 'other')")
    elsewhere = ("--data", str(tmp_path / "elsewhere"), *PG)
    assert "(other): stop them first" in ftgate("migrate", "postgres", *elsewhere, code=1).output
    assert not gone(data)


def test_a_database_that_is_away(data: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LEDGER", f"postgresql://ftgate:{PASSWORD}@127.0.0.1:1/nothing")
    for words in (*READING[:6], ("backup", "b"), ("doctor",), ("upgrade-check",), ("ledger", "export")):
        found = ftgate(*words, *PG, code=1)
        assert "postgresql://127.0.0.1:1/nothing" in found.output and "Traceback" not in found.output, words
    monkeypatch.delenv("LEDGER")
    for words in READING[:6]:
        assert "LEDGER is not set" in ftgate(*words, *PG, code=1).output, words
    assert "this shell lacks its URL" in ftgate("doctor", *PG, code=1).output


def test_a_backup_is_a_file_that_one_gateway_serves(data: Path, target: Postgres, tmp_path: Path) -> None:
    ftgate("migrate", "sqlite", "env:LEDGER")
    balance = "UPDATE balances SET held = held + 500, posted = posted WHERE account = 1"
    hold = (
        "INSERT INTO entries (id, kind, account, key, debit, credit, amount, ref, estimate, at_us, boot)"
        " SELECT max(id) + 1, 'hold', 1, 1, 'credits', 'revenue', 500, 'req_open', 50, 0, 3 FROM entries"
    )
    with opened(target) as connection:
        connection.execute(balance)
        connection.execute(hold)
    assert said("ledger", "verify", *PG)["open_holds"] == 1
    copy = tmp_path / "other" / DATABASE
    found = said("backup", str(copy), *PG)
    assert found["entries"] == 14 and found["open_holds"] == 1 and copy.stat().st_mode & 0o777 == 0o600
    assert json.loads((data.parent / "last-backup.json").read_text())["backup"] == str(copy)
    away = ("--data", str(copy.parent))
    assert said("ledger", "verify", *away)["open_holds"] == 1
    ftgate("users", "create", "dora", *away)
    after = said("ledger", "verify", *away)
    assert (after["entries"], after["open_holds"]) == (15, 0)
    refused = ftgate("restore", str(copy), *PG, code=1).output
    assert "`ftgate migrate sqlite URL`" in refused and "Nothing was changed" in refused
    assert "in a file alone" in ftgate("bench", "seed", "--requests", "1", *PG, code=1).output


def test_a_person_of_a_shared_ledger(data: Path, tmp_path: Path) -> None:
    ftgate("migrate", "sqlite", "env:LEDGER")
    assert said("export-user", "ann", "--to", "ann.json", *PG)["lines"] > 10
    assert "autovacuum" in ftgate("forget-user", "ann", "--yes", *PG).output
    assert "ann" not in ftgate("users", "list", *PG).output
    assert said("ledger", "verify", "--discard-checkpoint", *PG)["discarded"] > 0
