"""Before a database is brought to this version's schema: room is looked for, and a verified copy of it is made.

A migration cannot be taken back by the older program, so the copy is what leads back. It has the number of the new
schema in its name. A process that is killed between the copy and the last migration leaves both: the next start finds a
copy of the same last moment (no process has written since) and makes no second one.
"""

import shutil
import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

from ftgate.core.moments import stamp
from ftgate.store.backup import BackupFault, make_backup, make_folder
from ftgate.store.database import DatabaseFault, last_entry, read_only
from ftgate.store.owner import keep_owner
from ftgate.store.schema import NEWEST, refused, schema_of
from ftgate.store.verify import verify_ledger

SPARE = 32_000_000
"""Bytes that must stay free beside what a copy and a migration take."""


SAMPLE_S = 1.0
"""For so long a ledger is verified to see how fast that is here."""
TO_VERIFYING = 1.5
"""Of the time that verifying takes, all of it: the copy, verifying that, and the change. Seen with 100,000 requests."""


class Waiting(NamedTuple):
    """A database that a start would change: its schema and the newest, and its bytes with its write-ahead log."""

    old: int
    new: int
    bytes: int


class Copied(NamedTuple):
    """The copy of it; `again` where an earlier start had made it."""

    waiting: Waiting
    copy: Path
    again: bool


def waiting(database: Path) -> Waiting | None:
    """What a start would change; None where it has nothing to change: a database that is new, of this version or of a
    newer one. Raises sqlite3.Error."""
    with closing(read_only(database)) as connection:
        old = schema_of(connection)
    if not 0 < old < NEWEST:
        return None
    log = database.with_name(f"{database.name}-wal")
    size = database.stat().st_size + (log.stat().st_size if log.exists() else 0)
    return Waiting(old, NEWEST, size)


def newer_in(database: Path) -> str | None:
    """Why a database is refused as that of a newer version, in words; None where it is not. Raises sqlite3.Error."""
    with closing(read_only(database)) as connection:
        return refused(connection)


def no_room(database: Path, folder: Path, waiting: Waiting) -> str | None:
    """Why the disk is too small for the copy and the migration, which may write every row anew; None where it is
    not."""
    there = _nearest(folder)
    same = there.stat().st_dev == database.stat().st_dev
    for place, needed in ((there, waiting.bytes * (2 if same else 1)), (database.parent, waiting.bytes)):
        free = shutil.disk_usage(place).free
        if free < needed + SPARE:
            return (
                f"schema {waiting.old} -> {waiting.new} needs about {_mb(needed + SPARE)} MB of room in {place}, for a"
                f" backup and the change itself, and {_mb(free)} MB are free. Nothing was changed: make room there, or "
                "let [backup] to name another disk"
            )
    return None


class _Enough(Exception):
    """A part of a ledger has been verified, `share` of it."""

    def __init__(self, share: float) -> None:
        super().__init__(share)
        self.share = share


def expected_s(database: Path) -> float:
    """About how many seconds a start will take to copy a database and to change it: by how fast a part of its ledger
    is verified on this machine. Raises sqlite3.Error."""
    began = time.monotonic()

    def told(done: int, whole: int) -> None:
        if done and time.monotonic() - began >= SAMPLE_S:
            raise _Enough(done / whole)

    share = 1.0
    try:
        verify_ledger(database, told)
    except _Enough as enough:
        share = enough.share
    return TO_VERIFYING * (time.monotonic() - began) / share


def copy_before(database: Path, folder: Path) -> Copied | None:
    """Copy a database that is about to be migrated, verified, into `folder`; None where nothing is to be migrated. The
    caller holds the data directory's lock. Raises DatabaseFault; then nothing has changed."""
    try:
        if (found := waiting(database)) is None:
            return None
        if (copy := _made_before(database, folder, found)) is not None:
            return Copied(found, copy, again=True)
        if words := no_room(database, folder, found):
            raise DatabaseFault(words)
        make_folder(folder, database)
        named = f"{_begin(found)}{stamp(time.time_ns() // 1000)}.sqlite3"
        make_backup(database, folder / named, verify_ledger)
    except (BackupFault, OSError, sqlite3.Error) as error:
        raise DatabaseFault(
            f"no backup could be made before the database is changed, so nothing was changed: {error}"
        ) from error
    keep_owner(folder / named, database)
    return Copied(found, folder / named, again=False)


def _begin(waiting: Waiting) -> str:
    return f"ftgate-before-schema-{waiting.new}-"


def _made_before(database: Path, folder: Path, waiting: Waiting) -> Path | None:
    """A copy of the same last moment, from a start that did not come to its end. What such a start has left half made
    is removed."""
    for part in folder.glob(f"{_begin(waiting)}*.part*"):
        part.unlink(missing_ok=True)
    now = _moment(database)
    for copy in sorted(folder.glob(f"{_begin(waiting)}*.sqlite3"), reverse=True):
        with suppress(sqlite3.Error):  # a file that is none of ours, or damaged: a new one is made
            if _moment(copy) == now:
                return copy
    return None


def _moment(database: Path) -> tuple[object, ...]:
    """What tells one state of a database from another: every process that writes begins by noting itself. Raises
    sqlite3.Error."""
    with closing(read_only(database)) as connection:
        boot = connection.execute("SELECT id, at_us, version FROM boots ORDER BY id DESC LIMIT 1").fetchone()
        return last_entry(connection), boot


def _nearest(place: Path) -> Path:
    """The directory that is there on the way to a place."""
    return next(there for there in (place, *place.absolute().parents) if there.is_dir())


def _mb(bytes: int) -> int:
    return -(-bytes // 1_000_000)
