"""What an account's calls come to in a window of time, from its quarter hours: a few thousand sums at the most, however
many calls there were.

A window begins and each of its parts borders at a whole quarter; it ends now, within one. What came later than that,
which a clock that was put back can leave, is taken off again, call by call.
"""

from collections.abc import Iterable, Sequence

from ftgate.core.logged import Sums, Used
from ftgate.core.periods import QUARTER_US, Span, Window
from ftgate.store.database import read_only
from ftgate.store.rollups import SPLIT
from ftgate.store.source import Connection, Source

_QUARTERS = (
    "SELECT model, sum(requests), sum(prompt_tokens), sum(completion_tokens), sum(cost_upper), sum(cost_lower)"
    " FROM usage_quarters WHERE account = ? AND quarter >= ? AND quarter < ? GROUP BY model"
)
_LATER = (
    "SELECT served_model, -count(*), -sum(prompt_tokens), -sum(completion_tokens),"  # noqa: S608 - a number of ours
    f" -sum(cost / {SPLIT}), -sum(cost % {SPLIT}) FROM requests WHERE kind IN (SELECT id FROM kinds WHERE account = ?)"
    " AND created_at_us >= ? AND created_at_us < ? GROUP BY served_model"
)
Models = dict[str, Sums]


def used(source: Source, account: int, window: Window) -> Used:
    """An account's calls in a window. Raises sqlite3.Error."""
    connection = read_only(source)
    try:
        connection.execute("BEGIN")
        hours = [within(connection, account, span) for span in window.hours]
        days = [within(connection, account, span) for span in window.days]
    finally:
        connection.close()
    models: Models = {}
    for day in days:
        _add(models, day.items())
    return Used(_whole(models), _wholes(days), _wholes(hours), {m: sums for m, sums in models.items() if sums.requests})


def within(connection: Connection, account: int, span: Span) -> Models:
    """By model, what came within a span that begins at a whole quarter."""
    behind = -(-span.to_us // QUARTER_US)
    found: Models = {}
    _add(found, map(_sums, connection.execute(_QUARTERS, (account, span.from_us // QUARTER_US, behind))))
    if span.to_us % QUARTER_US:
        _add(found, map(_sums, connection.execute(_LATER, (account, span.to_us, behind * QUARTER_US))))
    return found


def _sums(row: tuple[str, int, int, int, int, int]) -> tuple[str, Sums]:
    model, requests, prompt, completion, upper, lower = row
    return model, Sums(requests, prompt, completion, upper * SPLIT + lower)


def _add(models: Models, more: Iterable[tuple[str, Sums]]) -> None:
    for model, sums in more:
        models[model] = models[model] + sums if model in models else sums


def _whole(models: Models) -> Sums:
    whole = Sums()
    for sums in models.values():
        whole += sums
    return whole


def _wholes(parts: Sequence[Models]) -> list[Sums]:
    return [_whole(part) for part in parts]


def requests_of(source: Source, accounts: Iterable[int]) -> dict[int, int]:
    """How many calls these accounts have made, ever."""
    connection = read_only(source)
    try:
        sql = "SELECT coalesce(sum(requests), 0) FROM kinds WHERE account = ?"
        return {account: connection.execute(sql, (account,)).fetchone()[0] for account in accounts}
    finally:
        connection.close()
