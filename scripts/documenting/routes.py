"""The topic `api`: every route, with who may ask, what it takes and what refuses it."""

from ftgate.web.described.document import operations, refusals
from ftgate.web.described.words import KEY, METRICS, SESSION, STRIPE, TOKEN, Operation

HEAD = """\
# API

Every route, who may ask it, what it takes, and how it refuses.

`/openapi.json` says the same to programs, with the shape of every answer, and the page `/docs` to people. Calls and
lists of models take an API key, in `Authorization: Bearer sk-ft_…` or `x-api-key`. What belongs to a person takes the
token that signing in gave, or a browser's cookie; then what changes something needs `X-CSRF-Token` beside it. Errors
are `{"error": {"message", "type", "code", "param"}}`, in Anthropic's shape on its own routes; [errors](errors.md)
explains each code. Any route may also answer 405, 503 when the database is busy or the server stops, and 429 when it
is asked too often: those are not told again below. Every answer has `X-Request-Id`.
"""
WHO = {
    KEY: "an API key", TOKEN: "a login token", SESSION: "the cookie", METRICS: "`server.metrics_token`",
    STRIPE: "Stripe's signature",
}  # fmt: skip
ALWAYS = {
    "method_not_allowed", "database_busy", "shutting_down", "invalid_value", "invalid_api_key", "key_disabled",
    "key_expired", "rate_limit_exceeded", "invalid_token", "token_expired", "csrf_failed", "forbidden",
    "ip_not_allowed", "invalid_json", "missing_field", "body_too_large",
}  # fmt: skip
"""Codes that follow from who may ask and from having a body."""

_CALL = next(one for _, one in operations())
"""A call, as which many refuse."""


def routes() -> str:
    """The topic's text."""
    text, last = HEAD, ""
    for heading, one in operations():
        if heading != last:
            text += f"\n## {heading}\n\n"
            last = heading
        text += _told(one)
    return text


def _told(one: Operation) -> str:
    who = ", ".join(WHO[name] for name in one.asks) or "anybody"
    said = [f"- `{one.method} {one.path}` ({who}): {one.summary.rstrip('.')}."]
    query = [f"`{param.name}`" for param in one.params if param.place == "query"]
    if query:
        said.append(f"Query: {', '.join(query)}.")
    if one.body is not None:
        needed = one.body.get("required", ())
        fields = [f"`{name}`{'' if name in needed else '?'}" for name in one.body.get("properties", {})]
        if fields:
            said.append(f"Body: {', '.join(fields)}.")
    if refusals(one) == refusals(_CALL) and one is not _CALL:
        said.append("Refuses as a call does.")
        return " ".join(said) + "\n"
    refused = [
        f"{status} {', '.join(f'`{code}`' for code in own)}"
        for status, codes in refusals(one).items()
        if (own := [code for code in codes if code not in ALWAYS])
    ]
    if refused:
        said.append(f"Refuses with {'; '.join(refused)}.")
    return " ".join(said) + "\n"
