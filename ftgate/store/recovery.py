"""After a crash: ending the holds of a process that is gone.

One rule: *holds of ended boots expire*. Whoever calls this holds the data directory's lock, so every boot before his
own has ended, whatever the clock says. Each of their holds is ended by an `expire` entry before the doors open, and its
call has a row in the log like any other: status `crashed`, and what the expire charged.
"""

import sqlite3
from collections.abc import Iterable

from ftgate.core.books import Books, Ended, Entry, Hold
from ftgate.ports import STANDARD, Row
from ftgate.store.batch import Batch
from ftgate.store.ledger import begin_anew

_OPEN = (
    f"SELECT {', '.join(Entry.__struct_fields__)} FROM entries h"  # noqa: S608 - names of ours
    " WHERE kind = 'hold' AND NOT EXISTS"
    " (SELECT 1 FROM entries e WHERE e.hold = h.id AND e.kind IN ('post', 'void', 'expire')) ORDER BY id"
)


def expire_orphans(
    connection: sqlite3.Connection, books: Books, batch: Batch, *, at_us: int, charge_estimate: bool,
    open_holds: Iterable[Entry] | None = None,
) -> tuple[int, int]:  # fmt: skip
    """End every open hold of an ended boot, charging nothing, or with `charge_estimate` the prompt's estimate within
    the hold. `open_holds` are the entries of all open ones where they are known; without it the whole ledger is
    searched. `connection` is only read; it must not be that of a writer at work. Returns how many were ended, and the
    units of their prompts' estimates that were not charged (the exposure)."""
    exposure = number = 0
    if open_holds is None:
        open_holds = [Entry(*row) for row in connection.execute(_OPEN)]
    for hold in open_holds:
        if hold.boot >= books.boot:
            continue
        metered = hold.debit == "usage"
        books.open[hold.id] = Hold(hold.id, hold.account, hold.key, hold.amount, 0, metered, hold.ref)
        balance = books.accounts[hold.account]
        balance.held += hold.amount
        balance.lowered |= balance.held > balance.posted  # a refund or a correction came while the hold was open
        exposure += hold.estimate - expire(
            books, batch, hold, at_us=at_us, charge_estimate=charge_estimate, has_row=_has_row(connection, hold.ref)
        )
        number += 1
    return number, exposure


def expire(books: Books, batch: Batch, hold: Entry, *, at_us: int, charge_estimate: bool, has_row: bool) -> int:
    """End a hold that a process left, which stands among the open ones of the books; `hold` is its entry, `has_row`
    whether its call has a row all the same. The units that it was to be charged."""
    quota = books.quotas[hold.key]
    if quota.until_us is not None and at_us >= quota.until_us:
        begin_anew(quota, at_us, batch)
    most = hold.estimate if hold.debit == "usage" else min(hold.estimate, hold.amount)
    charge = most if charge_estimate else 0
    ended = books.expire(hold.id, charge, at_us=at_us, note="left open by a process that ended")
    assert isinstance(ended, Ended), ended
    batch.remember(ended.entries, books.accounts[hold.account], quota)
    if not has_row:
        batch.rows.append(crashed_row(hold, ended.charged))
    return charge


def _has_row(connection: sqlite3.Connection, ref: str) -> bool:
    """Whether the log has a row of this id already. No call leaves one behind with its hold open; if one did, that must
    keep no start from its work: `ledger verify` names it."""
    return connection.execute("SELECT 1 FROM requests WHERE request_id = ?", (ref,)).fetchone() is not None


def crashed_row(hold: Entry, charged: int) -> Row:
    """The row of a call that a kill ended: what its hold knew of it."""
    return Row(
        request_id=hold.ref, created_at_us=hold.at_us, account=hold.account, key=hold.key, model="", served_model="",
        provider="", channel="", status="crashed", http_status=0, error_code="", mode=hold.note or STANDARD,
        prompt_tokens=0, cached_tokens=0, cache_write_tokens=0, completion_tokens=0, reasoning_tokens=0, cost=charged,
        lost=0, estimated=charged > 0, latency_ms=0, first_token_ms=None, attempts=0, stream=False, hold=hold.id,
    )  # fmt: skip
