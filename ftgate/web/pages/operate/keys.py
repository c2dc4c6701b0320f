"""Everybody's API keys, for operators: whose they are, and switching or deleting one."""

from quart import Blueprint, Response

from ftgate.core.accounts import SHOWN_STATUSES
from ftgate.web.api import tokens
from ftgate.web.asked import whole_id
from ftgate.web.asking import doer
from ftgate.web.pages import lists
from ftgate.web.pages.desk import Desk
from ftgate.web.pages.keys import told
from ftgate.web.pages.lists import rows_of


def add(routes: Blueprint, desk: Desk) -> None:
    services = desk.services

    @routes.get("/admin/keys")
    async def listed() -> Response:
        asker = await desk.operator()
        if tidy := desk.tidied():
            return tidy
        account = whole_id("user")
        found = await tokens.page(services, account, operator=True)
        if (file := lists.form()) != "html":
            return lists.as_file(found, "keys", file)
        keys = [told(key) for key in rows_of(found)]
        names = {str(key["user"]): services.users.shown(int(str(key["user"])))["username"] for key in keys}
        whose = None if account is None else services.users.shown(account)
        return desk.show(
            "operate/keys.html", asker, found=found, keys=keys, names=names, whose=whose, statuses=SHOWN_STATUSES
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
