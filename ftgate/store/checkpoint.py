"""Checkpoints of the audit: where a reading of the ledger stood, so that a start verifies what came since, not
everything.

A checkpoint is core.audit.State as JSON. It is a note of ours beside the entries, not the truth: a start compares the
reading that went on from it with the remembered balances, and `ledger verify`, which reads from the first entry,
compares every checkpoint too.

Entries of one commit stand together, and `upto` must be the last entry of a commit (max(id) in a read transaction of
its own): so an overrun or a loss is never split from its post.
"""

from collections.abc import Callable

import msgspec

from ftgate.core.audit import Audit, Disagreement, State
from ftgate.store.database import balances_in, last_entry, spent_in
from ftgate.store.entries import entries_after
from ftgate.store.source import Connection

KEPT = 2
"""The newest, and the one before it for whoever looks into a disagreement."""
PAGE = 1_000
"""Entries in one read: some milliseconds, so that a reading in a worker thread holds up nobody."""
Statement = tuple[str, tuple[object, ...]]


def resume(connection: Connection) -> Audit:
    """A reading that stands at the newest checkpoint, or at the beginning without one. Raises Disagreement."""
    row = connection.execute(
        "SELECT id, last_id, CAST(state AS BLOB) FROM checkpoints ORDER BY id DESC LIMIT 1"
    ).fetchone()
    return Audit() if row is None else Audit.resume(_state(*row))


def _state(id: int, last_id: int, said: bytes) -> State:
    """A checkpoint's row, read. Raises Disagreement."""
    try:
        state = msgspec.json.decode(said, type=State)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Disagreement(f"checkpoint {id} cannot be read: {error}") from None
    if state.last_id != last_id:
        raise Disagreement(f"checkpoint {id} says entry {last_id} and holds the state after entry {state.last_id}")
    return state


def read_on(connection: Connection, audit: Audit, upto: int) -> bool:
    """Read the next page; whether there may be more. Raises Disagreement."""
    page = entries_after(connection, audit.last_id, upto, PAGE)
    for entry in page:
        audit.note(entry)
    return len(page) == PAGE


def catch_up(connection: Connection, audit: Audit, upto: int) -> None:
    """Read on to the entry `upto`. Raises Disagreement, also when the reading stands past it: entries are gone."""
    if audit.last_id > upto:
        raise Disagreement(f"the checkpoint stands at entry {audit.last_id}, and the last entry is {upto}")
    while read_on(connection, audit, upto):
        pass


def statements(audit: Audit, at_us: int) -> list[Statement]:
    """What puts a checkpoint of this reading into a batch, and older ones out. Some milliseconds for ten thousand
    accounts."""
    state = msgspec.json.encode(audit.state()).decode()
    return [
        ("INSERT INTO checkpoints (last_id, at_us, state) VALUES (?, ?, ?)", (audit.last_id, at_us, state)),
        ("DELETE FROM checkpoints WHERE id NOT IN (SELECT id FROM checkpoints ORDER BY id DESC LIMIT ?)", (KEPT,)),
    ]


def without(connection: Connection, audit: Audit, compare: Callable[[Connection, Audit], None]) -> list[str]:
    """Read the whole ledger from its first entry with a new `audit`, believing no checkpoint, and compare it with the
    balances, then with whatever `compare` looks at. Returns what each checkpoint says that the entries do not. Raises
    Disagreement where not only a checkpoint is wrong. For a database that nobody writes."""
    last = last_entry(connection)
    wrong: list[str] = []
    for id, stop, said in connection.execute(
        "SELECT id, last_id, CAST(state AS BLOB) FROM checkpoints ORDER BY last_id, id"
    ).fetchall():
        catch_up(connection, audit, max(audit.last_id, min(stop, last)))
        try:
            wrong += _differences(id, _state(id, stop, said), audit)
        except Disagreement as found:
            wrong.append(str(found))
    catch_up(connection, audit, last)
    audit.finish(balances_in(connection), spent_in(connection))
    compare(connection, audit)
    return wrong


def _differences(id: int, said: State, audit: Audit) -> list[str]:
    """The first thing in which a checkpoint is not what the reading that stands there says; nothing where it is."""
    found = audit.state()
    for name in State.__struct_fields__:
        left, right = getattr(said, name), getattr(found, name)
        if left == right:
            continue
        if isinstance(left, dict):
            place = min(key for key in left.keys() | right.keys() if left.get(key) != right.get(key))
            name, left, right = f"{name} {place}", left.get(place), right.get(place)
        elif isinstance(left, list):
            name, left, right = f"the number of {name}", len(left), len(right)
        return [f"checkpoint {id} at entry {said.last_id}: {name} is {left}, and {right} by the entries"]
    return []


DISCARD: Statement = ("DELETE FROM checkpoints", ())
