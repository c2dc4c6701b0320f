"""Provider keys of callers' own: having one checked, what was checked, forgetting it."""

from quart import Blueprint, Response

from ftgate.web import fields
from ftgate.web.asked import path_id
from ftgate.web.asking import Guard, doer
from ftgate.web.replies import reply
from ftgate.web.services import Services

LEAST_KEY, MOST_KEY = 8, 512
MOST_NAME = 100


def add(routes: Blueprint, guard: Guard, services: Services) -> None:
    keys = services.provider_keys

    @routes.post("/v1/user/byok/register")
    async def register() -> Response:
        asker = await guard.account()
        provider, key, name = wanted(await fields.read())
        made = await keys.register(
            asker.account, provider=provider, key=key, name=name, check=services.key_check, by=doer(asker)
        )
        return reply(made)

    @routes.get("/v1/user/byok")
    async def listed() -> Response:
        asker = await guard.account()
        return reply({"data": keys.of(asker.account)})

    @routes.delete("/v1/user/byok/<id>")
    async def delete(id: str) -> Response:
        asker = await guard.account()
        await keys.delete(path_id(id, "provider key"), asker.account, doer(asker))
        return reply({"id": id, "deleted": True})


def wanted(said: fields.Fields) -> tuple[str, str, str | None]:
    """Whose key it is, the key, and how its owner calls it. Raises InvalidRequest."""
    provider = said.needed("provider", said.line("provider", most=100))
    key = said.needed("api_key", said.text("api_key", least=LEAST_KEY, most=MOST_KEY))
    return provider, key, said.line("name", least=0, most=MOST_NAME)
