"""What operators look up: who changed what, and the ledger."""

from functools import partial

from quart import Blueprint, Response

from ftgate.ports.managing import Acts, Moves
from ftgate.web.asked import choice, chosen, text, whole_id
from ftgate.web.asking import Guard
from ftgate.web.paging import page_of
from ftgate.web.replies import reply
from ftgate.web.services import Services

KINDS = ("grant", "hold", "post", "void", "expire", "overrun", "loss", "topup", "refund", "correct")
TYPES = {"csv": "text/csv; charset=utf-8", "json": "application/x-ndjson"}


def add(routes: Blueprint, guard: Guard, services: Services) -> None:
    records = services.records

    @routes.get("/v1/admin/audit")
    async def audit() -> Response:
        await guard.operator()
        actor = text("actor")
        by_id = actor is not None and actor.isascii() and actor.isdecimal() and len(actor) <= 18
        wanted = Acts(
            actor=int(actor) if actor is not None and by_id else None, actor_name=None if by_id else actor,
            action=text("action"), target=text("target"),
        )  # fmt: skip
        return reply(await page_of("audit", partial(records.acts, wanted)))

    @routes.get("/v1/admin/ledger/entries")
    async def entries() -> Response:
        await guard.operator()
        wanted = Moves(account=whole_id("user"), kind=choice("kind", KINDS), ref=text("ref"))
        return reply(await page_of("entries", partial(records.entries, wanted)))

    @routes.get("/v1/admin/ledger/export")
    async def export() -> Response:
        asker = await guard.operator()
        form, account = chosen("format", tuple(TYPES)), whole_id("user")
        name = "ledger.csv" if form == "csv" else "ledger.ndjson"
        return services.exports.sent(asker.account, records.export(account, form), TYPES[form], name)

    @routes.post("/v1/admin/ledger/verify")
    async def verify() -> Response:
        await guard.operator()
        return reply(await records.verify())
