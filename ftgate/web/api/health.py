"""Whether the process lives and serves, and what stands at its root."""

from quart import Quart, Response

from ftgate import __version__
from ftgate.ports import Line
from ftgate.web.pages.all import Pages, wants_page
from ftgate.web.replies import reply


def add(app: Quart, line: Line, pages: Pages) -> None:
    @app.get("/healthz")
    async def healthz() -> Response:
        return reply({"status": "ok", "version": __version__})

    @app.get("/readyz")
    async def readyz() -> Response:
        why = line.not_ready()
        return reply({"status": "ready"}) if why is None else reply({"status": "not ready", "reason": why}, 503)

    @app.get("/")
    async def start() -> Response:
        return await pages.start() if wants_page() else await root()

    @app.get("/anthropic")
    async def root() -> Response:
        return reply(
            {"name": "ftgate", "version": __version__, "api": "/v1", "models": "/v1/models", "pricing": "/v1/pricing"}
        )
