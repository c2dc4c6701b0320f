"""What calls have come to: the request log by pages or as CSV, statistics, and what the operator sees of them all."""

import re
import time
from collections.abc import Sequence
from datetime import tzinfo
from typing import Any

import msgspec
from quart import Quart, Response, request

from ftgate.core.logged import OPERATOR, ROW, Recorded, Sums, Wanted, shown
from ftgate.core.moments import iso
from ftgate.core.money import format_price, format_usd
from ftgate.core.periods import DAYS, window
from ftgate.core.pricing import Price
from ftgate.core.tries import Try, tries_of
from ftgate.errors import NotFound
from ftgate.ports import Journal
from ftgate.web.asked import chosen, moment, text, whole_id, zone
from ftgate.web.asking import Guard
from ftgate.web.exports import Exports
from ftgate.web.paging import paged, paging
from ftgate.web.replies import reply

FAILED = "failed"
LIST = "requests"
"""The name under which cursors of the request log are known."""


def add(app: Quart, guard: Guard, journal: Journal, exports: Exports) -> None:
    @app.get("/v1/user/logs")
    async def logs() -> Response:
        asker = await guard.account()
        wanted = wanted_calls(asker.account, zone())
        return _export(wanted, ROW, asker.account) if _as_csv() else await _listed(journal, wanted, ROW)

    def _export(wanted: Wanted, names: Sequence[str], account: int) -> Response:
        return exports.sent(account, journal.csv(wanted, names), "text/csv; charset=utf-8", "requests.csv")

    @app.get("/v1/user/stats")
    async def stats() -> Response:
        asker = await guard.account()
        period, place = chosen("period", tuple(DAYS)), zone()
        asked = window(period, time.time_ns() // 1000, place)
        used = await journal.used(asker.account, asked)
        said: dict[str, Any] = {"period": period, "tz": str(place), "from": iso(asked.from_us), "to": iso(asked.to_us)}
        said |= {
            "totalRequests": used.whole.requests, "totalPromptTokens": used.whole.prompt_tokens,
            "totalCompletionTokens": used.whole.completion_tokens, "totalCost": _cents(used.whole.cost),
        }  # fmt: skip
        days = zip(asked.days, used.days, strict=True)
        said["dailyBreakdown"] = [{"date": day.name, **_sums(sums)} for day, sums in days]
        if asked.hours:
            hours = zip(asked.hours, used.hours, strict=True)
            said["hourlyBreakdown"] = [{"hour": hour.name, **_sums(sums)} for hour, sums in hours]
        models = sorted(used.models.items(), key=lambda one: (-one[1].cost, -one[1].requests, one[0]))
        said["modelBreakdown"] = [{"model": model or "(none)", **_sums(sums)} for model, sums in models]
        return reply(said)

    @app.get("/v1/admin/requests")
    async def requests() -> Response:
        asker = await guard.operator()
        wanted = wanted_calls(whole_id("user"), zone(), channel=text("channel"))
        return _export(wanted, OPERATOR, asker.account) if _as_csv() else await _listed(journal, wanted, OPERATOR)

    @app.get("/v1/admin/requests/<id>")
    async def one(id: str) -> Response:
        await guard.operator()
        found = await journal.call(id)
        if found is None:
            raise no_call(guard, id)
        return reply(_recorded(found))


def no_call(guard: Guard, id: str) -> NotFound:
    """That there is no call of this id, and how long calls are kept."""
    days = guard.live.site.retention_days
    kept = f"; requests are kept for {days} day{'s' * (days > 1)}" if days else ""
    return NotFound(f"no request {id[:200]!r}{kept}")


def wanted_calls(account: int | None, place: tzinfo, *, channel: str | None = None) -> Wanted:
    """Which calls the query asks for; times without an offset are of the zone `place`. A status is a word, a number, or
    `failed` for all that are neither answered nor left. Raises InvalidRequest."""
    status = text("status")
    by_number = status is not None and re.fullmatch(r"[0-9]{1,3}", status) is not None
    return Wanted(
        account=account,
        key=whole_id("key"),
        model=text("model"),
        channel=channel,
        mode=text("mode"),
        status=None if by_number or status == FAILED else status,
        failed=status == FAILED,
        http_status=int(status) if status is not None and by_number else None,
        request_id=text("request_id"),
        from_us=moment("from", place),
        to_us=moment("to", place),
    )


async def _listed(journal: Journal, wanted: Wanted, names: Sequence[str]) -> Response:
    """A page of calls."""
    asked = paging(LIST, 2)
    after = None if asked.after is None else (asked.after[0], asked.after[1])
    found = await journal.page(wanted, skipped=asked.skipped, size=asked.size, after=after)
    return reply(paged([shown(row, names) for row in found.rows], asked, found.total, found.following, LIST))


def _as_csv() -> bool:
    """Whether CSV is asked for: by name, or else by what the client takes. Raises InvalidRequest."""
    if text("format") is not None:
        return chosen("format", ("json", "csv")) == "csv"
    return request.accept_mimetypes.best_match(["application/json", "text/csv"]) == "text/csv"


def _sums(sums: Sums) -> dict[str, object]:
    return {
        "requestCount": sums.requests, "promptTokens": sums.prompt_tokens, "completionTokens": sums.completion_tokens,
        "cost": _cents(sums.cost),
    }  # fmt: skip


def _cents(units: int) -> str:
    """US cents, exact: a hundred times as many as dollars."""
    return format_usd(units * 100)


def _recorded(found: Recorded) -> dict[str, object]:
    """One call with its price, in USD for a million tokens, and its attempts."""
    tries = [one.shown() for one in attempts(found)]
    return {
        **shown(found.row, OPERATOR),
        "upstream_id": found.upstream_id or None,
        "price": _price(found.price),
        "attempts_detail": tries,
    }


def attempts(found: Recorded) -> list[Try]:
    """What became of each attempt of a call."""
    row = found.row
    tries = tries_of(found.tries)
    if not tries and row.attempts:  # the row itself tells all of its only one
        answered = row.status == "ok"
        status = 200 if answered else None
        only = Try(
            row.channel, row.served_model, row.status, status, row.latency_ms, row.error_code, found.upstream_id
        )  # fmt: skip
        tries = [only]
    return tries


def _price(said: str) -> dict[str, object] | None:
    """A price as the operator reads it; None where nothing was charged."""
    try:
        price = msgspec.json.decode(said, type=Price) if said else None
    except msgspec.DecodeError:
        return None
    if price is None:
        return None
    classes = ("input", "output", "cached", "cache_write", "cache_write_1h")
    tiers = [
        {"above": tier.above, **{name: format_price(getattr(tier, name)) for name in classes}} for tier in price.tiers
    ]
    return {
        **{name: format_price(getattr(price, name)) for name in classes},
        "per_request": format_usd(price.per_request), "tiers": tiers,
    }  # fmt: skip
