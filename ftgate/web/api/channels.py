"""Channels, for operators: how they stand, trying, switching and resetting one. They are made in the config file.

A channel's name may hold slashes, written so or as %2F: what stands behind the last one is an action where it is
POSTed.
"""

from quart import Blueprint, Response, request

from ftgate.errors import MethodNotAllowed, NotFound
from ftgate.web import fields
from ftgate.web.asking import Guard, doer
from ftgate.web.replies import reply
from ftgate.web.services import Services

MOST_MODEL = 200
ACTIONS = ("test", "enable", "disable", "reset")


def add(routes: Blueprint, guard: Guard, services: Services) -> None:
    channels = services.channels

    @routes.get("/v1/admin/channels")
    async def listed() -> Response:
        await guard.operator()
        return reply({"data": channels.shown()})

    @routes.get("/v1/admin/channels/<path:name>")
    async def one(name: str) -> Response:
        await guard.operator()
        try:
            return reply(channels.one(name))
        except NotFound:
            if name.rpartition("/")[2] in ACTIONS:  # of a channel before the last slash, and no channel of its own
                raise MethodNotAllowed(f"{request.path[:200]} takes POST", allow="POST") from None
            raise

    @routes.post("/v1/admin/channels/<path:name>/test")
    async def test(name: str) -> Response:
        asker = await guard.operator()
        said = await fields.read()
        return reply(await channels.test(name, said.text("model", most=MOST_MODEL), doer(asker)))

    @routes.post("/v1/admin/channels/<path:name>/enable")
    async def enable(name: str) -> Response:
        asker = await guard.operator()
        return reply(await channels.switch(name, True, doer(asker)))

    @routes.post("/v1/admin/channels/<path:name>/disable")
    async def disable(name: str) -> Response:
        asker = await guard.operator()
        return reply(await channels.switch(name, False, doer(asker)))

    @routes.post("/v1/admin/channels/<path:name>/reset")
    async def reset(name: str) -> Response:
        asker = await guard.operator()
        return reply(await channels.reset(name, doer(asker)))
