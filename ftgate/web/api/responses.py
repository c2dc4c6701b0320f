"""What stands beside POST /v1/responses where responses are kept: here none are, and whoever asks for one is told
so."""

from quart import Quart, Response

from ftgate.errors import NotFound
from ftgate.web.asking import Guard


def add(app: Quart, guard: Guard) -> None:
    @app.route("/v1/responses/<id>", methods=["GET", "DELETE"])
    @app.get("/v1/responses/<id>/input_items")
    @app.post("/v1/responses/<id>/cancel")
    async def response(id: str) -> Response:
        await guard.key()
        raise NotFound(f"The response {id[:200]!r} is not here: this gateway keeps no responses", param="response_id")

    @app.post("/v1/responses/compact")
    async def compact() -> Response:
        await guard.key()
        raise NotFound("this version does not compact conversations: send the whole one, or a summary of it")
