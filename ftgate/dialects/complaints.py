"""An upstream's error, in whatever shape it comes: with an error status, as the whole of a 200, or inside a stream.

Shapes seen: {"error": {...}}, {"error": "text"}, the same in a list (Gemini's layer), {"object": "error", "message":
...} (older vLLM and SGLang), {"code": ..., "message": ...} (DashScope), {"base_resp": {...}} (MiniMax), {"detail": ...}
(FastAPI), plain text, a page of HTML. An error counts as the status that it names itself, or that its type stands for.
"""

from collections.abc import Mapping

import msgspec

from ftgate.dialects.fields import loads
from ftgate.dialects.talk import Complaint, NotAnAnswer

MAX_PLAIN = 200
"""Characters kept of an error that is no JSON."""

_STATUS_OF = {
    "invalid_request_error": 400, "invalid_argument": 400, "bad_request": 400, "badrequesterror": 400,
    "badrequest": 400, "invalidparameter": 400, "invalid_parameter_error": 400, "context_length_exceeded": 400,
    "exceed_context_size_error": 400, "content_filter": 400,
    "authentication_error": 401, "unauthenticated": 401, "permission_error": 403, "permission_denied": 403,
    "not_found_error": 404, "rate_limit_error": 429, "rate_limit_exceeded": 429, "resource_exhausted": 429,
    "overloaded_error": 529, "server_error": 500, "internal_error": 500, "internal_server_error": 500,
    "api_error": 500, "internal": 500, "server_is_overloaded": 503, "slow_down": 503,
    "unavailable": 503, "service_unavailable": 503, "service_unavailable_error": 503, "timeout_error": 504,
}  # fmt: skip
"""The status that a type, a code or a status word stands for, where the error names no number."""
_MINIMAX = {1002: 429, 1004: 401, 1008: 402, 1026: 400, 1027: 400}
"""What base_resp.status_code stands for (PROVIDERS.md)."""


def read_error(body: bytes) -> Complaint:
    """The error that a body holds. Raises nothing."""
    try:
        return complaint_of(loads(body))
    except ValueError:
        pass
    page = body.lstrip().startswith(b"<")
    return Complaint("an HTML page" if page else body[:MAX_PLAIN].decode(errors="replace").strip())


def complaint_of(said: object) -> Complaint:
    """The error that a JSON value is."""
    if isinstance(said, list) and said:
        said = said[0]
    inner: object = said
    if isinstance(said, dict):
        inner = said.get("error") if is_error(said.get("error")) else said
        if isinstance(inner, list):
            inner = inner[0]
        if inner is said and isinstance(base := said.get("base_resp"), dict):
            code = base.get("status_code")
            status = _MINIMAX.get(code) if isinstance(code, int) else None
            return Complaint(_text(base.get("status_msg")), code=_text(code) or None, status=status)
    if isinstance(inner, str):
        return Complaint(_text(inner))
    if not isinstance(inner, dict):
        return Complaint("an error without words")
    message = inner.get("message") or inner.get("detail") or inner.get("msg") or ""
    kind, code, param = (_text(inner.get(name)) or None for name in ("type", "code", "param"))
    status = _status(inner, said if isinstance(said, dict) else {})
    return Complaint(_text(message), kind, code, param, status, _details(inner.get("details")))


def answer_object(body: bytes) -> dict[str, object]:
    """The JSON object that the body of an answer has to be. Raises NotAnAnswer, with the error where one stands in a
    list."""
    try:
        said = loads(body)
    except ValueError:
        raise NotAnAnswer(Complaint("the body is not JSON")) from None
    if not isinstance(said, dict):
        wrapped = isinstance(said, list) and bool(said) and isinstance(said[0], dict)
        raise NotAnAnswer(complaint_of(said) if wrapped else Complaint("the body is not a JSON object"))
    return said


def complaint_in(said: Mapping[str, object]) -> Complaint | None:
    """The error that stands in an answer or a chunk, beside choices or in their place; None when there is none."""
    base = said.get("base_resp")
    if is_error(said.get("error")):
        return complaint_of(said)
    if isinstance(base, dict) and isinstance(base.get("status_code"), int) and base["status_code"] != 0:
        return complaint_of({"base_resp": base})
    if said.get("choices") is None and (
        "error" in (said.get("object"), said.get("type")) or (said.get("code") and said.get("message"))
    ):
        return complaint_of(said)
    return None


def is_error(value: object) -> bool:
    """Whether what stands under `error` is one: an object without a message and a code is none."""
    if isinstance(value, list):
        return bool(value) and is_error(value[0])
    if isinstance(value, dict):
        return any(value.get(name) for name in ("message", "msg", "detail", "code", "status_code"))
    return isinstance(value, str) and bool(value.strip())


def _status(inner: Mapping[str, object], said: Mapping[str, object]) -> int | None:
    """The status that an error counts as: a number it names, else what its type, code or status word stands for."""
    values = [
        *(inner.get(name) for name in ("status", "status_code", "http_status", "code")),
        *(said.get(name) for name in ("status", "status_code", "code")),
        inner.get("type"),
    ]
    for value in values:
        if isinstance(value, str) and value.isdecimal() and len(value) == 3:
            value = int(value)
        if isinstance(value, int) and 400 <= value <= 599:
            return value
    words = (value.lower() for value in values if isinstance(value, str))
    return next((_STATUS_OF[word] for word in words if word in _STATUS_OF), None)


def _details(value: object) -> bytes | None:
    """What an error says beside its words, where that is an object or a list that can be written again."""
    if not value or not isinstance(value, (dict, list)):
        return None
    try:
        return msgspec.json.encode(value)
    except (UnicodeEncodeError, RecursionError):
        return None


def _text(value: object) -> str:
    """A value as words: text as it is, but for halves of surrogate pairs, which no answer of ours can carry."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, (bool, int, float)):
        return str(value)
    try:
        return msgspec.json.encode(value).decode()
    except (UnicodeEncodeError, RecursionError):
        return "an error without words"
