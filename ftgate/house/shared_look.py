"""Looking at a PostgreSQL that several gateways share: whether it keeps what it commits, whose ledger is on it, and who
is at work on it. Nothing is changed."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

from ftgate.house.findings import Finding
from ftgate.store.postgres import opening
from ftgate.store.postgres.connection import Connection, SettingRefused, connect
from ftgate.store.source import Postgres
from ftgate.store.verify import verify_ledger

GATEWAY = "gateway"
"""The file in a data directory with its gateway's name."""
SILENT_S = 10
"""A gateway says once a second that it lives."""
DEAD_S = 60
APART_S = 2.0
FAR_APART_S = 30.0
SAFE = ("fsync", "full_page_writes", "synchronous_commit")
_LIVING = (
    "SELECT gateway, version, config, extract(epoch FROM clock_timestamp() - seen_at)::bigint FROM boots"
    " WHERE ended = 0 ORDER BY gateway"
)


def of_postgres(source: Postgres, place: Path, config: str | None) -> Iterator[Finding]:
    """All there is to say of it. `config` is the hash of this config, `place` this gateway's data directory."""
    if find_spec("psycopg") is None:
        words = "psycopg is not there, and a start fails: `pip install 'ftgate[postgres]'`, or python3-psycopg"
        yield Finding("wrong", "database", words)
        return
    try:
        with closing(connect(source, readonly=True)) as connection:
            yield from _server(connection, source)
            yield _clock(connection)
            if connection.execute("SELECT to_regclass('meta') IS NULL").fetchone()[0]:
                yield _empty(connection)
                return
            yield from _ledger(connection)
            yield from _gateways(connection, place, config)
        found = verify_ledger(source)
    except sqlite3.Error as error:
        words = f"{source} cannot be read: {error}. Calls are refused meanwhile: start it, or mend [database] url"
        yield Finding("wrong", "database", words)
        return
    if found["ok"]:
        yield Finding("ok", "ledger", f"{found['entries']} entries add up, {found['open_holds']} holds are open")
    else:
        yield Finding("wrong", "ledger", str(found["disagreement"]))


def a_start(source: Postgres) -> Iterator[Finding]:
    """What a start of this program would do with it."""
    try:
        with closing(connect(source, readonly=True)) as connection:
            if connection.execute("SELECT to_regclass('meta') IS NULL").fetchone()[0]:
                yield _empty(connection)
            else:
                yield from _ledger(connection)
    except sqlite3.Error as error:
        yield Finding("wrong", "schema", f"{source} cannot be read: {error}")


def _empty(connection: Connection) -> Finding:
    if connection.execute("SELECT to_regclass('users') IS NOT NULL").fetchone()[0]:
        words = "a table `users` is there that is not ftgate's: give ftgate a database of its own"
        return Finding("wrong", "schema", words)
    return Finding("look", "schema", "there are no tables yet; the first start makes them, or `ftgate migrate sqlite`")


def _server(connection: Connection, source: Postgres) -> Iterator[Finding]:
    """The server itself: its version, its size, and what it is set to."""
    (number,) = connection.execute("SELECT current_setting('server_version_num')::int").fetchone()
    (size,) = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    words = f"PostgreSQL {number // 10000}.{number % 10000} at {source}, {size / 1e6:.1f} MB"
    if number < opening.OLDEST:
        yield Finding("wrong", "database", f"{words}: ftgate needs 14 or newer, upgrade it")
    else:
        yield Finding("ok", "database", words)
    try:
        connection.tries(opening.SESSION)
    except SettingRefused as refused:
        yield Finding("wrong", "database", str(refused))
    if connection.execute("SELECT pg_is_in_recovery()").fetchone()[0]:
        words = "it is a standby, which takes no changes: let [database] url name the primary, or several hosts"
        yield Finding("wrong", "database", words)
    values = {name: connection.execute(f"SHOW {name}").fetchone()[0] for name in SAFE}
    for name, value in values.items():
        if value == "off":
            how = f"ALTER DATABASE ... SET {name} = on" if name == "synchronous_commit" else f"{name} = on, reload"
            yield Finding(
                "wrong", "database", f"{name} is off: what was committed may be lost. A start refuses ({how})"
            )
    if "off" not in values.values():
        said = ", ".join(f"{name} {value}" for name, value in values.items())
        yield Finding("ok", "database", f"it keeps what it commits: {said}")
    (encoding,) = connection.execute("SHOW server_encoding").fetchone()
    if encoding != "UTF8":
        words = f"texts are kept as {encoding}: make a database with ENCODING 'UTF8' TEMPLATE template0"
        yield Finding("wrong", "database", words)


def _clock(connection: Connection) -> Finding:
    """Its clock against this machine's: spans and limits go by the database's."""
    before = time.time()
    (theirs,) = connection.execute("SELECT extract(epoch FROM clock_timestamp())::float8").fetchone()
    after = time.time()
    off = theirs - (before + after) / 2
    off = max(0.0, abs(off) - (after - before) / 2) * (1 if off > 0 else -1)
    if abs(off) < APART_S:
        return Finding("ok", "clock", f"the database's is within {APART_S:.0f} s of this machine's")
    way = "ahead of" if off > 0 else "behind"
    words = f"the database's is {abs(off):.0f} s {way} this machine's; limits and spans go by it. Set both right"
    return Finding("wrong" if abs(off) > FAR_APART_S else "look", "clock", f"{words} (timedatectl set-ntp true)")


def _ledger(connection: Connection) -> Iterator[Finding]:
    """Whose ledger it is, and whether this version may work on it."""
    if words := opening.refused(connection):
        yield Finding("wrong", "schema", words)
    else:
        yield Finding("ok", "schema", "the database has this version's schema: a start changes nothing of it")


def _gateways(connection: Connection, place: Path, config: str | None) -> Iterator[Finding]:
    """Who is at work on it, and who of them decides by another config."""
    try:
        own = (place / GATEWAY).read_text().strip()
    except OSError:
        own = ""
    rows = connection.execute(_LIVING).fetchall()
    if not rows:
        yield Finding("ok", "gateways", "none is at work")
    for gateway, version, _, silent_s in rows:
        named = f"{gateway}{' (of this data directory)' if gateway == own else ''}, ftgate {version}"
        if silent_s < SILENT_S:
            yield Finding("ok", "gateways", f"{named}, is at work")
        else:
            words = f"{named}, gave no sign of life for {silent_s} s: if it is down, start it. Its holds are ended "
            words += f"{DEAD_S} s after the last by another gateway, or by its own next start"
            yield Finding("look", "gateways", words)
    living = {gateway: said for gateway, _, said, silent_s in rows if silent_s < DEAD_S and said}
    if config is not None and living and set(living.values()) != {config}:
        others = [f"{gateway} (ftgate {version})" for gateway, version, said, _ in rows if said not in ("", config)]
        words = f"{', '.join(others)} started with other prices, plans or limits than this config: which counts depends"
        yield Finding("look", "gateways", f"{words} on who is asked. Give all the same config, and restart them")
    elif len(set(living.values())) > 1:
        words = f"{', '.join(living)} started with different prices, plans or limits: give all the same config"
        yield Finding("look", "gateways", words)
