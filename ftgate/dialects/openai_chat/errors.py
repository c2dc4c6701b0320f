"""Errors as OpenAI words them. An upstream's are read in dialects/complaints."""

import msgspec

from ftgate.dialects import sse
from ftgate.dialects.talk import Ask, Headers, error_headers
from ftgate.errors import GateError


def status_of(error: GateError) -> int:
    return error.status


def error(error: GateError, request_id: str, *, code: str | None = None) -> tuple[int, Headers, bytes]:
    """`request_id` stands in a header here; other dialects show it in the body too. `code`: in place of its own."""
    own = [(b"content-type", b"application/json"), (b"x-request-id", request_id.encode())]
    return status_of(error), own + error_headers(error), _body(error, code)


def _body(error: GateError, code: str | None = None) -> bytes:
    return msgspec.json.encode(
        {"error": {"message": error.message, "type": error.kind, "code": code or error.code, "param": error.param}}
    )


def error_event(error: GateError, request_id: str, note: str = "", ask: Ask | None = None) -> bytes:
    return (sse.comment(note) if note else b"") + sse.event(_body(error))
