"""The routes of calls and of models, in the three protocols. What the protocols' own documents say of their fields is
not told again: every field of theirs may be sent."""

from ftgate.web.described.words import (
    KEY,
    Operation,
    Param,
    Refusals,
    Schema,
    anything,
    json,
    listed,
    maybe,
    number,
    record,
    text,
    whole,
)

MODEL = text("a model's name, or `auto`")
_SSE = {"text/event-stream": text("events as the protocol has them")}
_CALL: Refusals = {
    400: ("invalid_json", "missing_field", "invalid_value", "model_not_found", "context_length_exceeded"),
    401: ("key_disabled", "key_expired", "invalid_provider_key"),
    402: ("insufficient_credits", "key_quota_exceeded"),
    403: ("model_not_allowed", "plan_unavailable", "ip_not_allowed"), 404: ("not_found", "model_not_found"),
    408: ("body_timeout",), 413: ("body_too_large",),
    415: ("unsupported_encoding",), 422: ("invalid_value",),
    429: ("rate_limit_exceeded", "byok_limit_exceeded"), 501: ("not_implemented",), 502: ("provider_error",),
    503: ("no_healthy_provider", "database_busy", "overloaded", "shutting_down", "stopped"),
    504: ("provider_timeout",), 508: ("loop_detected",), 529: ("overloaded_error",),
}  # fmt: skip
_HEAD: dict[str, Schema] = {
    "X-FindToken-Mode": text(), "X-FindToken-Cost": text("USD, exact"), "X-FindToken-Balance": text(),
    "X-FindToken-Model": text(), "X-FindToken-Provider": text(), "X-FindToken-Attempts": text(),
}  # fmt: skip
_MESSAGE = record({"role": text()}, "with `content` as the protocol has it")
_CHAT = record({
    "model": MODEL, "messages": listed(_MESSAGE), "models?": listed(text(), "to be tried in order"),
    "routing?": text("cheapest, fastest or fallback"), "provider_key?": anything("a provider key of the caller's own"),
    "stream?": maybe({"type": "boolean"}), "max_tokens?": maybe(whole(least=1)),
})  # fmt: skip
_ANSWER = record({"id": text(), "model": text()})


def _call(path: str, summary: str, body: Schema, answer: Schema = _ANSWER, *, streams: bool = True) -> Operation:
    answers = {**json(answer), **(_SSE if streams else {})}
    return Operation("POST", path, summary, asks=(KEY,), body=body, answers=answers, refused=_CALL, head=_HEAD)


_MESSAGES = record({"model": MODEL, "max_tokens": whole(least=1), "messages": listed(_MESSAGE)})
_COUNTED = record({"input_tokens": whole()})
_CANDIDATE = record({
    "model": text(), "channel": text(), "provider": text(), "score": number(), "expected_cost": number(),
    "why": text(),
})  # fmt: skip
_MODELS = record({"data": listed(record({"id": text()}))})
_NAME = (Param("name", text(), place="path"),)
_NO_PLAN: Refusals = {403: ("plan_unavailable",)}
_NO_MODEL: Refusals = {**_NO_PLAN, 404: ("not_found", "model_not_found")}
_ID = (Param("id", text(), place="path"),)

OPERATIONS = (
    _call("/v1/chat/completions", "Chat, as OpenAI has it", _CHAT),
    _call("/v1/completions", "Completions, as OpenAI had them", record({"model": MODEL, "prompt": {}})),
    _call("/v1/embeddings", "Embeddings", record({"model": MODEL, "input": {}}), record({"data": listed(anything())}),
          streams=False),
    _call("/v1/responses", "Responses, as OpenAI has them", record({"model": MODEL, "input": {}})),
    _call("/v1/messages", "Messages, as Anthropic has them", _MESSAGES),
    _call("/anthropic/v1/messages", "The same, below Anthropic's own base URL", _MESSAGES),
    _call("/v1/messages/count_tokens", "Count a message's tokens",
          record({"model": MODEL, "messages": listed(_MESSAGE)}), _COUNTED, streams=False),
    _call("/anthropic/v1/messages/count_tokens", "The same, below Anthropic's own base URL",
          record({"model": MODEL, "messages": listed(_MESSAGE)}), _COUNTED, streams=False),
    _call("/v1/responses/input_tokens", "Count a response's input tokens", record({"model": MODEL, "input": {}}),
          _COUNTED, streams=False),
    Operation(
        "POST", "/v1/route/explain", "How a call would be routed, without the call", asks=(KEY,), body=_CHAT,
        params=(Param("route", text(), "the route that the body is for"),),
        answers=json(record({
            "data": listed(_CANDIDATE),
            "left_out": listed(record({"model": text(), "channel": maybe(text()), "reason": text()})),
            "complexity": maybe(text()), "complexity_why": text(),
        })),
        refused=_CALL,
    ),
    *(
        Operation(
            "GET", f"{root}/v1/models", "The models that this key may call", asks=(KEY,), answers=json(_MODELS),
            refused=_NO_PLAN,
        )
        for root in ("", "/anthropic")
    ),
    *(
        Operation(
            "GET", f"{root}/v1/models/{{name}}", "One of them", asks=(KEY,), params=_NAME,
            answers=json(record({"id": text()})), refused=_NO_MODEL,
        )
        for root in ("", "/anthropic")
    ),
    *(
        Operation(
            method, f"/v1/responses/{{id}}{below}", "No responses are kept here", asks=(KEY,), params=_ID,
            refused={404: ("not_found",)},
        )
        for method, below in (("GET", ""), ("DELETE", ""), ("POST", "/cancel"), ("GET", "/input_items"))
    ),
    Operation("POST", "/v1/responses/compact", "Not served", asks=(KEY,), refused={404: ("not_found",)}),
)  # fmt: skip
SCHEMAS: dict[str, Schema] = {}
