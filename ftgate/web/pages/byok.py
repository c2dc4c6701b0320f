"""Provider keys of the account's own: which were checked, having one checked, how to send one with a call."""

from quart import Blueprint, Response

from ftgate.web.api.byok import wanted
from ftgate.web.asked import path_id
from ftgate.web.asking import Asker, doer
from ftgate.web.pages.desk import Desk
from ftgate.web.pages.forms import Form
from ftgate.web.shown import byok_month

HEADER = "X-FindToken-Provider-Key"


def add(routes: Blueprint, desk: Desk) -> None:
    services = desk.services

    async def page(asker: Asker, form: Form | None = None) -> Response:
        found = services.provider_keys.of(asker.account)
        return desk.show(
            "byok/start.html", asker, form=form, keys=found, providers=sorted(desk.guard.line.settings.takers),
            byok=await byok_month(desk.guard.line, services, asker), header=HEADER,
        )  # fmt: skip

    @routes.get("/byok")
    async def start() -> Response:
        return await page(await desk.person())

    @routes.post("/byok")
    async def register() -> Response:
        asker = await desk.person()
        form = await desk.form()
        with form.trying():
            with form.reading():
                provider, key, name = wanted(form.fields("provider", "name", whole=("api_key",)))
            await services.provider_keys.register(
                asker.account, provider=provider, key=key.strip(), name=name, check=services.key_check, by=doer(asker)
            )
        return desk.go("/byok", said="provider_key_checked") if form.done else await page(asker, form)

    @routes.post("/byok/<id>/forget")
    async def forget(id: str) -> Response:
        asker = await desk.person()
        await services.provider_keys.delete(path_id(id, "provider key"), asker.account, doer(asker))
        return desk.go("/byok", said="provider_key_forgotten")
