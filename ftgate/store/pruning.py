"""Rows that are too old to be kept: found, and deleted piece by piece, with what is remembered of them in their place.

A row goes with what the rest must know of it, in one transaction: its kind counts one row more that is gone
(store/rollups.py), and what it came to is added to sums of what is gone: by quarter hour as `usage_quarters` has them
(`pruned_quarters`), by month for BYOK calls (`pruned_months`), and how many of them had holds (`pruned`). So what is
kept of calls in sums is never changed, and `ledger verify` holds it against the rows that are there and those that are
gone, as exactly as before.

Never gone are the newest row (its id would be given again, and places in lists would then mean others) and the row of a
hold that has not ended.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from ftgate.store.rollups import BY_QUARTER, OF_ROWS, SUMS
from ftgate.store.source import Connection

FOUND = 2_000
"""Rows that are looked for at a time."""
Statement = tuple[str, tuple[object, ...]]

_OLD = """
SELECT r.id FROM kinds k CROSS JOIN requests r
WHERE r.kind = k.id AND r.created_at_us < ?1 AND k.requests > k.pruned
  AND r.id <= ?2 AND r.id < (SELECT max(id) FROM requests)
  AND (r.hold = 0 OR EXISTS (SELECT 1 FROM entries e WHERE e.hold = r.hold AND e.kind IN ('post', 'void', 'expire')))
LIMIT ?3"""
_THESE = "id IN (SELECT value FROM json_each(?))"
_ADDED = ", ".join(f"{name} = pruned_quarters.{name} + excluded.{name}" for name in SUMS)
_GO = (
    f"INSERT INTO pruned_quarters {OF_ROWS} WHERE {_THESE}{BY_QUARTER}"
    f" ON CONFLICT (account, quarter, model) DO UPDATE SET {_ADDED}",
    "INSERT INTO pruned_months SELECT account, strftime('%Y-%m', created_at_us / 1000000, 'unixepoch') AS month,"  # noqa: S608 - words of ours
    f" sum(prompt_tokens + completion_tokens) AS tokens FROM requests WHERE {_THESE} AND mode = 'byok'"
    " GROUP BY 1, 2 ON CONFLICT (account, month) DO UPDATE SET tokens = pruned_months.tokens + excluded.tokens",
    "UPDATE kinds SET pruned = pruned + gone.many"  # noqa: S608 - as above
    f" FROM (SELECT kind, count(*) AS many FROM requests WHERE {_THESE} GROUP BY kind) AS gone"
    " WHERE kinds.id = gone.kind",
    "UPDATE pruned SET held = held + gone.many, last_hold = max(last_hold, gone.last)"  # noqa: S608 - as above
    " FROM (SELECT count(*) AS many, coalesce(max(hold), 0) AS last FROM requests"
    f" WHERE {_THESE} AND hold > 0) AS gone",
    f"DELETE FROM requests WHERE {_THESE}",  # noqa: S608 - as above
)


def old_rows(connection: Connection, before_us: int, upto: int, many: int = FOUND) -> list[int]:
    """The ids, in their order, of rows that may go: of calls that came before this moment, as far as the row `upto`. At
    most so many."""
    return sorted(id for (id,) in connection.execute(_OLD, (before_us, upto, many)))


def statements(ids: Sequence[int]) -> list[Statement]:
    """What takes these rows away in one batch. A row that has gone already counts for nothing."""
    listed = msgspec.json.encode(ids).decode()
    return [(sql, (listed,)) for sql in _GO]


class Held(NamedTuple):
    """Of the rows that are gone: how many had a hold, and the last hold of them."""

    many: int
    last: int


def held_in(connection: Connection) -> Held:
    found = connection.execute("SELECT held, last_hold FROM pruned").fetchone()
    return Held(*found) if found else Held(0, 0)


def months_in(connection: Connection) -> dict[tuple[int, str], int]:
    """Account and month -> tokens of BYOK calls whose rows are gone."""
    rows = connection.execute("SELECT account, month, tokens FROM pruned_months")
    return {(account, month): tokens for account, month, tokens in rows}
