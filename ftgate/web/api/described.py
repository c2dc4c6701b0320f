"""`GET /openapi.json` and `GET /docs`: what the routes are, for programs and for people."""

from functools import cache

import msgspec
from quart import Blueprint, Response

from ftgate.web.asking import Guard
from ftgate.web.described.document import document
from ftgate.web.described.page import page
from ftgate.web.services import Services


def add(routes: Blueprint, guard: Guard, services: Services) -> None:
    @routes.get("/openapi.json")
    async def openapi() -> Response:
        return Response(written(guard.cookie_name), content_type="application/json")

    @routes.get("/docs")
    async def docs() -> Response:
        answer = Response(page(), content_type="text/html; charset=utf-8")
        answer.headers["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'"
        return answer


@cache
def written(cookie: str) -> bytes:
    return msgspec.json.encode(document(cookie))
