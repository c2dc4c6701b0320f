"""Opening a shared ledger: its schema, what the server must promise, this process's boot, and the state to begin with.

All of it is done at a start, on a connection that may wait; the lane takes over then.
"""

import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import Any

import msgspec

from ftgate.store import checkpoint
from ftgate.store import schema as file_schema
from ftgate.store.database import DatabaseFault
from ftgate.store.postgres.connection import Connection, PostgresError, connect
from ftgate.store.postgres.schema import SCRIPT, VERSION
from ftgate.store.source import Postgres

OLDEST = 140000
"""PostgreSQL 14."""
LOAD_S = 60.0
"""Longest statement of a start."""
WITHOUT = (
    "database.url names a PostgreSQL, and psycopg is not there: `pip install 'psycopg[binary]>=3.2,<4'`, or"
    " python3-psycopg of your distribution"
)
KEY = "server.key"
MOVED = "moved"
"""In `meta`: which file has the ledger now, and since when."""
MOVE = "move"
"""In `meta`: the move by which it went there."""
FROM = "came from"
"""In `meta`: the move that brought it here (store.moved)."""
APPLICATION = "ftgate lane"
"""What a lane's connection is called in pg_stat_activity."""
SESSION = {
    "lock_timeout": "1000", "idle_in_transaction_session_timeout": "500", "statement_timeout": "5000",
    "plan_cache_mode": "force_generic_plan", "timezone": "UTC", "client_min_messages": "error",
    "standard_conforming_strings": "on", "bytea_output": "hex", "jit": "off", "enable_seqscan": "off",
    "tcp_keepalives_idle": "1", "tcp_keepalives_interval": "1", "tcp_keepalives_count": "3",
}  # fmt: skip
"""Of a lane's session. Whoever keeps the head without a word for half a second loses it, and so does a machine that is
not there any more. The plans are made once and for all, while tables may be small: every statement of a turn has its
index."""


class Opened(msgspec.Struct, frozen=True):
    """The boot that began, and everybody's server key."""

    boot: int
    secret: bytes


class Orphan(msgspec.Struct, frozen=True, array_like=True):
    """An open hold of a boot that has ended; `has_row` where its call has a row all the same."""

    id: int
    boot: int
    account: int
    key: int
    amount: int
    quota_held: int
    metered: int
    ref: str
    unlimited: int
    estimate: int
    at_us: int
    note: str
    has_row: int


class NotThere(DatabaseFault):
    """It does not answer, or not yet: asking again may help."""


AWAY = frozenset({"57P03", "57P01", "57P02", "53300", "08000", "08001", "08003", "08004", "08006"})


def lane_conninfo(source: Postgres) -> str:
    """How the lane connects: as the URL says; SESSION is set first then. Raises DatabaseFault."""
    if not source.readable:
        raise DatabaseFault(
            "database.url cannot be read: write a / in its password as %2F, an @ as %40, and other signs like these as"
            " they stand in URLs"
        )
    try:
        from psycopg import ProgrammingError
        from psycopg.conninfo import make_conninfo
    except ImportError:
        raise DatabaseFault(WITHOUT) from None

    try:
        return make_conninfo(
            source.url, connect_timeout=2, tcp_user_timeout=3000, target_session_attrs="read-write",
            application_name=APPLICATION, client_encoding="utf8",
        )  # fmt: skip
    except ProgrammingError:
        raise DatabaseFault(f"database.url is no URL that PostgreSQL's library can read ({source})") from None


def open_ledger(source: Postgres, gateway: str, version: str, config: str, secret: bytes | None) -> Opened:
    """Make the schema if there is none, look whether the server keeps what it commits, end what this gateway left, and
    begin a boot. `secret` is a server key that is to be everybody's if there is none yet. Raises DatabaseFault."""
    try:
        with closing(connect(source, readonly=False, timeout_s=LOAD_S)) as connection:
            fit(connection, source)
            connection.execute("BEGIN")
            make(connection, source)
            connection.execute("COMMIT")
            known(connection, source)
            return _boot(connection, gateway, version, config, secret)
    except PostgresError as error:
        fault = NotThere if error.sqlstate is None or error.sqlstate in AWAY else DatabaseFault
        raise fault(f"{source}: {error}") from None
    except ImportError:
        raise DatabaseFault(WITHOUT) from None


def unsafe(connection: Connection) -> list[str]:
    """What the server is set to that could lose what it has committed."""
    said = {
        name: connection.execute(f"SHOW {name}").fetchone()[0]
        for name in ("fsync", "full_page_writes", "synchronous_commit")
    }
    return [f"{name} is off" for name, value in said.items() if value == "off"]


def fit(connection: Connection, source: Postgres) -> None:
    """Whether this server takes a lane, and keeps what it commits, as texts that ftgate can read. Raises DatabaseFault,
    PostgresError."""
    (number,) = connection.execute("SELECT current_setting('server_version_num')::int").fetchone()
    if number < OLDEST:
        raise DatabaseFault(f"{source} is PostgreSQL {number // 10000}; ftgate needs 14 or newer")
    connection.tries(SESSION)
    (encoding,) = connection.execute("SHOW server_encoding").fetchone()
    if encoding != "UTF8":
        raise DatabaseFault(f"{source} keeps texts as {encoding}; make a database with ENCODING 'UTF8'")
    if found := unsafe(connection):
        raise DatabaseFault(
            f"{source}: {' and '.join(found)}, so what was committed may be lost. Credits would be spent twice: set "
            "it on, at least for this database (ALTER DATABASE ... SET synchronous_commit = on)"
        )


def cluster(connection: Connection) -> str:
    """What tells one database cluster from its copies."""
    (found,) = connection.execute("SELECT system_identifier::text FROM pg_control_system()").fetchone()
    return str(found)


def make(connection: Connection, source: Postgres) -> bool:
    """The schema, made by one of those who start at the same time; whether it was made now. Within a transaction of the
    caller's. Raises DatabaseFault."""
    connection.execute("SELECT pg_advisory_xact_lock(7382919)")
    if not connection.execute("SELECT to_regclass('meta') IS NULL").fetchone()[0]:
        return False
    if connection.execute("SELECT to_regclass('users') IS NOT NULL").fetchone()[0]:
        raise DatabaseFault(f"{source} has a table `users` that is not ftgate's: give ftgate a database of its own")
    connection.script(SCRIPT)
    for name, value in (("schema", VERSION), ("tables", file_schema.NEWEST), ("cluster", cluster(connection))):
        connection.execute("INSERT INTO meta VALUES (?, ?)", (name, str(value)))
    return True


def meta_of(connection: Connection) -> dict[str, str]:
    """What is noted of the ledger as a whole."""
    return dict(connection.execute("SELECT name, value FROM meta").fetchall())


def known(connection: Connection, source: Postgres) -> None:
    """Whether this version may work on this ledger. Raises DatabaseFault."""
    if words := refused(connection):
        raise DatabaseFault(f"{source}: {words}")


def refused(connection: Connection) -> str | None:
    """Why this version may not work on this ledger, in words; None where it may."""
    meta = meta_of(connection)
    if int(meta["schema"]) > VERSION or int(meta["tables"]) > file_schema.NEWEST:
        return "it was written by a newer ftgate: start that version"
    if moved := meta.get(MOVED):
        return (
            f"its ledger has moved to {moved}, and two living copies of one ledger would spend credits twice. Take "
            "[database] url out of the config there. `ftgate migrate undo` lets this one serve again as it was then"
        )
    if meta["cluster"] != cluster(connection):
        return (
            "it is a copy of another database: two living copies of one ledger would spend credits twice. If the other"
            " one is gone for good, `UPDATE meta SET value = (SELECT system_identifier::text FROM pg_control_system())"
            " WHERE name = 'cluster'` makes this the ledger"
        )
    return None


def _boot(connection: Connection, gateway: str, version: str, config: str, secret: bytes | None) -> Opened:
    connection.execute("BEGIN")
    connection.execute("SELECT seq FROM head WHERE id = 1 FOR UPDATE")
    connection.execute("UPDATE boots SET ended = 1 WHERE gateway = ? AND ended = 0", (gateway,))
    (boot,) = connection.execute(
        "INSERT INTO boots (id, at_us, version, gateway, config) SELECT coalesce(max(id), 0) + 1, ?, ?, ?, ? FROM boots"
        " RETURNING id",
        (time.time_ns() // 1000, version, gateway, config),
    ).fetchone()
    connection.execute(
        "INSERT INTO secrets VALUES (?, ?) ON CONFLICT DO NOTHING", (KEY, secret or secrets.token_bytes(32))
    )
    (kept,) = connection.execute("SELECT value FROM secrets WHERE name = ?", (KEY,)).fetchone()
    connection.execute("COMMIT")
    return Opened(boot, bytes(kept))


class Recorded:
    """Rows of what was read before, given for the same SQL: so memory can be read anew in a thread, and taken in where
    nobody can look at half of it. Used as a connection."""

    def __init__(self, rows: dict[str, list[Any]]) -> None:
        self.rows = rows

    def execute(self, sql: str, values: object = ()) -> "_Found":
        return _Found(self.rows[sql])


class _Found:
    def __init__(self, rows: list[Any]) -> None:
        self._rows = rows

    def fetchone(self) -> Any:
        return self._rows[0] if self._rows else None

    def fetchall(self) -> list[Any]:
        return list(self._rows)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._rows)


class Recording:
    """A connection that remembers what was asked."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.asked: list[str] = []

    def execute(self, sql: str, values: object = ()) -> _Found:
        self.asked.append(sql)
        return _Found(self.connection.execute(sql).fetchall())


def snapshot(source: Postgres, asked: Iterable[str]) -> dict[str, list[Any]]:
    """The rows of all these, of one moment. Raises PostgresError."""
    with closing(connect(source, readonly=True, timeout_s=LOAD_S)) as connection:
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        return {sql: connection.execute(sql).fetchall() for sql in asked}


def end_boot(source: Postgres, boot: int) -> None:
    """This process has ended in good order. Raises PostgresError."""
    with closing(connect(source, readonly=False)) as connection:
        connection.execute("UPDATE boots SET ended = 1 WHERE id = ?", (boot,))


def forget_changes(source: Postgres, before_us: int) -> None:
    """What turns before that have changed is known to all: in no turn, since it may take long. Raises PostgresError."""
    with closing(connect(source, readonly=False)) as connection:
        connection.execute("DELETE FROM changes WHERE at_us < ? AND seq < (SELECT seq FROM head)", (before_us,))
        connection.execute("DELETE FROM touched WHERE seq < (SELECT min(seq) FROM changes)")


def remove_checkpoints(source: Postgres) -> None:
    """Raises PostgresError."""
    with closing(connect(source, readonly=False)) as connection:
        connection.execute(checkpoint.DISCARD[0])
