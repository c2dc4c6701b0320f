"""The request log by pages: newest first, chosen as asked, and no page reads what it does not show.

Calls are listed in the order in which they ended, which is that of their rows' ids: what has just ended stands on the
first page, and pages behind it never change. Where a span of time is asked for they are in the order in which they came
(of one microsecond, by their ids): what ends late takes its place among the others, which stay where they are. Either
way a cursor, which says where the last row stood, repeats none and skips none that was there.

A filter chooses kinds (store/rollups.py), and a page is merged from their rows, each kind's by an index in that order:
a few steps for each kind, however many rows there are. How many there are in all is added up from the kinds, or where
only a span of time is asked for from the quarter hours within; and counted on the index elsewhere. A page that is asked
for by a large number is found by counting, too.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from heapq import nsmallest
from typing import Any

from ftgate.core.logged import NOT_FAILED, Listed, Logged, Moved, Place, Recorded, Totals, Wanted
from ftgate.core.periods import QUARTER_US, quarters
from ftgate.store.database import read_only
from ftgate.store.rollups import ANY_TEXT, bucket
from ftgate.store.source import Connection, Source
from ftgate.store.summing import Summing, Within

_LATEST, _LARGEST = 2**62, 2**62
_FAR = 2000
"""Rows that are stepped over; what lies further is found by counting."""
_ANY_TEXT = f"instr(model || served_model, '{ANY_TEXT}') > 0"
"""Of a kind that stands for calls of several models (rollups.ANY_TEXT)."""
_FIRST_TOGETHER, _TOGETHER = 20, 500
"""Kinds whose rows one statement looks for where each statement is a trip: at first those of the most calls, which
bound what is looked for among the others."""
_AMONG = "kind IN (SELECT value FROM json_each(:kinds))"
_EACH = (
    "CROSS JOIN LATERAL (SELECT {at} AS place, id FROM requests WHERE kind = known.value AND {span}{order}) AS found"
)
"""PostgreSQL's own words: of each kind that is known."""
_OF_MODEL = " AND (model = :model OR served_model = :model)"
_KEY_NAME = "coalesce((SELECT name FROM keys WHERE keys.id = r.key), '')"
_COLUMNS = ", ".join([_KEY_NAME if name == "key_name" else f"r.{name}" for name in (*Logged.__struct_fields__, "id")])
_SHOWN = f"SELECT {_COLUMNS} FROM requests r"  # noqa: S608 - names of ours


class Chosen:
    """The kinds that are asked for, by how many calls they have, and the span: from `first` to `last`, both among
    it."""

    def __init__(self, connection: Connection, wanted: Wanted) -> None:
        self.connection = connection
        self.far = not isinstance(connection, sqlite3.Connection)
        self.wanted = wanted
        self.first = max(min(wanted.from_us if wanted.from_us is not None else -_LATEST, _LATEST), -_LATEST)
        self.last = max(min(wanted.to_us if wanted.to_us is not None else _LATEST, _LATEST), -_LATEST) - 1
        self.by_time = wanted.from_us is not None or wanted.to_us is not None
        self.at = "created_at_us" if self.by_time else "id"
        self.where, self.values = _kinds_of(wanted)
        sql = f"SELECT id, requests - pruned, {_ANY_TEXT} FROM kinds{self.where}"  # noqa: S608 - conditions of ours, values bound
        rows = connection.execute(sql, self.values).fetchall()
        rows.sort(key=lambda row: -row[1])
        self.kinds = [id for id, _, _ in rows]
        # Of those that stand for several models the rows say whether they are of the one that is asked for.
        self.mixed = frozenset(id for id, _, mixed in rows if mixed and wanted.model is not None)
        self.calls: int = sum(many for id, many, _ in rows if id not in self.mixed)
        self.every = not self.where and not self.by_time
        """Whether all rows are asked for as they stand."""

    def total(self) -> int:
        """How many rows there are to show."""
        if not self.by_time:
            return self.calls + self._count_mixed(-_LATEST, _LATEST)
        if not self.wanted.chooses:
            first, behind = quarters(max(self.first, 0), max(self.last, -1) + 1)
            if first < behind:
                before = self.count(self.first, first * QUARTER_US - 1)
                after = 0 if self.wanted.to_us is None else self.count(behind * QUARTER_US, self.last)
                return self._rolled_up(first, behind) + before + after
        return self.count(self.first, self.last)

    def _rolled_up(self, first: int, behind: int) -> int:
        """How many calls that came within these quarters have a row."""
        own = "quarter >= :first AND quarter < :behind"
        if self.wanted.account is not None:
            own += " AND account = :account"
        ever, gone = (
            f"(SELECT coalesce(sum(requests), 0) FROM {table} WHERE {own})"  # noqa: S608 - words of ours
            for table in ("usage_quarters", "pruned_quarters")
        )
        sql, values = f"SELECT {ever} - {gone}", {"first": first, "behind": behind, "account": self.wanted.account}
        return int(self.connection.execute(sql, values).fetchone()[0])

    def count(self, first: int, last: int) -> int:
        """How many rows there are from one moment, or id, to another, both among them."""
        if first > last:
            return 0
        ours = f"SELECT id FROM kinds{self.where}"  # noqa: S608 - words of ours
        if self.mixed:
            ours += f" AND NOT {_ANY_TEXT}"
        # Of a file all rows are counted by kind too: its index is less to read than the rows, which ids go by.
        among = "true" if self.every and self.far else f"kind IN ({ours})"
        sql = f"SELECT count(*) FROM requests WHERE {among} AND {self.at} >= :first AND {self.at} <= :last"  # noqa: S608 - as above
        found = self.connection.execute(sql, {**self.values, "first": first, "last": last})
        return int(found.fetchone()[0]) + self._count_mixed(first, last)

    def _count_mixed(self, first: int, last: int) -> int:
        if not self.mixed:
            return 0
        sql = f"SELECT count(*) FROM requests WHERE {_AMONG} AND {self.at} >= :first AND {self.at} <= :last{_OF_MODEL}"  # noqa: S608 - as above
        values = {"model": self.wanted.model, "first": first, "last": last, "kinds": _listed(self.mixed)}
        return int(self.connection.execute(sql, values).fetchone()[0])

    def _of(self, kinds: list[int], span: str, order: str, values: dict[str, object]) -> list[Place]:
        """The places of these kinds' rows, which are mixed or none of which is; without any, of all rows."""
        if kinds and kinds[0] in self.mixed:
            span += _OF_MODEL
        if kinds and self.far:
            sql = f"SELECT place, id FROM listed(:kinds) AS known {_EACH.format(at=self.at, span=span, order=order)}"  # noqa: S608 - words of ours
            sql += order.replace(self.at, "place")
        else:
            own = " AND kind = :kind" if kinds else ""
            sql = f"SELECT {self.at}, id FROM requests WHERE {span}{own}{order}"  # noqa: S608 - as above
        own_values = {"kind": kinds[0] if kinds else 0, "kinds": _listed(kinds), "model": self.wanted.model}
        return self.connection.execute(sql, values | own_values).fetchall()

    def _pieces(self) -> Iterator[list[int]]:
        """The kinds, those that are read by one statement together: one by one of a file."""
        plain = [kind for kind in self.kinds if kind not in self.mixed]
        for kinds in (plain, [*self.mixed]):
            at, many = 0, _FIRST_TOGETHER if self.far else 1
            while at < len(kinds):
                yield kinds[at : at + many]
                at, many = at + many, _TOGETHER if self.far else 1

    def before(self, place: Place, many: int) -> list[Place]:
        """The places of the newest rows before this one, newest first."""
        at, (last, id) = self.at, place if place[0] <= self.last else (self.last, _LARGEST)
        span = f"{at} >= :first AND {at} <= :last AND ({at} < :last OR id < :id)"
        order = f" ORDER BY {at} DESC, id DESC LIMIT :many"
        values: dict[str, object] = {"first": self.first, "last": last, "id": id, "many": many}
        if self.every:
            return self._of([], span, order, values)
        found: list[Place] = []
        for kinds in self._pieces():
            if more := self._of(kinds, span, order, values):
                found = sorted(found + more, reverse=True)[:many]
                if len(found) == many:  # what came before the last of them will not be shown
                    values["first"] = found[-1][0]
        return found

    def newest(self, many: int) -> list[Place]:
        """The places of the newest rows, newest first."""
        return self.before((_LATEST, _LARGEST), many)

    def behind(self, place: Place, many: int, newest: int) -> list[Place]:
        """The places of the oldest rows behind this one, oldest first, up to the row `newest`."""
        at, (first, id) = self.at, place if place[0] >= self.first else (self.first, -1)
        span = f"{at} >= :first AND {at} <= :last AND ({at} > :first OR id > :id) AND id <= :newest"
        order = f" ORDER BY {at}, id LIMIT :many"
        values: dict[str, object] = {"first": first, "last": self.last, "id": id, "newest": newest, "many": many}
        if self.every:
            return self._of([], span, order, values)
        found: list[Place] = []
        for kinds in self._pieces():
            if more := self._of(kinds, span, order, values):
                found = nsmallest(many, found + more)
                if len(found) == many:
                    values["last"] = found[-1][0]
        return found

    def skip(self, many: int) -> tuple[Place, int]:
        """A place before which `many` rows or a little fewer stand, and how many are still to be skipped there."""
        place, passed = (_LATEST, _LARGEST), 0
        if many <= _FAR:
            return place, many
        low, high = max(self.first, self._edge("min")), min(self.last, self._edge("max"))
        while many - passed > _FAR and low < high:
            middle = (low + high + 1) // 2
            more = self.count(middle, high)
            if passed + more <= many:
                passed, high = passed + more, middle - 1
                place = (middle, -1)
            else:
                low = middle
        return place, many - passed

    def _edge(self, which: str) -> int:
        """The first or the last moment, or id, of all that is chosen."""
        one = f"(SELECT {which}({self.at}) FROM requests WHERE kind = value)"  # noqa: S608 - words of ours
        sql = f"SELECT coalesce({which}({one}), 0) FROM json_each(:kinds)"  # noqa: S608 - as above
        if self.every:
            sql = f"SELECT coalesce({which}(id), 0) FROM requests"  # noqa: S608 - as above
        return int(self.connection.execute(sql, {"kinds": _listed(self.kinds)}).fetchone()[0])

    def inside(self, place: Place) -> Place:
        """A place that is given as a moment and an id, as the order of this list has it."""
        at_us, id = max(-_LATEST, min(place[0], _LATEST)), max(-1, min(place[1], _LARGEST))
        return (at_us, id) if self.by_time else (id, id)

    def rows(self, places: Sequence[Place]) -> list[Logged]:
        """The rows that stand there, in this order."""
        if not places:
            return []
        asked = ", ".join("?" * len(places))
        sql = f"{_SHOWN} WHERE r.id IN ({asked})"
        found = {id: Logged(*row) for *row, id in self.connection.execute(sql, [id for _, id in places])}
        return [found[id] for _, id in places]


def _listed(kinds: Iterable[int]) -> str:
    return f"[{','.join(map(str, kinds))}]"


def _kinds_of(wanted: Wanted) -> tuple[str, dict[str, object]]:
    """The condition for kinds, and its values."""
    values: dict[str, object] = {
        name: getattr(wanted, name)
        for name in ("account", "key", "channel", "mode", "status", "http_status")
        if getattr(wanted, name) is not None
    }
    conditions = [f"{name} = :{name}" for name in values]
    if wanted.model is not None:
        conditions.append("(model IN (:model, :bucket) OR served_model IN (:model, :bucket))")
        values |= {"model": wanted.model, "bucket": bucket(wanted.model)}
    if wanted.failed:
        conditions.append(f"status NOT IN {NOT_FAILED}")
    return (" WHERE " + " AND ".join(conditions) if conditions else ""), values


@contextmanager
def _moment(source: Source, wanted: Wanted) -> Iterator[Chosen]:
    """One moment of the database, for one short read."""
    connection = read_only(source)
    try:
        connection.execute("BEGIN")
        yield Chosen(connection, wanted)
    finally:
        connection.close()


def page(
    source: Source, wanted: Wanted, *, skipped: int, size: int, after: Place | None, summed: bool = False
) -> Listed:  # fmt: skip
    """A page: the rows behind `after`, or behind the first `skipped` ones; `summed`: and what all of them come to."""
    with _moment(source, wanted) as chosen:
        if wanted.request_id is not None:
            rows = _one(chosen, wanted)
            shown = rows[skipped : skipped + size] if after is None else []
            return Listed(shown, len(rows), None, _totals_of(rows) if summed else None)
        total = chosen.total()
        within = Within(chosen.first, chosen.last, chosen.by_time)
        totals = Summing(chosen.connection, wanted, chosen.kinds, within).totals() if summed else None
        if after is None and skipped >= total:
            return Listed([], total, None, totals)
        place, left = (chosen.inside(after), 0) if after is not None else chosen.skip(skipped)
        places = chosen.before(place, left + size + 1)[left:]
        rows = chosen.rows(places[:size])
        following = (rows[-1].created_at_us, places[size - 1][1]) if len(places) > size else None
        return Listed(rows, total, following, totals)


def _one(chosen: Chosen, wanted: Wanted) -> list[Logged]:
    """The row of an id, where it is one of those that are chosen."""
    sql = "SELECT created_at_us, id, kind FROM requests WHERE request_id = ?"
    found = chosen.connection.execute(sql, (wanted.request_id,)).fetchone()
    if found is None or found[2] not in chosen.kinds:
        return []
    if chosen.by_time and not chosen.first <= found[0] <= chosen.last:
        return []
    rows = chosen.rows([found[:2]])
    return rows if found[2] not in chosen.mixed or wanted.model in (rows[0].model, rows[0].served_model) else []


def _totals_of(rows: Sequence[Logged]) -> Totals:
    return Totals(
        sum(row.prompt_tokens for row in rows), sum(row.cached_tokens for row in rows),
        sum(row.completion_tokens for row in rows), sum(row.cost for row in rows),
    )  # fmt: skip


def newest(source: Source) -> int:
    """The id of the row that was written last."""
    connection = read_only(source)
    try:
        return int(connection.execute("SELECT coalesce(max(id), 0) FROM requests").fetchone()[0])
    finally:
        connection.close()


def older_first(source: Source, wanted: Wanted, *, behind: Place, newest: int, size: int) -> tuple[list[Logged], Place]:
    """The next rows of an export, oldest first, of those that there were when `newest` was the last; and where the
    last of them stands. None at its end."""
    with _moment(source, wanted) as chosen:
        if wanted.request_id is not None:
            rows = _one(chosen, wanted) if behind == BEGINNING else []
            return rows, (_LATEST, _LARGEST)
        places = chosen.behind(behind, size, newest)
        return (chosen.rows(places), places[-1]) if places else ([], behind)


BEGINNING: Place = (-_LATEST, -1)


_BESIDE = ("price", "tries", "cache_write_tokens", "cache_write_1h_tokens", "reasoning_tokens", "multiplier", "earlier",
           "remark", "upstream_id", "route", "client_dialect", "channel_dialect", "hold")  # fmt: skip
"""Of Recorded, what the row holds beside what is shown in lists."""
_MOVED = (
    "SELECT id, kind, amount, at_us FROM entries WHERE id = :hold AND kind = 'hold'"
    " UNION ALL SELECT id, kind, amount, at_us FROM entries WHERE hold = :hold AND kind IN ('post', 'void', 'expire')"
    " UNION ALL SELECT id, kind, amount, at_us FROM entries WHERE hold = :hold AND kind IN ('overrun', 'loss')"
    " ORDER BY id"
)


def recorded(source: Source, request_id: str, account: int | None = None) -> Recorded | None:
    """One call, with all that is remembered of it; None where there is none of this id, or not of this account."""
    connection = read_only(source)
    try:
        connection.execute("BEGIN")
        sql = _SHOWN.replace("r.id", ", ".join(f"r.{name}" for name in _BESIDE)) + " WHERE r.request_id = ?"
        found = connection.execute(sql, (request_id,)).fetchone()
        if found is None:
            return None
        row = Logged(*found[: -len(_BESIDE)])
        beside = found[-len(_BESIDE) :]
        if account not in (None, row.account):
            return None
        hold = beside[-1]
        moved = connection.execute(_MOVED, {"hold": hold}).fetchall() if hold else []
    finally:
        connection.close()
    said: Any = dict(zip(_BESIDE, beside, strict=True))
    return Recorded(row, **said, moved=tuple(Moved(*entry) for _, *entry in moved))
