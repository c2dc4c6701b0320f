"""Credits: what is there, paying for more, the payments with their receipts, and the account's entries in the
ledger."""

import secrets
import time
from functools import partial
from typing import Any

from quart import Blueprint, Response, request

from ftgate.core.moments import parse_time
from ftgate.core.money import PICO_PER_USD, format_usd_cents
from ftgate.core.payments import STATUSES
from ftgate.errors import NotFound
from ftgate.ports.managing import Moves
from ftgate.ports.payments import Checkout
from ftgate.web.api.records import KINDS, TYPES
from ftgate.web.asked import choice, text
from ftgate.web.asking import Asker
from ftgate.web.pages import lists
from ftgate.web.pages.desk import Desk, part
from ftgate.web.pages.forms import Form
from ftgate.web.paging import page_of
from ftgate.web.shown import byok_month

PRESETS = (5, 10, 25, 50, 100)
"""Amounts to choose from, in USD, as far as they may be paid."""
JUST_MADE_US = 20 * 1_000_000
"""How long after its making a checkout's page goes on to Stripe by itself."""
MOST_ORDER = 64


def add(routes: Blueprint, desk: Desk) -> None:
    services = desk.services

    async def page(asker: Asker, form: Form | None = None, *, status: int = 200) -> Response:
        account = asker.account
        listed = await page_of("payments", partial(services.payments.page, account, status=choice("status", STATUSES)))
        posted, held = await services.accounts.posted(account), await services.accounts.held(account)
        return desk.show(
            "billing/start.html", asker, form=form, status=status, payments=listed, posted=posted, held=held,
            user=services.people.self_of(account), amounts=_amounts(desk), presets=_presets(desk),
            order=secrets.token_urlsafe(16), byok=await byok_month(desk.guard.line, services, asker),
        )  # fmt: skip

    @routes.get("/billing")
    async def billing() -> Response:
        asker = await desk.person()
        if (session := text("session_id")) is not None:  # back from Stripe
            try:
                found = await services.payments.one(asker.account, session)
                return desk.go(f"/billing/payments/{part(str(found['id']))}")
            except NotFound:
                return desk.go("/billing")
        if (form := lists.form()) != "html":
            status = choice("status", STATUSES)
            listed = await page_of("payments", partial(services.payments.page, asker.account, status=status))
            return lists.as_file(listed, "payments", form)
        return await page(asker)

    @routes.post("/billing")
    async def pay() -> Response:
        asker = await desk.person()
        form, made = await desk.form(), {}
        with form.trying():
            said = form.fields("amount", "order")
            amount = said.needed("amount", said.usd("amount", places=2))
            order = said.text("order", most=MOST_ORDER) or secrets.token_urlsafe(16)
            asked = Checkout(amount=amount, request=f"page {order} {amount}")  # a second click pays no second time
            made = dict(await services.payments.checkout(asker.account, asked))
        return desk.go(f"/billing/payments/{part(str(made['id']))}") if form.done else await page(asker, form)

    @routes.get("/billing/payments/<id>")
    async def payment(id: str) -> Response:
        asker = await desk.person()
        found: Any = await services.payments.one(asker.account, id)
        where = services.payments.where(asker.account, str(found["id"]))
        if where is not None and not where.startswith(("https://", "http://")):
            where = None
        answer = desk.show("billing/payment.html", asker, payment=found, where=where)
        made_us = parse_time(str(found["created_at"]))
        if where is not None and time.time_ns() // 1000 - made_us < JUST_MADE_US:
            answer.headers["Refresh"] = f"0; url={where}"
        return answer

    @routes.get("/billing/payments/<id>/receipt")
    async def receipt(id: str) -> Response:
        asker = await desk.person()
        found: Any = await services.payments.one(asker.account, id)
        if found["paid_at"] is None:
            raise NotFound("There is no receipt of a payment that was not made")
        user = services.people.self_of(asker.account)
        return desk.show("billing/receipt.html", asker, payment=found, user=user)

    _entries(routes, desk)


def _entries(routes: Blueprint, desk: Desk) -> None:
    services = desk.services

    @routes.get("/billing/entries")
    async def entries() -> Response:
        asker = await desk.person()
        wanted = Moves(account=asker.account, kind=_kind(), ref=text("ref"))
        form = lists.form()
        if form == "csv":
            pieces = services.records.export(asker.account, "csv")
            return services.exports.sent(asker.account, pieces, TYPES["csv"], "ledger.csv")
        listed = await page_of("entries", partial(services.records.entries, wanted))
        if form == "json":
            return lists.as_file(listed, "entries", form)
        return desk.show("billing/entries.html", asker, listed=listed, kinds=KINDS)


def _kind() -> str | None:
    return choice("kind", KINDS) if request.args.get("kind") else None


def _amounts(desk: Desk) -> tuple[str, str] | None:
    """The least and the most that may be paid, as texts of USD; None where nothing may."""
    amounts = desk.services.payments.amounts()
    return None if amounts is None else (format_usd_cents(amounts[0]), format_usd_cents(amounts[1]))


def _presets(desk: Desk) -> list[int]:
    least, most = desk.services.payments.amounts() or (1, 0)
    return [amount for amount in PRESETS if least <= amount * PICO_PER_USD <= most]
