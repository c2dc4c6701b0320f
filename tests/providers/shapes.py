"""What each provider answers, in our own words and numbers after the shapes that its pages document: a whole answer, a
stream, cached tokens, thinking, an error body.

Sources: the page "Create chat completion" (or "Chat API", "OpenAI compatible") of each provider, its page of error
codes, and what public gateways read of it. What a provider does otherwise than OpenAI is said beside its shape.
"""

import json
from dataclasses import dataclass, field
from typing import Any

from ftgate.core.usage import Usage
from ftgate.core.verdicts import Verdict

TEXT, THOUGHT = "Blue, mostly.", "The sky, so."


def chat(message: dict[str, Any], usage: dict[str, Any] | None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": TEXT, **message}, "finish_reason": "stop"}
    said = {"id": "x-1", "object": "chat.completion", "created": 1780000000, "model": "m", "choices": [choice], **more}
    return said if usage is None else {**said, "usage": usage}


def chunk(delta: dict[str, Any] | None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return {"id": "x-1", "object": "chat.completion.chunk", "created": 1780000000, "model": "m", "choices": choices,
            **more}  # fmt: skip


def stream(*chunks: dict[str, Any], done: bool = True, between: str = "") -> bytes:
    events = "".join(f"{between}data: {json.dumps(one, ensure_ascii=False)}\n\n" for one in chunks)
    return (events + ("data: [DONE]\n\n" if done else "")).encode()


def spoken(thought: str | None, *last: dict[str, Any], begin: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """A stream's chunks: who speaks, what it thinks (in this field), two pieces of text, and how it ends."""
    role = {"role": "assistant", "content": ""} if begin is None else begin
    thinks = [chunk({thought: THOUGHT})] if thought else []
    return [chunk(role), *thinks, chunk({"content": TEXT[:5]}), chunk({"content": TEXT[5:]}), *last]


@dataclass(frozen=True)
class Shape:
    """`used` is what both answers used; `errors` are a status, a body, and what it means."""

    whole: dict[str, Any]
    stream: bytes
    used: Usage
    errors: list[tuple[int, Any, Verdict]] = field(default_factory=list)
    dialect: str = "openai_chat"
    thinks: bool = False


def openai_error(message: str, kind: str | None = None, code: Any = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def plain(prompt: int, cached: int, output: int, thinking: int = 0) -> dict[str, Any]:
    """OpenAI's own usage: cached inside of the prompt, thinking inside of the output."""
    return {
        "prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output,
        "prompt_tokens_details": {"cached_tokens": cached},
        "completion_tokens_details": {"reasoning_tokens": thinking},
    }  # fmt: skip


USED = Usage(input=36, cache_read=64, output=20, reasoning=8)
PLAIN = plain(100, 64, 20, 8)
LAST = chunk({}, "stop")

# Cache hits and misses stand beside the prompt; comments keep the connection alive; 402 is an empty balance.
DEEPSEEK_USAGE = {
    "prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120, "prompt_cache_hit_tokens": 64,
    "prompt_cache_miss_tokens": 36, "completion_tokens_details": {"reasoning_tokens": 8},
}  # fmt: skip
DEEPSEEK = Shape(
    chat({"reasoning_content": THOUGHT}, DEEPSEEK_USAGE, system_fingerprint="fp_1"),
    stream(
        *spoken("reasoning_content", chunk({"content": "", "reasoning_content": None}, "stop", usage=DEEPSEEK_USAGE)),
        between=": keep-alive\n\n",
    ),
    USED,
    [
        (402, openai_error("Insufficient Balance", "unknown_error", "invalid_request_error"), Verdict.out_of_credit),
        (401, openai_error("Authentication Fails (no such user)", "authentication_error", "invalid_request_error"),
         Verdict.credential),
        (422, openai_error("temperature is out of range", "invalid_request_error"), Verdict.caller),
        (400, openai_error("The `reasoning_content` in the thinking mode must be passed back to the API.",
                           "invalid_request_error", "invalid_request_error"), Verdict.caller),
        (503, openai_error("Service is too busy", "service_unavailable_error"), Verdict.overloaded),
    ],
    thinks=True,
)  # fmt: skip

# The usage stands in the last choice, cached tokens beside the prompt.
KIMI_USAGE = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120, "cached_tokens": 64}
KIMI_LAST = chunk({}, "stop")
KIMI_LAST["choices"][0]["usage"] = KIMI_USAGE
MOONSHOT = Shape(
    chat({"reasoning_content": THOUGHT}, KIMI_USAGE),
    stream(*spoken("reasoning_content", KIMI_LAST)),
    Usage(input=36, cache_read=64, output=20),
    [
        (429, openai_error("Your account <x> is suspended, please check your plan and billing details: insufficient "
                           "balance", "exceeded_current_quota_error"), Verdict.out_of_credit),
        (429, openai_error("You exceeded your current token quota: <x> 100, please check your account balance",
                           "exceeded_current_quota_error"), Verdict.out_of_credit),
        (429, openai_error("Your account has reached max RPM", "rate_limit_reached_error"), Verdict.rate_limited),
        (401, openai_error("Invalid Authentication", "invalid_authentication_error"), Verdict.credential),
        (400, openai_error("Invalid request: Your request exceeded model token limit: 262144",
                           "invalid_request_error"), Verdict.context),
        (429, openai_error("The engine is currently overloaded, please try again later", "engine_overloaded_error"),
         Verdict.rate_limited),
    ],
    thinks=True,
)  # fmt: skip

# No `object`, a request_id of its own; the usage comes unasked; codes are numbers as texts; no balance is a 429.
ZHIPU_USAGE = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120,
               "prompt_tokens_details": {"cached_tokens": 64}}  # fmt: skip
ZHIPU_WHOLE = chat({"reasoning_content": THOUGHT}, ZHIPU_USAGE, request_id="r-1")
del ZHIPU_WHOLE["object"]
ZHIPU = Shape(
    ZHIPU_WHOLE,
    stream(*spoken("reasoning_content", chunk({"role": "assistant", "content": ""}, "stop", usage=ZHIPU_USAGE))),
    Usage(input=36, cache_read=64, output=20),
    [
        (429, {"error": {"code": "1113", "message": "您的账户已欠费，请充值后重试"}}, Verdict.out_of_credit),
        (429, {"error": {"code": "1302", "message": "您的账户已达到速率限制"}}, Verdict.rate_limited),
        (429, {"error": {"code": "1305", "message": "该模型当前访问量过大"}}, Verdict.overloaded),
        (401, {"error": {"code": "1000", "message": "身份验证失败"}}, Verdict.credential),
        (400, {"error": {"code": "1261", "message": "Prompt 超长"}}, Verdict.context),
        (400, {"error": {"code": "1301", "message": "系统检测到输入或生成内容可能包含敏感内容"}}, Verdict.caller),
        (429, {"error": {"code": "1113", "message": "Insufficient balance or no resource package. Please recharge."}},
         Verdict.out_of_credit),
    ],
    thinks=True,
)  # fmt: skip

# An error may be the base_resp of a 200, which says 0 where there is none; thinking stands in reasoning_details.
MINIMAX_USAGE = {"total_tokens": 120, "total_characters": 0, "prompt_tokens": 100, "completion_tokens": 20,
                 "prompt_tokens_details": {"cached_tokens": 64},
                 "completion_tokens_details": {"reasoning_tokens": 8}}  # fmt: skip
MINIMAX_FINE = {"status_code": 0, "status_msg": ""}
DETAILS = [{"type": "reasoning.text", "id": "reasoning-text-1", "format": "MiniMax-response-v1", "index": 0,
            "text": THOUGHT}]  # fmt: skip
MINIMAX = Shape(
    chat({"name": "MiniMax AI", "audio_content": "", "reasoning_details": DETAILS}, MINIMAX_USAGE,
         input_sensitive=False, output_sensitive=False, base_resp=MINIMAX_FINE),
    stream(
        chunk({"role": "assistant", "name": "MiniMax AI", "content": ""}),
        chunk({"reasoning_details": DETAILS}),
        chunk({"content": TEXT[:5]}), chunk({"content": TEXT[5:]}, "stop"),
        chunk(None, usage=MINIMAX_USAGE, base_resp=MINIMAX_FINE),
    ),
    USED,
    [
        (200, {"id": "x", "choices": None, "base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}},
         Verdict.out_of_credit),
        (200, {"base_resp": {"status_code": 1002, "status_msg": "rate limit"}}, Verdict.rate_limited),
        (200, {"base_resp": {"status_code": 1004, "status_msg": "login fail: Please carry the API secret key"}},
         Verdict.credential),
        (200, {"base_resp": {"status_code": 2049, "status_msg": "invalid api key"}}, Verdict.credential),
        (200, {"base_resp": {"status_code": 1027, "status_msg": "output new_sensitive"}}, Verdict.caller),
        (200, {"base_resp": {"status_code": 1039, "status_msg": "token limit"}}, Verdict.rate_limited),
        (200, {"base_resp": {"status_code": 2013, "status_msg": "invalid params"}}, Verdict.caller),
        (429, {"type": "error", "error": {"type": "insufficient_balance_error",
               "message": "insufficient balance (1008)", "http_code": "429"}}, Verdict.out_of_credit),
    ],
    thinks=True,
)  # fmt: skip

# The usage is the last packet, without choices; an empty account is a 400; errors may be bare.
DASHSCOPE = Shape(
    chat({"reasoning_content": THOUGHT}, PLAIN, system_fingerprint=None),
    stream(*spoken("reasoning_content", LAST, chunk(None, usage=PLAIN))),
    USED,
    [
        (400, openai_error("Access denied, please make sure your account is in good standing.", "Arrearage",
                           "Arrearage"), Verdict.out_of_credit),
        (400, {"code": "Arrearage", "message": "Access denied.", "request_id": "r-1"}, Verdict.out_of_credit),
        (401, openai_error("Incorrect API key provided.", "invalid_request_error", "invalid_api_key"),
         Verdict.credential),
        (429, openai_error("Requests rate limit exceeded", "limit_requests", "limit_requests"), Verdict.rate_limited),
        (400, openai_error("Range of input length should be [1, 129024]", "invalid_request_error",
                           "invalid_parameter_error"), Verdict.context),
    ],
    thinks=True,
)  # fmt: skip

# need_clear_history and flag beside a choice, an id at the error's side.
QIANFAN_LAST = chunk({"content": ""}, "stop", usage=plain(100, 0, 20))
QIANFAN_LAST["choices"][0]["flag"] = 0
QIANFAN = Shape(
    chat({}, plain(100, 0, 20)), stream(*spoken(None, QIANFAN_LAST)), Usage(input=100, output=20),
    [
        (401, {"error": {"code": "invalid_iam_token", "message": "IAM Certification failed",
                         "type": "invalid_request_error"}, "id": "as-1"}, Verdict.credential),
        (400, {"error": {"code": "tokens_too_long", "message": "Prompt tokens too long",
                         "type": "invalid_request_error"}, "id": "as-2"}, Verdict.context),
        (400, {"error": {"code": "characters_too_long", "message": "the max input characters is 516096",
                         "type": "invalid_request_error"}, "id": "as-3"}, Verdict.context),
        (429, {"error": {"code": "rpm_rate_limit_exceeded", "message": "Rate limit reached for RPM",
                         "type": "rate_limit_error"}, "id": "as-4"}, Verdict.rate_limited),
    ],
)  # fmt: skip

# service_tier and encrypted fields beside the usual; errors name the request id.
VOLCENGINE = Shape(
    chat({"reasoning_content": THOUGHT}, PLAIN, service_tier="default"),
    stream(*spoken("reasoning_content", LAST, chunk(None, usage=PLAIN, service_tier="default"))),
    USED,
    [
        (403, openai_error("The request failed because your account has an overdue balance. Request id: 02",
                           "Forbidden", "AccountOverdueError"), Verdict.out_of_credit),
        (401, openai_error("The API key in the request is missing or invalid. Request id: 03", "Unauthorized",
                           "AuthenticationError"), Verdict.credential),
        (429, openai_error("The rate limit for the endpoint is exceeded. Request id: 04", "TooManyRequests",
                           "RateLimitExceeded.EndpointRPMExceeded"), Verdict.rate_limited),
        (404, openai_error("The model or endpoint ep-1 does not exist or you do not have access to it.", "NotFound",
                           "InvalidEndpointOrModel.NotFound"), Verdict.caller),
    ],
    thinks=True,
)  # fmt: skip

# The usage grows in every chunk; a note beside the choices.
HUNYUAN_SPOKEN = spoken("reasoning_content", LAST)
for number, one in enumerate(HUNYUAN_SPOKEN):
    tokens = 20 * number // (len(HUNYUAN_SPOKEN) - 1)
    one.update({"note": "AI-made", "usage": {"prompt_tokens": 100, "completion_tokens": tokens,
                                             "total_tokens": 100 + tokens}})  # fmt: skip
HUNYUAN = Shape(
    chat({"reasoning_content": THOUGHT}, {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120},
         note="AI-made"),
    stream(*HUNYUAN_SPOKEN),
    Usage(input=100, output=20),
    [
        (401, openai_error("Incorrect API key provided", "invalid_request_error", "invalid_api_key"),
         Verdict.credential),
        (400, openai_error("The package is used up.", "runtime_error", "FailedOperation.ResourcePackExhausted"),
         Verdict.out_of_credit),
        (429, openai_error("request limit exceeded", "runtime_error", "LimitExceeded"), Verdict.rate_limited),
    ],
    thinks=True,
)  # fmt: skip
TOKENHUB = Shape(
    chat({"reasoning_content": THOUGHT}, PLAIN),
    stream(*spoken("reasoning_content", LAST, chunk(None, usage=PLAIN))),
    USED,
    [(401, openai_error("invalid api key", "authentication_error"), Verdict.credential)],
    thinks=True,
)

BAICHUAN_USAGE = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120, "search_count": 0}
BAICHUAN = Shape(
    chat({}, BAICHUAN_USAGE),
    stream(*spoken(None, chunk({"role": "assistant", "content": ""}, "stop", usage=BAICHUAN_USAGE))),
    Usage(input=100, output=20),
    [
        (401, {"error": {"code": "invalid_api_key", "param": None, "type": "invalid_request_error",
                         "message": "Invalid API key provided"}}, Verdict.credential),
        (429, {"error": {"code": "rate_limit_exceeded", "type": "rate_limit_error",
                         "message": "Rate limit reached for requests"}}, Verdict.rate_limited),
        (400, {"error": {"code": "insufficient_quota", "type": "insufficient_quota",
                         "message": "You exceeded your current quota"}}, Verdict.out_of_credit),
    ],
)  # fmt: skip

# Cached tokens beside the prompt; thinking as `reasoning`.
STEP_USAGE = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120, "cached_tokens": 64}
STEPFUN = Shape(
    chat({"reasoning": THOUGHT}, STEP_USAGE),
    stream(*spoken("reasoning", chunk({"content": ""}, "stop"), chunk(None, usage=STEP_USAGE))),
    Usage(input=36, cache_read=64, output=20),
    [
        (401, openai_error("Incorrect API key provided", "invalid_api_key"), Verdict.credential),
        (402, openai_error("Insufficient balance", "insufficient_balance"), Verdict.out_of_credit),
        (429, openai_error("Too many requests", "rate_limit_error"), Verdict.rate_limited),
    ],
    thinks=True,
)  # fmt: skip

# The usage on every chunk; errors are {"code", "message", "data"}, sometimes a text alone.
SILICON_SPOKEN = [
    {**one, "usage": plain(100, 64, 20 if one is LAST else 3, 8 if one is LAST else 1)}
    for one in spoken("reasoning_content", LAST)
]  # fmt: skip
SILICONFLOW = Shape(
    chat({"reasoning_content": THOUGHT}, PLAIN, system_fingerprint=""),
    stream(*SILICON_SPOKEN),
    USED,
    [
        (403, {"code": 30001, "message": "Sorry, your account balance is insufficient", "data": None},
         Verdict.out_of_credit),
        (401, "Invalid token", Verdict.credential),
        (429, {"message": "Request was rejected due to rate limiting. Details:TPM limit reached."},
         Verdict.rate_limited),
        (503, {"code": 50505, "message": "Model service overloaded. Please try again later.", "data": None},
         Verdict.overloaded),
        (400, {"code": 20015, "message": "length of prompt_tokens (200000) must be less than max_seq_len",
               "data": None}, Verdict.caller),
    ],
    thinks=True,
)  # fmt: skip

OPENAI = Shape(
    chat({"refusal": None, "annotations": []}, {**PLAIN, "prompt_tokens_details": {"cached_tokens": 64,
         "audio_tokens": 0}}, service_tier="default", system_fingerprint=None),
    stream(*spoken(None, LAST, chunk(None, usage=PLAIN), begin={"role": "assistant", "content": "", "refusal": None})),
    USED,
    [
        (429, openai_error("You exceeded your current quota, please check your plan and billing details.",
                           "insufficient_quota", "insufficient_quota"), Verdict.out_of_credit),
        (429, openai_error("Rate limit reached for m", "requests", "rate_limit_exceeded"), Verdict.rate_limited),
        (429, openai_error("Your account is not active, please check your billing details on our website.",
                           "billing_not_active", "billing_not_active"), Verdict.out_of_credit),
        (401, openai_error("Incorrect API key provided: sk-1.", "invalid_request_error", "invalid_api_key"),
         Verdict.credential),
        (400, openai_error("This model's maximum context length is 128000 tokens.", "invalid_request_error",
                           "context_length_exceeded"), Verdict.context),
    ],
)  # fmt: skip

# Cached tokens stand beside the prompt; writes for five minutes and for an hour apart; an empty balance is a 400.
MESSAGE_USAGE = {
    "input_tokens": 36, "cache_read_input_tokens": 64, "cache_creation_input_tokens": 7, "output_tokens": 20,
    "cache_creation": {"ephemeral_5m_input_tokens": 5, "ephemeral_1h_input_tokens": 2}, "service_tier": "standard",
}  # fmt: skip
BLOCKS = [{"type": "thinking", "thinking": THOUGHT, "signature": "c2ln"}, {"type": "text", "text": TEXT}]
MESSAGE = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": BLOCKS,
           "stop_reason": "end_turn", "stop_sequence": None, "usage": MESSAGE_USAGE}  # fmt: skip


def messages(*events: dict[str, Any]) -> bytes:
    return "".join(f"event: {one['type']}\ndata: {json.dumps(one)}\n\n" for one in events).encode()


MESSAGES = messages(
    {"type": "message_start", "message": {**MESSAGE, "content": [], "stop_reason": None,
                                          "usage": {**MESSAGE_USAGE, "output_tokens": 1}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": "", "signature": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": THOUGHT}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "c2ln"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "ping"},
    {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": TEXT}},
    {"type": "content_block_stop", "index": 1},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None},
     "usage": {"output_tokens": 20}},
    {"type": "message_stop"},
)  # fmt: skip


def anthropic_error(kind: str, message: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}


ANTHROPIC = Shape(
    MESSAGE, MESSAGES, Usage(input=36, cache_read=64, cache_write=5, cache_write_1h=2, output=20),
    [
        (400, anthropic_error("invalid_request_error", "Your credit balance is too low to access the Anthropic API."),
         Verdict.out_of_credit),
        (400, anthropic_error("invalid_request_error", "You have reached your specified API usage limits. You will "
                              "regain access on 2026-12-01 at 00:00 UTC."), Verdict.out_of_credit),
        (401, anthropic_error("authentication_error", "invalid x-api-key"), Verdict.credential),
        (400, anthropic_error("invalid_request_error", "This organization has been disabled."), Verdict.credential),
        (429, anthropic_error("rate_limit_error", "This request would exceed your rate limit"), Verdict.rate_limited),
        (529, anthropic_error("overloaded_error", "Overloaded"), Verdict.overloaded),
        (400, anthropic_error("invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"),
         Verdict.context),
    ],
    "anthropic_messages", thinks=True,
)  # fmt: skip

# Thoughts are in the total alone; an error is the only item of a list; a bad key is a 400.
GEMINI_USAGE = {"prompt_tokens": 100, "completion_tokens": 12, "total_tokens": 120}
GEMINI = Shape(
    chat({}, GEMINI_USAGE),
    stream(*spoken(None, chunk({}, "stop", usage=GEMINI_USAGE))),
    Usage(input=100, output=20),
    [
        (400, [{"error": {"code": 400, "message": "API key not valid. Please pass a valid API key.",
                          "status": "INVALID_ARGUMENT"}}], Verdict.credential),
        (429, [{"error": {"code": 429, "message": "Resource has been exhausted (e.g. check quota).",
                          "status": "RESOURCE_EXHAUSTED"}}], Verdict.rate_limited),
        (429, [{"error": {"code": 429, "message": "You exceeded your current quota, please check your plan and billing "
                          "details. * Quota exceeded for metric: generate_content_free_tier_requests, limit: 10",
                          "status": "RESOURCE_EXHAUSTED"}}], Verdict.rate_limited),
        (503, [{"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}}],
         Verdict.overloaded),
        (400, [{"error": {"code": 400, "message": "The input token count (2000000) exceeds the maximum number of "
                          "tokens allowed (1048576).", "status": "INVALID_ARGUMENT"}}], Verdict.context),
    ],
)  # fmt: skip

# The usage always comes, with the cost; comments while it waits; an error may be the first event of a 200.
ROUTER_USAGE = {**PLAIN, "cost": 0.00042, "is_byok": False, "cost_details": {"upstream_inference_cost": None}}
OPENROUTER = Shape(
    chat({"reasoning": THOUGHT, "reasoning_details": [{"type": "reasoning.text", "text": THOUGHT, "index": 0,
          "format": "unknown"}], "refusal": None}, ROUTER_USAGE, provider="Maker"),
    stream(
        *spoken("reasoning", chunk({}, "stop"), chunk({"role": "assistant", "content": ""}, usage=ROUTER_USAGE)),
        between=": OPENROUTER PROCESSING\n\n",
    ),
    USED,
    [
        (402, {"error": {"message": "Insufficient credits", "code": 402}, "user_id": "u"}, Verdict.out_of_credit),
        (401, {"error": {"message": "No auth credentials found", "code": 401}}, Verdict.credential),
        (403, {"error": {"message": "Your chosen model requires moderation and your input was flagged", "code": 403,
                         "metadata": {"reasons": ["violence"], "flagged_input": "Hi"}}}, Verdict.caller),
        (200, {"error": {"message": "Provider returned error", "code": 502,
                         "metadata": {"provider_name": "Maker", "raw": "no"}}}, Verdict.overloaded),
        (429, {"error": {"message": "Rate limit exceeded: free-models-per-day", "code": 429}}, Verdict.rate_limited),
    ],
    thinks=True,
)  # fmt: skip

# Nothing is cached; a model that is not there is a 404.
OLLAMA_USAGE = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
OLLAMA = Shape(
    chat({"reasoning": THOUGHT}, OLLAMA_USAGE, system_fingerprint="fp_ollama"),
    stream(*spoken("reasoning", chunk({"role": "assistant", "content": ""}, "stop"), chunk(None, usage=OLLAMA_USAGE))),
    Usage(input=100, output=20),
    [
        (404, openai_error("model 'm' not found", "not_found_error"), Verdict.caller),
        (400, openai_error("m does not support tools", "invalid_request_error"), Verdict.caller),
    ],
    thinks=True,
)  # fmt: skip

SHAPES = {
    "deepseek": DEEPSEEK, "moonshot": MOONSHOT, "zhipu": ZHIPU, "minimax": MINIMAX, "dashscope": DASHSCOPE,
    "qianfan": QIANFAN, "volcengine": VOLCENGINE, "hunyuan": HUNYUAN, "tokenhub": TOKENHUB, "baichuan": BAICHUAN,
    "stepfun": STEPFUN, "siliconflow": SILICONFLOW, "openai": OPENAI, "anthropic": ANTHROPIC, "gemini": GEMINI,
    "openrouter": OPENROUTER, "ollama": OLLAMA,
}  # fmt: skip
"""By provider; another region of one answers as it does."""
