"""The API told to people: what /openapi.json says to programs. Anybody may read it."""

from quart import Blueprint, Response

from ftgate.web.described.document import document
from ftgate.web.described.reading import groups
from ftgate.web.pages.desk import Desk


def add(routes: Blueprint, desk: Desk) -> None:
    @routes.get("/docs")
    async def docs() -> Response:
        return desk.show("docs.html", desk.visitor(), about=document()["info"], groups=groups())
