"""An account's own figures: its balance."""

import time

from quart import Quart, Response

from ftgate.core.moments import iso, month, next_month_us
from ftgate.core.money import PICO_PER_USD
from ftgate.ports import Line
from ftgate.web.asking import Guard
from ftgate.web.replies import number, reply
from ftgate.web.services import Services


def add(app: Quart, line: Line, guard: Guard, services: Services) -> None:
    accounts = services.accounts

    @app.get("/v1/user/balance")
    async def balance() -> Response:
        asker = await guard.account()
        plan = line.settings.plans.get(asker.key.plan if asker.key else asker.person.plan)
        posted, now_us = await accounts.posted(asker.account), time.time_ns() // 1000
        said = {
            "credits": number(posted),
            "credits_cents": posted * 100 // PICO_PER_USD,
            "byok_usage_month": await accounts.byok_tokens(asker.account, month(now_us)),
            "byok_limit_month": plan.byok_tokens_per_month if plan else 0,
            "reset_date": iso(next_month_us(now_us)).replace(".000Z", "Z"),
        }
        return reply(said)

    @app.get("/v1/billing/balance")
    async def billing_balance() -> Response:
        asker = await guard.account()
        return reply({"balance": number(await accounts.posted(asker.account))})
