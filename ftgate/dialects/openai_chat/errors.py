"""Errors as OpenAI words them. An upstream's are read in dialects/complaints."""

import msgspec

from ftgate.dialects import sse
from ftgate.errors import GateError


def error_body(error: GateError, request_id: str) -> bytes:
    """`request_id` stands in the X-Request-Id header here; other dialects show it in the body."""
    return msgspec.json.encode(
        {"error": {"message": error.message, "type": error.kind, "code": error.code, "param": error.param}}
    )


def error_event(error: GateError, request_id: str, note: str = "") -> bytes:
    return (sse.comment(note) if note else b"") + sse.event(error_body(error, request_id))
