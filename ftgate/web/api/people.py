"""An account's own entry: its names, its invite code, the plans there are."""

from quart import Blueprint, Response

from ftgate.web import fields
from ftgate.web.api.auth import MOST_NAME, email
from ftgate.web.asking import Guard, doer
from ftgate.web.replies import reply
from ftgate.web.services import Services
from ftgate.web.shown import self_of


def add(routes: Blueprint, guard: Guard, services: Services) -> None:
    people = services.people

    @routes.get("/v1/user/self")
    async def own() -> Response:
        return reply(await self_of(services, (await guard.account()).account))

    @routes.route("/v1/user/self", methods=["PATCH", "PUT"])
    async def change() -> Response:
        asker = await guard.person()
        said = await fields.read()
        changed = {"name": said.line("name", least=0, most=MOST_NAME), "email": email(said)}
        given = {what: value for what, value in changed.items() if value is not None}
        if given:
            await people.change_self(asker.account, given, doer(asker))
        return reply(await self_of(services, asker.account))

    @routes.post("/v1/user/invite")
    async def invite() -> Response:
        asker = await guard.person()
        return reply({"inviteCode": await people.new_code(asker.account, doer(asker))})

    @routes.get("/v1/plans")
    async def plans() -> Response:
        await guard.account()
        return reply({"data": people.plans()})
