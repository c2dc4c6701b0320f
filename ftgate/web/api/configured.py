"""The config, for operators: what is in force, whether the file can be used, and reading it again."""

from quart import Blueprint, Response

from ftgate.web.asking import Guard, doer
from ftgate.web.replies import reply
from ftgate.web.services import Services


def add(routes: Blueprint, guard: Guard, services: Services) -> None:
    config = services.config

    @routes.get("/v1/admin/config")
    async def shown() -> Response:
        await guard.operator()
        return reply(config.shown())

    @routes.post("/v1/admin/config/check")
    async def check() -> Response:
        await guard.operator()
        faults = await config.check()
        return reply({"ok": not faults, "faults": list(faults)})

    @routes.post("/v1/admin/config/reload")
    async def reload() -> Response:
        asker = await guard.operator()
        return reply(await config.reload(doer(asker)))
