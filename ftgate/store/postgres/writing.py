"""What a turn writes, as the statements of one trip: pure.

Entries and rows go in by prepared statements for 1, 2, 4 and so on of them, so that however many there are they are few
statements, each of which the server has planned before. Whatever may be written twice in one statement is added up
first: PostgreSQL refuses to change one row twice.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Any

from ftgate.core.books import Entry, Hold
from ftgate.ports import Row
from ftgate.store.batch import Batch
from ftgate.store.inbox import row_values
from ftgate.store.postgres.wire import Step, Value
from ftgate.store.rollups import GROUPED, KIND, SUMS, grouped

MOST = 32
"""Of one statement."""
_ENTRY, _ROW = Entry.__struct_fields__, Row.__struct_fields__
_FIRST_TOKEN = _ROW.index("first_token_ms")
_HOLD = (
    "id", "boot", "account", "key", "amount", "quota_held", "metered", "ref", "unlimited", "estimate", "at_us", "note",
)  # fmt: skip
_KINDS = ("id", *KIND, "requests")
_QUARTERS = ("account", "quarter", "model", *SUMS)
_BALANCES = "ON CONFLICT (account) DO UPDATE SET posted = excluded.posted, held = excluded.held, used = excluded.used"
_SPENT = "ON CONFLICT (key) DO UPDATE SET used = excluded.used, held = excluded.held"
_KIND_SUMS = "ON CONFLICT (id) DO UPDATE SET requests = kinds.requests + excluded.requests"
_QUARTER_SUMS = "ON CONFLICT (account, quarter, model) DO UPDATE SET " + ", ".join(
    f"{name} = usage_quarters.{name} + excluded.{name}" for name in SUMS
)
_BY_US, _FOR_OTHERS = frozenset({"post", "void"}), frozenset({"expire"})
"""Kinds of entries that end a hold: of our own boot, and of one that has ended."""
_ENDED = (
    "WITH gone AS (DELETE FROM holds WHERE id = ANY ($1::bigint[]) AND (boot = $3) = ($4 = 1) RETURNING 1)"
    " SELECT 1 / (CASE WHEN (SELECT count(*) FROM gone) = $2 THEN 1 ELSE 0 END)"
)
"""Holds that ended, of our boot ($4 is 1) or of others: where one is gone already, somebody has ended it before, and
nothing of this may be in."""
GONE_STATE = "22012"
"""The SQLSTATE of that."""


def written(batch: Batch, spent: Iterable[tuple[int, int, int]], open: Iterable[Hold]) -> Iterator[Step]:
    """Everything of a batch but its own statements. `spent` are key, used and held of each key that it touched, `open`
    the holds that it took and that are open after it."""
    taken = {entry.id: entry for entry in batch.entries if entry.kind == "hold"}
    yield from _inserted("entries", _ENTRY, [_entry(entry) for entry in batch.entries])
    yield from _inserted("balances", ("account", "posted", "held", "used"), batch.balances.values(), _BALANCES)
    yield from _inserted("spent", ("key", "used", "held"), spent, _SPENT)
    yield from _inserted("holds", _HOLD, [_hold(hold, taken[hold.id]) for hold in open])
    for kinds, ours in ((_BY_US, 1), (_FOR_OTHERS, 0)):
        if ended := [entry for entry in batch.entries if entry.kind in kinds and entry.hold not in taken]:
            ids = ",".join([str(entry.hold) for entry in ended])
            yield Step(_ENDED, (f"{{{ids}}}", len(ended), ended[0].boot, ours))
    sums = grouped(batch.rows)  # first: it tells each row its kind
    yield from _inserted("requests", _ROW, [_values(row) for row in batch.rows])
    counted, quarters = _added_up(sums)
    yield from _inserted("kinds", _KINDS, counted, _KIND_SUMS)
    yield from _inserted("usage_quarters", _QUARTERS, quarters, _QUARTER_SUMS)


def _entry(entry: Entry) -> tuple[Value, ...]:
    return (
        entry.id, entry.kind, entry.account, entry.key, entry.debit, entry.credit, entry.amount, entry.hold, entry.ref,
        entry.estimate, entry.at_us, entry.note, entry.boot,
    )  # fmt: skip


def _hold(hold: Hold, entry: Entry) -> tuple[Value, ...]:
    return (
        hold.id, entry.boot, hold.account, hold.key, hold.amount, hold.quota_held, int(hold.metered), hold.ref,
        int(hold.unlimited), entry.estimate, entry.at_us, entry.note,
    )  # fmt: skip


def _values(row: Row) -> list[Any]:
    values = row_values(row)
    values[_FIRST_TOKEN] = row.first_token_ms
    return values


def _added_up(sums: Iterable[Sequence[Any]]) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """The groups of a batch (rollups.GROUPED) by their kinds, and by account, quarter and model."""
    kinds: dict[int, list[Any]] = {}
    quarters: dict[tuple[Any, ...], list[int]] = {}
    at = len(KIND) + 1
    for group in sums:
        assert len(group) == len(GROUPED)
        id, kind, (quarter, model), counts = group[0], group[1:at], group[at : at + 2], group[at + 2 :]
        if id in kinds:
            kinds[id][-1] += counts[0]
        else:
            kinds[id] = [id, *kind, counts[0]]
        place = kind[0], quarter, model
        before = quarters.get(place)
        quarters[place] = list(counts) if before is None else [a + b for a, b in zip(before, counts, strict=True)]
    return [tuple(kind) for kind in kinds.values()], [(*place, *counts) for place, counts in quarters.items()]


def _inserted(
    table: str, columns: tuple[str, ...], rows: Iterable[Sequence[Value]], conflict: str = ""
) -> Iterator[Step]:
    """Statements that insert these rows, MOST in one at the most."""
    left = list(rows)
    at = 0
    while at < len(left):
        many = MOST
        while many > len(left) - at:
            many //= 2
        values: list[Value] = []
        for row in left[at : at + many]:
            values.extend(row)
        yield Step(_insert(table, columns, many, conflict), values)
        at += many


@cache
def _insert(table: str, columns: tuple[str, ...], many: int, conflict: str) -> str:
    wide = len(columns)
    places = (", ".join(f"${row * wide + column}" for column in range(1, wide + 1)) for row in range(many))
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({'), ('.join(places)}) {conflict}"  # noqa: S608 - names of ours
