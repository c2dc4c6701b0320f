"""The ledger moved from a data directory's file to a PostgreSQL, and back.

Either way: nobody serves, all is copied in one transaction, both sides are verified and compared, and then the old side
is marked, so that it serves no more. At no moment do both serve. A file that was marked and a PostgreSQL that did not
take the move (a kill between the two) know it of each other by the move's name, and the same command finishes it.
"""

import os
import secrets
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import trio

from ftgate.config import Settings
from ftgate.core.moments import iso, stamp
from ftgate.house import failpoint
from ftgate.house.house import DATABASE, D, House
from ftgate.house.lock import Lock, Patience, make_data_dir
from ftgate.house.server_key import keep_key, server_key
from ftgate.store import moved
from ftgate.store.backup import BackupFault, check, force_to_disk
from ftgate.store.database import DatabaseFault, read_only
from ftgate.store.owner import keep_owner
from ftgate.store.postgres import copying, opening
from ftgate.store.postgres.connection import Connection, PostgresError, connect
from ftgate.store.source import Postgres
from ftgate.store.verify import verify, verify_ledger

LIVING_S = 10
"""Gateways say that they live once a second."""
Told = Callable[[str, int], None]


class Came(NamedTuple):
    """What a move has brought: rows of all tables, entries, requests, accounts; texts in which a NUL became U+FFFD;
    holds ended before; the seconds it took, and of those the seconds of copying. `again` where it was done before."""

    place: str
    rows: int = 0
    entries: int = 0
    requests: int = 0
    accounts: int = 0
    bent: int = 0
    ended: int = 0
    took_s: float = 0.0
    copying_s: float = 0.0
    again: bool = False
    kept: str | None = None


def of_the_file(settings: Settings) -> Settings:
    """These settings with the ledger in its file."""
    return msgspec.structs.replace(settings, database=msgspec.structs.replace(settings.database, url=None))


def finished(path: Path, target: Postgres, lock: Callable[[], Lock]) -> bool:
    """Look at a file that may have moved there before: True where it has. One whose move was broken off before the
    PostgreSQL took it can be used again afterwards. Raises DatabaseFault, and what `lock` raises."""
    with closing(read_only(path)) as connection:
        gone = moved.moved(connection)
    if gone is None:
        return False
    if gone.place != str(target):
        raise DatabaseFault(f"{path}: {moved.words(gone)}")
    with closing(connect(target, readonly=True)) as there:
        if there.execute("SELECT to_regclass('meta') IS NULL").fetchone()[0]:
            held = lock()
            try:
                moved.unmark(path)
            finally:
                held.release()
            return False
        if opening.meta_of(there).get(opening.FROM) == gone.move:
            return True
    raise DatabaseFault(f"{path}: {moved.words(gone)}. But {target} now holds another ledger")


async def there(house: House[D], target: Postgres, ended: int, told: Told) -> Came:
    """From an open house's file, whose left-over holds have been `ended`, to an empty PostgreSQL. Raises
    DatabaseFault: then the file is as it was, and the PostgreSQL empty."""
    began, move = time.monotonic(), secrets.token_hex(8)
    secret = server_key(house.data_dir)
    try:
        fill = partial(_filled, house.database, target, secret, move, told)
        connection, came = await trio.to_thread.run_sync(fill, abandon_on_cancel=True)
    except PostgresError as error:
        raise DatabaseFault(f"{target}: {error}. Nothing was changed") from None
    try:
        house.passing("copied")
        batch = house.writer.changed()
        batch.statements.append(moved.mark(target, move))
        await house.writer.durable(batch)
        try:
            house.passing("marked")
            await trio.to_thread.run_sync(connection.execute, "COMMIT")
        except PostgresError as error:
            if await trio.to_thread.run_sync(_took, target, move) is False:
                batch = house.writer.changed()
                batch.statements.append(moved.UNMARK)
                await house.writer.durable(batch)
                raise DatabaseFault(f"{target}: {error}. Nothing was changed") from None
            raise DatabaseFault(f"{target}: {error}. Whether it took the ledger is not known: run this again") from None
    finally:
        connection.close()
    return came._replace(ended=ended, took_s=time.monotonic() - began)


def _took(target: Postgres, move: str) -> bool | None:
    """Whether a move is committed; None where that cannot be told now."""
    try:
        with closing(connect(target, readonly=True)) as connection:
            if connection.execute("SELECT to_regclass('meta') IS NULL").fetchone()[0]:
                return False
            return opening.meta_of(connection).get(opening.FROM) == move
    except PostgresError:
        return None


def _filled(path: Path, target: Postgres, secret: bytes, move: str, told: Told) -> tuple[Connection, Came]:
    """A connection in a transaction that has all, verified, and needs nothing but its COMMIT."""
    before = _verified("the file", verify_ledger(path))
    connection = connect(target, readonly=False, timeout_s=copying.COPY_S)
    try:
        opening.fit(connection, target)
        connection.execute("BEGIN")
        if not opening.make(connection, target):
            raise DatabaseFault(
                f"{target} holds a ledger already: make an empty database for this one (CREATE DATABASE ...)"
            )
        began = time.monotonic()
        with closing(read_only(path)) as file:
            file.execute("BEGIN")
            copied = copying.into(connection, file, told)
            took = time.monotonic() - began
            after = _verified("the PostgreSQL", verify(copying.Within(connection)))
            if words := copying.unequal(file, connection, copying.tables(file)) or _other(before, after):
                raise DatabaseFault(f"the copy is not what the file is: {words}")
        connection.execute("INSERT INTO secrets VALUES (?, ?)", (opening.KEY, secret))
        connection.execute("INSERT INTO meta VALUES (?, ?)", (opening.FROM, move))
    except BaseException:
        connection.close()
        raise
    return connection, _came(str(target), copied.rows, after)._replace(bent=copied.bent, copying_s=took)


def _came(place: str, rows: int, said: dict[str, Any]) -> Came:
    return Came(place, rows, said["entries"], said["requests"], said["accounts"])


def _verified(what: str, said: dict[str, Any]) -> dict[str, Any]:
    if not said["ok"]:
        raise DatabaseFault(f"the ledger in {what} does not verify: {said['disagreement']}. Nothing was changed")
    return said


def _other(before: dict[str, Any], after: dict[str, Any]) -> str | None:
    """What two verifications say differently."""
    return next((f"{name}: {before[name]} and {after[name]}" for name in before if before[name] != after[name]), None)


def back(source: Postgres, data_dir: Path, patience: Patience | None, told: Told) -> Came:
    """From a PostgreSQL on which no gateway runs into the file of a data directory that nobody serves. A file that is
    there must be one whose ledger has moved; it is kept beside it. Raises DatabaseFault, Locked, OSError: then nothing
    has changed, but where it says so."""
    make_data_dir(data_dir)
    lock = Lock(data_dir, serving=False, patience=patience)
    path = data_dir / DATABASE
    part = path.with_name(f"{DATABASE}.migrating")
    try:
        if path.exists():
            with closing(read_only(path)) as file:
                gone = moved.moved(file)
            if gone is None:
                raise DatabaseFault(f"{path} has a ledger of its own: name another --data, or move it away")
            if _went(source) == gone.move:  # killed just before the end
                moved.unmark(path)
                return Came(str(path), again=True)
        return _brought(source, path, part, told)
    except (BackupFault, PostgresError) as error:
        raise DatabaseFault(f"{source}: {error}. Nothing was changed") from None
    finally:
        for left in (part, *(part.with_name(f"{part.name}{end}") for end in ("-wal", "-shm", "-journal"))):
            with suppress(OSError):
                left.unlink(missing_ok=True)
        lock.release()


def _went(source: Postgres) -> str | None:
    """The move by which the ledger of a PostgreSQL has gone into a file, if it has."""
    with closing(connect(source, readonly=True)) as connection:
        return opening.meta_of(connection).get(opening.MOVE)


def _brought(source: Postgres, path: Path, part: Path, told: Told) -> Came:
    began, move, passing = time.monotonic(), secrets.token_hex(8), failpoint.read(os.environ)
    with closing(connect(source, readonly=False, timeout_s=copying.COPY_S)) as connection:
        _still(connection, source)
        part.unlink(missing_ok=True)
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        copying_s = time.monotonic()
        rows = copying.out_of(connection, part, told=told)
        copying_s = time.monotonic() - copying_s
        before = _verified("the PostgreSQL", verify(copying.Within(connection)))
        after = check(part, verify_ledger, part)
        with closing(read_only(part)) as file:
            if words := copying.unequal(file, connection, copying.tables(file)) or _other(before, after):
                raise DatabaseFault(f"the copy is not what the PostgreSQL is: {words}. Nothing was changed")
        (key,) = connection.execute("SELECT value FROM secrets WHERE name = ?", (opening.KEY,)).fetchone()
        with closing(sqlite3.connect(part, isolation_level=None)) as file:
            file.execute(*moved.mark(source, move))
        force_to_disk(part)
        kept = _exchanged(part, path)
        keep_key(path.parent, bytes(key))
        at = iso(time.time_ns() // 1000)
        connection.execute(
            "INSERT INTO meta VALUES (?, ?), (?, ?)", (opening.MOVED, f"{path} at {at}", opening.MOVE, move)
        )
        connection.execute("UPDATE boots SET ended = 1 WHERE ended = 0")
        try:
            connection.execute("COMMIT")
        except PostgresError as error:
            raise DatabaseFault(f"{source}: {error}. Whether it took the move is not known: run this again") from None
    passing("returned")
    moved.unmark(path)
    came = _came(str(path), rows, after)
    return came._replace(kept=None if kept is None else str(kept), took_s=time.monotonic() - began, copying_s=copying_s)


def _still(connection: Connection, source: Postgres) -> None:
    """Begin a transaction in which no gateway can change anything. Raises DatabaseFault."""
    connection.execute("SET lock_timeout = '5s'")
    connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
    connection.execute("LOCK TABLE head IN EXCLUSIVE MODE")  # before anything is read: what is seen is of afterwards
    opening.known(connection, source)
    living = "SELECT gateway FROM boots WHERE ended = 0 AND seen_at > clock_timestamp() - make_interval(secs => ?)"
    if names := [name for (name,) in connection.execute(living, (LIVING_S,))]:
        raise DatabaseFault(
            f"{len(names)} gateways are at work on {source} ({', '.join(names)}): stop them first. Nothing was changed"
        )


def _exchanged(part: Path, path: Path) -> Path | None:
    """The new file in its place; where the old one is now, if there was one. Raises OSError."""
    kept = None
    if path.exists():
        kept = path.with_name(f"before-migrate-{stamp(time.time_ns() // 1000)}.sqlite3")
        path.rename(kept)
        for end in ("-wal", "-shm"):
            with suppress(FileNotFoundError):
                path.with_name(f"{path.name}{end}").rename(kept.with_name(f"{kept.name}{end}"))
    keep_owner(part, path.parent)
    part.replace(path)
    force_to_disk(path.parent)
    return kept


def undo(path: Path, source: Postgres | None) -> str | None:
    """Let the side serve again that has been left, be it the file or else the PostgreSQL; in words, which. None where
    neither was left. The caller holds the data directory's lock. Raises sqlite3.Error."""
    if path.exists():
        with closing(read_only(path)) as file:
            gone = moved.moved(file)
        if gone is not None:
            moved.unmark(path)
            return f"{path} serves again, as it was at {gone.at}. What was done on {gone.place} since is not in it"
    if source is None or _went(source) is None:
        return None
    with closing(connect(source, readonly=False)) as connection:
        connection.execute("DELETE FROM meta WHERE name IN (?, ?)", (opening.MOVED, opening.MOVE))
    return f"{source} serves again, as it was when it was left. What was done in the file since is not in it"
