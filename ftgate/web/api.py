"""The Quart app: models, prices, the account's own figures, health. JSON in CONTRACT.md's shapes, errors too."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
from quart import Response, request
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException

from ftgate import __version__
from ftgate.core.moments import parse_time
from ftgate.core.money import PICO_PER_USD, format_price, format_usd
from ftgate.core.routing import Channel, Model, Routes
from ftgate.doors import http
from ftgate.errors import GateError, InternalError, InvalidRequest, MethodNotAllowed, NotFound
from ftgate.ports import Accounts, Headers, Journal, Key, Line, Terms
from ftgate.web.connection import ShieldedConnection

MAX_PAGE = 100
_ROUTES = (
    "/v1/chat/completions",
    "/v1/models",
    "/v1/pricing",
    "/v1/user/balance",
    "/v1/billing/balance",
    "/v1/user/logs",
)


def reply(value: object, status: int = 200, headers: Headers | None = None) -> Response:
    """A JSON answer. Raw JSON numbers inside `value` keep every digit."""
    answer = Response(msgspec.json.encode(value), status=status, content_type="application/json")
    answer.timeout = None  # Quart's own 60 s would cut a slow reader's answer without a word
    for name, text in headers or []:
        answer.headers[name.decode()] = text.decode()
    return answer


def number(units: int) -> msgspec.Raw:
    """USD as an exact JSON number."""
    return msgspec.Raw(format_usd(units).encode())


def error_reply(error: GateError) -> Response:
    headers = [(b"x-request-id", http.new_request_id().encode()), *http.error_headers(error)]
    if http.canonical(request.path).startswith(("/v1/messages", "/anthropic")):
        kind = "not_found_error" if error.status == 404 else error.kind
        body: object = {
            "type": "error",
            "error": {"type": kind, "message": error.message},
            "request_id": headers[0][1].decode(),
        }
        return reply(body, error.status, headers)
    answer = reply(None, error.status, headers)
    answer.set_data(http.plain_error(error))
    return answer


def served(routes: Routes, key: Key, terms: Terms) -> dict[str, tuple[Channel, Model]]:
    """The models this key may use, each with the channel that comes first."""
    found: dict[str, tuple[Channel, Model]] = {}
    for channel in sorted((c for c in routes.channels if c.weight > 0), key=lambda channel: channel.priority):
        for name, model in channel.models.items():
            if name not in found and routes.permits(key.models, name) and routes.permits(terms.models, name):
                found[name] = (channel, model)
    return found


def model_object(name: str, channel: Channel) -> dict[str, object]:
    return {"id": name, "object": "model", "created": 1_767_225_600, "owned_by": channel.provider}


def build(line: Line, accounts: Accounts, journal: Journal, *, cors: bool) -> QuartTrio:
    """The app with all its routes. Nothing in it owns money: that is the gate's."""
    app = QuartTrio("ftgate", static_folder=None)
    app.asgi_http_class = ShieldedConnection
    app.config["RESPONSE_TIMEOUT"] = None
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False

    async def own_key() -> Key:
        headers = [(name.lower().encode("latin1"), value.encode("latin1")) for name, value in request.headers.items()]
        return await line.authenticate(http.presented_key(headers))

    def route(path: str, *, methods: tuple[str, ...] = ("GET",)) -> Callable[[Callable[..., Awaitable[Any]]], Any]:
        return app.route(path, methods=list(methods), strict_slashes=False)

    @route("/v1/models")
    async def models() -> Response:
        key = await own_key()
        found = served(line.settings.routes, key, line.settings.terms(key.plan))
        return reply({"object": "list", "data": [model_object(name, channel) for name, (channel, _) in found.items()]})

    @route("/v1/models/<path:name>")
    async def model(name: str) -> Response:
        key = await own_key()
        routes = line.settings.routes
        found = served(routes, key, line.settings.terms(key.plan))
        for known in (name, routes.resolve(name)):
            if known in found:
                return reply(model_object(name, found[known][0]))
        raise NotFound(
            f"The model {name[:200]!r} does not exist or this key may not use it", code="model_not_found", param="model"
        )

    @route("/v1/pricing")
    async def pricing() -> Response:
        everyone = Key(0, 0, "", "", active=True, account_active=True, metered=False, plan="default")
        rows = [price_row(n, c, m) for n, (c, m) in served(line.settings.routes, everyone, Terms()).items()]
        return reply({"object": "list", "currency": "USD", "unit": "1M tokens", "data": rows})

    @route("/v1/user/balance")
    async def balance() -> Response:
        key = await own_key()
        posted = await accounts.posted(key.account)
        now = datetime.now(UTC)
        reset = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        reset = reset.replace(year=now.year + now.month // 12, month=now.month % 12 + 1)
        return reply(
            {
                "credits": number(posted),
                "credits_cents": posted * 100 // PICO_PER_USD,
                "byok_usage_month": 0,
                "byok_limit_month": line.settings.terms(key.plan).byok_tokens_per_month,
                "reset_date": reset.isoformat().replace("+00:00", "Z"),
            }
        )

    @route("/v1/billing/balance")
    async def billing_balance() -> Response:
        key = await own_key()
        return reply({"balance": number(await accounts.posted(key.account))})

    @route("/v1/user/logs")
    async def logs() -> Response:
        key = await own_key()
        page, size = whole("page", 1, 10**9), whole("page_size", 20, MAX_PAGE)
        filters: dict[str, Any] = {name: request.args[name] for name in ("model", "status") if request.args.get(name)}
        for name in ("from", "to"):
            if request.args.get(name):
                try:
                    filters[name + "_us"] = parse_time(request.args[name].replace(" ", "+"))
                except ValueError as error:
                    raise InvalidRequest(str(error), param=name) from None
        return reply(await journal.page(key.account, **filters, page=page, page_size=size))

    @route("/healthz")
    async def healthz() -> Response:
        return reply({"status": "ok", "version": __version__})

    @route("/readyz")
    async def readyz() -> Response:
        why = line.not_ready()
        return reply({"status": "ready"}) if why is None else reply({"status": "not ready", "reason": why}, 503)

    @route("/", methods=("GET", "HEAD"))
    @route("/anthropic", methods=("GET", "HEAD"))
    async def root() -> Response:
        return reply(
            {"name": "ftgate", "version": __version__, "api": "/v1", "models": "/v1/models", "pricing": "/v1/pricing"}
        )

    @app.after_request
    async def open_to_browsers(answer: Response) -> Response:
        if cors and http.is_open(request.path):
            for name, value in http.CORS:
                answer.headers[name.decode()] = value.decode()
        answer.headers.setdefault("X-Request-Id", http.new_request_id())
        answer.headers["Cache-Control"] = "no-store"
        answer.headers["X-Content-Type-Options"] = "nosniff"
        return answer

    @app.errorhandler(GateError)
    async def gate_error(error: GateError) -> Response:
        return error_reply(error)

    @app.errorhandler(HTTPException)
    async def http_error(error: HTTPException) -> Response:
        if error.code == 405:
            allow = ", ".join(sorted(set(getattr(error, "valid_methods", None) or ()) - {"OPTIONS"}))
            return error_reply(MethodNotAllowed(f"{request.path[:200]} takes {allow}", allow=allow))
        if error.code == 404:
            return error_reply(NotFound(http.route_hint(request.path, _ROUTES)))
        wrong = InvalidRequest(error.description or "bad request")
        wrong.status = error.code or 400
        return error_reply(wrong)

    @app.errorhandler(Exception)
    async def our_error(error: Exception) -> Response:
        app.logger.error("internal error at %s: %s", request.path[:200], type(error).__name__, exc_info=error)
        return error_reply(InternalError("internal error"))

    return app


def price_row(name: str, channel: Channel, model: Model) -> dict[str, object]:
    def price(units: int) -> msgspec.Raw:
        return msgspec.Raw(format_price(units).encode())

    return {
        "id": name,
        "provider": channel.provider,
        "input": price(model.price.input),
        "output": price(model.price.output),
        "cached": price(model.price.cached),
        "context": model.context,
        "max_output": model.max_output,
        "best_for": model.best_for,
        "tags": list(model.tags),
    }


def whole(name: str, default: int, most: int) -> int:
    """A query argument that is a whole number from 1; past `most` it is `most`."""
    text = request.args.get(name)
    if not text:
        return default
    if not text.isdecimal() or not text.isascii() or int(text[:12]) < 1:
        raise InvalidRequest(f"`{name}` must be a whole number from 1", param=name)
    return min(int(text[:12]), most)
