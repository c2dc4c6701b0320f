"""The calls in flight, and ending one."""

from quart import Blueprint, Response

from ftgate.errors import NotFound
from ftgate.web.asking import doer
from ftgate.web.pages.desk import Desk


def add(routes: Blueprint, desk: Desk) -> None:
    calls, users = desk.services.calls, desk.services.users

    @routes.get("/admin/calls")
    async def running() -> Response:
        asker = await desk.operator()
        rows = calls.shown()
        names = {str(row["user"]): users.shown(int(str(row["user"])))["username"] for row in rows}
        return desk.show("operate/calls.html", asker, calls=rows, names=names)

    @routes.post("/admin/calls/<id>/stop")
    async def stop(id: str) -> Response:
        asker = await desk.operator()
        try:
            await calls.stop(id, doer(asker))
        except NotFound:  # it has ended by itself meanwhile
            return desk.go("/admin/calls", said="call_over")
        return desk.go("/admin/calls", said="call_stopped")
