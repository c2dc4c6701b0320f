"""An account's own figures: its balance and its calls."""

import re
import time

from quart import Quart, Response

from ftgate.core.logged import shown
from ftgate.core.moments import iso, month, next_month_us
from ftgate.core.money import PICO_PER_USD
from ftgate.ports import Line, Wanted
from ftgate.web.asked import moment, text, whole
from ftgate.web.asking import Guard
from ftgate.web.replies import number, reply
from ftgate.web.services import Services

PAGE_SIZE = 20
MAX_PAGE_SIZE = 100
MAX_PAGE = 10**9


def add(app: Quart, line: Line, guard: Guard, services: Services) -> None:
    accounts, journal = services.accounts, services.journal

    @app.get("/v1/user/balance")
    async def balance() -> Response:
        asker = await guard.account()
        posted, now_us = await accounts.posted(asker.account), time.time_ns() // 1000
        said = {
            "credits": number(posted),
            "credits_cents": posted * 100 // PICO_PER_USD,
            "byok_usage_month": await accounts.byok_tokens(asker.account, month(now_us)),
            "byok_limit_month": line.settings.terms(asker.person.plan).byok_tokens_per_month,
            "reset_date": iso(next_month_us(now_us)).replace(".000Z", "Z"),
        }
        return reply(said)

    @app.get("/v1/billing/balance")
    async def billing_balance() -> Response:
        asker = await guard.account()
        return reply({"balance": number(await accounts.posted(asker.account))})

    @app.get("/v1/user/logs")
    async def logs() -> Response:
        asker = await guard.account()
        page, page_size = whole("page", 1, MAX_PAGE), whole("page_size", PAGE_SIZE, MAX_PAGE_SIZE)
        status = text("status")
        number = status is not None and re.fullmatch(r"[0-9]{3}", status) is not None
        wanted = Wanted(
            account=asker.account, model=text("model"), status=None if number else status,
            http_status=int(status) if number and status else None, from_us=moment("from"), to_us=moment("to"),
        )  # fmt: skip
        found = await journal.page(wanted, skipped=(page - 1) * page_size, size=page_size)
        data = [shown(row) for row in found.rows]
        return reply({"data": data, "page": page, "page_size": page_size, "total": found.total})
