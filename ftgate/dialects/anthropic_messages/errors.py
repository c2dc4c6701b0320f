"""Errors as Anthropic words them: the type follows from the status, and both SDKs make their classes of these."""

from collections.abc import Mapping

import msgspec

from ftgate.dialects import sse
from ftgate.dialects.anthropic_messages.answer import named
from ftgate.dialects.talk import Ask, Headers, error_headers
from ftgate.errors import GateError

_TYPES: Mapping[int, str] = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_TOO_LONG = "prompt is too long"
"""Words on which Claude Code makes a conversation shorter and goes on."""


def status_of(error: GateError) -> int:
    """An unknown model is not found, and providers that all have too much to do are overloaded."""
    if error.code == "model_not_found":
        return 404
    return 529 if error.overloaded else error.status


def error(error: GateError, request_id: str) -> tuple[int, Headers, bytes]:
    name = request_id.encode()
    own = [(b"content-type", b"application/json"), (b"x-request-id", name), (b"request-id", name)]
    return status_of(error), own + error_headers(error), msgspec.json.encode(_said(error, request_id))


def error_event(error: GateError, request_id: str, note: str = "", ask: Ask | None = None) -> bytes:
    return (sse.comment(note) if note else b"") + named(_said(error, request_id))


def _said(error: GateError, request_id: str) -> dict[str, object]:
    status, message = status_of(error), error.message
    kind = _TYPES.get(status) or ("invalid_request_error" if status < 500 else "api_error")
    if error.code == "context_length_exceeded" and _TOO_LONG not in message.lower():
        message = f"{_TOO_LONG}: {message}"
    inner: dict[str, object] = {"type": kind, "message": message}
    if error.details is not None:
        inner["details"] = msgspec.Raw(error.details)
    return {"type": "error", "error": inner, "request_id": request_id}
