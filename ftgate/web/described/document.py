"""The tables of routes as one document of OpenAPI 3.1, and as a page for people."""

from collections.abc import Iterator
from functools import cache
from typing import Any

from ftgate import __version__
from ftgate.web.described import accounts, operator, payments, relay, unguarded
from ftgate.web.described.words import KEY, METRICS, SESSION, STRIPE, TOKEN, Operation, Schema

PARTS = (
    ("Calls and models", relay), ("Accounts", accounts), ("Payments and provider keys", payments),
    ("Operators", operator), ("Open", unguarded),
)  # fmt: skip
SECURITY: dict[str, Schema] = {
    KEY: {"type": "http", "scheme": "bearer", "description": "an API key, `sk-ft_…`; `x-api-key` takes it too"},
    TOKEN: {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "a login token"},
    SESSION: {
        "type": "apiKey", "in": "cookie", "name": "ftgate_session",
        "description": "the browser's cookie; a change needs X-CSRF-Token too",
    },
    METRICS: {"type": "http", "scheme": "bearer", "description": "`server.metrics_token`"},
    STRIPE: {"type": "apiKey", "in": "header", "name": "Stripe-Signature"},
}  # fmt: skip
_WORDS: Schema = {
    "type": "object", "required": ["message", "type"],
    "properties": {
        "message": {"type": "string"}, "type": {"type": "string"}, "code": {"type": ["string", "null"]},
        "param": {"type": ["string", "null"]}, "faults": {"type": "array", "items": {"type": "string"}},
    },
}  # fmt: skip
ERROR: Schema = {
    "type": "object", "required": ["error"], "properties": {"error": _WORDS},
    "description": "Messages routes have `type: error` beside it.",
}  # fmt: skip
STATUSES = {
    200: "As asked", 400: "The request is wrong", 401: "Nobody who may", 402: "No credit", 403: "Not allowed",
    404: "Not there", 405: "Another method", 408: "Too slow", 409: "Something stands against it", 413: "Too large",
    415: "Not readable so", 422: "The provider refused it", 429: "Too often", 501: "Not served",
    502: "A provider failed", 503: "Not now", 504: "A provider took too long", 508: "A loop", 529: "Overloaded",
}  # fmt: skip


def operations() -> Iterator[tuple[str, Operation]]:
    """Every operation, with the heading that it stands under."""
    for heading, part in PARTS:
        for one in part.OPERATIONS:
            yield heading, one


def refusals(one: Operation) -> dict[int, tuple[str, ...]]:
    """The codes with which it can be refused, by status."""
    found: dict[int, tuple[str, ...]] = {405: ("method_not_allowed",), 503: ("database_busy", "shutting_down")}
    if one.asks:
        found |= {400: ("invalid_value",), 401: ("invalid_api_key", "key_disabled", "key_expired")}
        found[429] = ("rate_limit_exceeded",)
    if TOKEN in one.asks:
        found[401] += ("invalid_token", "token_expired")
        found[403] = ("csrf_failed", "forbidden")
    if KEY in one.asks:
        found[403] = (*found.get(403, ()), "ip_not_allowed")
    if one.params:
        found[400] = ("invalid_value",)
    if one.body is not None:
        found[400] = ("invalid_json", "missing_field", "invalid_value")
        found[413] = ("body_too_large",)
    for status, codes in one.refused.items():
        found[status] = tuple(dict.fromkeys((*found.get(status, ()), *codes)))
    return dict(sorted(found.items()))


def _answers(one: Operation) -> dict[str, Any]:
    good: dict[str, Any] = {"description": STATUSES[200]}
    if one.answers:
        good["content"] = {media: {"schema": schema} for media, schema in one.answers.items()}
    if one.head:
        good["headers"] = {name: {"schema": schema} for name, schema in one.head.items()}
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    found: dict[str, Any] = {"200": good} if one.answers else {}
    for status, codes in refusals(one).items():
        words = STATUSES[status] + (f": {', '.join(codes)}" if codes else "")
        content = error if codes else {"application/json": {"schema": {"type": "object"}}}
        found[str(status)] = {"description": words, "content": content}
    return found


def _operation(heading: str, one: Operation) -> dict[str, Any]:
    said: dict[str, Any] = {
        "operationId": _id(one), "summary": one.summary, "tags": [heading], "responses": _answers(one),
        "security": [{name: []} for name in one.asks],
    }  # fmt: skip
    if one.params:
        said["parameters"] = [
            {
                "name": param.name, "in": param.place, "schema": param.schema, "required": param.place == "path",
                **({"description": param.told} if param.told else {}),
            }
            for param in one.params
        ]  # fmt: skip
    if one.body is not None:
        content = {"application/json": {"schema": one.body}}
        said["requestBody"] = {"content": content, "required": one.wants_body}
    return said


def _id(one: Operation) -> str:
    """Its name for programs that make clients: get_v1_tokens_id."""
    words = "".join(sign if sign.isalnum() else "_" for sign in f"{one.method.lower()}{one.path}")
    return "_".join(filter(None, words.split("_")))


@cache
def document(cookie: str = "ftgate_session") -> dict[str, Any]:
    """As /openapi.json has it; `cookie` is the name of the session's."""
    paths: dict[str, dict[str, Any]] = {}
    for heading, one in operations():
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(heading, one)
    schemas: dict[str, Schema] = {"Error": ERROR}
    for _, part in PARTS:
        schemas |= part.SCHEMAS
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ftgate", "version": __version__, "license": {"name": "MIT", "identifier": "MIT"},
            "description": "A gateway to language models: OpenAI's and Anthropic's protocols, API keys, credits.",
        },
        "tags": [{"name": heading} for heading, _ in PARTS],
        "paths": paths,
        "components": {
            "schemas": schemas, "securitySchemes": SECURITY | {SESSION: {**SECURITY[SESSION], "name": cookie}},
        },
    }  # fmt: skip
