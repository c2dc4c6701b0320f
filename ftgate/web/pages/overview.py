"""The start page: what is left, what was spent, how it goes."""

from quart import Blueprint, Response

from ftgate.web.pages.desk import Desk
from ftgate.web.shown import self_of


def add(routes: Blueprint, desk: Desk) -> None:
    @routes.get("/overview")
    async def overview() -> Response:
        return desk.go("/")


async def start(desk: Desk) -> Response:
    """The start page of whoever is there. Raises as Desk.person."""
    asker = await desk.person()
    return desk.show("overview.html", asker, user=await self_of(desk.services, asker.account))
