"""Rollups: what ended calls come to, kept beside their rows and written in the same transaction, so that nobody counts
rows.

- `kinds`: every combination of account, key, model asked for and served, channel, mode, status and HTTP status that
  there has been, and how many calls of it there are. Each row points at its own; a filter chooses kinds, and rows are
  read by kind, in the order of their ids or times. A kind's id is a digest of it, so that whoever writes a row knows it
  without asking. Of a call that nobody served, or that went by a caller's own key, the models may be any text: its kind
  has the number of one of BUCKETS in place of each, so that nobody makes kinds without end. `requests` counts every
  call there ever was, `pruned` those whose rows are gone.
- `usage_quarters`: calls, tokens and cost of an account in a quarter of an hour (core/periods.py), by the model that
  served them. Of the cost the digits above and below 10^9 are added up apart, since a sum may pass 64 bits.
"""

import hashlib
import sqlite3
import zlib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from operator import attrgetter

import msgspec

from ftgate.core.audit import Disagreement
from ftgate.core.moments import iso
from ftgate.core.periods import QUARTER_US
from ftgate.ports import BYOK, Row
from ftgate.store.source import Connection

SPLIT = 10**9
"""Units that part a sum of costs into `upper` and `lower`."""
KIND = ("account", "key", "model", "served_model", "channel", "mode", "status", "http_status")
"""What makes a kind."""
SUMS = ("requests", "prompt_tokens", "cached_tokens", "completion_tokens", "cost_upper", "cost_lower")
GROUPED = ("kind", *KIND, "quarter", "by_model", *SUMS)
"""What one group of a batch's calls says, in order."""
_kind_of = attrgetter(*KIND)
_summed = attrgetter("prompt_tokens", "cached_tokens", "completion_tokens", "cost")
BUCKETS = 64
ANY_TEXT = "\x01"
"""With this begins a kind's model that is the number of a bucket: no model that is served has such a name."""

_TABLES = """
CREATE TABLE kinds (
  id INTEGER PRIMARY KEY, account INTEGER NOT NULL, key INTEGER NOT NULL, model TEXT NOT NULL, served_model TEXT NOT
  NULL, channel TEXT NOT NULL, mode TEXT NOT NULL, status TEXT NOT NULL, http_status INTEGER NOT NULL,
  requests INTEGER NOT NULL, pruned INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX kinds_by_account ON kinds(account);
CREATE TABLE usage_quarters (
  account INTEGER NOT NULL, quarter INTEGER NOT NULL, model TEXT NOT NULL, requests INTEGER NOT NULL, prompt_tokens
  INTEGER NOT NULL, cached_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, cost_upper INTEGER NOT NULL,
  cost_lower INTEGER NOT NULL, PRIMARY KEY (account, quarter, model)
) STRICT, WITHOUT ROWID;
"""
OF_ROWS = (
    f"SELECT account, created_at_us / {QUARTER_US} AS quarter, served_model AS model, count(*) AS requests,"  # noqa: S608 - numbers of ours
    " sum(prompt_tokens) AS prompt_tokens, sum(cached_tokens) AS cached_tokens,"
    f" sum(completion_tokens) AS completion_tokens, sum(cost / {SPLIT}) AS cost_upper, sum(cost % {SPLIT})"
    " AS cost_lower FROM requests"
)
"""SQL that rolls rows up as usage_quarters has them; a condition and the grouping are to be added."""
BY_QUARTER = " GROUP BY account, quarter, served_model"
MIGRATION = f"""{_TABLES}
INSERT INTO usage_quarters {OF_ROWS}{BY_QUARTER};
UPDATE requests SET kind = kind_id({", ".join(KIND)});
INSERT INTO kinds (id, {", ".join(KIND)}, requests) SELECT kind, account, key, bucketed(model, served_model, mode),
  bucketed(served_model, served_model, mode), channel, mode, status, http_status, count(*) FROM requests GROUP BY kind;
DROP INDEX requests_by_account;
CREATE INDEX requests_by_kind ON requests(kind);
CREATE INDEX requests_by_time ON requests(kind, created_at_us);
"""  # noqa: S608 - words of ours
"""What the migration that brings rollups does; requests.kind is there already."""

ANEW = f"""
UPDATE requests SET kind = kind_id({", ".join(KIND)}) WHERE kind <> kind_id({", ".join(KIND)});
DELETE FROM kinds;
INSERT INTO kinds (id, {", ".join(KIND)}, requests) SELECT kind, account, key, bucketed(model, served_model, mode),
  bucketed(served_model, served_model, mode), channel, mode, status, http_status, count(*) FROM requests GROUP BY kind;
DROP INDEX IF EXISTS requests_by_kind;
DROP INDEX IF EXISTS requests_by_time;
CREATE INDEX requests_by_kind ON requests(kind);
CREATE INDEX requests_by_time ON requests(kind, created_at_us);
"""  # noqa: S608 - words of ours
"""Kinds made anew of the rows, none of which is gone yet: versions with the schemas 8 and 9 had other ones, before
names of any text shared buckets."""


@lru_cache(maxsize=4096)
def bucket(model: str) -> str:
    """What stands for a model's name that may be any text; none stays none."""
    return f"{ANY_TEXT}{zlib.crc32(model.encode(errors='surrogatepass')) % BUCKETS}" if model else ""


def kind_with(
    account: int, key: int, model: str, served_model: str, channel: str, mode: str, status: str, http_status: int
) -> tuple[object, ...]:
    """The kind of a call with these (KIND)."""
    if mode == BYOK or not served_model:
        model, served_model = bucket(model), bucket(served_model)
    return account, key, model, served_model, channel, mode, status, http_status


@lru_cache(maxsize=4096)
def kind_id(*kind: object) -> int:
    """The id of a kind: 63 bits of a digest, so that no two of a million are likely to share one."""
    digest = hashlib.blake2b(msgspec.json.encode(kind), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def know_kinds(connection: sqlite3.Connection) -> None:
    """Give the migration's SQL the ids of kinds."""
    connection.create_function("kind_id", len(KIND), lambda *row: kind_id(*kind_with(*row)), deterministic=True)
    connection.create_function("bucketed", 3, _bucketed, deterministic=True)


def _bucketed(name: str, served_model: str, mode: str) -> str:
    return bucket(name) if mode == BYOK or not served_model else name


def grouped(rows: Iterable[Row]) -> list[tuple[object, ...]]:
    """A batch's calls, added up by kind, quarter and the model that served: each as GROUPED says. Every row learns its
    kind."""
    found: dict[tuple[int, int, str], tuple[tuple[object, ...], list[Row]]] = {}
    for row in rows:
        kind = _kind_of(row)
        if row.mode == BYOK or not row.served_model:
            kind = kind_with(*kind)
        row.kind = id = kind_id(*kind)
        place = (id, row.created_at_us // QUARTER_US, row.served_model)
        group = found.get(place)
        if group is None:
            found[place] = kind, [row]
        else:
            group[1].append(row)
    return [(id, *kind, quarter, model, *_sums(alike)) for (id, quarter, model), (kind, alike) in found.items()]


def _sums(rows: list[Row]) -> tuple[int, ...]:
    """SUMS."""
    prompt, cached, completion, costs = zip(*map(_summed, rows), strict=True)
    uppers, lowers = zip(*[divmod(cost, SPLIT) for cost in costs], strict=True)
    return len(rows), *map(sum, (prompt, cached, completion, uppers, lowers))


def _read(names: Iterable[str]) -> str:
    return ", ".join(f"json_extract(row, '$[{GROUPED.index(name)}]')" for name in names)


def written(source: str) -> str:
    """SQL that adds a JSON list of groups to the rollups."""
    rows = f"(SELECT value AS row FROM json_each({source}) LIMIT -1) WHERE true"  # noqa: S608 - names of ours
    quarters = ("account", "quarter", "by_model", *SUMS)
    added = ", ".join(f"{name} = {name} + excluded.{name}" for name in SUMS)
    return (
        f"INSERT INTO kinds (id, {', '.join(KIND)}, requests) SELECT {_read(('kind', *KIND, 'requests'))} FROM {rows}"  # noqa: S608 - as above
        " ON CONFLICT (id) DO UPDATE SET requests = requests + excluded.requests;\n"
        f"INSERT INTO usage_quarters SELECT {_read(quarters)} FROM {rows}"
        f" ON CONFLICT (account, quarter, model) DO UPDATE SET {added};\n"
    )


# Verified

Kinds = Mapping[int, tuple[object, ...]]
"""A kind's id -> what makes it, how many calls it has had, and how many of their rows are gone."""
Quarters = Mapping[tuple[int, int, str], tuple[int, ...]]
"""Account, quarter and model -> requests, tokens as SUMS names them, and the whole cost."""
_NEXT = "SELECT max(id) FROM (SELECT id FROM requests WHERE id > ? AND id <= ? ORDER BY id LIMIT ?) AS page"
_PAGE = 20_000
_WITHIN = " WHERE id > ? AND id <= ?"


def kinds_in(connection: Connection) -> Kinds:
    rows = connection.execute(f"SELECT id, {', '.join(KIND)}, requests, pruned FROM kinds")  # noqa: S608 - names of ours
    return {id: tuple(rest) for id, *rest in rows}


def quarters_in(connection: Connection, table: str = "usage_quarters") -> Quarters:
    sums = connection.execute(f"SELECT account, quarter, model, {', '.join(SUMS)} FROM {table}")  # noqa: S608 - as above
    return {(account, quarter, model): _whole(rest) for account, quarter, model, *rest in sums}


def _whole(sums: Iterable[int]) -> tuple[int, ...]:
    *counts, upper, lower = sums
    return (*counts, upper * SPLIT + lower)


def gone_in(connection: Connection) -> Quarters:
    """What came to the quarters by calls whose rows are gone (store/pruning.py)."""
    return quarters_in(connection, "pruned_quarters")


def compare(connection: Connection, kinds: Kinds, quarters: Quarters, gone: Quarters, last: int) -> None:
    """The rollups against the rows up to `last` and what is `gone`, all of one moment. A database from before there
    were kinds has none. Raises Disagreement.

    Rows may go while this is read: each of them then was met here, or is among what is gone at the end, or both. So
    what is remembered is at least what was met and gone at the beginning, and at most what was met and is gone at the
    end; where no row has gone meanwhile these are one."""
    counted: dict[int, int] = dict.fromkeys(kinds, 0)
    found: dict[tuple[int, int, str], tuple[int, ...]] = {}
    of_kinds = f"SELECT kind, {', '.join(KIND)}, count(*), max(request_id) FROM requests{_WITHIN}"  # noqa: S608 - as above
    of_kinds += f" GROUP BY kind, {', '.join(KIND)}"
    of_quarters = OF_ROWS + _WITHIN + BY_QUARTER
    after = 0
    while after < last:
        until = connection.execute(_NEXT, (after, last, _PAGE)).fetchone()[0] or last
        for id, *said, many, ref in connection.execute(of_kinds, (after, until)):
            kind = kind_with(*said)
            if id in counted and id == kind_id(*kind) and kinds[id][: len(KIND)] == kind:
                counted[id] += many
            elif id or kinds:
                raise Disagreement(f"request {ref}: its row is of another kind than it says")
        for account, quarter, model, *sums in connection.execute(of_quarters, (after, until)):
            place = account, quarter, model
            before = found.get(place)
            whole = _whole(sums)
            found[place] = whole if before is None else tuple(a + b for a, b in zip(before, whole, strict=True))
        after = until
    pruned = {id: int(str(now)) for id, (*_, now) in kinds_in(connection).items()}
    for id, (*said, requests, then) in kinds.items():
        without = int(str(requests)) - counted[id]
        if not int(str(then)) <= without <= pruned.get(id, 0):
            raise Disagreement(
                f"account {said[0]}: {requests} requests are remembered of the kind {id}, {said[6]} {said[7]}, and"
                f" {counted[id]} have a row" + (f" beside {then} that are gone" if then else "")
            )
    _same(quarters, found, gone, gone_in(connection))


def _same(quarters: Quarters, found: Quarters, before: Quarters, after: Quarters) -> None:
    nothing = (0,) * (len(SUMS) - 1)
    for place in sorted(quarters.keys() | found.keys() | before.keys()):
        said, rows = quarters.get(place, nothing), found.get(place, nothing)
        gone, by_now = before.get(place, nothing), after.get(place, nothing)
        if all(low <= one - row <= high for one, row, low, high in zip(said, rows, gone, by_now, strict=True)):
            continue
        rows = tuple(row + low for row, low in zip(rows, gone, strict=True))
        account, quarter, model = place
        raise Disagreement(
            f"account {account}: the sums of {model or 'no model'} in the quarter hour from {iso(quarter * QUARTER_US)}"
            f" are remembered as {said}; its requests say {rows}"
        )
