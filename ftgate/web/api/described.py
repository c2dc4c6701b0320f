"""`GET /openapi.json`: what the routes are, for programs. For people: pages/docs.py."""

from functools import cache

import msgspec
from quart import Blueprint, Response

from ftgate.web.asking import Guard
from ftgate.web.described.document import document
from ftgate.web.services import Services


def add(routes: Blueprint, guard: Guard, services: Services) -> None:
    @routes.get("/openapi.json")
    async def openapi() -> Response:
        return Response(written(guard.cookie_name), content_type="application/json")


@cache
def written(cookie: str) -> bytes:
    return msgspec.json.encode(document(cookie))
