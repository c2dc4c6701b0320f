"""The files under an open house: what is removed or replaced is noticed, nothing more is sold, nothing is lost."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from ftgate.app import open_house
from ftgate.house import house as rooms
from ftgate.house.files import OwnFiles, identity
from ftgate.house.house import DATABASE
from ftgate.house.lock import Lock, Locked, holder
from ftgate.store.database import DatabaseFault
from ftgate.store.verify import verify_ledger
from tests.house.test_house import SETTINGS

ENDINGS = ("", "-wal", "-shm")


def test_identity(tmp_path: Path) -> None:
    file = tmp_path / "f"
    assert identity(file) is None and identity(file / "x") is None
    file.touch()
    first = identity(file)
    file.write_text("more")
    assert first == identity(file) is not None
    other = tmp_path / "g"
    other.touch()
    other.replace(file)
    assert identity(file) != first


@pytest.mark.parametrize("ending", ENDINGS)
def test_each_file_counts_from_when_it_is_seen(tmp_path: Path, ending: str) -> None:
    paths = [tmp_path / f"d{each}" for each in ENDINGS]
    files = OwnFiles(paths[0])
    assert files.moved() is None  # nothing is there yet
    for path in paths:
        path.touch()
    assert files.moved() is None and files.moved() is None
    path = tmp_path / f"d{ending}"
    kept = tmp_path / "kept"
    path.rename(kept)
    assert files.moved() == f"{path} is gone"
    shutil.copy(kept, path)
    assert files.moved() == f"another file stands in the place of {path}"
    kept.replace(path)
    assert files.moved() is None


def test_what_the_system_does_not_say_is_no_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "d").touch()
    files = OwnFiles(tmp_path / "d")
    files.moved()

    def refused(self: Path) -> os.stat_result:
        raise PermissionError

    monkeypatch.setattr(Path, "stat", refused)
    assert files.moved() is None


def remove(place: Path) -> None:
    for path in place.iterdir():
        path.unlink()


def replace(place: Path) -> None:
    shutil.copy(place / DATABASE, place / "copy")
    (place / "copy").replace(place / DATABASE)


@pytest.mark.parametrize("damage", [remove, replace, lambda place: (place / f"{DATABASE}-wal").unlink()])
async def test_a_database_that_goes_away_is_noticed_and_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(rooms, "WATCH_S", 0.01)
    house = open_house(SETTINGS, tmp_path, serving=True)
    await house.begin()
    await house.accounts.users.create(username="ann", credits="5")
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(house.watch_files)
            await trio.sleep(0.05)
            assert house.writer.busy() is None
            damage(tmp_path)
            await house.writer.died.wait()
            assert house.writer.busy() == "the database has failed"
            with pytest.raises(DatabaseFault):
                await house.accounts.credits.grant(username="ann", amount="1")
    await house.close()
    assert house.rescued is not None and house.rescued.stat().st_mode & 0o777 == 0o600
    found = verify_ledger(house.rescued)
    assert found["ok"] and found["entries"] == 1
    assert str(house.rescued) in caplog.text and "ftgate restore" in caplog.text
    if not (tmp_path / DATABASE).exists():  # no second, empty one in its place, and of what is left the copy is named
        (tmp_path / f"{DATABASE}-wal").touch()
        (tmp_path / "before-restore-20300101-000000.sqlite3").write_bytes(b"another")
        (tmp_path / "rescued-99990101-000000.sqlite3").touch()  # one that failed is none
        with pytest.raises(DatabaseFault, match=f"is missing, but {house.rescued.name} is there"):
            open_house(SETTINGS, tmp_path, serving=False)


async def test_at_a_stop_it_is_looked_once_more(tmp_path: Path) -> None:
    house = open_house(SETTINGS, tmp_path, serving=True)
    await house.begin()
    remove(tmp_path)
    await house.close()
    assert isinstance(house.writer.failed, DatabaseFault) and not house.writer.abandoned
    assert house.rescued is not None and verify_ledger(house.rescued)["ok"]


async def test_a_directory_that_goes_away_ends_it_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    place = tmp_path / "data"
    house = open_house(SETTINGS, place, serving=True)
    await house.begin()
    shutil.rmtree(place)
    await house.close()
    assert "no copy of it can be made" in caplog.text and house.writer.failed is not None


async def test_a_lock_file_that_goes_away_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(rooms, "WATCH_S", 0.01)
    house = open_house(SETTINGS, tmp_path, serving=True)
    await house.begin()
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            (tmp_path / "lock").unlink()
            assert isinstance(holder(tmp_path), Locked)  # by the directory
            with pytest.raises(Locked):
                Lock(tmp_path, serving=True)  # which leaves a lock file that nobody holds
            assert json.loads((tmp_path / "lock").read_text() or "null") is None
            nursery.start_soon(house.watch_files)
            while not (tmp_path / "lock").read_text():
                await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
    found = holder(tmp_path)
    assert found is not None and (found.pid, found.socket) == (os.getpid(), house.lock.socket)
    with pytest.raises(Locked, match=f"process {os.getpid()}"):
        Lock(tmp_path, serving=True)
    assert "is made anew" in caplog.text
    await house.close()
    assert house.writer.failed is None and holder(tmp_path) is None


def test_where_directories_cannot_be_locked_the_file_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    flock = fcntl.flock

    def files_only(descriptor: int, how: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            raise OSError(9, "Bad file descriptor")
        flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", files_only)
    lock = Lock(tmp_path, serving=True)
    with pytest.raises(Locked):
        Lock(tmp_path, serving=True)
    lock.release()
    Lock(tmp_path, serving=True).release()
    (tmp_path / "lock").unlink()
    assert holder(tmp_path) is None
