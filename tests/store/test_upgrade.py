"""Before an older database is changed: a verified copy, once, in a place with room; or nothing happens at all."""

import shutil
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from ftgate.store import schema, upgrade
from ftgate.store.backup import FOLDER, last_backup
from ftgate.store.database import DatabaseFault, connect
from ftgate.store.schema import NEWEST
from ftgate.store.verify import verify_ledger
from tests.store.faulty import read
from tests.store.test_older import VERIFIED, written_long_ago

ROWS = "SELECT * FROM entries"


@pytest.fixture
def old(path: Path) -> Path:
    return written_long_ago(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "backups"


def copies(folder: Path) -> list[str]:
    return sorted(found.name for found in folder.iterdir()) if folder.exists() else []


def schema_of(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return schema.schema_of(connection)


@contextmanager
def only(monkeypatch: pytest.MonkeyPatch, many: int) -> Iterator[None]:
    """A version of the program that knows so many migrations."""
    with monkeypatch.context() as patch:
        patch.setattr(schema, "_MIGRATIONS", dict(list(schema._MIGRATIONS.items())[:many]))
        yield


def before(folder: Path, seen: list[upgrade.Copied | None]) -> Callable[[Path], None]:
    return lambda path: seen.append(upgrade.copy_before(path, folder))


def test_the_copy_is_the_database_as_it_was(old: Path, folder: Path) -> None:
    rows, seen = read(old, ROWS), list[upgrade.Copied | None]()
    connect(old, durability="power", before=before(folder, seen)).close()
    assert schema_of(old) == NEWEST == upgrade.NEWEST
    (copied,) = seen
    assert copied is not None and copied.waiting[:2] == (1, NEWEST) and not copied.again
    (name,) = copies(folder)
    assert name.startswith(f"ftgate-before-schema-{NEWEST}-") and copied.copy == folder / name
    assert schema_of(copied.copy) == 1 and read(copied.copy, ROWS) == rows
    assert verify_ledger(copied.copy) == VERIFIED
    assert [stat.S_IMODE(at.stat().st_mode) for at in (folder, copied.copy)] == [0o700, 0o600]
    assert (last_backup(old) or {})["backup"] == str(copied.copy)
    assert upgrade.copy_before(old, folder) is None and copies(folder) == [name]  # the next start is an ordinary one


def test_a_new_database_and_a_newer_one_are_not_copied(path: Path, folder: Path) -> None:
    seen = list[upgrade.Copied | None]()
    connect(path, durability="power", before=before(folder, seen)).close()
    assert seen == []
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("INSERT INTO boots VALUES (7, 0, '9.8.7')")
    connection.execute("INSERT INTO _sqlite_migrations (migration_set, name) VALUES ('ftgate', '0099_wonder')")
    connection.close()
    with pytest.raises(DatabaseFault, match=r"by a newer ftgate, 9\.8\.7 \(schema 0099_wonder\); start that version"):
        connect(path, durability="power", before=before(folder, seen))
    assert copies(folder) == []


@pytest.mark.parametrize("many", [1, 4, NEWEST - 1])
def test_a_start_that_was_killed_is_done_again_with_its_copy(
    old: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, many: int
) -> None:
    """So many migrations were in when it ended; a copy that was half made is no copy, and goes."""
    seen = list[upgrade.Copied | None]()
    rows = read(old, ROWS)
    upgrade.copy_before(old, folder)
    (name,) = copies(folder)
    (folder / f"ftgate-before-schema-{NEWEST}-20200101-000000.sqlite3.part").write_bytes(b"half")
    with only(monkeypatch, many):
        connect(old, durability="power").close()
    connect(old, durability="power", before=before(folder, seen)).close()
    (copied,) = seen
    assert copied is not None and copied.again and copied.waiting.old == many
    assert copies(folder) == [name] and schema_of(old) == NEWEST
    assert schema_of(copied.copy) == 1 and [row[:12] for row in read(old, ROWS)] == [row[:12] for row in rows]


def test_a_copy_of_another_moment_is_not_enough(old: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The older program has been started once more since: what it wrote must be in a copy."""
    connect_old = partial(connect, old, durability="power")
    upgrade.copy_before(old, folder)
    (first,) = copies(folder)
    (folder / first).rename(folder / first.replace("-202", "-201"))
    (folder / f"ftgate-before-schema-{NEWEST}-x.sqlite3").write_bytes(b"no database at all")
    with only(monkeypatch, 1), closing(connect_old()) as connection:
        connection.execute("INSERT INTO boots VALUES (1, 5, '0.0.9')")
    made = upgrade.copy_before(old, folder)
    assert made is not None and not made.again and len(copies(folder)) == 3
    assert read(made.copy, "SELECT version FROM boots") == [("0.0.9",)]


def test_without_room_nothing_is_changed(old: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = old.stat().st_size
    before_, needed = old.read_bytes(), 2 * size + upgrade.SPARE
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=needed - 1))
    with pytest.raises(DatabaseFault, match=rf"schema 1 -> {NEWEST} needs about 33 MB of room in .* make room there"):
        connect(old, durability="power", before=before(folder, []))
    assert old.read_bytes() == before_ and not folder.exists()
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=needed))
    connect(old, durability="power", before=before(folder, [])).close()
    assert len(copies(folder)) == 1


def test_without_a_copy_nothing_is_changed(old: Path, folder: Path) -> None:
    folder.write_text("a file stands in the way")
    whole = old.read_bytes()
    with pytest.raises(DatabaseFault, match="no backup could be made before the database is changed, so nothing was"):
        connect(old, durability="power", before=before(folder, []))
    folder.unlink()
    away = folder / "not" / "mounted"
    with pytest.raises(DatabaseFault, match="is not there: mount the disk that holds it, or make the directory"):
        connect(old, durability="power", before=before(away, []))
    sqlite3.connect(old, isolation_level=None).execute("UPDATE balances SET posted = posted + 1").connection.close()
    with pytest.raises(DatabaseFault, match="does not verify: account 1: balance says"):
        connect(old, durability="power", before=before(folder, []))
    assert copies(folder) == [] and schema_of(old) == 1 and len(whole) == old.stat().st_size


def test_a_database_that_is_gone_is_missed_where_its_copies_are(old: Path) -> None:
    """An empty one in its place would hide the loss."""
    upgrade.copy_before(old, old.parent / FOLDER)
    old.unlink()
    with pytest.raises(DatabaseFault, match=r"is missing, but backups/ftgate-before-schema-.*restore a backup"):
        connect(old, durability="power")


@pytest.mark.parametrize(
    ("moments", "seconds"),
    [
        ([(0.3, 10), (0.9, 20), (1.25, 25), (9.0, 90)], 7.5),  # a quarter in 1.25 s is 5 s in all, half as much again
        ([(0.2, 0), (1.0, 0), (2.0, 100)], 3.0),
        ([(0.1, 50)], 0.6),
        ([], 0.6),
    ],
)
def test_how_long_it_will_take_is_measured_by_a_part(
    path: Path, monkeypatch: pytest.MonkeyPatch, moments: list[tuple[float, int]], seconds: float
) -> None:
    now = [1000.0]

    def verified(database: Path, told: Callable[[int, int], None]) -> None:
        for at_s, done in moments:
            now[0] = 1000.0 + at_s
            told(done, 100)
        now[0] = 1000.0 + 0.4

    monkeypatch.setattr(upgrade, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(upgrade, "verify_ledger", verified)
    assert upgrade.expected_s(path) == pytest.approx(seconds)


def test_measuring_changes_nothing(old: Path) -> None:
    before = old.read_bytes()
    assert upgrade.expected_s(old) > 0 and old.read_bytes() == before
