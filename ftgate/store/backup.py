"""Copies of the database: made beside a running server, checked before they get their name, put back with the old one
kept.

`VACUUM INTO` reads one moment of the live file and writes a compact copy; while it runs the write-ahead log cannot be
folded back, which costs its length for some seconds and nothing else. The copy is written under a temporary name,
checked (SQLite's own check and the ledger's verification), forced to disk and only then renamed: under the final name
there is never half a file. Of a PostgreSQL one moment is copied into a file of the same kind
(store/postgres/copying.py).
"""

import json
import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from ftgate.store.database import WHOLE_CHECK_S, damage, opened, read_only
from ftgate.store.owner import keep_owner
from ftgate.store.source import Postgres, Source

Verify = Callable[[Path], dict[str, Any]]
"""Recomputes a database's ledger: store.verify.verify_ledger."""


NOTE = "last-backup.json"
"""Beside the database: when it was last copied, and where to."""


FOLDER = "backups"
"""Where copies that nobody named a place for go, in the data directory."""
STEPS = 100_000
"""Steps of SQLite's machine, some milliseconds, after which a copy asks whether it is to end."""


class BackupFault(Exception):
    """A copy that cannot be made or used, in one line."""


def check(path: Path, verify: Verify, called: Source) -> dict[str, Any]:
    """SQLite's quick check and the ledger's verification of a database file that nobody writes; in words it is `called`
    so. Raises BackupFault."""
    try:
        if words := damage(path, within_s=WHOLE_CHECK_S):
            raise BackupFault(f"{called} is damaged, or no database of ftgate's: {words}")
        found = verify(path)
    except sqlite3.Error as error:
        raise BackupFault(f"{called} is damaged, or no database of ftgate's: {error}") from error
    if not found["ok"]:
        raise BackupFault(f"{called} does not verify: {found['disagreement']}")
    return found


def make_folder(folder: Path, database: Path) -> None:
    """The folder for copies, for this user's eyes alone where it is made: that in the data directory. Any other must be
    there, since what stands in the place of a disk that is not mounted is no other disk. Raises OSError, BackupFault.
    """
    if folder.is_dir():
        return
    if folder.parent != database.parent:
        raise BackupFault(f"{folder} is not there: mount the disk that holds it, or make the directory")
    folder.mkdir(mode=0o700)
    keep_owner(folder, database)


def make_backup(
    database: Source, target: Path, verify: Verify, ends: Callable[[], bool] = lambda: False, *,
    beside: Path | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Copy the live database to `target`, which must not exist: of a PostgreSQL too it is a SQLite file. `ends` is
    asked again and again whether to give it up; a note of it goes `beside` a file, else the database's. Returns what
    verify said of the copy. Raises BackupFault."""
    if target.exists():
        raise BackupFault(f"{target} exists already; a backup never overwrites")
    part = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part.unlink(missing_ok=True)
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        _copy(database, part, ends)
        found = check(part, verify, database)
        force_to_disk(part)
        part.rename(target)
        force_to_disk(target.parent)
    except (OSError, sqlite3.Error) as error:
        of = f"of {database} " if isinstance(database, Postgres) else ""
        raise BackupFault(f"the backup {of}to {target} failed: {error}") from error
    finally:
        _remove(part)
    said = {"backup": str(target), "bytes": target.stat().st_size}
    if (at := database if isinstance(database, Path) else beside) is not None:
        _note(at, {**said, "backup": str(target.absolute())})
    return {**said, **found}


def _copy(database: Source, part: Path, ends: Callable[[], bool]) -> None:
    """One moment of the database into an empty file. Raises sqlite3.Error, OSError."""
    if isinstance(database, Postgres):
        from ftgate.store.postgres.copying import snapshot_into

        snapshot_into(database, part, ends)
        return
    connection = opened(database)
    connection.set_progress_handler(ends, STEPS)
    try:
        connection.execute("VACUUM INTO ?", (str(part),))
    finally:
        connection.close()


def size_of(database: Source) -> int:
    """Bytes of the database. Raises OSError, sqlite3.Error."""
    if isinstance(database, Path):
        return database.stat().st_size
    from ftgate.store.postgres.copying import bytes_of

    return bytes_of(database)


def _note(database: Path, said: dict[str, Any]) -> None:
    """Leave word of a copy beside its database; where that cannot be, the copy is there all the same."""
    at, part = database.with_name(NOTE), database.with_name(f"{NOTE}.part")
    with suppress(OSError):
        try:
            with open(os.open(part, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "w", encoding="utf-8") as file:
                json.dump({"at_us": time.time_ns() // 1000, **said}, file)
            keep_owner(part, database)
            part.replace(at)
        finally:
            part.unlink(missing_ok=True)


def last_backup(database: Path) -> dict[str, Any] | None:
    """When this database was last copied (`at_us`), to where (`backup`), and how large that was (`bytes`); None where
    nothing is known of one."""
    try:
        said = json.loads(database.with_name(NOTE).read_text("utf-8"))
        return {"at_us": int(said["at_us"]), "backup": str(said["backup"]), "bytes": int(said["bytes"])}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def restore_backup(source: Path, database: Path, kept: Path, verify: Verify) -> dict[str, Any]:
    """Put a checked backup in the database's place; the one that was there goes to `kept`, its write-ahead log folded
    in, or beside it where that cannot be. The caller holds the data directory's lock. Raises BackupFault; then nothing
    has changed."""
    log = source.with_name(source.name + "-wal")
    if source != database and log.exists() and log.stat().st_size:
        raise BackupFault(
            f"{source} has a write-ahead log beside it, so it is a database in use and no backup; `ftgate backup` "
            "makes one"
        )
    if kept.exists():
        raise BackupFault(f"{kept} exists already; try again in a second")
    part = database.with_name(database.name + ".restoring")
    try:
        part.unlink(missing_ok=True)
        with open(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as out, source.open("rb") as given:
            keep_owner(part, database if database.exists() else database.parent)
            while piece := given.read(1024 * 1024):
                out.write(piece)
        found = check(part, verify, source)
        force_to_disk(part)
        _exchange(database, part, kept)
    except OSError as error:
        raise BackupFault(f"restoring {source} failed: {error}") from error
    finally:
        _remove(part)
    return {"restored": str(source), "kept": str(kept) if kept.exists() else None, **found}


def _exchange(database: Path, part: Path, kept: Path) -> None:
    """The old one to `kept`, the new one in its place, or everything as it was. Raises OSError."""
    if database.exists():
        _fold_log(database)
        os.link(database, kept)  # a second name for the old one: at no moment is there no database
    _move_log(database, kept)
    try:
        part.replace(database)
    except OSError:
        _move_log(kept, database)
        kept.unlink(missing_ok=True)
        raise
    force_to_disk(database.parent)


def _move_log(database: Path, to: Path) -> None:
    """A log that was not folded back, or whose database is gone, would be played into the file that comes in its
    place."""
    for ending in ("-wal", "-shm"):
        log = database.with_name(database.name + ending)
        if log.exists():
            log.rename(to.with_name(to.name + ending))


def _remove(part: Path) -> None:
    for left in (
        part,
        part.with_name(part.name + "-wal"),
        part.with_name(part.name + "-shm"),
        part.with_name(part.name + "-journal"),
    ):
        with suppress(OSError):  # the fault that led here is the one to tell
            left.unlink(missing_ok=True)


def _fold_log(database: Path) -> None:
    try:
        connection = read_only(database)  # it cannot write: opened for writing, a broken file may cost its log
        try:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        finally:
            connection.close()
        connection = sqlite3.connect(database, isolation_level=None)
        try:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            connection.close()
    except sqlite3.Error:  # the old file may be what is broken: its log stays beside it
        pass


def force_to_disk(path: Path) -> None:
    """A file or a directory, past every cache. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
