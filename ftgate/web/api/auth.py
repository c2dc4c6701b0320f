"""Signing up, logging in and out."""

from quart import Blueprint, Response, request

from ftgate.core.moments import iso
from ftgate.errors import Forbidden, NotAuthenticated
from ftgate.ports.site import Doer, Entered, Session
from ftgate.web import fields
from ftgate.web.asking import Guard, doer
from ftgate.web.replies import reply, request_id
from ftgate.web.services import Services
from ftgate.web.shown import self_of

MOST_USERNAME, MOST_PASSWORD, MOST_EMAIL, MOST_NAME, MOST_CODE = 64, 1024, 254, 100, 64
SESSION_S = 7 * 86_400


class Shown:
    """How somebody who has come in is answered."""

    def __init__(self, guard: Guard, services: Services) -> None:
        self.guard = guard
        self.services = services

    async def entered(self, found: Entered) -> Response:
        """A login token, and whose."""
        user = await self_of(self.services, found.account)
        return reply({"user": user, "token": found.token, "expiresAt": iso(found.until_us)})

    async def opened(self, value: str, session: Session) -> Response:
        """A cookie, and what proves that its pages ask."""
        answer = reply({"user": await self_of(self.services, session.person.id), "csrfToken": session.csrf})
        name, secure = self.guard.cookie_name, self.guard.is_secure
        answer.set_cookie(name, value, max_age=SESSION_S, httponly=True, secure=secure, samesite="Lax", path="/")
        return answer


def add(routes: Blueprint, guard: Guard, services: Services) -> None:
    shown = Shown(guard, services)
    _for_programs(routes, guard, services, shown)
    _for_browsers(routes, guard, services, shown)
    _for_both(routes, guard, services, shown)


def _for_programs(routes: Blueprint, guard: Guard, services: Services, shown: Shown) -> None:
    entrance = services.entrance

    @routes.post("/v1/auth/register")
    async def register() -> Response:
        entrance.check_open()
        said = await fields.read()
        username = said.needed("username", said.text("username", most=MOST_USERNAME))
        found = await entrance.register(
            username=username,
            password=said.needed("password", said.text("password", most=MOST_PASSWORD)),
            email=email(said) or "",
            name=said.line("name", least=0, most=MOST_NAME) or "",
            invite_code=said.line("invite_code", least=0, most=MOST_CODE),
            by=Doer(None, username, "api", guard.address(), request_id()),
        )
        return await shown.entered(found)

    @routes.post("/v1/auth/login")
    async def login() -> Response:
        username, password = await credentials()
        return await shown.entered(await entrance.login(username=username, password=password, address=guard.address()))

    @routes.post("/v1/auth/refresh")
    async def refresh() -> Response:
        asker = await guard.account()
        if asker.token is None:
            raise Forbidden("only a login token is refreshed")
        return await shown.entered(await entrance.refresh(asker.token))


def _for_browsers(routes: Blueprint, guard: Guard, services: Services, shown: Shown) -> None:
    entrance = services.entrance

    @routes.post("/v1/auth/session")
    async def open_session() -> Response:
        guard.same_origin()
        username, password = await credentials()
        value, session = await entrance.open_session(
            username=username, password=password, address=guard.address(),
            replacing=request.cookies.get(guard.cookie_name),
        )  # fmt: skip
        return await shown.opened(value, session)

    @routes.get("/v1/auth/session")
    async def session() -> Response:
        asker = await guard.account()
        if asker.session is None:
            raise NotAuthenticated("No session: sign in with POST /v1/auth/session")
        return reply({"user": await self_of(services, asker.account), "csrfToken": asker.session.csrf})


def _for_both(routes: Blueprint, guard: Guard, services: Services, shown: Shown) -> None:
    entrance = services.entrance

    @routes.post("/v1/auth/logout")
    async def logout() -> Response:
        asker = await guard.person()
        everywhere = (await fields.read()).flag("all")
        await entrance.logout(asker.account, token=asker.token, session=asker.session, all=everywhere)
        answer = reply({"ok": True})
        if asker.session is not None:
            answer.delete_cookie(
                guard.cookie_name, path="/", secure=guard.is_secure, httponly=True, samesite="Lax"
            )  # fmt: skip
        return answer

    @routes.post("/v1/auth/password")
    async def password() -> Response:
        asker = await guard.person()
        said = await fields.read()
        found = await entrance.change_password(
            asker.account,
            current=said.needed("current_password", said.text("current_password", most=MOST_PASSWORD)),
            new=said.needed("new_password", said.text("new_password", most=MOST_PASSWORD)),
            by=doer(asker),
            browser=asker.session is not None,
        )
        return await shown.entered(found) if isinstance(found, Entered) else await shown.opened(*found)


async def credentials() -> tuple[str, str]:
    """The name and the password of a login. Raises InvalidRequest."""
    said = await fields.read()
    username = said.needed("username", said.text("username", most=MOST_USERNAME))
    return username, said.needed("password", said.text("password", most=MOST_PASSWORD))


def email(said: fields.Fields) -> str | None:
    """An address as a line with one @; "" is none. Raises InvalidRequest."""
    found = said.line("email", least=0, most=MOST_EMAIL)
    if found and (found.count("@") != 1 or found.startswith("@") or found.endswith("@")):
        said.fault(fields.wrong("email", "`email` must be an address with one @"))
    return found
