"""Accounts and their keys, for operators."""

from typing import Any

from quart import Blueprint, Response

from ftgate.core.accounts import MODES, ROLES, STATUSES
from ftgate.errors import InvalidRequest
from ftgate.ports.site import Rows
from ftgate.web import fields
from ftgate.web.api.auth import MOST_NAME, MOST_PASSWORD, MOST_USERNAME, email
from ftgate.web.api.tokens import number, page, settable
from ftgate.web.asked import choice, path_id, text, whole_id
from ftgate.web.asking import Guard, doer
from ftgate.web.paging import page_of
from ftgate.web.replies import reply
from ftgate.web.services import Services
from ftgate.web.shown import with_requests


def add(routes: Blueprint, guard: Guard, services: Services) -> None:
    _looked_at(routes, guard, services)
    _changed(routes, guard, services)
    _keys(routes, guard, services)


def _looked_at(routes: Blueprint, guard: Guard, services: Services) -> None:
    users = services.users

    @routes.get("/v1/admin/users")
    async def some() -> Response:
        await guard.operator()
        return reply(await listed(services))

    @routes.get("/v1/admin/users/<id>")
    async def one(id: str) -> Response:
        await guard.operator()
        return reply((await with_requests(services, [users.shown(path_id(id, "user"))]))[0])


async def listed(services: Services) -> dict[str, object]:
    """The page of accounts that the query asks for. Raises InvalidRequest."""
    q, status = text("q"), choice("status", STATUSES)

    async def listing(**place: Any) -> Rows:
        rows, total, last = await services.users.page(q=q, status=status, **place)
        return await with_requests(services, rows), total, last

    return await page_of("users", listing)


def _changed(routes: Blueprint, guard: Guard, services: Services) -> None:
    users = services.users

    @routes.post("/v1/admin/users")
    async def make() -> Response:
        asker = await guard.operator()
        said = await fields.read()
        username, given = new(said)
        return reply((await with_requests(services, [await users.make(username, given, doer(asker))]))[0])

    @routes.patch("/v1/admin/users/<id>")
    async def change(id: str) -> Response:
        asker = await guard.operator()
        said = await fields.read()
        changed = await users.change(path_id(id, "user"), changes(said), doer(asker))
        return reply((await with_requests(services, [changed]))[0])

    @routes.post("/v1/admin/users/<id>/password")
    async def password(id: str) -> Response:
        asker = await guard.operator()
        new = (await fields.read()).text("new_password", most=MOST_PASSWORD)
        user = path_id(id, "user")
        made = await users.set_password(user, new, doer(asker))
        return reply({"id": str(user)} if made is None else {"id": str(user), "password": made})

    @routes.post("/v1/admin/users/<id>/logout")
    async def logout(id: str) -> Response:
        asker = await guard.operator()
        await fields.read()
        user = path_id(id, "user")
        return reply({"id": str(user), "ended": await users.logout(user, doer(asker))})


def new(said: fields.Fields) -> tuple[str, dict[str, object]]:
    """The name of a new account, and what else is said of it. Raises InvalidRequest."""
    username = said.needed("username", said.text("username", most=MOST_USERNAME))
    wanted: dict[str, object] = {
        "password": said.text("password", most=MOST_PASSWORD), "credits": _credits(said), **_wanted(said),
    }  # fmt: skip
    return username, {what: value for what, value in wanted.items() if value is not None}


def changes(said: fields.Fields) -> dict[str, str | None]:
    """What is to be changed of an account. Raises InvalidRequest."""
    wanted = {"status": said.choice("status", STATUSES), **_wanted(said)}
    given: dict[str, str | None] = {what: value for what, value in wanted.items() if value is not None}
    if said.is_null("mode"):  # its plan's, from now on
        given["mode"] = None
    return given


def _wanted(said: fields.Fields) -> dict[str, str | None]:
    """What is said of an account; None of what is not."""
    return {
        "role": said.choice("role", ROLES), "plan": said.line("plan", most=100), "mode": said.choice("mode", MODES),
        "name": said.line("name", least=0, most=MOST_NAME), "email": email(said),
    }  # fmt: skip


def _credits(said: fields.Fields) -> int | None:
    units = said.usd("credits")
    if units is not None and units < 0:
        said.fault(InvalidRequest("`credits` must be 0 or more", param="credits"))
    return units


def _keys(routes: Blueprint, guard: Guard, services: Services) -> None:
    keys = services.keys

    @routes.get("/v1/admin/tokens")
    async def tokens() -> Response:
        await guard.operator()
        return reply(await page(services, whole_id("user"), operator=True))

    @routes.patch("/v1/admin/tokens/<id>")
    async def set_status(id: str) -> Response:
        asker = await guard.operator()
        status = settable(await fields.read())
        changes = {} if status is None else {"status": status}
        return reply(await keys.change(number(id), None, changes, doer(asker)))

    @routes.delete("/v1/admin/tokens/<id>")
    async def delete(id: str) -> Response:
        asker = await guard.operator()
        await keys.delete(number(id), None, doer(asker))
        return reply({"id": str(number(id)), "deleted": True})
