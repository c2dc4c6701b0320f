"""The start page: what is left, what was spent, how it goes, and what went wrong lately."""

import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any
from urllib.parse import urlencode

from quart import Response

from ftgate.core.logged import NOT_FAILED, Glance, Sums
from ftgate.core.moments import iso
from ftgate.core.periods import DAYS, Span, window
from ftgate.web.asked import chosen
from ftgate.web.asking import Asker
from ftgate.web.pages import zones
from ftgate.web.pages.bars import Chart, chart
from ftgate.web.pages.calls import OWN
from ftgate.web.pages.desk import Desk, part
from ftgate.web.pages.operate.channels import standing
from ftgate.web.pages.reasons import reason
from ftgate.web.pages.setup import steps_of
from ftgate.web.shown import byok_month, self_of

PERIODS = {"7d": "7 days", "24h": "24 hours", "30d": "30 days"}
"""The first is the one that is shown unless the address says otherwise."""
MOST = 5
"""Models and keys that are named."""
WEEK = 7


async def start(desk: Desk) -> Response:
    """The start page of whoever is there. Raises as Desk.person, InvalidRequest."""
    asker = await desk.person()
    services = desk.services
    user = await self_of(services, asker.account)
    posted, held = await services.accounts.posted(asker.account), await services.accounts.held(asker.account)
    values: dict[str, Any] = {"user": user, "posted": posted, "held": held, "prepaid": user["quota"] is not None}
    values["topping"] = "Credits" if services.payments.amounts() is None else "Top up"
    if asker.is_operator:
        values |= await for_operators(desk, asker)
    if user["requestCount"] == "0":
        _, keys, _ = await services.keys.page(asker.account, status=None, after=None, skipped=0, size=1)
        return desk.show("overview/first.html", asker, keys=keys, **{"channels": None, "steps": None, **values})
    place = zones.place()
    period = chosen("period", tuple(PERIODS))
    assert period in DAYS
    now_us = time.time_ns() // 1000
    month, shown = window("30d", now_us, place), window(period, now_us, place)
    found = await services.journal.glance(asker.account, month, shown)
    days = [whole(day) for day in found.days]
    spent = {"today": days[-1], "week": total(days[-WEEK:]), "month": total(days)}
    spans, parts = (shown.hours, found.hours) if shown.hours else (shown.days, found.days[-len(shown.days) :])
    models = by_model(parts)
    return desk.show(
        "overview/start.html", asker, **{"channels": None, "steps": None, **values},
        period=period, periods=PERIODS, spent=spent, runway=runway(posted - held, spent["week"].cost),
        counts=counts(found), calls=total(whole(one) for one in parts).requests, failed=failures(found),
        chart=costs(spans, parts, models, zones.name_of(place), hours=bool(shown.hours)), models=models[:MOST],
        others=total(sums for _, sums in models[MOST:]), keys=top_keys(found),
        byok=await byok_month(desk.guard.line, services, asker), since=iso(shown.from_us), tz=zones.name_of(place),
    )  # fmt: skip


# Sums


def whole(part_of: Mapping[str, Sums]) -> Sums:
    return total(part_of.values())


def total(sums: Iterable[Sums]) -> Sums:
    found = Sums()
    for one in sums:
        found += one
    return found


def by_model(parts: Sequence[Mapping[str, Sums]]) -> list[tuple[str, Sums]]:
    """What each model came to, the dearest first."""
    found: dict[str, Sums] = {}
    for one in parts:
        for model, sums in one.items():
            found[model] = found.get(model, Sums()) + sums
    return sorted(found.items(), key=lambda its: (-its[1].cost, -its[1].requests, its[0]))


def runway(available: int, week: int) -> int | None:
    """How many days credits last if each costs as much as the last seven did on average; None where nothing was
    spent."""
    return max(available, 0) * WEEK // week if week > 0 else None


def counts(found: Glance) -> dict[str, object]:
    """How many calls there are, how many failed, and the times to the first token (None: there are none)."""
    there = sum(found.counted.values())
    failed = sum(many for (_, _, status), many in found.counted.items() if status not in NOT_FAILED)
    times = found.first_token_ms
    return {
        "there": there, "failed": failed, "answered": there - failed, "streams": len(times),
        "p50": times[(len(times) - 1) // 2] if times else None,
        "p95": times[(len(times) * 95 - 1) // 100] if times else None,
    }  # fmt: skip


def failures(found: Glance) -> list[dict[str, object]]:
    """The newest calls that failed, each with its page and why."""
    return [
        {
            "row": row,
            "path": f"{OWN}/{part(row.request_id)}",
            "why": reason(row.status, row.error_code, row.http_status, begun=row.first_token_ms is not None)[0],
        }
        for row in found.failed
    ]


def top_keys(found: Glance) -> list[tuple[int, str, int, int]]:
    """The keys with the most calls: id, name, calls, and how many of them failed."""
    keys: dict[tuple[int, str], list[int]] = {}
    for (key, name, status), many in found.counted.items():
        one = keys.setdefault((key, name), [0, 0])
        one[0] += many
        one[1] += many if status not in NOT_FAILED else 0
    rows = [(key, name, many, failed) for (key, name), (many, failed) in keys.items()]
    return sorted(rows, key=lambda row: (-row[2], row[0]))[:MOST]


def costs(
    spans: Sequence[Span],
    parts: Sequence[Mapping[str, Sums]],
    models: Sequence[tuple[str, Sums]],
    tz: str,
    *,
    hours: bool,
) -> Chart:
    """Cost by day or hour and model; calls where nothing cost anything. Each row of its table leads to its calls."""
    paid = any(sums.cost for _, sums in models)

    def amount(sums: Sums) -> int:
        return sums.cost if paid else sums.requests

    named = [model for model, sums in models[:MOST] if amount(sums)]
    rows = []
    for span, one in zip(spans, parts, strict=True):
        amounts = [amount(one.get(model, Sums())) for model in named]
        rest = sum(amount(sums) for model, sums in one.items() if model not in named)
        asked = urlencode({"from": iso(span.from_us), "to": iso(span.to_us), "tz": tz})
        name = span.name[11:16] if hours else f"{date.fromisoformat(span.name):%e %b}".strip()
        rows.append((name, f"{OWN}?{asked}", [*amounts, rest]))
    return chart([model or "none answered" for model in named], rows, money=paid)


# For operators


async def for_operators(desk: Desk, asker: Asker) -> dict[str, object]:
    """The channels' states, and the first steps as long as one of them is to do."""
    found = [
        (str(channel["name"]), f"/admin/channels/{part(str(channel['name']))}", *standing(channel))
        for channel in desk.services.channels.shown()
    ]
    steps = await steps_of(desk, asker.account)
    return {"channels": found, "steps": None if all(step.done for step in steps) else steps}
