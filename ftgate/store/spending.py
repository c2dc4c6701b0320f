"""What each channel has cost in a month, by the rows of its calls; and a note of how far they were read, so that a
start reads what came since, not a month of calls.

The note is a sum of ours beside the rows: one that cannot be read, or is of another month, is passed over, and the
rows of this month are read from the first on. A row of this month that is too old to be kept goes only where a note
counts it.
"""

from contextlib import suppress
from types import SimpleNamespace

import msgspec

from ftgate.core import receipt
from ftgate.store.database import last_request
from ftgate.store.source import Connection

PAGE = 2_000
"""Rows in one read: some milliseconds, so that a reading in a worker thread holds up nobody."""
SETTLES_LATE_US = 2 * 86_400 * 1_000_000
"""By how much a row may have come later than its call: rows stand in the order in which calls ended."""
_SPLIT = 10**9
_ARITHMETIC = (
    "prompt_tokens", "cached_tokens", "cache_write_tokens", "cache_write_1h_tokens", "completion_tokens", "price",
    "earlier", "cost", "lost",
)  # fmt: skip

_NOTE = (
    "INSERT INTO spending VALUES (1, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET begins_us = excluded.begins_us,"
    " last_id = excluded.last_id, units = excluded.units"
)


class Spent:
    """A reading: units that each channel has cost by the calls that came from `begins_us` on, as far as the row
    `last_id`, at its own prices: without multipliers, and without calls with a caller's own key."""

    __slots__ = ("begins_us", "last_id", "noted", "units")

    def __init__(self, begins_us: int, last_id: int, units: dict[str, int]) -> None:
        self.begins_us = begins_us
        self.last_id = last_id
        self.noted = last_id  # as far as which a note says so
        self.units = units

    def __repr__(self) -> str:
        return f"<Spent by {len(self.units)} channels up to row {self.last_id}>"


def resume(connection: Connection, begins_us: int) -> Spent:
    """A reading that stands at the note, or before the first row of the month."""
    noted = connection.execute("SELECT last_id, CAST(units AS BLOB) FROM spending WHERE begins_us = ?", (begins_us,))
    for last_id, said in noted:
        if last_id <= last_request(connection):
            with suppress(msgspec.DecodeError, UnicodeDecodeError, ValueError):
                units = msgspec.json.decode(said, type=dict[str, str])
                return Spent(begins_us, last_id, {channel: int(spent) for channel, spent in units.items()})
    return Spent(begins_us, _first_near(connection, begins_us - SETTLES_LATE_US) - 1, {})


def read_on(connection: Connection, spent: Spent, upto: int, page: int = PAGE) -> bool:
    """Read the next page, as far as the row `upto`; whether there is more."""
    until = min(spent.last_id + page, upto)
    where = "id > ? AND id <= ? AND created_at_us >= ? AND mode = 'standard' AND channel <> ''"
    span = spent.last_id, until, spent.begins_us
    # With a factor of one, and in rows from before rows held theirs, cost and loss are what it cost.
    plain = connection.execute(
        f"SELECT channel, sum((cost + lost) / {_SPLIT}), sum((cost + lost) % {_SPLIT}) FROM requests"  # noqa: S608
        f" WHERE {where} AND multiplier IN ('1/1', '') GROUP BY channel",
        span,
    )
    for channel, upper, lower in plain:
        spent.units[channel] = spent.units.get(channel, 0) + upper * _SPLIT + lower
    others = connection.execute(
        f"SELECT channel, {', '.join(_ARITHMETIC)} FROM requests WHERE {where} AND multiplier NOT IN ('1/1', '')",  # noqa: S608
        span,
    )
    for channel, *values in others:
        row = _Charged(**dict(zip(_ARITHMETIC, values, strict=True)))
        with suppress(ValueError):  # `ledger verify` tells of it
            spent.units[channel] = spent.units.get(channel, 0) + receipt.due(row)
    spent.last_id = max(until, spent.last_id)
    return until < upto


def statement(spent: Spent) -> tuple[str, tuple[object, ...]]:
    """What puts a note of this reading into a batch, in place of the last. Sums may pass 64 bits: they are texts."""
    units = msgspec.json.encode({channel: str(of) for channel, of in spent.units.items()}).decode()
    spent.noted = spent.last_id
    return _NOTE, (spent.begins_us, spent.last_id, units)


class _Charged(SimpleNamespace):
    """A row's arithmetic, at a factor of one."""

    multiplier = "1/1"


def _first_near(connection: Connection, from_us: int) -> int:
    """A row's id before which no call came since then, found without reading all rows."""
    low, high = 0, last_request(connection)
    while low < high:
        middle = (low + high) // 2
        at = connection.execute("SELECT created_at_us FROM requests WHERE id >= ? ORDER BY id LIMIT 1", (middle + 1,))
        if (row := at.fetchone()) is not None and row[0] < from_us:
            low = middle + 1
        else:
            high = middle
    return low
