"""An account's own figures: its balance."""

from quart import Quart, Response

from ftgate.core.moments import iso
from ftgate.core.money import PICO_PER_USD
from ftgate.ports import Line
from ftgate.web.asking import Guard
from ftgate.web.replies import number, reply
from ftgate.web.services import Services
from ftgate.web.shown import byok_month


def add(app: Quart, line: Line, guard: Guard, services: Services) -> None:
    accounts = services.accounts

    @app.get("/v1/user/balance")
    async def balance() -> Response:
        asker = await guard.account()
        posted, byok = await accounts.posted(asker.account), await byok_month(line, services, asker)
        said = {
            "credits": number(posted),
            "credits_cents": posted * 100 // PICO_PER_USD,
            "byok_usage_month": byok.used,
            "byok_limit_month": byok.limit,
            "reset_date": iso(byok.resets_us).replace(".000Z", "Z"),
        }
        return reply(said)

    @app.get("/v1/billing/balance")
    async def billing_balance() -> Response:
        asker = await guard.account()
        return reply({"balance": number(await accounts.posted(asker.account))})
