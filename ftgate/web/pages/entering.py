"""Signing in and out, and registering."""

from quart import Blueprint, Response, request

from ftgate.ports.site import Doer, Session
from ftgate.web.api.auth import MOST_CODE, MOST_NAME, MOST_PASSWORD, MOST_USERNAME, SESSION_S, email
from ftgate.web.asking import Guard
from ftgate.web.pages.desk import Desk, SignIn, ours
from ftgate.web.pages.forms import Form
from ftgate.web.replies import request_id


def add(routes: Blueprint, desk: Desk) -> None:
    entrance, guard = desk.services.entrance, desk.guard

    def entered(value: str, session: Session, path: str) -> Response:
        return with_cookie(desk.go(path), value, guard)

    def asked(form: Form | None = None) -> Response:
        registration, first = guard.live.site.registration, desk.services.setup.needed()
        return desk.show("entering/login.html", form=form, registration=registration, first=first)

    @routes.get("/login")
    async def login() -> Response:
        if desk.visitor() is not None:
            return desk.go(ours(request.args.get("next")))
        return asked()

    @routes.post("/login")
    async def sign_in() -> Response:
        form = await desk.stranger()
        with form.trying():
            said = form.fields("username")
            opened = await entrance.open_session(
                username=said.needed("username", said.text("username", most=MOST_USERNAME)),
                password=password(form), address=guard.address(), replacing=request.cookies.get(guard.cookie_name),
            )  # fmt: skip
        return entered(*opened, ours(form.said("next"))) if form.done else asked(form)

    def registering(form: Form | None = None) -> Response:
        site = guard.live.site
        return desk.show(
            "entering/register.html", form=form, registration=site.registration, password_min=site.password_min
        )

    @routes.get("/register")
    async def register() -> Response:
        if desk.visitor() is not None:
            return desk.go("/")
        entrance.check_open()
        return registering()

    @routes.post("/register")
    async def sign_up() -> Response:
        form = await desk.stranger()
        with form.trying():
            entrance.check_open()
            said = form.fields("username", "email", "name", "invite_code")
            username = said.needed("username", said.text("username", most=MOST_USERNAME))
            await entrance.register(
                username=username, password=password(form), email=email(said) or "",
                name=said.line("name", least=0, most=MOST_NAME) or "",
                invite_code=said.line("invite_code", least=0, most=MOST_CODE),
                by=Doer(None, username, "session", guard.address(), request_id()),
            )  # fmt: skip
            opened = await entrance.open_session(
                username=username, password=password(form), address=guard.address(),
                replacing=request.cookies.get(guard.cookie_name),
            )  # fmt: skip
        return entered(*opened, "/") if form.done else registering(form)

    @routes.post("/logout")
    async def logout() -> Response:
        try:
            asker = await desk.person()
        except SignIn:
            return desk.go("/login")
        await entrance.logout(asker.account, token=None, session=asker.session, all=False)
        answer = desk.go("/login", said="signed_out")
        answer.delete_cookie(guard.cookie_name, path="/", secure=guard.is_secure, httponly=True, samesite="Lax")
        return answer


def with_cookie(answer: Response, value: str, guard: Guard) -> Response:
    """The answer, and with it a session that was opened."""
    name, secure = guard.cookie_name, guard.is_secure
    answer.set_cookie(name, value, max_age=SESSION_S, httponly=True, secure=secure, samesite="Lax", path="/")
    return answer


def password(form: Form, name: str = "password") -> str:
    """A password just as it was typed. Raises InvalidRequest."""
    said = form.fields(whole=(name,))
    return said.needed(name, said.text(name, most=MOST_PASSWORD))
