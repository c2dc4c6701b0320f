"""The ledger's entries, read back: page by page for an audit, the latest for a person, all of them for an export.

Every read is short. What is exported is read in many of them: entries never change, so nothing is missed.
"""

from collections.abc import Iterator
from typing import Any

from ftgate.core.books import Entry
from ftgate.core.moments import iso
from ftgate.core.money import format_usd
from ftgate.store.database import read_only
from ftgate.store.source import Connection, Source

PAGE = 20_000
"""Entries in one read of an export: some tens of milliseconds."""
_PAGE_SQL = f"SELECT {', '.join(Entry.__struct_fields__)} FROM entries WHERE id > ? AND id <= ? ORDER BY id LIMIT ?"  # noqa: S608 - names of ours


def entries_after(connection: Connection, after: int, upto: int, limit: int) -> list[Entry]:
    """The next entries in the order of their ids, past `after` and up to `upto`, at most `limit`."""
    return [Entry(*row) for row in connection.execute(_PAGE_SQL, (after, upto, limit))]


def has_user(source: Source, username: str) -> bool:
    if not username.isascii():  # no name is anything else, and a byte that is not UTF-8 cannot be asked for
        return False
    connection = read_only(source)
    try:
        return (
            connection.execute("SELECT 1 FROM users WHERE username = ? COLLATE NOCASE", (username,)).fetchone()
            is not None
        )
    finally:
        connection.close()


def latest_entries(source: Source, *, username: str | None, limit: int) -> list[dict[str, object]]:
    """The latest entries, newest first, for a person to read."""
    connection = read_only(source)
    try:
        return [_entry(row) for row in connection.execute(*_entries_of(username, "ORDER BY e.id DESC LIMIT ?", limit))]
    finally:
        connection.close()


def all_entries(source: Source, *, username: str | None) -> Iterator[dict[str, object]]:
    """Every entry, oldest first, in short reads: what is written while it runs comes at the end."""
    after = 0
    while True:
        connection = read_only(source)
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
