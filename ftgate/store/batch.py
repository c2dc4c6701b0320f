"""Batches: what goes into the database together.

A *batch* is what about one turn of the event loop changed, and doubles as the ticket: whoever wants its part to be
durable waits for the batch. It is sealed (put into the form in which it is written) in the thread that made it, may be
joined with others, and goes in whole or not at all, nearly always by one statement (store/inbox.py). Its mark goes in
with it: a batch whose commit reported an error can so be looked for, and it is never written twice.
"""

import logging
import secrets
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import chain, count
from typing import Any

import msgspec
import trio
from msgspec.structs import astuple

from ftgate.core.books import Balance, Entry, Quota
from ftgate.ports import Row
from ftgate.store.inbox import SMALLEST, Sealed, row_values, statements
from ftgate.store.rollups import grouped

log = logging.getLogger("ftgate.store")

_MONTH_SQL = (
    "INSERT INTO byok_months (account, month, tokens) VALUES (?, ?, ?)"
    " ON CONFLICT (account, month) DO UPDATE SET tokens = byok_months.tokens + excluded.tokens"
)
_json = msgspec.json.Encoder()
_marks = count(secrets.randbits(62))  # from a random one on, so that none is met that another process has left


class Batch:
    """Changes that go into a commit together. `balances` and `spent` keep the last value of each account and key.
    `mark` is written with them, so that the database can be asked whether this batch is the last one in it."""

    __slots__ = (
        "balances", "done", "entries", "event", "mark", "patient", "rows", "sealed", "spent", "statements", "undone",
    )  # fmt: skip

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.rows: list[Row] = []
        self.balances: dict[int, tuple[int, int, int, int]] = {}
        self.spent: dict[int, tuple[int, int]] = {}
        self.statements: list[tuple[str, Sequence[Any]]] = []
        self.done = False
        self.undone = False  # it is not in and never will be (store.postgres.lane)
        self.event: trio.Event | None = None
        self.patient: dict[
            trio.lowlevel.Task, float
        ] = {}  # who waits for a limited time, and until when (time.monotonic)
        self.mark = next(_marks)
        self.sealed: Sealed | None = None

    def __repr__(self) -> str:
        state = "written" if self.done else "sealed" if self.sealed else "filling"
        return (
            f"<Batch {state}: {len(self.entries)} entries, {len(self.rows)} rows, {len(self.statements)} statements, "
            f"{len(self.patient)} wait with a limit>"
        )

    @property
    def over(self) -> bool:
        """It is in, or never will be."""
        return self.done or self.undone

    def remember(self, entries: tuple[Entry, ...], balance: Balance, quota: Quota | None = None) -> None:
        """Entries and the balances they lead to: they reach the database together or not at all."""
        self.entries.extend(entries)
        self.balances[balance.account] = (balance.account, balance.posted, balance.held, balance.used)
        if quota is not None:
            self.spent[quota.key] = (quota.key, quota.used)

    def count_month(self, account: int, month: str, tokens: int) -> None:
        """Tokens that BYOK calls have used: they reach the database together with the row that says so."""
        self.statements.append((_MONTH_SQL, (account, month, tokens)))

    def size(self) -> int:
        return len(self.entries) + len(self.rows) + len(self.statements)

    def seal(self) -> None:
        """Put the changes into the form in which they are written: in the thread that made them, since the other one
        would hold that up for it, and for longer."""
        sums = grouped(self.rows)  # first: it tells each row its kind
        self.sealed = Sealed(
            mark=self.mark, balances=_listed(self.balances.values()), spent=_listed(self.spent.values()),
            sums=_listed(sums), entries=list(map(astuple, self.entries)), rows=list(map(row_values, self.rows)),
        )  # fmt: skip


def joined(batches: list[Batch]) -> Batch:
    """Sealed batches as one, in their order, to go into one commit. All their statements come first there: none may
    depend on an entry or a balance of the same commit."""
    parts = [batch.sealed for batch in batches if batch.sealed is not None]
    assert parts and len(parts) == len(batches), batches
    if len(batches) == 1:
        return batches[0]
    whole = Batch()
    whole.statements = [statement for batch in batches for statement in batch.statements]
    whole.sealed = Sealed(
        mark=whole.mark,
        balances=_one_list(part.balances for part in parts),
        spent=_one_list(part.spent for part in parts),
        sums=_one_list(part.sums for part in parts),
        entries=list(chain.from_iterable(part.entries for part in parts)),
        rows=list(chain.from_iterable(part.rows for part in parts)),
    )
    return whole


def _one_list(texts: Iterable[str]) -> str:
    """JSON lists as one."""
    return f"[{','.join([text[1:-1] for text in texts if text != '[]'])}]"


def _listed(values: Iterable[Any]) -> str:
    return _json.encode([*values]).decode()


def write_batch(connection: sqlite3.Connection, batch: Batch, sizes: Sequence[int] = SMALLEST) -> None:
    """Put one batch in, whole or not at all, by the inboxes of these sizes that the connection has. Raises
    sqlite3.Error with nothing changed (but see already_in)."""
    if batch.sealed is None:
        batch.seal()
    assert batch.sealed is not None
    first, *more = [*batch.statements, *statements(batch.sealed, sizes)]
    if not more:
        connection.execute(*first)
        return
    try:
        connection.execute("BEGIN IMMEDIATE")
        for sql, own in (first, *more):
            connection.execute(sql, own)
        connection.execute("COMMIT")
    except BaseException:  # half a batch must not stand open
        if connection.in_transaction:
            with suppress(sqlite3.Error):  # tried again before the next write
                connection.execute("ROLLBACK")
        raise


def already_in(connection: sqlite3.Connection, batch: Batch) -> bool:
    """Whether a batch whose commit reported an error is in after all: it is atomic, so its mark tells."""
    return bool(connection.execute("SELECT mark FROM last_batch").fetchone()[0] == batch.mark)


def unwrite(connection: sqlite3.Connection) -> None:
    """After a sync that failed: the commit stands whole in the write-ahead log, though nobody was told, and the next
    start would take it for done. Another commit is put over it, which needs no sync to be seen by that start; only a
    power cut could undo that, and what it leaves then was never promised either way."""
    try:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("UPDATE last_batch SET mark = ?", (next(_marks),))
    except sqlite3.Error as error:
        log.critical(
            "a commit that failed could not be taken back (%s): the next start may find its changes in the database",
            error,
        )
