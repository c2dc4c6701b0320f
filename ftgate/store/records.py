"""What was written down and never changes, read in pages, newest first: the audit and the entries of the ledger; and
the ledger as a whole, exported and verified (ports.managing.Records).

Ids count from 1 without a gap (entries: the auditor holds that; the audit: nothing is ever taken out), so the newest
one says how many rows there are, and any page of all rows is found by its ids. What a filter chooses is found by an
index. How many it chooses in all is counted once: rows never change, so a later count goes on from where the one before
stood.
"""

import time
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import msgspec
import trio

from ftgate.core.logged import cell
from ftgate.core.moments import iso
from ftgate.core.money import format_usd
from ftgate.errors import Conflict
from ftgate.ports.managing import Acts, Moves, Verification
from ftgate.ports.site import Rows
from ftgate.store.database import read_only
from ftgate.store.schema import show_newest
from ftgate.store.source import Connection, Source
from ftgate.store.verify import verify_ledger

PIECE = 500
"""Entries in one piece of an export: some milliseconds of reading."""
KEPT = 1000
"""Counts that are remembered."""
COMMON = ("hold", "post")
"""The kinds that most entries are of: no index finds them, and none is needed."""
ENTRY = ("id", "at", "kind", "user", "debit", "credit", "amount", "hold", "ref", "note", "key")

_OF_REF = """id IN (
  WITH own (id) AS (
    SELECT id FROM entries WHERE kind IN ('hold', 'grant', 'topup', 'refund', 'correct') AND ref = ?)
  SELECT id FROM own
  UNION ALL SELECT id FROM entries WHERE kind IN ('post', 'void', 'expire') AND hold IN (SELECT id FROM own)
  UNION ALL SELECT id FROM entries WHERE kind IN ('overrun', 'loss') AND hold IN (SELECT id FROM own))"""
"""The entries of a ref: what moved credits under it; or a call's hold, and what points at that."""

Choice = tuple[str, tuple[object, ...]]
"""Conditions of SQL, and their values."""
Counts = dict[tuple[str, Choice], tuple[int, int]]
"""A table and what is chosen of it -> up to which id it was counted, and how many there were."""


class _Kept(NamedTuple):
    """A table of such rows, what is read of it, and how a row is shown."""

    table: str
    columns: str
    shown: Callable[..., dict[str, object]]


def _act(
    id: int, at_us: int, actor: int | None, actor_name: str, via: str, address: str, action: str, target: str,
    before: str, after: str, request_id: str,
) -> dict[str, object]:  # fmt: skip
    return {
        "id": str(id), "at": iso(at_us), "actor": None if actor is None else str(actor), "actor_name": actor_name,
        "via": via, "address": address, "action": action, "target": target, "before": _json(before),
        "after": _json(after), "request_id": request_id,
    }  # fmt: skip


def _json(text: str) -> object:
    return msgspec.json.decode(text) if text else None


def _move(
    id: int, at_us: int, kind: str, account: int, debit: str, credit: str, amount: int, hold: int, ref: str, note: str,
    key: int,
) -> dict[str, object]:  # fmt: skip
    return {
        "id": str(id), "at": iso(at_us), "kind": kind, "user": str(account), "debit": debit, "credit": credit,
        "amount": format_usd(amount), "hold": str(hold) if hold else None, "ref": ref, "note": note,
        "key": str(key) if key else None,
    }  # fmt: skip


_AUDIT = _Kept(
    "audit", "id, at_us, actor, actor_name, via, address, action, target, before, after, request_id", _act
)  # fmt: skip
_ENTRIES = _Kept("entries", "id, at_us, kind, account, debit, credit, amount, hold, ref, note, key", _move)


def _acts(wanted: Acts) -> Choice:
    return _all(
        (" actor = ?", wanted.actor), (" actor_name = ? COLLATE NOCASE", wanted.actor_name),
        (" action = ?", wanted.action), (" target = ?", wanted.target),
    )  # fmt: skip


def _moves(wanted: Moves) -> Choice:
    """A seldom kind has an index of its own (0009_records), by which it is found also where an account is named."""
    seldom = wanted.kind is not None and wanted.kind not in COMMON
    return _all(
        (" +account = ?" if seldom else " account = ?", wanted.account),
        (f" kind = ?{f' AND kind NOT IN {COMMON}' if seldom else ''}", wanted.kind), (f" {_OF_REF}", wanted.ref),
    )  # fmt: skip


def _all(*conditions: tuple[str, object]) -> Choice:
    given = [(sql, value) for sql, value in conditions if value is not None]
    return " AND".join(sql for sql, _ in given), tuple(value for _, value in given)


def _page(
    source: Source, kept: _Kept, chosen: Choice, counts: Counts, *, after: int | None, skipped: int, size: int
) -> Rows:  # fmt: skip
    """A page: the rows behind the id `after`, or behind the first `skipped`. Raises sqlite3.Error."""
    connection = read_only(source)
    try:
        show_newest(connection)
        connection.execute("BEGIN")
        newest: int = connection.execute(f"SELECT coalesce(max(id), 0) FROM {kept.table}").fetchone()[0]  # noqa: S608 - names of ours
        total = _total(connection, kept.table, chosen, counts, newest)
        if after is None and skipped >= total:
            return [], total, None
        behind = newest + 1 if after is None else max(0, min(after, newest + 1))
        where, values = chosen
        if not where:
            where, behind, skipped = " true", behind - skipped, 0
        found = connection.execute(
            f"SELECT {kept.columns} FROM {kept.table} WHERE id IN (SELECT id FROM {kept.table} WHERE{where} AND id < ?"  # noqa: S608 - words of ours, values bound
            " ORDER BY id DESC LIMIT ? OFFSET ?) ORDER BY id DESC",
            (*values, behind, size + 1, skipped),
        ).fetchall()
    finally:
        connection.close()
    return [kept.shown(*row) for row in found[:size]], total, found[size - 1][0] if len(found) > size else None


def _total(connection: Connection, table: str, chosen: Choice, counts: Counts, newest: int) -> int:
    """How many rows are chosen, up to the newest."""
    where, values = chosen
    if not where:
        return newest
    upto, known = counts.get((table, chosen), (0, 0))
    if upto < newest:
        sql = f"SELECT count(*) FROM {table} WHERE{where} AND id > ? AND id <= ?"  # noqa: S608 - words of ours, values bound
        known += connection.execute(sql, (*values, upto, newest)).fetchone()[0]
        if len(counts) >= KEPT:
            counts.clear()
        counts[table, chosen] = newest, known
    return known


def latest_acts(source: Source, limit: int) -> dict[str, object]:
    """The newest rows of the audit, for a person to read, as the operator's first page. Raises sqlite3.Error."""
    rows, total, _ = _page(source, _AUDIT, _acts(Acts()), {}, after=None, skipped=0, size=limit)
    return {"data": rows, "page": 1, "page_size": limit, "total": total, "next": None}


class StoredRecords:
    """ports.managing.Records, read in worker threads by short connections of their own: the writer is not
    disturbed."""

    def __init__(self, database: Source) -> None:
        self.database = database
        self._counts: Counts = {}
        self._verification: Verification | None = None

    async def acts(self, wanted: Acts, *, after: int | None, skipped: int, size: int) -> Rows:
        """As ports.managing.Records says."""
        return await self._page(_AUDIT, _acts(wanted), after=after, skipped=skipped, size=size)

    async def entries(self, wanted: Moves, *, after: int | None, skipped: int, size: int) -> Rows:
        """As ports.managing.Records says."""
        return await self._page(_ENTRIES, _moves(wanted), after=after, skipped=skipped, size=size)

    async def _page(self, kept: _Kept, chosen: Choice, **place: Any) -> Rows:
        return await trio.to_thread.run_sync(partial(_page, self.database, kept, chosen, self._counts, **place))

    async def export(self, account: int | None, form: str) -> AsyncIterator[bytes]:
        """As ports.managing.Records says. No read lasts longer than one piece, so that a slow reader keeps nothing
        open."""
        newest = await trio.to_thread.run_sync(self._newest)
        yield f"{','.join(ENTRY)}\r\n".encode() if form == "csv" else b""
        behind: int | None = 0
        while behind is not None:
            lines, behind = await trio.to_thread.run_sync(partial(self._piece, account, form, behind, newest))
            yield lines

    def _newest(self) -> int:
        connection = read_only(self.database)
        try:
            return int(connection.execute("SELECT coalesce(max(id), 0) FROM entries").fetchone()[0])
        finally:
            connection.close()

    def _piece(self, account: int | None, form: str, behind: int, newest: int) -> tuple[bytes, int | None]:
        """The next entries, oldest first, up to the newest one, as they are sent; where the last of them stands, None
        where no more follow."""
        where, values = _moves(Moves(account)) if account is not None else (" true", ())
        connection = read_only(self.database)
        try:
            sql = f"SELECT {_ENTRIES.columns} FROM entries WHERE{where} AND id > ? AND id <= ? ORDER BY id LIMIT ?"  # noqa: S608 - words of ours, values bound
            found = connection.execute(sql, (*values, behind, newest, PIECE)).fetchall()
        finally:
            connection.close()
        return b"".join([_line(_move(*row), form) for row in found]), found[-1][0] if len(found) == PIECE else None

    async def verify(self) -> Mapping[str, object]:
        """As ports.managing.Records says."""
        begun = self._begin()
        return await trio.to_thread.run_sync(self._verify, begun)

    def begin_verify(self) -> None:
        """As ports.managing.Records says. The thread ends with the process: it only reads."""
        begun = self._begin()
        trio.lowlevel.start_thread_soon(partial(self._verify, begun), lambda outcome: None, "verify")

    def verification(self) -> Verification | None:
        """As ports.managing.Records says."""
        return self._verification

    def _begin(self) -> Verification:
        """Raises Conflict while another one runs."""
        if self._verification is not None and self._verification.ended_us is None:
            raise Conflict("the ledger is being verified already: wait for that", code="already_running")
        self._verification = Verification(time.time_ns() // 1000)
        return self._verification

    def _verify(self, begun: Verification) -> Mapping[str, object]:
        """In a thread. Raises sqlite3.Error."""

        def told(done: int, whole: int) -> None:
            begun.done, begun.whole = done, whole

        try:
            begun.said = verify_ledger(self.database, told)
            return begun.said
        except BaseException as error:
            begun.failed = str(error) or type(error).__name__
            raise
        finally:
            begun.ended_us = time.time_ns() // 1000


def _line(row: Mapping[str, object], form: str) -> bytes:
    if form == "json":
        return msgspec.json.encode(row) + b"\n"
    return (",".join([cell(row[name]) for name in ENTRY]) + "\r\n").encode(errors="replace")
