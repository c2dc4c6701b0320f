"""The request log, read back: pages of ended calls, and statistics over them.

Every read is short and on a read-only connection of its own, so that no reader keeps the write-ahead log from being
folded back.
"""

import re
import sqlite3
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

from ftgate.core import receipt
from ftgate.core.moments import iso
from ftgate.core.money import format_usd
from ftgate.store.database import read_only
from ftgate.store.schema import show_newest

_SPLIT = 10**9


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
    "request_id", "created_at_us", "model", "served_model", "provider", "status", "http_status", "error_code", "mode",
    "prompt_tokens", "cached_tokens", "completion_tokens", "cost", "estimated", "latency_ms", "first_token_ms",
    "attempts", "stream", "account", "key",
)  # fmt: skip


def page(path: Path, chosen: Filter, *, page: int, page_size: int, remarks: bool = False) -> dict[str, object]:
    """One page of requests, newest first, as GET /v1/user/logs shows it; with `remarks` as the operator sees it."""
    shown = [*_SHOWN, *["remark"] * remarks]
    connection = read_only(path)
    try:
        if remarks:  # the one column that an older database lacks
            show_newest(connection)
        total = connection.execute(f"SELECT count(*) FROM requests{chosen.where}", chosen.values).fetchone()[0]  # noqa: S608
        rows = connection.execute(
            f"SELECT {', '.join(shown)} FROM requests{chosen.where} ORDER BY id DESC LIMIT ? OFFSET ?",  # noqa: S608 - conditions of ours, values bound
            (*chosen.values, page_size, (page - 1) * page_size),
        ).fetchall()
    finally:
        connection.close()
    return {"data": [_shown(shown, row) for row in rows], "page": page, "page_size": page_size, "total": total}


def _shown(names: list[str], row: tuple[object, ...]) -> dict[str, object]:
    said = dict(zip(names, row, strict=True))
    said["created_at"] = iso(int(str(said.pop("created_at_us"))))
    said["cost"] = format_usd(int(str(said["cost"])))
    said["estimated"] = bool(said["estimated"])
    said["stream"] = bool(said["stream"])
    said["account"], said["key"] = str(said["account"]), str(said["key"])
    return said


def stats(path: Path, chosen: Filter) -> dict[str, object]:
    """Sums over the chosen requests, in all and by model."""
    connection = read_only(path)
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


SETTLES_LATE_US = 2 * 86_400 * 1_000_000
"""By how much a row may have come later than its call: rows stand in the order in which calls ended."""


def spent_since(path: Path, from_us: int) -> dict[str, int]:
    """Units that each channel has cost by the calls that came since then, at its own prices: without multipliers, and
    without calls with a caller's own key."""
    connection = read_only(path)
    try:
        after = "created_at_us >= ? AND mode = 'standard' AND channel <> '' AND id >= ?"
        first = _first_near(connection, from_us - SETTLES_LATE_US)
        # With a factor of one, and in rows from before rows held theirs, cost and loss are what it cost.
        plain = connection.execute(
            f"SELECT channel, sum((cost + lost) / {_SPLIT}), sum((cost + lost) % {_SPLIT}) FROM requests"  # noqa: S608
            f" WHERE {after} AND multiplier IN ('1/1', '') GROUP BY channel",
            (from_us, first),
        )
        found = {channel: upper * _SPLIT + lower for channel, upper, lower in plain}
        columns = ", ".join(_ARITHMETIC)
        others = connection.execute(
            f"SELECT channel, {columns} FROM requests WHERE {after} AND multiplier NOT IN ('1/1', '')",  # noqa: S608
            (from_us, first),
        )
        for channel, *values in others:
            row = _Charged(**dict(zip(_ARITHMETIC, values, strict=True)))
            with suppress(ValueError):  # `ledger verify` tells of it
                found[channel] = found.get(channel, 0) + receipt.due(row)
    finally:
        connection.close()
    return found


class _Charged(SimpleNamespace):
    """A row's arithmetic, at a factor of one."""

    multiplier = "1/1"


_ARITHMETIC = (
    "prompt_tokens", "cached_tokens", "cache_write_tokens", "cache_write_1h_tokens", "completion_tokens", "price",
    "earlier", "cost", "lost",
)  # fmt: skip


def _first_near(connection: sqlite3.Connection, from_us: int) -> int:
    """A row's id before which no call came since then, found without reading all rows."""
    low, high = 0, int(connection.execute("SELECT coalesce(max(id), 0) FROM requests").fetchone()[0])
    while low < high:
        middle = (low + high) // 2
        at = connection.execute("SELECT created_at_us FROM requests WHERE id >= ? ORDER BY id LIMIT 1", (middle + 1,))
        if (row := at.fetchone()) is not None and row[0] < from_us:
            low = middle + 1
        else:
            high = middle
    return low
