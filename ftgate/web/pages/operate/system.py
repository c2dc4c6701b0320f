"""The process and its data."""

from quart import Blueprint, Response

from ftgate.web.pages.desk import Desk


def add(routes: Blueprint, desk: Desk) -> None:
    @routes.get("/admin/system")
    async def system() -> Response:
        asker = await desk.operator()
        return desk.show("operate/system.html", asker, system=await desk.services.system.shown())
