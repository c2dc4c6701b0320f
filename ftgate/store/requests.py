"""The request log, read back as a whole: the newest calls, sums over all, and what channels have cost (pages and
statistics of an account are in listing.py and usage.py).

Every read is short and on a read-only connection of its own, so that no reader keeps the write-ahead log from being
folded back.
"""

from ftgate.core.moments import iso
from ftgate.core.money import format_usd
from ftgate.store.database import read_only
from ftgate.store.rollups import SPLIT
from ftgate.store.schema import show_newest
from ftgate.store.source import Source

_SHOWN = (
    "request_id", "created_at_us", "model", "served_model", "provider", "status", "http_status", "error_code", "mode",
    "prompt_tokens", "cached_tokens", "completion_tokens", "cost", "estimated", "latency_ms", "first_token_ms",
    "attempts", "stream", "account", "key", "remark",
)  # fmt: skip


def latest(source: Source, limit: int) -> dict[str, object]:
    """The newest requests, as the operator sees them at the command line."""
    connection = read_only(source)
    try:
        show_newest(connection)
        total = connection.execute("SELECT count(*) FROM requests").fetchone()[0]
        rows = connection.execute(
            f"SELECT {', '.join(_SHOWN)} FROM requests ORDER BY id DESC LIMIT ?",  # noqa: S608 - names of ours
            (limit,),
        ).fetchall()
    finally:
        connection.close()
    return {"data": [_shown(_SHOWN, row) for row in rows], "page": 1, "page_size": limit, "total": total}


def _shown(names: tuple[str, ...], row: tuple[object, ...]) -> dict[str, object]:
    said = dict(zip(names, row, strict=True))
    said["created_at"] = iso(int(str(said.pop("created_at_us"))))
    said["cost"] = format_usd(int(str(said["cost"])))
    said["estimated"] = bool(said["estimated"])
    said["stream"] = bool(said["stream"])
    said["account"], said["key"] = str(said["account"]), str(said["key"])
    return said


_FAILED = """
SELECT (SELECT coalesce(sum(requests), 0) FROM kinds WHERE status <> 'ok')
  + (SELECT count(*) FROM requests WHERE kind = 0 AND status <> 'ok')"""
"""In a database from before there were kinds no row has one."""


def stats(source: Source) -> dict[str, object]:
    """Sums over all requests that there ever were, in all and by model."""
    connection = read_only(source)
    names = ("requests", "prompt_tokens", "completion_tokens", "cost_upper", "cost_lower")
    sums = ", ".join(f"coalesce(sum({name}), 0)" for name in names)
    try:
        show_newest(connection)
        connection.execute("BEGIN")  # one moment
        whole = connection.execute(f"SELECT {sums} FROM usage_quarters").fetchone()  # noqa: S608 - words of ours
        models = connection.execute(f"SELECT model, {sums} FROM usage_quarters GROUP BY model").fetchall()  # noqa: S608 - as above
        failed = connection.execute(_FAILED).fetchone()[0]
    finally:
        connection.close()
    models.sort(key=lambda row: row[4] * SPLIT + row[5], reverse=True)
    named = [{"model": row[0] or "(none)", **_sums(row[1:])} for row in models]
    return {**_sums(whole), "failed": failed, "models": named}


def _sums(row: tuple[int, int, int, int, int]) -> dict[str, object]:
    return {
        "requests": row[0],
        "prompt_tokens": row[1],
        "completion_tokens": row[2],
        "cost": format_usd(row[3] * SPLIT + row[4]),
    }
