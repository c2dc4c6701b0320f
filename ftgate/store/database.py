"""The database file: SQLite in WAL mode, opened for writing or for one short read, checked for damage.

Exactly one connection of one process writes and checkpoints (SQLite 3.7.0 to 3.51.2 can corrupt a WAL database that two
connections write or checkpoint at once). Readers use short read-only connections of their own, so that none keeps the
write-ahead log from being folded back.
"""

import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import overload

from ftgate.store.owner import keep_owner
from ftgate.store.schema import migrate
from ftgate.store.source import Connection, Postgres, Source

BUSY_TIMEOUT_S = 2.0
"""How long one try waits for another process's lock before it counts as trouble and is tried again."""
LOG_KEPT_BYTES = 8_000_000
"""What the write-ahead log keeps on the disk when it begins anew: twice what it takes between two foldings. It grows
past that only as long as a reader stays at an old moment."""
CHECK_S = 2.0
"""How long the check for damaged pages may take at a start; some gigabytes are read in that time."""
WHOLE_CHECK_S = 60.0
"""How long it may take where somebody asked for it: `doctor`, and a copy that is to be trusted."""
_MAGIC = b"SQLite format 3\x00"


class DatabaseFault(Exception):
    """The database cannot be used: what is wrong and how to mend it, in one line."""


class Unfolded(sqlite3.OperationalError):
    """What was committed last stands in the write-ahead log, which cannot be read where it lies."""

    sqlite_errorcode = sqlite3.SQLITE_CANTOPEN


def connect(path: Path, *, durability: str, before: Callable[[Path], None] = lambda path: None) -> sqlite3.Connection:
    """Open the writing connection, made and migrated if need be; `before` is called with a file that was found usable
    and may refuse it. Raises DatabaseFault; an unusable file stays untouched."""
    try:
        return _open(path, durability, before)
    except (sqlite3.Error, OSError) as error:
        raise DatabaseFault(f"{path} cannot be opened: {error}") from error


def left_of(path: Path) -> str | None:
    """The name of what is left of a database that is missing: the best copy first, and of those the newest."""
    for kind in ("rescued-*", "before-restore-*", f"{path.name}.restoring*", f"{path.name}-wal", "backups/*.sqlite3"):
        if found := sorted(left for left in path.parent.glob(kind) if left.stat().st_size):
            return str(found[-1].relative_to(path.parent))
    return None


def _open(path: Path, durability: str, before: Callable[[Path], None]) -> sqlite3.Connection:
    if path.is_dir():
        raise DatabaseFault(f"{path} is a directory; give another --data")
    if not path.exists():
        # A missing database beside its log or its copies was there once: an empty one in its place would hide the loss.
        if left := left_of(path):
            raise DatabaseFault(
                f"{path.name} is missing, but {left} is there; restore a backup, or give another --data"
            )
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        keep_owner(path, path.parent)
    with path.open("rb") as file:
        head = file.read(len(_MAGIC))
    if head and head != _MAGIC:
        raise DatabaseFault(f"{path} is not a SQLite database; move it away or give another --data")
    if not os.access(path, os.W_OK):
        raise DatabaseFault(f"{path} is read-only; make it writable for this user")
    if found := damage(path):
        raise DatabaseFault(f"{path} is damaged ({found}); put a backup in its place, or move it away to begin anew")
    if head:
        before(path)
    connection = sqlite3.connect(path, isolation_level=None, timeout=BUSY_TIMEOUT_S, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA journal_size_limit = {LOG_KEPT_BYTES}")
        connection.execute(f"PRAGMA synchronous = {'FULL' if durability == 'power' else 'NORMAL'}")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute(
            "PRAGMA recursive_triggers = ON"
        )  # else INSERT OR REPLACE deletes past the triggers of `entries`
        migrate(connection)
    except BaseException:  # nobody else has it to close
        connection.close()
        raise
    return connection


def damage(path: Path, *, within_s: float | None = None) -> str | None:
    """The first damage that SQLite's own check finds `within_s` seconds (CHECK_S, if not said), in one line. A query
    that happens to work proves nothing: it may not touch the damaged page. Read-only, so that a damaged file stays as
    it is. Raises sqlite3.Error where the file cannot be read for another reason."""
    connection = read_only(path)
    deadline = time.monotonic() + (CHECK_S if within_s is None else within_s)
    connection.set_progress_handler(lambda: time.monotonic() > deadline, 10_000)
    try:
        found = " ".join(str(connection.execute("PRAGMA quick_check(1)").fetchone()[0]).split())
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
            return None
        if error.sqlite_errorcode & 0xFF not in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
            raise
        found = str(error)
    finally:
        connection.close()
    return None if found == "ok" else found


@overload
def read_only(source: Path) -> sqlite3.Connection: ...
@overload
def read_only(source: Source) -> Connection: ...
def read_only(source: Source) -> Connection:
    """A read-only connection for one short read, which sees one moment from a BEGIN on. The caller closes it. Raises
    sqlite3.Error."""
    if isinstance(source, Postgres):
        from ftgate.store.postgres.connection import connect as connect_postgres

        return connect_postgres(source, readonly=True)
    connection = opened(source)
    connection.execute("PRAGMA query_only = ON")
    return connection


def opened(path: Path) -> sqlite3.Connection:
    """The same, but that it may write other files (VACUUM INTO). Raises sqlite3.Error."""
    connection = _opened(path, "mode=ro")
    if os.access(path.parent, os.W_OK):
        return connection
    try:
        connection.execute("PRAGMA schema_version")
        return connection
    except sqlite3.Error as error:
        connection.close()
        if error.sqlite_errorcode & 0xFF not in {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY}:
            raise
        return _opened(path, _alone(path, error))


def _opened(path: Path, how: str) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?{how}"
    return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=BUSY_TIMEOUT_S)


def _alone(path: Path, why: sqlite3.Error) -> str:
    """How a file is opened where SQLite cannot make the two that belong beside it (a snapshot, a disk mounted for
    reading only): as one that nobody changes. Raises Unfolded, and `why` where a server may be at work in it: it has
    both of them."""
    log, shared = (path.with_name(path.name + end) for end in ("-wal", "-shm"))
    if not log.exists():
        return "mode=ro&immutable=1"
    if log.stat().st_size:
        raise Unfolded(
            f"nothing can be written in {path.parent}, and {log.name} beside it holds what is not in it yet. Copy the "
            "directory to where it can be written, and read the copy"
        ) from why
    if shared.exists():
        raise why
    return "mode=ro&immutable=1"


def last_entry(connection: Connection) -> int:
    """The id of the last entry of the last commit; 0 without any."""
    return _last(connection, "entries")


def last_request(connection: Connection) -> int:
    """The id of the newest request's row; 0 without any."""
    return _last(connection, "requests")


def _last(connection: Connection, table: str) -> int:
    found: int = connection.execute(f"SELECT coalesce(max(id), 0) FROM {table}").fetchone()[0]  # noqa: S608 - names of ours
    return found


def last_boot(connection: Connection) -> int:
    """The number of the last process that has written here; 0 before the first."""
    return _last(connection, "boots")


def first_boot_us(source: Source) -> int:
    """When the first process began that wrote here; 0 before. Raises sqlite3.Error."""
    with closing(read_only(source)) as connection:
        found = connection.execute("SELECT at_us FROM boots ORDER BY id LIMIT 1").fetchone()
    return int(found[0]) if found else 0


def balances_in(connection: Connection) -> dict[int, tuple[int, int, int]]:
    """Account -> posted, held, used, in units, as they were last remembered."""
    rows = connection.execute("SELECT account, posted, held, used FROM balances")
    return {account: (posted, held, used) for account, posted, held, used in rows}


def spent_in(connection: Connection) -> dict[int, int]:
    """Key -> the units it has spent, ever."""
    return dict(connection.execute("SELECT key, used FROM spent"))


def months_in(connection: Connection) -> dict[tuple[int, str], int]:
    """Account and month -> tokens that its BYOK calls have used in it."""
    rows = connection.execute("SELECT account, month, tokens FROM byok_months")
    return {(account, month): tokens for account, month, tokens in rows}


def last_months_in(connection: Connection) -> dict[int, tuple[str, int]]:
    """Account -> the last month in which it had BYOK calls, and their tokens."""
    rows = connection.execute(
        "SELECT account, month, tokens FROM byok_months"
        " WHERE (account, month) IN (SELECT account, max(month) FROM byok_months GROUP BY account)"
    )
    return {account: (month, tokens) for account, month, tokens in rows}


def plans_in(connection: Connection) -> dict[str, tuple[int, int]]:
    """Plan -> the accounts and the keys that are on it. A key that names none is on its account's."""
    users = dict(connection.execute("SELECT plan, count(*) FROM users GROUP BY plan"))
    keys = dict(
        connection.execute(
            "SELECT coalesce(nullif(keys.plan, ''), users.plan) AS own, count(*) FROM keys JOIN users"
            " ON users.id = keys.account WHERE keys.status != 'deleted' GROUP BY own"
        )
    )
    return {plan: (users.get(plan, 0), keys.get(plan, 0)) for plan in sorted(users.keys() | keys.keys())}
