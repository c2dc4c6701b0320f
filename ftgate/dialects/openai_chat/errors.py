"""Errors: an upstream's in whatever shape, and ours as OpenAI words them."""

import msgspec

from ftgate.dialects import sse
from ftgate.dialects.fields import anything
from ftgate.dialects.talk import Complaint
from ftgate.errors import GateError


def read_error(body: bytes) -> Complaint:
    """An upstream's error in whatever shape: {"error": {...}}, {"error": "text"}, {"message": ...}, base_resp, or plain
    text."""
    try:
        said = anything.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return Complaint(
            body[:200].decode(errors="replace").strip() if not body.lstrip().startswith(b"<") else "an HTML page"
        )
    if isinstance(said, list) and said:
        said = said[0]  # Gemini's compatible layer wraps its error in a list
    inner = (said.get("error") or said) if isinstance(said, dict) else said
    if isinstance(said, dict) and inner is said and isinstance(base := said.get("base_resp"), dict):
        inner = {"message": base.get("status_msg"), "code": base.get("status_code")}
    if isinstance(inner, str):
        return Complaint(inner)
    if not isinstance(inner, dict):
        return Complaint("an error without words")
    message = inner.get("message") or inner.get("detail") or inner.get("msg") or ""
    return Complaint(
        message if isinstance(message, str) else msgspec.json.encode(message).decode(),
        *(str(inner[name]) if inner.get(name) is not None else None for name in ("type", "code", "param")),
    )


def error_body(error: GateError, request_id: str) -> bytes:
    """`request_id` stands in the X-Request-Id header here; other dialects show it in the body."""
    return msgspec.json.encode(
        {"error": {"message": error.message, "type": error.kind, "code": error.code, "param": error.param}}
    )


def error_event(error: GateError, request_id: str) -> bytes:
    return sse.event(error_body(error, request_id))
