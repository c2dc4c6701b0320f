"""Backup and restore: whole, verified, never half a file under its name, and the old database is kept."""

import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import trio

from ftgate.house.house import DATABASE
from ftgate.store.backup import BackupFault, make_backup, restore_backup
from ftgate.store.batch import Batch, write_batch
from ftgate.store.database import DatabaseFault, connect
from ftgate.store.verify import verify_ledger
from ftgate.store.writer import Writer
from tests.house.test_house import opened
from tests.patience import until
from tests.store.faulty import Calls, read


def filled(path: Path, calls: int = 200) -> Path:
    """A closed database with so many settled calls."""
    batch, done = Batch(), Calls()
    done.grant(batch)
    for _ in range(calls):
        done.call(batch)
    with closing(connect(path, durability="process")) as connection:
        write_batch(connection, batch)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    place = tmp_path / "data"
    place.mkdir()
    return filled(place / DATABASE)


def files(place: Path) -> dict[str, bytes]:
    """What lies in a directory; the shared-memory files of readers do not count."""
    return {
        found.name: found.read_bytes()
        for found in place.iterdir()
        if found.is_file() and not found.name.endswith(("-shm", "-wal"))
    }


def wreck(path: Path) -> None:
    """Damage a page that every copy has to read; one of an index would be made anew by the copy."""
    ((page,),) = read(path, "SELECT rootpage FROM sqlite_master WHERE name = 'entries'")
    with path.open("r+b") as file:
        file.seek(4096 * (page - 1))
        file.write(b"\xa5" * 4096)


def lie(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE balances SET posted = posted + 1")
        connection.commit()


# Backup


@pytest.mark.slow
async def test_beside_a_busy_writer(path: Path, tmp_path: Path) -> None:
    connection = connect(path, durability="process")
    writer = Writer(connection)
    writer.start()
    calls = Calls(next_id=read(path, "SELECT max(id) + 1 FROM entries")[0][0])
    calls.number = 1000
    calls.books.accounts[1].posted, calls.books.quotas[1].used = 1_000_000 - 200 * 30, 200 * 30
    made: list[dict[str, Any]] = []

    async def trade() -> None:
        while True:
            for _ in range(20):
                calls.call(writer.changed(), 1)
            await writer.durable(writer.filling)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trade)
        for number in range(5):
            before = writer.commits
            await until(lambda before=before: writer.commits > before + 1)  # one of them began after the copy before
            made.append(await trio.to_thread.run_sync(make_backup, path, tmp_path / f"b{number}", verify_ledger))
        nursery.cancel_scope.cancel()
    await writer.drain()
    assert connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() == (0, 0, 0)  # nothing holds the log open
    assert path.with_name(path.name + "-wal").stat().st_size == 0
    await writer.close()
    counts = [said["entries"] for said in made]
    assert counts == sorted(set(counts)) and counts[0] > 401  # each newer than the one before: it really was busy
    for number, said in enumerate(made):
        again = verify_ledger(tmp_path / f"b{number}")
        assert again["ok"] and again["entries"] == said["entries"]
    assert not list(tmp_path.glob("*.part*"))


def test_a_copy_is_for_its_owner_only_and_says_what_it_holds(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "new" / "deeper" / "b.sqlite3"  # the directory is made
    said = make_backup(path, target, verify_ledger)
    assert said == {
        "backup": str(target),
        "bytes": target.stat().st_size,
        "ok": True,
        "accounts": 1,
        "entries": 401,
        "open_holds": 0,
        "requests": 200,
        "recomputed": 200,
        "not_recomputable": {"older": 0, "crashed": 0},
    }
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert [found.name for found in target.parent.iterdir()] == ["b.sqlite3"]


@pytest.mark.parametrize("name", ["a?b", "a#b", "a%41b", "ä b", "a'b"])
def test_odd_names(tmp_path: Path, name: str) -> None:
    place = tmp_path / name
    place.mkdir()
    assert make_backup(filled(place / DATABASE, 2), place / "copy", verify_ledger)["entries"] == 5
    assert [found.name for found in tmp_path.iterdir()] == [name]


def test_a_target_that_exists(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "b"
    target.write_text("mine")
    with pytest.raises(BackupFault, match="exists already; a backup never overwrites"):
        make_backup(path, target, verify_ledger)
    assert target.read_text() == "mine" and not list(tmp_path.glob("*.part"))


def test_a_directory_that_cannot_be_made(path: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BackupFault, match=r"the backup to .*/file/b failed: "):
        make_backup(path, tmp_path / "file" / "b", verify_ledger)


@pytest.mark.parametrize("harm", [wreck, lie])
def test_a_source_that_is_broken(path: Path, tmp_path: Path, harm: Any) -> None:
    harm(path)
    target = tmp_path / "out" / "b"
    with pytest.raises(BackupFault, match=r"damaged|malformed|does not verify: account 1") as caught:
        make_backup(path, target, verify_ledger)
    assert "\n" not in str(caught.value) and list(target.parent.iterdir()) == []


def test_half_a_copy_never_has_the_name(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped while it is checked, and before it is forced to disk: nothing is left; a .part of a killed one is no
    obstacle."""
    target = tmp_path / "out" / "b"
    seen: list[list[str]] = []

    def stopped(*_: object) -> Any:
        seen.append([found.name for found in target.parent.iterdir()])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_backup(path, target, stopped)
    with monkeypatch.context() as patch:
        patch.setattr("ftgate.store.backup.force_to_disk", stopped)
        with pytest.raises(KeyboardInterrupt):
            make_backup(path, target, verify_ledger)
    assert seen == [["b.part"], ["b.part"]] and list(target.parent.iterdir()) == []
    (target.parent / "b.part").write_text("half of an earlier one")
    assert make_backup(path, target, verify_ledger)["ok"]
    assert [found.name for found in target.parent.iterdir()] == ["b"]


# Restore


def restored(source: Path, database: Path) -> dict[str, Any]:
    return restore_backup(source, database, database.with_name("kept"), verify_ledger)


async def test_restore_then_open(tmp_path: Path) -> None:
    place = tmp_path / "data"
    async with opened(place) as house:
        await house.accounts.users.create(username="ann", credits="1")
    make_backup(place / DATABASE, tmp_path / "b", verify_ledger)
    async with opened(place) as house:
        await house.accounts.users.create(username="bob", credits="1")
    said = restored(tmp_path / "b", place / DATABASE)
    assert said["kept"] == str(place / "kept") and said["entries"] == 1
    assert stat.S_IMODE((place / DATABASE).stat().st_mode) == 0o600
    async with opened(place) as house:
        assert list(house.accounts.directory.by_name) == ["ann"]
        await house.accounts.users.create(username="eve", credits="1")
    assert verify_ledger(place / "kept")["entries"] == 2  # whole, and untouched by what came after


def test_the_old_log_goes_into_the_old_file(path: Path, tmp_path: Path) -> None:
    """A log that stayed would be played into the restored file."""
    make_backup(path, tmp_path / "b", verify_ledger)
    before = path.read_bytes()
    with closing(connect(path, durability="process")) as connection:
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        batch, calls = Batch(), Calls(next_id=402)
        calls.number = 500
        calls.books.accounts[1].posted, calls.books.quotas[1].used = 1_000_000 - 200 * 30, 200 * 30
        calls.call(batch)
        write_batch(connection, batch)
        log = path.with_name(path.name + "-wal").read_bytes()
    path.write_bytes(before)
    path.with_name(path.name + "-wal").write_bytes(log)  # as after a kill
    restored(tmp_path / "b", path)
    assert not path.with_name(path.name + "-wal").exists() and not path.with_name("kept-wal").exists()
    assert verify_ledger(path)["entries"] == 401 and verify_ledger(path.with_name("kept"))["entries"] == 403


def test_in_the_place_of_a_wrecked_one(path: Path, tmp_path: Path) -> None:
    make_backup(path, tmp_path / "b", verify_ledger)
    path.write_bytes(b"\xa5" * 50_000)
    path.with_name(path.name + "-wal").write_bytes(b"its log")
    restored(tmp_path / "b", path)
    assert verify_ledger(path)["ok"] and (path.parent / "kept").read_bytes() == b"\xa5" * 50_000
    assert (path.parent / "kept-wal").read_bytes() == b"its log"  # not folded, not lost, not beside the new file


def test_where_there_was_none(path: Path, tmp_path: Path) -> None:
    make_backup(path, tmp_path / "b", verify_ledger)
    path.unlink()
    assert restored(tmp_path / "b", path)["kept"] is None and verify_ledger(path)["entries"] == 401


def _text(path: Path) -> None:
    path.write_text("no database at all")


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 8192)


def _other(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (a)")


def _in_use(path: Path) -> None:
    path.with_name(path.name + "-wal").write_bytes(b"something")


@pytest.mark.parametrize("harm", [wreck, lie, _text, _cut, _other, _in_use])
def test_a_file_that_is_no_good_changes_nothing(path: Path, tmp_path: Path, harm: Any) -> None:
    source = tmp_path / "b"
    make_backup(path, source, verify_ledger)
    harm(source)
    before = files(path.parent)
    with pytest.raises(BackupFault) as caught:
        restored(source, path)
    assert str(caught.value).startswith(str(source)) and "\n" not in str(caught.value)
    assert files(path.parent) == before and verify_ledger(path)["ok"]


def test_a_name_to_keep_it_under_that_is_taken(path: Path, tmp_path: Path) -> None:
    make_backup(path, tmp_path / "b", verify_ledger)
    path.with_name("kept").write_text("an earlier one")
    before = files(path.parent)
    with pytest.raises(BackupFault, match="exists already"):
        restored(tmp_path / "b", path)
    assert files(path.parent) == before


def test_a_move_that_fails_is_undone(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_backup(path, tmp_path / "b", verify_ledger)
    before = files(path.parent)
    replace = Path.replace

    def fails(self: Path, target: Path) -> Path:
        assert path.exists(), "there is always a database under its name"
        if self.name.endswith(".restoring"):
            raise OSError(28, "No space left on device")
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", fails)
        with pytest.raises(BackupFault, match=r"failed: .*No space left"):
            restored(tmp_path / "b", path)
    assert files(path.parent) == before and verify_ledger(path)["ok"]


def test_a_log_without_its_database_is_not_played_into_the_restored_one(path: Path, tmp_path: Path) -> None:
    """The database is gone, its log stayed: the restored file must be what the backup says, and the log is kept
    aside."""
    make_backup(path, tmp_path / "b", verify_ledger)
    expected = verify_ledger(path)["entries"]
    log = path.with_name(path.name + "-wal")
    other = connect(tmp_path / "other.sqlite3", durability="process")
    other.execute("CREATE TABLE stray (x)")
    log.write_bytes((tmp_path / "other.sqlite3-wal").read_bytes())
    other.close()
    path.unlink()
    restored(tmp_path / "b", path)
    assert not log.exists() or log.stat().st_size == 0
    assert verify_ledger(path)["entries"] == expected
    connection = connect(path, durability="process")
    assert connection.execute("SELECT count(*) FROM entries").fetchone()[0] == expected
    connection.close()


def test_a_missing_database_is_not_replaced_by_an_empty_one(path: Path) -> None:
    for left in (path.name + "-wal", path.name + ".restoring", "before-restore-20270101-000000.sqlite3"):
        place = path.with_name(left)
        place.write_bytes(b"x")
        kept = path.read_bytes()
        path.unlink()
        with pytest.raises(DatabaseFault, match="is missing, but"):
            connect(path, durability="process")
        assert not path.exists()
        path.write_bytes(kept)
        place.unlink()
