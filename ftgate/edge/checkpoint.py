"""Checkpoints of the audit: where a reading of the ledger stood, so that a start verifies what came since, not everything.

A checkpoint is core.audit.State as JSON. It is a note of ours beside the entries, not the truth: a start compares the reading that
went on from it with the remembered balances, and `ledger verify`, which reads from the first entry, compares every checkpoint too.

Entries of one commit stand together, and `upto` must be the last entry of a commit (max(id) in a read transaction of its own): so
an overrun or a loss is never split from its post.
"""

import sqlite3

import msgspec

from ftgate.core.audit import Audit, Disagreement, State
from ftgate.edge import db

KEPT = 2
"""The newest, and the one before it for whoever looks into a disagreement."""
PAGE = 1_000
"""Entries in one read: some milliseconds, so that a reading in a worker thread holds up nobody."""
Statement = tuple[str, tuple[object, ...]]


def resume(connection: sqlite3.Connection) -> Audit:
    """A reading that stands at the newest checkpoint, or at the beginning without one. Raises Disagreement."""
    row = connection.execute("SELECT id, last_id, CAST(state AS BLOB) FROM checkpoints ORDER BY id DESC LIMIT 1").fetchone()
    if row is None:
        return Audit()
    try:
        state = msgspec.json.decode(row[2], type=State)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Disagreement(f"checkpoint {row[0]} cannot be read: {error}") from None
    if state.last_id != row[1]:
        raise Disagreement(f"checkpoint {row[0]} says entry {row[1]} and holds the state after entry {state.last_id}")
    return Audit.resume(state)


def last_entry(connection: sqlite3.Connection) -> int:
    """The last entry of the last commit; 0 without any."""
    found: int = connection.execute("SELECT coalesce(max(id), 0) FROM entries").fetchone()[0]
    return found


def read_on(connection: sqlite3.Connection, audit: Audit, upto: int) -> bool:
    """Read the next page; whether there may be more. Raises Disagreement."""
    page = db.entries(connection, audit.last_id, upto, PAGE)
    for entry in page:
        audit.note(entry)
    return len(page) == PAGE


def catch_up(connection: sqlite3.Connection, audit: Audit, upto: int) -> None:
    """Read on to the entry `upto`. Raises Disagreement, also when the reading stands past it: entries are gone."""
    if audit.last_id > upto:
        raise Disagreement(f"the checkpoint stands at entry {audit.last_id}, and the last entry is {upto}")
    while read_on(connection, audit, upto):
        pass


def statements(audit: Audit, at_us: int) -> list[Statement]:
    """What puts a checkpoint of this reading into a batch, and older ones out. Some milliseconds for ten thousand accounts."""
    state = msgspec.json.encode(audit.state()).decode()
    return [
        ("INSERT INTO checkpoints (last_id, at_us, state) VALUES (?, ?, ?)", (audit.last_id, at_us, state)),
        ("DELETE FROM checkpoints WHERE id NOT IN (SELECT id FROM checkpoints ORDER BY id DESC LIMIT ?)", (KEPT,)),
    ]
