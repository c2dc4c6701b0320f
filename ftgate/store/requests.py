"""Reading what was remembered: requests, statistics, entries, and the verification of the ledger.

Every read is short and on a read-only connection of its own, so that no reader keeps the write-ahead log from being
folded back. A verification reads one moment (the last entry's and the last request's id and all balances) in one short
transaction and then pages through the entries and the requests up to it, which never change.
"""

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from ftgate.core.audit import Audit, Disagreement, State
from ftgate.core.moments import iso
from ftgate.core.money import format_usd
from ftgate.store import writer as db
from ftgate.store.writer import reader

PAGE = 20_000
"""Entries or requests in one read of a verification: some tens of milliseconds."""
_SPLIT = 10**9


def verify(path: Path) -> dict[str, object]:
    """Recompute every balance from the first entry on, and look at every checkpoint on the way. {"ok", "accounts",
    "entries", "open_holds"}, and "disagreement" where not ok."""
    connection = reader(path)
    audit = Audit()
    try:
        connection.execute("BEGIN")
        last = connection.execute("SELECT coalesce(max(id), 0) FROM entries").fetchone()[0]
        last_request = _last_request(connection)
        balances = {
            row[0]: (row[1], row[2], row[3])
            for row in connection.execute("SELECT account, posted, held, used FROM balances")
        }
        spent = dict(connection.execute("SELECT key, used FROM spent"))
        checkpoints = connection.execute(
            "SELECT last_id, id, CAST(state AS BLOB) FROM checkpoints ORDER BY last_id, id"
        ).fetchall()
        connection.execute("COMMIT")
        _read_all(connection, audit, last, checkpoints)
        audit.finish(balances, spent)
        compare_requests(connection, audit, last_request)
    except Disagreement as found:
        return {
            "ok": False,
            "accounts": len(audit.posted),
            "entries": audit.entries,
            "open_holds": len(audit.open),
            "disagreement": str(found),
        }
    finally:
        connection.close()
    return {"ok": True, "accounts": len(balances), "entries": audit.entries, "open_holds": len(audit.open)}


def _read_all(
    connection: sqlite3.Connection, audit: Audit, last: int, checkpoints: list[tuple[int, int, bytes]]
) -> None:
    """Read to the entry `last`; where a checkpoint (its entry, its id, its state) stands, it must say what this reading
    says."""
    for stop, id, state in [*checkpoints, (last, None, b"")]:
        while audit.last_id < stop and (page := db.entries(connection, audit.last_id, min(stop, last), PAGE)):
            for entry in page:
                audit.note(entry)
        if id is not None and not (audit.last_id == stop and _says(state, audit)):
            raise Disagreement(
                f"checkpoint {id}, which stands at entry {stop}, does not say what the entries up to there say"
            )


def _says(state: bytes, audit: Audit) -> bool:
    try:
        return msgspec.json.decode(state, type=State) == audit.state()
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False


def _last_request(connection: sqlite3.Connection) -> int:
    found: int = connection.execute("SELECT coalesce(max(id), 0) FROM requests").fetchone()[0]
    return found


def compare_requests(connection: sqlite3.Connection, audit: Audit, last: int | None = None, *, pruned: int = 0) -> None:
    """The requests up to the row `last` (by default the newest) against the entries up to where `audit` stands, both of
    one moment. A row with a hold is the row of that hold's call: its account, key, id and what its end charged and
    lost. A row without one cost nothing. Every post and void has its row, but for holds up to `pruned`, whose rows may
    be gone; an expire has none. Raises Disagreement.

    No hold has two rows: each must carry its hold's ref, and no two rows carry the same id. So where there are as many
    rows with a hold as calls that ended, no row is missing either."""
    last = _last_request(connection) if last is None else last
    rows = after = 0
    while after < last:
        until = _next(connection, "SELECT id FROM requests WHERE id > ? AND id <= ? ORDER BY id LIMIT ?", after, last)
        if (row := connection.execute(_UNEQUAL, (after, until)).fetchone()) is not None:
            raise Disagreement(f"request {row[0]}: {_unequal(*row[1:])}")
        rows += connection.execute(_WITH_HOLD, (after, until, pruned)).fetchone()[0]
        after = until
    ended, after = 0, pruned
    while after < audit.last_id:
        until = min(after + PAGE, audit.last_id)
        ended += connection.execute(_ENDED, (after, until, pruned)).fetchone()[0]
        after = until
    if rows != ended:
        raise Disagreement(
            _missing(connection, pruned, audit.last_id) or f"{rows} requests have a hold and {ended} calls have ended"
        )


def _next(connection: sqlite3.Connection, page: str, *between: int) -> int:
    """The last id of the next page; where there is none, the end of all."""
    ids = connection.execute(page, (*between, PAGE)).fetchall()
    return int(ids[-1][0]) if ids else between[-1]


_UNEQUAL = """
SELECT * FROM (
  SELECT r.request_id, r.hold, r.account, r.key, r.cost, r.lost, h.account AS of_account, h.key AS of_key, h.ref,
    e.kind,
    e.amount + coalesce((SELECT sum(amount) FROM entries p
      WHERE p.hold = r.hold AND p.kind IN ('overrun', 'loss') AND p.kind = 'overrun'), 0) AS charged,
    coalesce((SELECT sum(amount) FROM entries p
      WHERE p.hold = r.hold AND p.kind IN ('overrun', 'loss') AND p.kind = 'loss'), 0) AS given_up
  FROM requests r LEFT JOIN entries h ON h.id = r.hold AND h.kind = 'hold'
    LEFT JOIN entries e ON e.hold = r.hold AND e.kind IN ('post', 'void', 'expire')
  WHERE r.id > ?1 AND r.id <= ?2 AND r.hold <> 0
  UNION ALL
  SELECT request_id, 0, account, key, cost, lost, account, key, request_id, 'none', 0, 0 FROM requests
  WHERE id > ?1 AND id <= ?2 AND hold = 0 AND (cost <> 0 OR lost <> 0)
) WHERE kind IS NULL OR kind = 'expire' OR ref IS NOT request_id OR of_account IS NOT account OR of_key IS NOT key
  OR cost <> charged OR lost <> given_up LIMIT 1"""


def _unequal(
    hold: int, account: int, key: int, cost: int, lost: int, of_account: int | None, of_key: int | None,
    ref: str | None, kind: str | None,
    charged: int, given_up: int,
) -> str:  # fmt: skip
    """What is wrong with a request's row, in words."""
    if not hold:
        return f"its row has no hold and says a cost, lost = {(cost, lost)}"
    if ref is None:
        return f"its row points at hold {hold}, which is not there"
    if kind is None:
        return f"its row points at hold {hold}, which has not ended"
    if kind == "expire":
        return f"its row points at hold {hold}, which expired: no call of it came to an end"
    if (account, key) != (of_account, of_key):
        return f"its row says account {account} and key {key}, its hold {hold} account {of_account} and key {of_key}"
    if (cost, lost) != (charged, given_up):
        return f"its row says a cost, lost = {(cost, lost)}, its entries say {(charged, given_up)}"
    return f"its row points at hold {hold}, which is of request {ref}"


_WITH_HOLD = "SELECT count(*) FROM requests WHERE id > ? AND id <= ? AND hold > ?"
_ENDED = "SELECT count(*) FROM entries WHERE id > ? AND id <= ? AND hold > ? AND kind IN ('post', 'void')"
_WITHOUT_ROW = (
    "SELECT id, kind, hold, ref FROM entries e WHERE id > ? AND id <= ? AND hold > ? AND kind IN ('post', 'void')"
    " AND NOT EXISTS (SELECT 1 FROM requests r WHERE r.request_id = e.ref AND r.hold = e.hold) ORDER BY id LIMIT 1"
)


def _missing(connection: sqlite3.Connection, pruned: int, last: int) -> str | None:
    """The first post or void that should have a row and has none, in words."""
    after = pruned
    while after < last:
        until = min(after + PAGE, last)
        if (found := connection.execute(_WITHOUT_ROW, (after, until, pruned)).fetchone()) is not None:
            id, kind, hold, ref = found
            return f"entry {id}: the {kind} of hold {hold} has no row of request {ref}"
        after = until
    return None


def has_user(path: Path, username: str) -> bool:
    if not username.isascii():  # no name is anything else, and a byte that is not UTF-8 cannot be asked for
        return False
    connection = reader(path)
    try:
        return (
            connection.execute("SELECT 1 FROM users WHERE username = ? COLLATE NOCASE", (username,)).fetchone()
            is not None
        )
    finally:
        connection.close()


def entries(path: Path, *, username: str | None, limit: int) -> list[dict[str, object]]:
    """The latest entries, newest first, for a person to read."""
    connection = reader(path)
    try:
        return [_entry(row) for row in connection.execute(*_entries_of(username, "ORDER BY e.id DESC LIMIT ?", limit))]
    finally:
        connection.close()


def all_entries(path: Path, *, username: str | None) -> Iterator[dict[str, object]]:
    """Every entry, oldest first, in short reads: what is written while it runs comes at the end."""
    after = 0
    while True:
        connection = reader(path)
        try:
            rows = connection.execute(
                *_entries_of(username, "AND e.id > ? ORDER BY e.id LIMIT ?", after, PAGE)
            ).fetchall()
        finally:
            connection.close()
        if not rows:
            return
        for row in rows:
            yield _entry(row)
        after = rows[-1][0]


def _entries_of(username: str | None, rest: str, *values: object) -> tuple[str, tuple[object, ...]]:
    chosen = "u.username = ? COLLATE NOCASE" if username is not None else "?1 IS NULL"
    columns = (
        "e.id, e.at_us, e.kind, coalesce(u.username, ''), e.debit, e.credit, e.amount, e.hold, e.ref, e.note, e.key"
    )
    sql = f"SELECT {columns} FROM entries e LEFT JOIN users u ON u.id = e.account WHERE {chosen} {rest}"  # noqa: S608 - words of ours
    return sql, (username, *values)


def _entry(row: tuple[Any, ...]) -> dict[str, object]:
    id, at_us, kind, user, debit, credit, amount, hold, ref, note, key = row
    return {
        "id": id, "at": iso(at_us), "kind": kind, "user": user, "debit": debit, "credit": credit,
        "amount": format_usd(amount),
        "hold": hold or None, "ref": ref, "note": note, "key": str(key) if key else None,
    }  # fmt: skip


class Filter:
    """Which requests to list; None is any. Times in microseconds since 1970."""

    def __init__(
        self,
        *,
        account: int | None = None,
        model: str | None = None,
        status: str | None = None,
        from_us: int | None = None,
        to_us: int | None = None,
    ) -> None:
        self.conditions: list[str] = []
        self.values: list[object] = []
        for condition, value in (
            ("account = ?", account),
            ("created_at_us >= ?", from_us),
            ("created_at_us < ?", to_us),
        ):
            if value is not None:
                self._add(condition, value)
        if model is not None:
            self._add("(model = ? OR served_model = ?)", model, model)
        if status is not None and re.fullmatch(r"[0-9]{3}", status):
            self._add("http_status = ?", int(status))
        elif status is not None:
            self._add("status = ?", status)

    def _add(self, condition: str, *values: object) -> None:
        self.conditions.append(condition)
        self.values += values

    @property
    def where(self) -> str:
        return " WHERE " + " AND ".join(self.conditions) if self.conditions else ""


_SHOWN = (
    "request_id, created_at_us, model, served_model, provider, status, http_status, error_code, mode, prompt_tokens, "
    "cached_tokens,"
    " completion_tokens, cost, estimated, latency_ms, first_token_ms, attempts, stream, account, key"
)


def page(path: Path, chosen: Filter, *, page: int, page_size: int) -> dict[str, object]:
    """One page of requests, newest first, as GET /v1/user/logs shows it."""
    connection = reader(path)
    try:
        total = connection.execute(f"SELECT count(*) FROM requests{chosen.where}", chosen.values).fetchone()[0]  # noqa: S608
        rows = connection.execute(
            f"SELECT {_SHOWN} FROM requests{chosen.where} ORDER BY id DESC LIMIT ? OFFSET ?",  # noqa: S608 - conditions of ours, values bound
            (*chosen.values, page_size, (page - 1) * page_size),
        ).fetchall()
    finally:
        connection.close()
    return {"data": [_shown(row) for row in rows], "page": page, "page_size": page_size, "total": total}


def _shown(row: tuple[object, ...]) -> dict[str, object]:
    said = dict(zip((name.strip() for name in _SHOWN.split(",")), row, strict=True))
    said["created_at"] = iso(int(str(said.pop("created_at_us"))))
    said["cost"] = format_usd(int(str(said["cost"])))
    said["estimated"] = bool(said["estimated"])
    said["stream"] = bool(said["stream"])
    said["account"], said["key"] = str(said["account"]), str(said["key"])
    return said


def stats(path: Path, chosen: Filter) -> dict[str, object]:
    """Sums over the chosen requests, in all and by model."""
    connection = reader(path)
    # A sum of costs may pass 64 bits (nine million dollars): its upper and its lower digits are added up apart.
    sums = (
        f"count(*), coalesce(sum(prompt_tokens), 0), coalesce(sum(completion_tokens), 0),"
        f" coalesce(sum(cost / {_SPLIT}), 0), coalesce(sum(cost % {_SPLIT}), 0)"
    )
    try:
        whole = connection.execute(f"SELECT {sums} FROM requests{chosen.where}", chosen.values).fetchone()  # noqa: S608
        models = connection.execute(
            f"SELECT served_model, {sums} FROM requests{chosen.where} GROUP BY served_model",  # noqa: S608
            chosen.values,
        ).fetchall()
        failed = connection.execute(
            f"SELECT count(*) FROM requests{chosen.where}{' AND' if chosen.where else ' WHERE'} status <> 'ok'",  # noqa: S608
            chosen.values,
        ).fetchone()[0]
    finally:
        connection.close()
    models.sort(key=lambda row: row[4] * _SPLIT + row[5], reverse=True)
    named = [{"model": row[0] or "(none)", **_sums(row[1:])} for row in models]
    return {**_sums(whole), "failed": failed, "models": named}


def _sums(row: tuple[int, int, int, int, int]) -> dict[str, object]:
    return {
        "requests": row[0],
        "prompt_tokens": row[1],
        "completion_tokens": row[2],
        "cost": format_usd(row[3] * _SPLIT + row[4]),
    }
