"""The request log, read back: pages of ended calls, and statistics over them.

Every read is short and on a read-only connection of its own, so that no reader keeps the write-ahead log from being
folded back.
"""

import re
from pathlib import Path

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
