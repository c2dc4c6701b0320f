"""The ledger: its entries by filters, all of it as a file, and whether it adds up."""

from contextlib import suppress
from functools import partial

from quart import Blueprint, Response, request

from ftgate.errors import Conflict, NotFound
from ftgate.ports.managing import Moves
from ftgate.web.api.records import KINDS
from ftgate.web.asked import choice, text
from ftgate.web.pages import lists
from ftgate.web.pages.desk import Desk
from ftgate.web.pages.whose import nobodys, whose
from ftgate.web.paging import page_of


def names_of(desk: Desk, ids: set[str]) -> dict[str, str]:
    """What these accounts are called; one that is not there has no name."""
    found = {}
    for id in ids:
        try:
            found[id] = str(desk.services.users.shown(int(id))["username"])
        except NotFound:
            continue
    return found


def add(routes: Blueprint, desk: Desk) -> None:
    services = desk.services

    @routes.get("/admin/ledger")
    async def entries() -> Response:
        asker = await desk.operator()
        if tidy := desk.tidied():
            return tidy
        of = whose(desk)
        wanted = Moves(account=of.account, kind=choice("kind", KINDS), ref=text("ref"))
        found = (
            nobodys("entries") if of.missing else await page_of("entries", partial(services.records.entries, wanted))
        )  # fmt: skip
        if (form := lists.form()) != "html":
            return lists.as_file(found, "entries", form)
        names = names_of(desk, {str(row["user"]) for row in lists.rows_of(found)})
        return desk.show(
            "operate/ledger.html", asker, found=found, kinds=KINDS, names=names, check=services.records.verification(),
            missing=of.missing, whose=of.account, plain=not set(request.args) - {"said"},
        )  # fmt: skip

    @routes.post("/admin/ledger/verify")
    async def verify() -> Response:
        await desk.operator()
        with suppress(Conflict):  # one that runs is shown
            services.records.begin_verify()
        return desk.go("/admin/ledger")
