"""The account: its names, its invite code, its password, the browsers in which it is signed in, its plan."""

from quart import Blueprint, Response

from ftgate.errors import NotAuthenticated
from ftgate.ports import Terms
from ftgate.ports.site import Entered
from ftgate.web.api.auth import MOST_NAME, SESSION_S, email
from ftgate.web.asking import Asker, doer
from ftgate.web.pages.desk import Desk
from ftgate.web.pages.entering import new_password, password
from ftgate.web.pages.forms import Form


def add(routes: Blueprint, desk: Desk) -> None:
    services, guard = desk.services, desk.guard

    def page(asker: Asker, form: Form | None = None, at: str = "") -> Response:
        plans, browsers = services.people.plans(), services.sessions.browsers(asker.account, asker.session)
        return desk.show(
            "profile/start.html", asker, form=form, at=at, user=services.people.self_of(asker.account),
            browsers=browsers, password_min=guard.live.site.password_min,
            plan=next((plan for plan in plans if plan["name"] == asker.person.plan), None),
            terms=guard.line.settings.plans.get(asker.person.plan, Terms()),
        )  # fmt: skip

    @routes.get("/profile")
    async def start() -> Response:
        return page(await desk.person())

    @routes.post("/profile")
    async def change() -> Response:
        asker = await desk.person()
        form = await desk.form()
        with form.trying():
            with form.reading():
                said = form.fields("name", "email")
                given = {"name": said.line("name", least=0, most=MOST_NAME) or "", "email": email(said) or ""}
            await services.people.change_self(asker.account, given, doer(asker))
        return desk.go("/profile", said="profile_changed") if form.done else page(asker, form, "names")

    @routes.post("/profile/invite")
    async def invite() -> Response:
        asker = await desk.person()
        await services.people.new_code(asker.account, doer(asker))
        return desk.go("/profile", said="invite_made")

    @routes.post("/profile/password")
    async def change_password() -> Response:
        asker = await desk.person()
        form, found = await desk.form(), None
        with form.trying():
            with form.reading():
                current = password(form, "current_password")
                new = new_password(form, guard.live.site.password_min, "new_password")
            found = await services.entrance.change_password(
                asker.account, current=current, new=new, by=doer(asker), browser=True
            )
        if found is None:
            return page(asker, form, "password")
        assert not isinstance(found, Entered)
        answer = desk.go("/profile", said="password_changed")
        name, secure = guard.cookie_name, guard.is_secure
        answer.set_cookie(name, found[0], max_age=SESSION_S, httponly=True, secure=secure, samesite="Lax", path="/")
        return answer

    @routes.post("/profile/browsers/<mark>/end")
    async def end_one(mark: str) -> Response:
        asker = await desk.person()
        await services.entrance.end_browser(asker.account, mark)
        return desk.go("/profile", said="session_ended")

    @routes.post("/profile/browsers/end-others")
    async def end_others() -> Response:
        asker = await desk.person()
        if asker.session is None:
            raise NotAuthenticated("sign in first")
        await services.entrance.end_others(asker.account, asker.session)
        return desk.go("/profile", said="others_ended")
