"""Answers of the site: JSON in CONTRACT.md's shapes, errors in the shape of their route's family."""

import msgspec
from quart import Response, g, request

from ftgate.core.money import format_usd
from ftgate.doors import http
from ftgate.errors import ConfigInvalid, GateError
from ftgate.ports import Headers


def reply(value: object, status: int = 200, headers: Headers | None = None) -> Response:
    """A JSON answer. Raw JSON numbers inside `value` keep every digit."""
    return _answer(msgspec.json.encode(value), status, headers or [])


def number(units: int) -> msgspec.Raw:
    """USD as an exact JSON number."""
    return msgspec.Raw(format_usd(units).encode())


def versioned() -> bool:
    """Whether the request is one of Anthropic's clients, which name their version of the API."""
    return "anthropic-version" in request.headers


def request_id() -> str:
    """The request's own id, the same wherever it is told."""
    id: str | None = getattr(g, "request_id", None)
    if id is None:
        id = g.request_id = http.new_request_id()
    return id


def error_reply(error: GateError) -> Response:
    """An error, as clients of the route that was asked for expect it."""
    path = request.path if request.url_rule else http.canonical(request.path)
    status, headers, body = http.wording(path, versioned=versioned()).error(error, request_id())
    if isinstance(error, ConfigInvalid):
        said = msgspec.json.decode(body)
        said["error"]["faults"] = error.faults
        body = msgspec.json.encode(said)
    if status == 401:
        headers = [*headers, (b"www-authenticate", b"Bearer")]
    return _answer(body, status, headers)


def _answer(body: bytes, status: int, headers: Headers) -> Response:
    answer = Response(body, status=status, content_type="application/json")
    answer.timeout = None  # Quart's own 60 s would cut a slow reader's answer without a word
    for name, text in headers:
        answer.headers[name.decode()] = text.decode()
    return answer
