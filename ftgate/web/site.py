"""The site: the Quart app with all its routes, and what holds for every answer of it: errors, request ids, CORS."""

from collections.abc import Awaitable, Callable, Collection, MutableMapping
from functools import partial
from typing import Any

from quart import Blueprint, Response, request
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException

from ftgate.doors import http
from ftgate.errors import DatabaseBusy, GateError, InternalError, InvalidRequest, MethodNotAllowed, NotFound
from ftgate.ports import Line, Live
from ftgate.web.api import (
    account,
    auth,
    byok,
    calls,
    channels,
    configured,
    credits,
    described,
    health,
    metrics,
    models,
    payments,
    people,
    records,
    responses,
    route,
    tokens,
    usage,
    users,
)
from ftgate.web.asking import ADMIN, Guard
from ftgate.web.connection import ShieldedConnection
from ftgate.web.pages.all import NAME, Pages
from ftgate.web.pages.desk import SignIn
from ftgate.web.replies import error_reply, request_id
from ftgate.web.rule import ReadingRule
from ftgate.web.services import Services

Message = MutableMapping[str, Any]
WITHOUT_DATA = ("/static/", "/healthz", "/readyz", "/metrics")
"""Paths whose answers need no look at what other gateways have changed."""
READING = frozenset({"GET", "HEAD", "OPTIONS"})


async def _refreshed(refresh: Callable[[], Awaitable[bool]]) -> None:
    """What is shown is as all gateways have it: whoever changed something at one finds it so at the next. Where the
    database does not answer what is known is shown, and nothing can be changed."""
    if not request.path.startswith(WITHOUT_DATA) and not await refresh() and request.method not in READING:
        raise DatabaseBusy("the database takes no changes now, and nothing was changed: try again")


class Site:
    """An ASGI application around a Quart app. Paths of its routes end in no slash; those it is asked for are tidy."""

    def __init__(self, line: Line, live: Live, services: Services) -> None:
        guard = self.guard = Guard(line, services.sessions, services.throttle, live, services.own)
        self.live = live
        self.payments = services.payments
        self.exports = services.exports
        self.app = app = QuartTrio("ftgate", static_folder=None)
        app.asgi_http_class = ShieldedConnection
        app.url_rule_class = ReadingRule
        app.config["RESPONSE_TIMEOUT"] = None
        app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
        app.after_request(self._finish)
        if services.refresh is not None:
            app.before_request(partial(_refreshed, services.refresh))
        app.register_error_handler(GateError, self._gate_error)
        app.register_error_handler(SignIn, self._sign_in)
        app.register_error_handler(HTTPException, self._http_error)
        app.register_error_handler(Exception, self._our_error)
        models.add(app, line, guard)
        responses.add(app, guard)
        route.add(app, line, guard)
        account.add(app, line, guard, services)
        payments.add(app, guard, services.payments)
        usage.add(app, guard, services.journal, services.exports)
        managing = users, credits, records
        operating = byok, calls, channels, configured, metrics
        for part in (auth, people, tokens, *managing, *operating, described):
            routes = Blueprint(part.__name__.rpartition(".")[2], part.__name__)
            part.add(routes, guard, services)
            app.register_blueprint(routes)
        self.pages = Pages(guard, services)
        app.register_blueprint(self.pages.routes)
        health.add(app, line, self.pages)

    async def start(self) -> None:
        """Once, before the first request."""
        await self.app.startup()

    async def __call__(
        self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        serve: Any = self.app  # Quart's own types of ASGI are narrower than ASGI
        await serve(scope, receive, send)

    def methods_at(self, path: str) -> Collection[str]:
        """The methods that a path takes; none where there is no route."""
        return set(self.app.url_map.bind("localhost").allowed_methods(path))

    def _known(self) -> list[str]:
        """The routes of the API that a wrong path may have meant."""
        paths = (rule.rule for rule in self.app.url_map.iter_rules() if not rule.arguments)
        return [*http.CALLS, *(path for path in paths if "/v1/" in path)]

    async def _finish(self, answer: Response) -> Response:
        if self.live.doors.cors and http.is_open(request.path):
            for name, value in http.CORS:
                answer.headers[name.decode()] = value.decode()
        answer.headers.setdefault("X-Request-Id", request_id())
        answer.headers.setdefault("Cache-Control", "no-store")
        answer.headers["X-Content-Type-Options"] = "nosniff"
        return answer

    async def _gate_error(self, error: GateError) -> Response:
        return self._refused(error)

    async def _sign_in(self, error: SignIn) -> Response:
        return self.pages.desk.sign_in()

    def _refused(self, error: GateError) -> Response:
        """As the page or the answer of the API that was asked for."""
        return self.pages.refused(error) if self.pages.is_page() else error_reply(error)

    async def _http_error(self, error: HTTPException) -> Response:
        path = http.canonical(request.path)
        if (
            path == ADMIN or path.startswith(f"{ADMIN}/")
        ) and NAME not in request.blueprints:  # what there is, operators alone see
            try:
                await self.guard.operator()
            except GateError as refused:
                return error_reply(refused)
        if error.code == 405 and path == payments.WEBHOOK and not self.payments.takes_events():
            return error_reply(NotFound(http.route_hint(request.path, ())))
        if error.code == 405:
            allow = ", ".join(sorted(set(getattr(error, "valid_methods", None) or ()) - {"OPTIONS"}))
            return self._refused(MethodNotAllowed(f"{request.path[:200]} takes {allow}", allow=allow))
        if error.code == 404:
            return self._refused(NotFound(http.route_hint(request.path, self._known())))
        wrong = InvalidRequest(error.description or "bad request")
        wrong.status = error.code or 400
        return self._refused(wrong)

    async def _our_error(self, error: Exception) -> Response:
        path, kind = request.path[:200], type(error).__name__
        self.app.logger.error("request %s: internal error at %s: %s", request_id(), path, kind, exc_info=error)
        return self._refused(InternalError("internal error"))
