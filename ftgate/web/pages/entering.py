"""Signing in and out, and registering."""

import re

from quart import Blueprint, Response, request

from ftgate.core.accounts import CHOSEN_NAME, CHOSEN_NAME_WORDS, password_fault
from ftgate.ports.site import Doer, Session
from ftgate.web.api.auth import MOST_CODE, MOST_NAME, MOST_PASSWORD, MOST_USERNAME, SESSION_S, email
from ftgate.web.asking import Guard
from ftgate.web.fields import wrong
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
            with form.reading():
                username, secret = name_of(form), password(form)
            opened = await entrance.open_session(
                username=username, password=secret, address=guard.address(),
                replacing=request.cookies.get(guard.cookie_name),
            )  # fmt: skip
        return entered(*opened, ours(form.said("next"))) if form.done else asked(form)

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

    _registering(routes, desk)


def _registering(routes: Blueprint, desk: Desk) -> None:
    entrance, guard = desk.services.entrance, desk.guard

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
            with form.reading():
                username = name_of(form, CHOSEN_NAME, CHOSEN_NAME_WORDS)
                secret = new_password(form, guard.live.site.password_min)
                said = form.fields("email", "name", "invite_code")
                address, name = email(said) or "", said.line("name", least=0, most=MOST_NAME) or ""
                code = said.line("invite_code", least=0, most=MOST_CODE)
                if guard.live.site.registration == "invite":
                    said.needed("invite_code", code)
            await entrance.register(
                username=username, password=secret, email=address, name=name, invite_code=code,
                by=Doer(None, username, "session", guard.address(), request_id()),
            )  # fmt: skip
            cookie, _ = await entrance.open_session(
                username=username, password=secret, address=guard.address(),
                replacing=request.cookies.get(guard.cookie_name),
            )  # fmt: skip
        return with_cookie(desk.go("/"), cookie, guard) if form.done else registering(form)


def with_cookie(answer: Response, value: str, guard: Guard) -> Response:
    """The answer, and with it a session that was opened."""
    name, secure = guard.cookie_name, guard.is_secure
    answer.set_cookie(name, value, max_age=SESSION_S, httponly=True, secure=secure, samesite="Lax", path="/")
    return answer


def name_of(form: Form, rule: re.Pattern[str] | None = None, words: str = "") -> str:
    """An account's name; of one that is to be made by its rule, and the words for it. Raises InvalidRequest."""
    said = form.fields("username")
    name = said.needed("username", said.text("username", most=MOST_USERNAME))
    if rule is not None and name is not None and not rule.fullmatch(name):
        form.fault(wrong("username", words))
    return name


def new_password(form: Form, least: int, name: str = "password") -> str:
    """A password that is to be set, of `least` bytes or more. Raises InvalidRequest."""
    chosen = password(form, name)
    if chosen is not None and (fault := password_fault(chosen, least)):
        form.fault(wrong(name, fault))
    return chosen


def password(form: Form, name: str = "password") -> str:
    """A password just as it was typed. Raises InvalidRequest."""
    said = form.fields(whole=(name,))
    return said.needed(name, said.text(name, most=MOST_PASSWORD))
