"""The tables, as sqlite-utils migrations: each runs once, in one transaction with its record.

Money columns are INTEGER units (10^-12 USD) in STRICT tables, so that a float can never be stored. `entries` is
append-only by trigger. An end of a hold is unique by index: the database itself refuses a second one.
"""

import sqlite3
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ftgate.core.payments import STATUSES, Payment
from ftgate.store import moved, rollups
from ftgate.store.inbox import open_inbox
from ftgate.store.source import Connection

if TYPE_CHECKING:
    import sqlite_utils

_FIRST = """
CREATE TABLE users (
  id INTEGER PRIMARY KEY, username TEXT NOT NULL UNIQUE COLLATE NOCASE, display_name TEXT NOT NULL DEFAULT '',
  email TEXT NOT NULL DEFAULT '', password TEXT NOT NULL DEFAULT '', role TEXT NOT NULL, status TEXT NOT NULL, plan
  TEXT NOT NULL, mode TEXT NOT NULL DEFAULT '',
  invite_code TEXT NOT NULL DEFAULT '', created_at_us INTEGER NOT NULL
) STRICT;
CREATE TABLE keys (
  id INTEGER PRIMARY KEY, account INTEGER NOT NULL REFERENCES users(id), name TEXT NOT NULL, prefix TEXT NOT NULL,
  hash BLOB NOT NULL UNIQUE, status TEXT NOT NULL, models TEXT NOT NULL DEFAULT '[]', quota INTEGER, expires_at_us
  INTEGER, created_at_us INTEGER NOT NULL
) STRICT;
CREATE TABLE entries (
  id INTEGER PRIMARY KEY, kind TEXT NOT NULL, account INTEGER NOT NULL, key INTEGER NOT NULL, debit TEXT NOT NULL,
  credit TEXT NOT NULL,
  amount INTEGER NOT NULL CHECK (amount >= 0), hold INTEGER NOT NULL DEFAULT 0, ref TEXT NOT NULL, estimate INTEGER
  NOT NULL DEFAULT 0,
  at_us INTEGER NOT NULL, note TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE UNIQUE INDEX entries_one_end ON entries(hold) WHERE kind IN ('post', 'void', 'expire');
CREATE INDEX entries_past_hold ON entries(hold) WHERE kind IN ('overrun', 'loss');
CREATE UNIQUE INDEX entries_one_ref ON entries(kind, ref) WHERE kind IN ('hold', 'grant', 'topup', 'refund', 'correct');
CREATE INDEX entries_by_account ON entries(account, id);
CREATE INDEX entries_moved ON entries(id) WHERE kind IN ('grant', 'topup', 'refund', 'correct');
CREATE TRIGGER entries_never_updated BEFORE UPDATE ON entries
BEGIN SELECT RAISE(ABORT, 'entries are never updated'); END;
CREATE TRIGGER entries_never_deleted BEFORE DELETE ON entries
BEGIN SELECT RAISE(ABORT, 'entries are never deleted'); END;
CREATE TABLE balances (
  account INTEGER PRIMARY KEY, posted INTEGER NOT NULL, held INTEGER NOT NULL CHECK (held >= 0), used INTEGER NOT NULL
) STRICT;
CREATE TABLE spent (key INTEGER PRIMARY KEY, used INTEGER NOT NULL) STRICT;
CREATE TABLE requests (
  id INTEGER PRIMARY KEY, request_id TEXT NOT NULL UNIQUE, created_at_us INTEGER NOT NULL, account INTEGER NOT NULL,
  key INTEGER NOT NULL,
  model TEXT NOT NULL, served_model TEXT NOT NULL, provider TEXT NOT NULL, channel TEXT NOT NULL, status TEXT NOT NULL,
  http_status INTEGER NOT NULL, error_code TEXT NOT NULL, mode TEXT NOT NULL, prompt_tokens INTEGER NOT NULL,
  cached_tokens INTEGER NOT NULL, cache_write_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL,
  reasoning_tokens INTEGER NOT NULL, cost INTEGER NOT NULL,
  lost INTEGER NOT NULL, estimated INTEGER NOT NULL, latency_ms INTEGER NOT NULL, first_token_ms INTEGER, attempts
  INTEGER NOT NULL,
  stream INTEGER NOT NULL, hold INTEGER NOT NULL, price TEXT NOT NULL
) STRICT;
CREATE INDEX requests_by_account ON requests(account, id);
CREATE TABLE ratios (kind TEXT NOT NULL, model TEXT NOT NULL, milli INTEGER NOT NULL, PRIMARY KEY (kind, model)) STRICT;
CREATE TABLE checkpoints (
  id INTEGER PRIMARY KEY, last_id INTEGER NOT NULL, at_us INTEGER NOT NULL, state TEXT NOT NULL
) STRICT;
CREATE TABLE last_batch (id INTEGER PRIMARY KEY CHECK (id = 1), mark INTEGER NOT NULL) STRICT;
INSERT INTO last_batch VALUES (1, 0);
CREATE TABLE boots (id INTEGER PRIMARY KEY, at_us INTEGER NOT NULL, version TEXT NOT NULL) STRICT;
"""


_ROW_ARITHMETIC = {
    "requests": {
        "route": "TEXT NOT NULL DEFAULT ''",
        "client_dialect": "TEXT NOT NULL DEFAULT ''",
        "channel_dialect": "TEXT NOT NULL DEFAULT ''",
        "multiplier": "TEXT NOT NULL DEFAULT ''",
        "cache_write_1h_tokens": "INTEGER NOT NULL DEFAULT 0",
        "earlier": "TEXT NOT NULL DEFAULT ''",
    },
    "entries": {"boot": "INTEGER NOT NULL DEFAULT 0"},
}
"""Columns that the second migration adds, and what they hold in the rows that were there: '' and 0, which say that
nobody wrote it down. In those rows cache_write_tokens holds the writes for an hour too. Adding a column with a default
rewrites no row, so it takes no longer for a large database, and the triggers of `entries` do not see it."""

_REMARKS = {"requests": {"remark": "TEXT NOT NULL DEFAULT ''"}}
"""The third's: what the operator is to know of a call that was served all the same."""


def _added(columns: Mapping[str, Mapping[str, str]]) -> str:
    """SQL that adds columns to tables."""
    lines = [f"ALTER TABLE {table} ADD COLUMN {name} {new[name]};\n" for table, new in columns.items() for name in new]
    return "".join(lines)


_BYOK_MONTHS = """
CREATE TABLE byok_months (
  account INTEGER NOT NULL, month TEXT NOT NULL, tokens INTEGER NOT NULL CHECK (tokens >= 0),
  PRIMARY KEY (account, month)
) STRICT;
"""
"""The fourth's: the tokens of an account's BYOK calls in each month, as core.moments.month writes it."""
_PEOPLE_COLUMNS = {
    "users": {
        "invited_by": "INTEGER",
        "generation": "INTEGER NOT NULL DEFAULT 0",
        "last_login_at_us": "INTEGER",
    },
    "keys": {
        "plan": "TEXT NOT NULL DEFAULT ''",
        "quota_reset": "TEXT NOT NULL DEFAULT 'none'",
        "window_us": "INTEGER NOT NULL DEFAULT 0",
        "window_used": "INTEGER NOT NULL DEFAULT 0",
        "allowed_ips": "TEXT NOT NULL DEFAULT '[]'",
        "last_used_at_us": "INTEGER",
    },
}
"""The fifth's columns. `generation` counts how often all login tokens of a user were ended; `plan` is '' where a key
follows its account's; `window_us` is when the present span of a quota that resets began, and `window_used` what the
key had spent by then, in all."""
_PEOPLE = """
CREATE TABLE sessions (
  id BLOB PRIMARY KEY, account INTEGER NOT NULL, created_at_us INTEGER NOT NULL, seen_at_us INTEGER NOT NULL
) STRICT;
CREATE TABLE ended_tokens (id TEXT PRIMARY KEY, until_s INTEGER NOT NULL) STRICT;
CREATE TABLE logins (
  account INTEGER NOT NULL, address TEXT NOT NULL, at_us INTEGER NOT NULL, PRIMARY KEY (account, address)
) STRICT;
CREATE TABLE plan_ids (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
INSERT INTO plan_ids VALUES (1, 'default');
CREATE TABLE switches (channel TEXT PRIMARY KEY, enabled INTEGER NOT NULL) STRICT;
CREATE TABLE byok_keys (
  id INTEGER PRIMARY KEY, account INTEGER NOT NULL, provider TEXT NOT NULL, name TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  created_at_us INTEGER NOT NULL, checked_at_us INTEGER NOT NULL, UNIQUE (account, provider, fingerprint)
) STRICT;
CREATE TABLE audit (
  id INTEGER PRIMARY KEY, at_us INTEGER NOT NULL, actor INTEGER, actor_name TEXT NOT NULL, via TEXT NOT NULL,
  address TEXT NOT NULL, action TEXT NOT NULL, target TEXT NOT NULL, before TEXT NOT NULL, after TEXT NOT NULL,
  request_id TEXT NOT NULL
) STRICT;
CREATE INDEX audit_by_target ON audit(target, id);
CREATE TRIGGER audit_never_updated BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'audit is never updated'); END;
CREATE TRIGGER audit_never_deleted BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'audit is never deleted'); END;
"""
"""Its tables: browsers that are signed in (`id` is the hash of the cookie), login tokens that were ended before their
time, where users logged in from, the numbers of plans, channels that were switched, fingerprints of callers' provider
keys, and who changed what."""
_SPENDING = """
CREATE TABLE spending (
  id INTEGER PRIMARY KEY CHECK (id = 1), begins_us INTEGER NOT NULL, last_id INTEGER NOT NULL, units TEXT NOT NULL
) STRICT;
"""
"""The sixth's: what channels have cost in the month that began then, as far as the row `last_id` (store.spending)."""
_PAYMENTS = f"""
CREATE TABLE payments (
  number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, account INTEGER NOT NULL, amount INTEGER NOT NULL CHECK (amount
  > 0),
  currency TEXT NOT NULL, livemode INTEGER NOT NULL, created_at_us INTEGER NOT NULL, expires_at_us INTEGER NOT NULL,
  success_url TEXT NOT NULL, cancel_url TEXT NOT NULL, request TEXT NOT NULL, status TEXT NOT NULL, session TEXT NOT
  NULL, url TEXT NOT NULL, intent TEXT NOT NULL, charge TEXT NOT NULL,
  credited INTEGER NOT NULL CHECK (credited IN (0, amount)), refunded INTEGER NOT NULL, disputed INTEGER NOT NULL,
  taken INTEGER NOT NULL CHECK (taken BETWEEN 0 AND credited), moves INTEGER NOT NULL,
  paid_at_us INTEGER, receipt_url TEXT NOT NULL, reason TEXT NOT NULL, resolved TEXT NOT NULL,
  CHECK (status IN ('{"', '".join(STATUSES)}'))
) STRICT;
"""
"""The seventh's: payments, as core.payments.Payment has them. What is credited and taken back stands in `entries`."""
_KINDS = {"requests": {"tries": "TEXT NOT NULL DEFAULT ''", "kind": "INTEGER NOT NULL DEFAULT 0"}}
"""The eighth's: what became of each attempt, where there is more to tell than the row says; and the row's kind."""
_RECORDS = """
CREATE INDEX audit_by_actor ON audit(actor, id);
CREATE INDEX audit_by_name ON audit(actor_name COLLATE NOCASE, id);
CREATE INDEX audit_by_action ON audit(action, id);
CREATE INDEX entries_seldom ON entries(kind, id) WHERE kind NOT IN ('hold', 'post');
"""
"""The ninth's: by what the audit and the ledger's entries are looked up (store.records). Of the kinds that nearly all
entries are of there is none: each call would pay for it."""
_PRUNED = """
CREATE TABLE pruned_quarters (
  account INTEGER NOT NULL, quarter INTEGER NOT NULL, model TEXT NOT NULL, requests INTEGER NOT NULL, prompt_tokens
  INTEGER NOT NULL, cached_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, cost_upper INTEGER NOT NULL,
  cost_lower INTEGER NOT NULL, PRIMARY KEY (account, quarter, model)
) STRICT, WITHOUT ROWID;
CREATE TABLE pruned_months (
  account INTEGER NOT NULL, month TEXT NOT NULL, tokens INTEGER NOT NULL, PRIMARY KEY (account, month)
) STRICT;
CREATE TABLE pruned (id INTEGER PRIMARY KEY CHECK (id = 1), held INTEGER NOT NULL, last_hold INTEGER NOT NULL) STRICT;
INSERT INTO pruned VALUES (1, 0, 0);
"""
"""The tenth's: what came of the calls whose rows are gone (store.pruning)."""
_UPSTREAM_IDS = {"requests": {"upstream_id": "TEXT NOT NULL DEFAULT ''"}}
"""The eleventh's: what upstreams call the calls."""
_ADDED = {
    "0002_row_arithmetic": _ROW_ARITHMETIC,
    "0003_remarks": _REMARKS,
    "0005_people": _PEOPLE_COLUMNS,
    "0008_rollups": _KINDS,
    "0011_upstream_ids": _UPSTREAM_IDS,
}
_TABLES: dict[str, dict[str, tuple[str, ...]]] = {
    "0004_byok_months": {"byok_months": ("account", "month", "tokens")},
    "0005_people": {
        "audit": (
            "id", "at_us", "actor", "actor_name", "via", "address", "action", "target", "before", "after", "request_id",
        ),
        "switches": ("channel", "enabled"),
    },
    "0006_spending": {"spending": ("id", "begins_us", "last_id", "units")},
    "0007_payments": {"payments": Payment.__struct_fields__},
    "0008_rollups": {"kinds": ("id", *rollups.KIND, "requests", "pruned")},
    "0010_pruned": {
        "pruned_quarters": ("account", "quarter", "model", *rollups.SUMS),
        "pruned_months": ("account", "month", "tokens"),
        "pruned": ("id", "held", "last_hold"),
    },
}  # fmt: skip
"""Tables that came later, with their columns: for who reads a database that lacks them."""
_OF_ROWS = rollups.OF_ROWS.replace("FROM requests", "FROM main.requests")  # which a view may hide
_VIEWS = {"0008_rollups": {"usage_quarters": _OF_ROWS + rollups.BY_QUARTER}}
"""Tables that came later and say what others say too, with that."""
_MIGRATIONS = {
    "0001_first": _FIRST,
    "0002_row_arithmetic": _added(_ROW_ARITHMETIC),
    "0003_remarks": _added(_REMARKS),
    "0004_byok_months": _BYOK_MONTHS,
    "0005_people": _added(_PEOPLE_COLUMNS) + _PEOPLE,
    "0006_spending": _SPENDING,
    "0007_payments": _PAYMENTS,
    "0008_rollups": _added(_KINDS) + rollups.MIGRATION,
    "0009_records": _RECORDS,
    "0010_pruned": _PRUNED,
    "0011_upstream_ids": _added(_UPSTREAM_IDS),
}


NEWEST = len(_MIGRATIONS)
"""The schema of this version."""


def schema_of(connection: sqlite3.Connection) -> int:
    """The schema that a database has: how many migrations have run, those of a newer version too; 0 before the
    first."""
    return len(_applied(connection))


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the database to this version's schema, and open the connection's inbox. A newer database is refused by
    name. Raises sqlite3.DatabaseError."""
    _migrate(connection)
    open_inbox(connection)


def _migrate(connection: sqlite3.Connection) -> None:
    if words := refused(connection):
        raise sqlite3.DatabaseError(words)
    applied = _applied(connection)
    if applied == _MIGRATIONS.keys():
        return  # the ordinary start: sqlite-utils need not be loaded
    import sqlite_utils
    from sqlite_utils.migrations import Migrations

    rollups.know_kinds(connection)
    migrations = Migrations("ftgate")
    for name, script in _MIGRATIONS.items():
        if name == "0010_pruned" and "0008_rollups" in applied:
            script = rollups.ANEW + script
        migrations(name=name)(_migration(script))
    migrations.apply(sqlite_utils.Database(connection, execute_plugins=False))


def refused(connection: sqlite3.Connection) -> str | None:
    """Why a database that a newer version wrote is refused, in words: which one that was, and what to do; or one whose
    ledger has moved elsewhere. None for any other."""
    if (gone := moved.moved(connection)) is not None:
        return moved.words(gone)
    newer = _applied(connection) - _MIGRATIONS.keys()
    if not newer:
        return None
    try:
        (version,) = connection.execute("SELECT version FROM boots ORDER BY id DESC LIMIT 1").fetchone() or ("",)
    except sqlite3.Error:  # a table that has become another one
        version = ""
    named = f", {version}" if version else ""
    words = "start that version, or restore a backup from before"
    return f"it was written by a newer ftgate{named} (schema {max(newer)}); {words}"


def _applied(connection: sqlite3.Connection) -> set[str]:
    """The names of the migrations that have run."""
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = '_sqlite_migrations'").fetchone():
        return set()
    names = connection.execute("SELECT name FROM _sqlite_migrations WHERE migration_set = 'ftgate'")
    return {name for (name,) in names if not moved.is_mark(name)}


def _migration(script: str) -> "Callable[[sqlite_utils.Database], None]":
    """A migration that runs a script. executescript would commit what stands open; each statement runs inside the
    migration's own transaction."""

    def run(db: "sqlite_utils.Database") -> None:
        for statement in _statements(script):
            db.execute(statement)

    return run


def show_newest(connection: Connection) -> None:
    """Let a database that an older version wrote be read as if it were migrated, and leave it as it is: a backup is
    verified before it is put back, and a command beside no server only reads. The tables are hidden behind views of
    this connection, which have the missing columns; a table that came later is empty, or says what the rows say.
    Raises sqlite3.DatabaseError. A PostgreSQL is of one schema for all who are at work on it."""
    if not isinstance(connection, sqlite3.Connection):
        return
    if "0001_first" not in (applied := _applied(connection)):
        return
    missing: dict[str, list[str]] = {}
    for migration, tables in _ADDED.items():
        for table, columns in tables.items():
            if migration not in applied:
                missing.setdefault(table, []).extend(
                    f"{kind.partition(' DEFAULT ')[2] or 'NULL'} AS {name}" for name, kind in columns.items()
                )
    old_kinds = "0008_rollups" in applied and "0010_pruned" not in applied
    if old_kinds:  # as rollups.ANEW says they may be others: nothing is told by them
        missing.setdefault("requests", []).append("0 AS kind")
    absent = {t: names for migration, its in _TABLES.items() if migration not in applied for t, names in its.items()}
    if old_kinds:
        absent["kinds"] = _TABLES["0008_rollups"]["kinds"]
    views = {table: sql for migration, its in _VIEWS.items() if migration not in applied for table, sql in its.items()}
    if not missing and not absent:
        return
    connection.execute("PRAGMA query_only = OFF")  # the file itself is open for reading only
    for table, named in missing.items():
        own = connection.execute("SELECT name FROM pragma_table_info(?)", (table,)).fetchall()
        kept = [column for (column,) in own if f"0 AS {column}" not in named]
        connection.execute(f"CREATE TEMP VIEW {table} AS SELECT {', '.join([*kept, *named])} FROM main.{table}")  # noqa: S608 - names of ours
    for table, names in absent.items():
        nothing = ", ".join(f"NULL AS {name}" for name in names)
        connection.execute(f"CREATE TEMP VIEW {table} AS SELECT {nothing} WHERE 0")
    for table, sql in views.items():
        connection.execute(f"CREATE TEMP VIEW {table} AS {sql}")
    connection.execute("PRAGMA query_only = ON")


def _statements(script: str) -> list[str]:
    """The single statements of a script; a trigger's body keeps its inner semicolons."""
    found: list[str] = []
    part = ""
    for line in script.splitlines(keepends=True):
        part += line
        if part.strip() and sqlite3.complete_statement(part):
            found.append(part.strip())
            part = ""
    return found
