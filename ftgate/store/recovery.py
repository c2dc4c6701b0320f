"""After a crash: ending the holds of a process that is gone.

Whoever calls this holds the data directory's lock, so every hold that is open belongs to an earlier process, whatever
the clock says. Each is ended by an `expire` entry before the doors open.
"""

import sqlite3
from collections.abc import Iterable

from ftgate.core.books import Books, Ended, Entry, Hold
from ftgate.store.batch import Batch

_OPEN = (
    f"SELECT {', '.join(Entry.__struct_fields__)} FROM entries h"  # noqa: S608 - names of ours
    " WHERE kind = 'hold' AND NOT EXISTS"
    " (SELECT 1 FROM entries e WHERE e.hold = h.id AND e.kind IN ('post', 'void', 'expire')) ORDER BY id"
)


def expire_orphans(
    connection: sqlite3.Connection, books: Books, batch: Batch, *, at_us: int, charge_estimate: bool,
    open_holds: Iterable[Entry] | None = None,
) -> tuple[int, int]:  # fmt: skip
    """End every open hold, charging nothing, or with `charge_estimate` the prompt's estimate within the hold.
    `open_holds` are their entries where they are known; without it the whole ledger is searched. Returns how many there
    were, and the units of their prompts' estimates that were not charged (the exposure)."""
    exposure = number = 0
    if open_holds is None:
        open_holds = [Entry(*row) for row in connection.execute(_OPEN)]
    for hold in open_holds:
        metered = hold.debit == "usage"
        books.open[hold.id] = Hold(hold.id, hold.account, hold.key, hold.amount, 0, metered, hold.ref)
        balance = books.accounts[hold.account]
        balance.held += hold.amount
        balance.lowered |= balance.held > balance.posted  # a refund or a correction came while the hold was open
        charge = (hold.estimate if metered else min(hold.estimate, hold.amount)) if charge_estimate else 0
        ended = books.expire(hold.id, charge, at_us=at_us, note="left open by a process that ended")
        assert isinstance(ended, Ended)
        batch.remember(ended.entries, balance, books.quotas[hold.key])
        exposure += hold.estimate - charge
        number += 1
    return number, exposure
