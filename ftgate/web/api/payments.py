"""Card payments: paying for credits, looking at payments, Stripe's events, and the operator's side."""

from functools import partial

from quart import Quart, Response, request

from ftgate.core.payments import STATUSES
from ftgate.doors import http
from ftgate.errors import InvalidRequest, NotFound
from ftgate.ports.payments import Checkout, Payments
from ftgate.web import fields
from ftgate.web.asked import choice, whole_id
from ftgate.web.asking import Guard, doer
from ftgate.web.paging import page_of
from ftgate.web.replies import reply

WEBHOOK = "/v1/billing/webhook"
"""No route at all while no event could be told from a forged one."""
MOST_EVENT = 256 * 1024
"""Bytes of one event: Stripe's largest are a few tens of kilobytes."""
MOST_KEY = 200
MOST_NOTE = 500
MOST_URL = 100_000
"""Read whole; its own limit is told by who checks it."""


def add(app: Quart, guard: Guard, payments: Payments) -> None:
    async def checkout() -> Response:
        asker = await guard.account()
        said = await fields.read()
        amount = said.needed("amount", said.usd("amount", places=2))
        asked = Checkout(
            amount=amount,
            success_url=said.text("success_url", most=MOST_URL),
            cancel_url=said.text("cancel_url", most=MOST_URL),
            request=_idempotency_key(),
        )
        return reply(await payments.checkout(asker.account, asked))

    app.add_url_rule("/v1/user/credits", "credits", checkout, methods=["POST"])
    app.add_url_rule("/v1/billing/checkout", "checkout", checkout, methods=["POST"])

    @app.get("/v1/user/payments")
    async def own_payments() -> Response:
        asker = await guard.account()
        return reply(await page(payments, asker.account))

    @app.get("/v1/user/payments/<id>")
    async def own_payment(id: str) -> Response:
        asker = await guard.account()
        return reply(await payments.one(asker.account, id))

    @app.post(WEBHOOK)
    async def webhook() -> Response:
        if not payments.takes_events():
            raise NotFound(http.route_hint(request.path, ()))
        body = await fields.received(MOST_EVENT)
        await payments.webhook(request.headers.get("Stripe-Signature"), body)
        return reply({"received": True})

    _operators(app, guard, payments)


def _operators(app: Quart, guard: Guard, payments: Payments) -> None:
    @app.get("/v1/admin/payments")
    async def all_payments() -> Response:
        await guard.operator()
        return reply(await page(payments, whole_id("user"), operator=True))

    @app.post("/v1/admin/payments/reconcile")
    async def reconcile() -> Response:
        asker = await guard.operator()
        return reply(await payments.reconcile(doer(asker)))

    @app.post("/v1/admin/payments/<id>/resolve")
    async def resolve(id: str) -> Response:
        asker = await guard.operator()
        action, note = decided(await fields.read())
        return reply(await payments.resolve(id, action=action, note=note, by=doer(asker)))


def decided(said: fields.Fields) -> tuple[str, str]:
    """What is to become of a quarantined payment, and why. Raises InvalidRequest."""
    action = said.needed("action", said.text("action", most=20))
    if action not in ("credit", "dismiss"):
        raise InvalidRequest("`action` must be credit or dismiss", param="action")
    return action, said.needed("note", said.line("note", most=MOST_NOTE))


async def page(payments: Payments, account: int | None, *, operator: bool = False) -> dict[str, object]:
    status = choice("status", STATUSES)
    return await page_of("payments", partial(payments.page, account, status=status, operator=operator))


def _idempotency_key() -> str:
    """The header's value, "" without one. Raises InvalidRequest."""
    key = request.headers.get("Idempotency-Key", "")
    if len(key) > MOST_KEY:
        raise InvalidRequest(
            f"the header Idempotency-Key is longer than {MOST_KEY} characters", param="Idempotency-Key"
        )  # fmt: skip
    return key
