"""Accounts: finding one, making one, and all that an operator does for one."""

import secrets
from urllib.parse import urlencode

from quart import Blueprint, Response

from ftgate.core.accounts import MODES, NAME, NAME_WORDS, ROLES, STATUSES
from ftgate.errors import InvalidRequest
from ftgate.ports.managing import Moves
from ftgate.web.api import credits, users
from ftgate.web.api.auth import MOST_PASSWORD
from ftgate.web.asked import path_id
from ftgate.web.asking import Asker, doer
from ftgate.web.pages import lists
from ftgate.web.pages.desk import Desk
from ftgate.web.pages.entering import name_of, new_password
from ftgate.web.pages.forms import Form
from ftgate.web.shown import with_requests

SHOWN = 10
"""Keys and entries of one account that its page shows; the rest stands in their own lists."""
NAMED = 3
"""Plans of which a new account's form says how theirs pay."""
ABOUT = ("username", "name", "email", "role", "plan", "mode")


def add(routes: Blueprint, desk: Desk) -> None:
    services = desk.services

    @routes.get("/admin/users")
    async def some() -> Response:
        asker = await desk.operator()
        if tidy := desk.tidied():
            return tidy
        site = desk.guard.live.site
        code = str(services.people.self_of(asker.account)["inviteCode"]) if site.registration != "closed" else ""
        invite = f"{desk.address()}/register?{urlencode({'invite': code})}" if code else ""
        listed = await users.listed(services)
        if (file := lists.form()) != "html":
            return lists.as_file(listed, "users", file)
        return desk.show("operate/users.html", asker, found=listed, statuses=STATUSES, invite=invite)

    def making(asker: Asker, form: Form | None = None) -> Response:
        return desk.show(
            "operate/new_user.html", asker, form=form, plans=_plans(desk), roles=ROLES, modes=MODES,
            password_min=desk.guard.live.site.password_min,
            inherited=", ".join(f"{services.users.mode_of(plan)} (plan {plan})" for plan, _ in _plans(desk)[:NAMED]),
        )  # fmt: skip

    @routes.get("/admin/users/new")
    async def new() -> Response:
        return making(await desk.operator())

    @routes.post("/admin/users/new")
    async def make() -> Response:
        asker, made = await desk.operator(), None
        form = await desk.form()
        with form.trying():
            with form.reading():
                username, given = users.new(form.fields(*ABOUT, "credits", whole=("password",)))
                name_of(form, NAME, NAME_WORDS)
                if "password" in given:
                    new_password(form, desk.guard.live.site.password_min)
            user = await services.users.make(username, given, doer(asker))
            if "password" not in given:
                made = await services.users.set_password(int(str(user["id"])), None, doer(asker))
        if not form.done:
            return making(asker, form)
        if made is None:
            return desk.go(f"/admin/users/{user['id']}", said="user_made")
        return desk.show("operate/password.html", asker, user=user, password=made, new=True)

    _one(routes, desk)
    _done(routes, desk)


def _plans(desk: Desk) -> list[tuple[str, str]]:
    return [(str(plan["name"]), str(plan["name"])) for plan in desk.services.people.plans()]


async def shown(desk: Desk, asker: Asker, id: int, form: Form | None = None) -> Response:
    """One account's page. Raises NotFound."""
    services = desk.services
    (user,) = await with_requests(services, [services.users.shown(id)])
    keys, many, _ = await services.keys.page(id, status=None, after=None, skipped=0, size=SHOWN)
    entries, moves, _ = await services.records.entries(Moves(account=id), after=None, skipped=0, size=SHOWN)
    inviter, plan = user.get("invited_by"), str(user["plan"])
    return desk.show(
        "operate/user.html", asker, form=form, user=user, keys=keys, many=many, entries=entries, moves=moves,
        plans=_plans(desk), roles=ROLES, modes=MODES, ref=f"page-{secrets.token_hex(8)}", own=id == asker.account,
        mode=services.users.own_mode(id), inherited=f"{services.users.mode_of(plan)} (plan {plan})",
        inviter=None if inviter is None else services.users.shown(int(str(inviter))),
    )  # fmt: skip


def _one(routes: Blueprint, desk: Desk) -> None:
    services = desk.services

    @routes.get("/admin/users/<id>")
    async def one(id: str) -> Response:
        asker = await desk.operator()
        return await shown(desk, asker, path_id(id, "user"))

    @routes.post("/admin/users/<id>/change")
    async def change(id: str) -> Response:
        asker, user = await desk.operator(), path_id(id, "user")
        services.users.shown(user)
        form = await desk.form()
        with form.trying():
            with form.reading():
                given = users.changes(form.fields("name", "email", "role", "plan", "mode", nulls=("mode",)))
            given |= {what: "" for what in ("name", "email") if not form.said(what).strip()}
            await services.users.change(user, given, doer(asker))
        return desk.go(f"/admin/users/{user}", said="user_changed") if form.done else await shown(
            desk, asker, user, form
        )  # fmt: skip

    @routes.post("/admin/users/<id>/credits")
    async def credit(id: str) -> Response:
        asker, user, done = await desk.operator(), path_id(id, "user"), {}
        services.users.shown(user)
        form = await desk.form()
        correcting = form.said("what") == "correct"
        with form.trying():
            with form.reading():
                said = form.fields("amount", "note", "ref")
                units, note, ref = credits.put_right(said) if correcting else credits.given(said)
            move = services.credits.corrected if correcting else services.credits.granted
            done = dict(await move(user, units, note=note, ref=ref, by=doer(asker)))
        if not form.done:
            return await shown(desk, asker, user, form)
        word = "credits_before" if done.get("already_done") else "credits_corrected" if correcting else "credits_given"
        return desk.go(f"/admin/users/{user}", said=word)


def _done(routes: Blueprint, desk: Desk) -> None:
    services = desk.services

    @routes.post("/admin/users/<id>/<any(enable, disable):what>")
    async def switch(id: str, what: str) -> Response:
        asker, user = await desk.operator(), path_id(id, "user")
        services.users.shown(user)
        form = await desk.form()
        with form.trying():
            status = "active" if what == "enable" else "disabled"
            await services.users.change(user, {"status": status}, doer(asker))
        return desk.go(f"/admin/users/{user}", said=f"user_{what}d") if form.done else await shown(
            desk, asker, user, form
        )  # fmt: skip

    @routes.post("/admin/users/<id>/password")
    async def password(id: str) -> Response:
        asker, user, made = await desk.operator(), path_id(id, "user"), None
        form = await desk.form()
        with form.trying():
            new = form.fields(whole=("new_password",)).text("new_password", most=MOST_PASSWORD)
            if user == asker.account and new is None:
                raise InvalidRequest("choose your own password yourself: you are signed out with it")
            made = await services.users.set_password(user, new, doer(asker))
        if not form.done:
            return await shown(desk, asker, user, form)
        if made is None:
            return desk.go(f"/admin/users/{user}", said="user_password")
        return desk.show("operate/password.html", asker, user=services.users.shown(user), password=made, new=False)

    @routes.post("/admin/users/<id>/logout")
    async def logout(id: str) -> Response:
        asker, user = await desk.operator(), path_id(id, "user")
        await services.users.logout(user, doer(asker))
        return desk.go(f"/admin/users/{user}", said="user_logged_out")
