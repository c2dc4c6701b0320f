"""An account's API keys."""

from functools import partial

from quart import Blueprint, Response

from ftgate.core.accounts import SHOWN_STATUSES, STATUSES
from ftgate.core.windows import RESETS
from ftgate.web import fields
from ftgate.web.asked import choice, path_id
from ftgate.web.asking import Guard, doer
from ftgate.web.paging import page_of
from ftgate.web.replies import reply
from ftgate.web.services import Services


def add(routes: Blueprint, guard: Guard, services: Services) -> None:
    keys = services.keys

    @routes.get("/v1/tokens")
    async def tokens() -> Response:
        asker = await guard.person()
        return reply(await page(services, asker.account))

    @routes.post("/v1/tokens")
    async def make() -> Response:
        asker = await guard.person()
        said = await fields.read()
        said.needed("name", said.line("name", most=100))
        made, secret = await keys.make(asker.account, wanted(said), doer(asker))
        return reply({"apiKey": made, "key": secret})

    @routes.get("/v1/tokens/<id>")
    async def token(id: str) -> Response:
        asker = await guard.person()
        return reply(keys.shown(number(id), asker.account))

    @routes.route("/v1/tokens/<id>", methods=["PATCH", "PUT"])
    async def change(id: str) -> Response:
        asker = await guard.person()
        said = await fields.read()
        changed = wanted(said)
        if (status := settable(said)) is not None:
            changed["status"] = status
        return reply(await keys.change(number(id), asker.account, changed, doer(asker)))

    @routes.delete("/v1/tokens/<id>")
    async def delete(id: str) -> Response:
        asker = await guard.person()
        await keys.delete(number(id), asker.account, doer(asker))
        return reply({"id": str(number(id)), "deleted": True})


async def page(services: Services, account: int | None, *, operator: bool = False) -> dict[str, object]:
    """A page of keys, of an account or of all; for an `operator` with whose each is."""
    status = choice("status", SHOWN_STATUSES)
    return await page_of("tokens", partial(services.keys.page, account, status=status, owner=operator))


def wanted(said: fields.Fields) -> dict[str, object]:
    """What is said of a key, by the names that KeyRing has for it. null lifts a limit; what is not there stays."""
    found: dict[str, object] = {}
    if (name := said.line("name", most=100)) is not None:
        found["name"] = name
    if said.is_there("quota"):
        found["quota"] = said.cents("quota")
    if (reset := said.choice("quota_reset", RESETS)) is not None:
        found["quota_reset"] = reset
    if said.is_there("models"):
        found["models"] = said.lines("models", items=200, most=200) or ()
    if said.is_there("expires_at"):
        found["expires_at_us"] = said.moment("expires_at")
    if said.is_there("allowed_ips"):
        found["allowed_ips"] = said.networks("allowed_ips", items=50) or ()
    if said.is_there("plan_id"):
        found["plan_id"] = said.id("plan_id")
    return found


def settable(said: fields.Fields) -> str | None:
    """The status that a key is to have. `expired`, as a GET says it, is none that can be set: it is as not given."""
    raw = said.text("status", most=20)
    return None if raw == "expired" else said.choice("status", STATUSES)


def number(id: str) -> int:
    """A key's id in a path. Raises NotFound, as for one that is not there."""
    return path_id(id, "API key")
