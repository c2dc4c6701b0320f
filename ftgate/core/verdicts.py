"""What an upstream's error answer means, by its status and its words. Pure.

Source: PROVIDERS.md, cross-provider rule 4.
"""

from collections.abc import Mapping
from enum import Enum


class Verdict(Enum):
    caller = "caller"
    context = "context"
    unreadable = "unreadable"
    rate_limited = "rate_limited"
    credential = "credential"
    out_of_credit = "out_of_credit"
    overloaded = "overloaded"
    unreachable = "unreachable"
    timeout = "timeout"
    hollow = "hollow"


_BROKE = (
    "insufficient balance", "insufficient_quota", "insufficient credit", "credit balance is too "
    "low", "exceeded your current quota",
    "good standing", "arrear", "余额不足", "欠费", "insufficient_balance", "out of credit", "insufficient funds",
    "specified api usage limits",  # Anthropic, with a 400: a spending limit that somebody set
    "billing_not_active", "billing_hard_limit", "billing hard limit",  # OpenAI, with a 429 and a 400
    "exceeded_current_quota", "exceeded your current token quota",  # Moonshot, with a 429
)  # fmt: skip
_KEYS = (
    "incorrect api key", "invalid api key", "api key not valid", "invalid_api_key", "invalid "
    "x-api-key", "api_key_invalid",
    "no auth credentials", "authentication_error", "token not accepted", "invalid token", "身份验证", "令牌",
    "organization has been disabled",  # Anthropic
)  # fmt: skip
_CONTENT = (
    "your input was flagged", "requires moderation", "content_policy_violation",  # OpenRouter
    "violates usage guidelines",  # xAI
)  # fmt: skip
"""Words of a 403 that is about what was asked and not about the key: no caller may take a key away by what he asks."""
_TOO_LONG = ("context_length_exceeded", "exceed_context_size", "exceeds the available context size")
"""Words for a prompt past the context that mean it whatever the status: llama.cpp said them with a 500 for a while."""
_LONG = (
    *_TOO_LONG,
    "context length", "maximum context", "context window", "exceed context limit",  # OpenAI, vLLM, DeepSeek, Anthropic
    "prompt is too long", "prompt_too_long", "input is too long", "too many tokens",  # Anthropic, Bedrock, Cohere
    "exceeds the maximum allowed length", "maximum model length",  # SGLang, vLLM
    "exceeded model token limit",  # Moonshot
    "range of input length",  # DashScope
    "exceeds the maximum number of tokens",  # Gemini
    "exceeds the maximum length", "exceed max message tokens",  # Ark
    "prompt exceeds max length", "maximum prompt length",  # Zhipu, xAI
    "超出上下文", "上下文长度", "超过最大长度", "超过模型最大",
)  # fmt: skip


_UNREADABLE = ("invalid_encrypted_content", "encrypted content could not be decrypted")
"""OpenAI's words for thinking in the history that was sealed in another organisation."""


def verdict(status: int, words: str, *, said: str = "", names: str = "") -> Verdict:
    """What an upstream's error answer means. `words` is its message, type and code in one string. What stands in the
    request (`said`) is not believed of a key or an account, unless it stands in the type and code (`names`), too."""
    low = words.lower()
    if said:
        own, sure = said.lower(), names.lower()
        for mark in (*_BROKE, *_KEYS):
            if mark in low and mark in own and mark not in sure:
                low = low.replace(mark, "")
    if status == 402 or any(mark in low for mark in _BROKE):
        return Verdict.out_of_credit
    if status == 429:
        return Verdict.rate_limited
    if status == 403 and any(mark in low for mark in _CONTENT):
        return Verdict.caller
    if status in {401, 403}:
        return Verdict.credential
    if status >= 500 and any(mark in low for mark in _TOO_LONG):
        return Verdict.context
    if status == 508:
        return Verdict.hollow
    if status == 408 or status >= 500:
        return Verdict.overloaded
    if status in {400, 404, 422} and any(mark in low for mark in _KEYS):
        return Verdict.credential
    if status in {400, 413, 422} and any(mark in low for mark in _LONG):
        return Verdict.context
    if status == 400 and any(mark in low for mark in _UNREADABLE):
        return Verdict.unreadable
    return Verdict.caller if 400 <= status < 500 else Verdict.hollow


def meant(errors: Mapping[str, Verdict], *names: str | None) -> Verdict | None:
    """What one of these names (an error's code, its type) means at a provider whose `errors` these are, by lower-case
    name; None where it says nothing of its own."""
    if not errors:
        return None
    return next((errors[name.lower()] for name in names if name and name.lower() in errors), None)
