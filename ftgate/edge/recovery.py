"""After a crash: ending the holds of a process that is gone.

Whoever calls this holds the data directory's lock, so every hold that is open belongs to an earlier process, whatever the clock
says. Each is ended by an `expire` entry before the doors open.
"""

import sqlite3

from ftgate.core.books import Books, Ended, Hold
from ftgate.edge.db import Batch

_OPEN = (
    "SELECT id, account, key, debit, amount, ref, estimate FROM entries h WHERE kind = 'hold' AND NOT EXISTS"
    " (SELECT 1 FROM entries e WHERE e.hold = h.id AND e.kind IN ('post', 'void', 'expire')) ORDER BY id"
)


def expire_orphans(connection: sqlite3.Connection, books: Books, batch: Batch, *, at_us: int, charge_estimate: bool) -> tuple[int, int]:
    """End every open hold, charging nothing, or with `charge_estimate` the prompt's estimate within the hold. Returns how many
    there were, and the units of their prompts' estimates that were not charged (the exposure)."""
    exposure = 0
    rows = connection.execute(_OPEN).fetchall()
    for id, account, key, debit, amount, ref, estimate in rows:
        metered = debit == "usage"
        books.open[id] = Hold(id, account, key, amount, 0, metered, ref)
        balance = books.accounts[account]
        balance.held += amount
        charge = (estimate if metered else min(estimate, amount)) if charge_estimate else 0
        ended = books.expire(id, charge, at_us=at_us, note="left open by a process that ended")
        assert isinstance(ended, Ended)
        batch.remember(ended.entries, balance, books.quotas[key])
        exposure += estimate - charge
    return len(rows), exposure
