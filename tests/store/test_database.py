"""The database file: how it is opened, and one that cannot be used is named in one line and left alone (F45)."""

import hashlib
import os
import shutil
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from ftgate.store.batch import Batch, write_batch
from ftgate.store.database import DatabaseFault, Unfolded, connect, damage, read_only
from tests.store.faulty import Calls, read, row
from tests.unwritable import unwritable


def _batch() -> Batch:
    batch = Batch()
    batch.rows.append(row("r"))
    return batch


def test_how_the_writer_is_set(path: Path) -> None:
    for durability, synchronous in (("power", 2), ("process", 1)):
        with closing(connect(path, durability=durability)) as connection:
            assert connection.execute("PRAGMA synchronous").fetchone() == (synchronous,)
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            assert connection.execute("PRAGMA foreign_keys").fetchone() == (1,)


def test_a_reader_cannot_write(path: Path) -> None:
    filled(path)
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


def test_a_newer_database(path: Path) -> None:
    with closing(connect(path, durability="power")) as connection:
        connection.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('ftgate', '0099_wonder', '')"
        )
    faulty(path, "written by a newer ftgate .schema 0099_wonder.; start that version")


def requests_in(path: Path) -> int:
    with closing(read_only(path)) as reader:
        found: int = reader.execute("SELECT count(*) FROM requests").fetchone()[0]
        return found


@pytest.mark.parametrize("beside", [(), ("-wal",)], ids=["alone", "an empty log"])
def test_one_that_lies_where_nothing_can_be_written_is_read(path: Path, beside: tuple[str, ...]) -> None:
    filled(path)
    for end in beside:
        path.with_name(path.name + end).touch()
    with unwritable(path.parent):
        assert requests_in(path) == 500 and damage(path) is None


@pytest.fixture
def copied(path: Path, tmp_path: Path) -> Path:
    """A copy of a database in use, of which all that was committed stands in its log."""
    with closing(connect(path, durability="power")) as connection:
        write_batch(connection, _batch())
        return Path(shutil.copytree(path.parent, tmp_path.with_name(f"{tmp_path.name}-copy"))) / path.name


def test_what_stands_in_the_log_is_read_there_too(copied: Path) -> None:
    with unwritable(copied.parent):
        assert requests_in(copied) == 1


def test_what_stands_in_a_log_that_cannot_be_read_there_is_not_passed_over(copied: Path) -> None:
    copied.with_name(f"{copied.name}-shm").unlink()
    with unwritable(copied.parent), pytest.raises(Unfolded, match="Copy the directory to where it can be written"):
        requests_in(copied)
    assert requests_in(copied) == 1
