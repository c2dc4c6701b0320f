"""Channels, for operators: how they stand, trying, switching and resetting one. They are made in the config file."""

from quart import Blueprint, Response

from ftgate.web import fields
from ftgate.web.asking import Guard, doer
from ftgate.web.replies import reply
from ftgate.web.services import Services

MOST_MODEL = 200


def add(routes: Blueprint, guard: Guard, services: Services) -> None:
    channels = services.channels

    @routes.get("/v1/admin/channels")
    async def listed() -> Response:
        await guard.operator()
        return reply({"data": channels.shown()})

    @routes.get("/v1/admin/channels/<name>")
    async def one(name: str) -> Response:
        await guard.operator()
        return reply(channels.one(name))

    @routes.post("/v1/admin/channels/<name>/test")
    async def test(name: str) -> Response:
        asker = await guard.operator()
        said = await fields.read()
        return reply(await channels.test(name, said.text("model", most=MOST_MODEL), doer(asker)))

    @routes.post("/v1/admin/channels/<name>/enable")
    async def enable(name: str) -> Response:
        asker = await guard.operator()
        return reply(await channels.switch(name, True, doer(asker)))

    @routes.post("/v1/admin/channels/<name>/disable")
    async def disable(name: str) -> Response:
        asker = await guard.operator()
        return reply(await channels.switch(name, False, doer(asker)))

    @routes.post("/v1/admin/channels/<name>/reset")
    async def reset(name: str) -> Response:
        asker = await guard.operator()
        return reply(await channels.reset(name, doer(asker)))
