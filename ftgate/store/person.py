"""All that is kept of one person, read piece by piece: whole lines of JSON, one a thing, in the order of what they are.

No secret is in it: of a key its name and first characters, of a session when it began. Nor is anything of other people:
of what an operator did to them the action, its time and their number, and never an operator's address. Every read is
short; requests and entries are read in the order of their ids, so what is written meanwhile comes at the end.
"""

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from ftgate.core.moments import iso
from ftgate.core.money import format_usd
from ftgate.store.database import last_entry, last_request, read_only
from ftgate.store.source import Connection, Source

PAGE = 20_000
"""Ids that are looked through in one read: some tens of milliseconds."""
MONEY = {"amount", "cost", "lost", "quota", "posted", "held", "used", "credited", "refunded", "disputed", "taken"}
JSON = {"models", "allowed_ips", "before", "after", "price"}
"""Columns that hold JSON, or nothing."""

ONCE = {
    "account": "SELECT id, username, display_name, email, role, status, plan, mode, invite_code, invited_by,"
    " created_at_us, last_login_at_us FROM users WHERE id = ?",
    "balance": "SELECT posted, held, used FROM balances WHERE account = ?",
    "key": "SELECT id, name, prefix, status, models, quota, quota_reset, plan, expires_at_us, allowed_ips,"
    " created_at_us, last_used_at_us FROM keys WHERE account = ? ORDER BY id",
    "session": "SELECT created_at_us, seen_at_us FROM sessions WHERE account = ? ORDER BY created_at_us",
    "login": "SELECT address, at_us FROM logins WHERE account = ? ORDER BY at_us",
    "provider_key": "SELECT id, provider, name, fingerprint, created_at_us, checked_at_us FROM byok_keys"
    " WHERE account = ? ORDER BY id",
    "byok_month": "SELECT month, tokens FROM byok_months WHERE account = ? ORDER BY month",
    "payment": "SELECT id, amount, currency, status, created_at_us, paid_at_us, credited, refunded, disputed, taken,"
    " session, intent, charge, success_url, cancel_url, receipt_url, reason FROM payments WHERE account = ?"
    " ORDER BY number",
    "audit": "SELECT id, at_us, via, CASE WHEN own OR actor IS NULL THEN address ELSE '' END AS address, action,"
    " target, CASE WHEN mine THEN before ELSE '' END AS before, CASE WHEN mine THEN after ELSE '' END AS after,"
    " request_id, own FROM (SELECT *, actor IS ?1 AS own, target = 'user:' || ?1"
    " OR target IN (SELECT 'token:' || id FROM keys WHERE account = ?1)"
    " OR target LIKE 'byok:%' AND actor IS ?1 AS mine FROM audit) AS known WHERE own OR mine ORDER BY id",
}
"""What is there of an account, by what it is."""
PAGED: Mapping[str, tuple[str, Callable[[Connection], int]]] = {
    "entry": (
        "SELECT id, at_us, kind, debit, credit, amount, hold, ref, note, key FROM entries"
        " WHERE account = ? AND id > ? AND id <= ? ORDER BY id",
        last_entry,
    ),
    "request": (
        "SELECT request_id, created_at_us, key, model, served_model, provider, channel, status, http_status,"
        " error_code, mode, route, prompt_tokens, cached_tokens, cache_write_tokens, completion_tokens,"
        " reasoning_tokens, cost, latency_ms, first_token_ms, attempts, stream, upstream_id FROM requests"
        " WHERE account = ? AND id > ? AND id <= ? ORDER BY id",
        last_request,
    ),
}


def account_of(source: Source, username: str) -> int | None:
    """The id of an account; None where there is none of that name. Raises sqlite3.Error."""
    if not username.isascii():
        return None
    with closing(read_only(source)) as connection:
        found = connection.execute("SELECT id FROM users WHERE username = ? COLLATE NOCASE", (username,)).fetchone()
    return int(found[0]) if found else None


def forgotten(source: Source) -> dict[int, int]:
    """The accounts whose person was forgotten: when each was made (us), by its id. Raises sqlite3.Error."""
    with closing(read_only(source)) as connection:
        return dict(
            connection.execute("SELECT id, created_at_us FROM users WHERE username = '(forgotten ' || id || ')'")
        )


def known_again(database: Path, gone: Mapping[int, int]) -> list[str]:
    """The names that those of `gone` have in a database that nobody writes: it was copied before they were forgotten.
    Raises sqlite3.Error."""
    where = f"{database.absolute().as_uri()}?mode=ro&immutable=1"  # or it would leave files beside it
    with closing(sqlite3.connect(where, uri=True)) as connection:
        rows = connection.execute(
            "SELECT id, created_at_us, username FROM users WHERE username <> '(forgotten ' || id || ')' ORDER BY id"
        ).fetchall()
    return [name for id, made_us, name in rows if gone.get(id) == made_us]


def all_of(source: Source, account: int) -> Iterator[bytes]:
    """Lines of JSON, each with `what` it is. Raises sqlite3.Error."""
    for what, sql in ONCE.items():
        yield from _read(source, what, sql, account)
    for what, (sql, last_of) in PAGED.items():
        with closing(read_only(source)) as connection:
            last = last_of(connection)
        for after in range(0, last, PAGE):
            yield from _read(source, what, sql, account, after, min(after + PAGE, last))


def _read(source: Source, what: str, sql: str, *values: int) -> list[bytes]:
    with closing(read_only(source)) as connection:
        found = connection.execute(sql, values)
        names = [column[0] for column in found.description]
        rows = found.fetchall()
    return [msgspec.json.encode({"what": what, **dict(map(_shown, names, row))}) + b"\n" for row in rows]


def _shown(column: str, value: Any) -> tuple[str, object]:
    """A column as a person reads it: amounts in USD, times as ISO 8601."""
    if column.endswith("_us"):
        return column.removesuffix("_us"), None if value is None else iso(value)
    if column in MONEY:
        return column, None if value is None else format_usd(value)
    if column in JSON:
        return column, msgspec.json.decode(value) if value else None
    return column, value
