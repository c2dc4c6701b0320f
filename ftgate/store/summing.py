"""What the calls of a filter come to, to stand under a list of them (store/listing.py): tokens and cost, exact, without
reading rows by the thousand.

Rollups say how many calls of each kind there are, and what those of an account come to in a quarter hour by the model
that served them. So what is asked for is the sum of whole quarters (`usage_quarters`, less what was pruned), and of
rows that come to it or are taken off again: where a filter leaves out few calls of an account, those are read, and not
the many that it shows. Of the two ways, rows alone and rows beside quarters, the one that reads fewer rows is taken;
where both read more than FEW, nothing is said.
"""

from collections.abc import Collection
from typing import NamedTuple

import msgspec

from ftgate.core.logged import Totals, Wanted
from ftgate.core.periods import QUARTER_US, quarters
from ftgate.store.rollups import SPLIT, bucket
from ftgate.store.source import Connection

FEW = 10_000
"""Rows that are read for one sum at the most: some tens of milliseconds."""
_AMONG = "kind IN (SELECT value FROM json_each(:kinds))"
_WITHIN = " AND created_at_us >= :first AND created_at_us <= :last"
_ASKED = "(model = :model OR served_model = :model)"
_ROWS = (
    "SELECT coalesce(sum(prompt_tokens), 0), coalesce(sum(cached_tokens), 0), coalesce(sum(completion_tokens), 0),"  # noqa: S608 - a number of ours
    f" coalesce(sum(cost / {SPLIT}), 0), coalesce(sum(cost % {SPLIT}), 0) FROM requests WHERE {_AMONG}"
)
_QUARTERS = (
    "SELECT coalesce(sum(prompt_tokens), 0), coalesce(sum(cached_tokens), 0), coalesce(sum(completion_tokens), 0),"
    " coalesce(sum(cost_upper), 0), coalesce(sum(cost_lower), 0) FROM "
)


class Within(NamedTuple):
    """A span of time, both ends among it; `bounded` where it is asked for at all."""

    first: int
    last: int
    bounded: bool


class _Part(NamedTuple):
    """Rows of these kinds, under a condition (SQL), of a span; how often they count."""

    sign: int
    kinds: list[int]
    condition: str
    within: Within


class Summing:
    """One filter at one moment of the database: `chosen` are the kinds that it chooses."""

    def __init__(
        self, connection: Connection, wanted: Wanted, chosen: Collection[int], within: Within
    ) -> None:  # fmt: skip
        self.connection = connection
        self.wanted = wanted
        self.within = within
        own = " WHERE account = ?" if wanted.account is not None else ""
        sql = f"SELECT id, served_model, requests - pruned FROM kinds{own}"  # noqa: S608 - words of ours
        known = connection.execute(sql, (wanted.account,) if own else ()).fetchall()
        self.served = {id: served for id, served, _ in known}
        self.many = {id: many for id, _, many in known}
        self.chosen = [id for id in chosen if id in self.served]

    def totals(self) -> Totals | None:
        """None where more than FEW rows would have to be read."""
        asked = "true" if self.wanted.model is None else _ASKED
        plain = [_Part(1, self.chosen, asked, self.within)]
        ways = [(plain, False), (self._beside_quarters(), True)]
        counted = [(self._rows(parts), parts, whole) for parts, whole in ways if parts is not None]
        rows, parts, whole = min(counted, key=lambda way: way[0])
        if rows > FEW:
            return None
        found = [(one.sign, self._sum(one)) for one in parts]
        if whole:
            found += self._quarters()
        return Totals(*(sum(sign * sums[at] for sign, sums in found) for at in range(4)))

    def _beside_quarters(self) -> list[_Part] | None:
        """What is added to whole quarters, and what is taken off; None where the span has none."""
        model, chosen = self.wanted.model, frozenset(self.chosen)
        if model is None:
            base, of_base = [*self.served], "true"
        else:
            base = [id for id, served in self.served.items() if served in (model, bucket(model))]
            of_base = "served_model = :model"
        parts = [_Part(-1, [id for id in base if id not in chosen], of_base, self.within)]
        if model is not None:
            others = [id for id in chosen if self.served[id] != model]
            parts.append(_Part(1, others, "model = :model AND served_model <> :model", self.within))
        if self.within.bounded:
            first, behind = self._whole()
            if first >= behind:
                return None
            edges = (Within(self.within.first, first * QUARTER_US - 1, True),
                     Within(behind * QUARTER_US, self.within.last, True))  # fmt: skip
            parts += [_Part(1, base, of_base, edge) for edge in edges if edge.first <= edge.last]
        return parts

    def _whole(self) -> tuple[int, int]:
        """The quarters that lie within: the first, and the one behind the last."""
        return quarters(max(self.within.first, 0), max(self.within.last, -1) + 1)

    def _rows(self, parts: list[_Part]) -> int:
        """How many rows these are, as far as that matters."""
        found = 0
        for part in parts:
            many = sum(self.many[id] for id in part.kinds)
            if many > FEW - found and part.within.bounded:
                sql = f"SELECT count(*) FROM (SELECT 1 FROM requests WHERE {_AMONG}{_WITHIN} LIMIT {FEW + 1}) AS few"  # noqa: S608 - as above
                many = self.connection.execute(sql, self._values(part)).fetchone()[0]
            found += many
            if found > FEW:
                break
        return found

    def _values(self, part: _Part) -> dict[str, object]:
        kinds = msgspec.json.encode(part.kinds).decode()
        return {
            "kinds": kinds, "first": part.within.first, "last": part.within.last, "model": self.wanted.model,
        }  # fmt: skip

    def _sum(self, part: _Part) -> tuple[int, ...]:
        within = _WITHIN if part.within.bounded else ""
        sql = f"{_ROWS}{within} AND {part.condition}"
        return _whole_cost(self.connection.execute(sql, self._values(part)).fetchone())

    def _quarters(self) -> list[tuple[int, tuple[int, ...]]]:
        """What whole quarters come to, and what of that is gone."""
        first, behind = self._whole() if self.within.bounded else (0, 0)
        conditions = [
            "account = :account" if self.wanted.account is not None else "",
            "quarter >= :first AND quarter < :behind" if self.within.bounded else "",
            "model = :model" if self.wanted.model is not None else "",
        ]
        where = " AND ".join(filter(None, conditions)) or "true"
        values = {"account": self.wanted.account, "first": first, "behind": behind, "model": self.wanted.model}
        return [
            (sign, _whole_cost(self.connection.execute(f"{_QUARTERS}{table} WHERE {where}", values).fetchone()))
            for sign, table in ((1, "usage_quarters"), (-1, "pruned_quarters"))
        ]


def _whole_cost(row: tuple[int, ...]) -> tuple[int, ...]:
    *tokens, upper, lower = row
    return (*tokens, upper * SPLIT + lower)
