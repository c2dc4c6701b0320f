"""What operators look up: who changed what, and the ledger."""

from quart import Blueprint, Response

from ftgate.ports.managing import Acts, Moves, Rows
from ftgate.web.asked import choice, chosen, text, whole_id
from ftgate.web.asking import Guard
from ftgate.web.pages import Paging, paged, paging
from ftgate.web.replies import reply
from ftgate.web.services import Services

KINDS = ("grant", "hold", "post", "void", "expire", "overrun", "loss", "topup", "refund", "correct")
TYPES = {"csv": "text/csv; charset=utf-8", "json": "application/x-ndjson"}


def add(routes: Blueprint, guard: Guard, services: Services) -> None:
    records = services.records

    @routes.get("/v1/admin/audit")
    async def audit() -> Response:
        await guard.operator()
        asked = paging("audit")
        actor = text("actor")
        by_id = actor is not None and actor.isascii() and actor.isdecimal() and len(actor) <= 18
        wanted = Acts(
            actor=int(actor) if actor is not None and by_id else None, actor_name=None if by_id else actor,
            action=text("action"), target=text("target"),
        )  # fmt: skip
        found = await records.acts(wanted, after=_after(asked), skipped=asked.skipped, size=asked.size)
        return _page(found, asked, "audit")

    @routes.get("/v1/admin/ledger/entries")
    async def entries() -> Response:
        await guard.operator()
        asked = paging("entries")
        wanted = Moves(account=whole_id("user"), kind=choice("kind", KINDS), ref=text("ref"))
        found = await records.entries(wanted, after=_after(asked), skipped=asked.skipped, size=asked.size)
        return _page(found, asked, "entries")

    @routes.get("/v1/admin/ledger/export")
    async def export() -> Response:
        await guard.operator()
        form, account = chosen("format", tuple(TYPES)), whole_id("user")
        answer = Response(records.export(account, form), content_type=TYPES[form])
        answer.timeout = None  # Quart's own 60 s would cut a long export without a word
        name = "ledger.csv" if form == "csv" else "ledger.ndjson"
        answer.headers["Content-Disposition"] = f'attachment; filename="{name}"'
        return answer

    @routes.post("/v1/admin/ledger/verify")
    async def verify() -> Response:
        await guard.operator()
        return reply(await records.verify())


def _after(asked: Paging) -> int | None:
    return asked.after[0] if asked.after else None


def _page(found: Rows, asked: Paging, kind: str) -> Response:
    rows, total, last = found
    return reply(paged(rows, asked, total, None if last is None else (last,), kind))
