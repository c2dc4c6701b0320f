"""Everybody's API keys, for operators: whose they are, and switching or deleting one."""

from quart import Blueprint, Response

from ftgate.core.accounts import SHOWN_STATUSES
from ftgate.web.api import tokens
from ftgate.web.asking import doer
from ftgate.web.pages import lists
from ftgate.web.pages.desk import Desk
from ftgate.web.pages.keys import CENTS, told
from ftgate.web.pages.lists import rows_of
from ftgate.web.pages.whose import nobodys, whose


def add(routes: Blueprint, desk: Desk) -> None:
    services = desk.services

    @routes.get("/admin/keys")
    async def listed() -> Response:
        asker = await desk.operator()
        if tidy := desk.tidied():
            return tidy
        of = whose(desk)
        found = nobodys("tokens") if of.missing else await tokens.page(services, of.account, operator=True)
        if (file := lists.form()) != "html":
            return lists.as_file(found, "keys", file, cents=CENTS)
        keys = [told(key) for key in rows_of(found)]
        names = {str(key["user"]): services.users.shown(int(str(key["user"])))["username"] for key in keys}
        owner = None if of.account is None else services.users.shown(of.account)
        return desk.show(
            "operate/keys.html", asker, found=found, keys=keys, names=names, whose=owner, missing=of.missing,
            statuses=SHOWN_STATUSES,
        )  # fmt: skip

    @routes.post("/admin/keys/<id>/<any(enable, disable, delete):what>")
    async def switch(id: str, what: str) -> Response:
        asker, key = await desk.operator(), tokens.number(id)
        whose = str(services.keys.shown(key, None)["user"])
        if what == "delete":
            await services.keys.delete(key, None, doer(asker))
        else:
            status = "active" if what == "enable" else "disabled"
            await services.keys.change(key, None, {"status": status}, doer(asker))
        return desk.go("/admin/keys", said=f"any_key_{what.removesuffix('e')}ed", user=whose)
