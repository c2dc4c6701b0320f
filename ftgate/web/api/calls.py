"""Calls in flight, for operators: which there are, and ending one."""

from quart import Blueprint, Response

from ftgate.web.asking import Guard, doer
from ftgate.web.replies import reply
from ftgate.web.services import Services


def add(routes: Blueprint, guard: Guard, services: Services) -> None:
    calls = services.calls

    @routes.get("/v1/admin/calls")
    async def running() -> Response:
        await guard.operator()
        return reply({"data": calls.shown()})

    async def stop(id: str) -> Response:
        asker = await guard.operator()
        await calls.stop(id, doer(asker))
        return reply({"request_id": id, "stopped": True})

    routes.add_url_rule("/v1/admin/calls/<id>", "end", stop, methods=["DELETE"])
    routes.add_url_rule("/v1/admin/calls/<id>/stop", "stop", stop, methods=["POST"])
