"""An account's calls at a glance: what a start page shows, in a bounded read however many calls there are.

Costs come from the quarter hours (store/usage.py). Which key made how many calls, and how they ended, is counted by
kind on the index of times: where most calls of the account lie within the span, those that do not are counted and taken
off.
Times to the first token are those of the newest calls alone.
"""

from contextlib import closing

from ftgate.core.logged import Glance, Wanted
from ftgate.core.periods import Window, quarters
from ftgate.store import usage
from ftgate.store.database import read_only
from ftgate.store.listing import Chosen
from ftgate.store.source import Connection, Source

FAILED = 10
NEWEST = 1000
"""Calls whose times to the first token are looked at."""
_OWN = "SELECT id FROM kinds WHERE account = :account"
_COUNT = f"SELECT kind, count(*) FROM requests WHERE kind IN ({_OWN}) AND "  # noqa: S608 - words of ours
_OUTSIDE = ("created_at_us < :first", "created_at_us >= :behind")
_INSIDE = "created_at_us >= :first AND created_at_us < :behind"


def glance(source: Source, account: int, month: Window, shown: Window) -> Glance:
    """As ports.Journal says. Raises sqlite3.Error."""
    with closing(read_only(source)) as connection:
        connection.execute("BEGIN")
        failed = Chosen(connection, Wanted(account=account, failed=True))
        newest = Chosen(connection, Wanted(account=account, from_us=shown.from_us, to_us=shown.to_us))
        return Glance(
            days=[usage.within(connection, account, day) for day in month.days],
            hours=[usage.within(connection, account, hour) for hour in shown.hours],
            counted=_counted(connection, account, shown),
            failed=failed.rows(failed.newest(FAILED)),
            first_token_ms=_first_tokens(connection, [id for _, id in newest.newest(NEWEST)]),
        )


def _counted(connection: Connection, account: int, span: Window) -> dict[tuple[int, str, str], int]:
    """By key, its name and status, how many calls there are that came within the span and have a row."""
    sql = (
        "SELECT id, key, coalesce((SELECT name FROM keys WHERE keys.id = key), ''), status, requests - pruned"
        " FROM kinds WHERE account = ?"
    )
    known = connection.execute(sql, (account,)).fetchall()
    kinds = {id: (key, name, status) for id, key, name, status, _ in known}
    values = {"account": account, "first": span.from_us, "behind": span.to_us}
    there = {id: many for id, *_, many in known}
    if _likely(connection, account, span) * 2 < sum(there.values()):
        found = dict(connection.execute(_COUNT + _INSIDE + " GROUP BY kind", values).fetchall())
    else:
        found = dict(there)
        for outside in _OUTSIDE:
            for id, many in connection.execute(f"{_COUNT}{outside} GROUP BY kind", values):
                found[id] -= many
    counted: dict[tuple[int, str, str], int] = {}
    for id, many in found.items():
        if many:
            counted[kinds[id]] = counted.get(kinds[id], 0) + many
    return counted


def _likely(connection: Connection, account: int, span: Window) -> int:
    """About how many calls came within a span."""
    first, behind = quarters(span.from_us, span.to_us)
    sql = "SELECT coalesce(sum(requests), 0) FROM usage_quarters WHERE account = ? AND quarter >= ? AND quarter < ?"
    return int(connection.execute(sql, (account, first, behind)).fetchone()[0])


def _first_tokens(connection: Connection, ids: list[int]) -> list[int]:
    """Of these calls, those times that there are, shortest first."""
    if not ids:
        return []
    asked = ", ".join("?" * len(ids))
    sql = f"SELECT first_token_ms FROM requests WHERE id IN ({asked}) AND first_token_ms IS NOT NULL ORDER BY 1"  # noqa: S608 - as above
    return [ms for (ms,) in connection.execute(sql, ids)]
