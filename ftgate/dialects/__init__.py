"""Wire protocols, pure and sans-I/O. Each dialect is one module or one package with the same names (talk.py lists
them), and says itself which routes its callers use and what is appended to a provider's address.

This is the one list of them: doors, line and config read it.
"""

from collections.abc import Mapping

from ftgate.dialects import (
    anthropic_messages,
    openai_chat,
    openai_completions,
    openai_embeddings,
    openai_responses,
)  # fmt: skip
from ftgate.dialects.counts import Counting
from ftgate.dialects.fields import decode_object
from ftgate.dialects.talk import Dialect

ALL: Mapping[str, Dialect] = {
    dialect.NAME: dialect
    for dialect in (openai_chat, anthropic_messages, openai_responses, openai_completions, openai_embeddings)
}
"""Every dialect that is spoken, by its name."""

ROUTES: Mapping[str, Dialect] = {route: dialect for dialect in ALL.values() for route in dialect.ROUTES}
"""Every relay route (canonical path), with the dialect that its callers speak."""

COUNTED: Mapping[str, Counting] = {
    "anthropic_messages": Counting(
        "/count_tokens",
        lambda body: anthropic_messages.read_prompt(decode_object(body)),
        drop=("max_tokens", "stream", "temperature", "top_p", "top_k", "stop_sequences", "metadata"),
    ),
    "openai_responses": Counting(
        "/input_tokens",
        openai_responses.read_request,
        drop=(
            "background", "client_metadata", "include", "max_output_tokens", "max_tool_calls", "metadata",
            "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "safety_identifier", "store",
            "stream", "stream_options", "temperature", "top_logprobs", "top_p", "user",
        ),
        also={"object": "response.input_tokens"},
    ),
}  # fmt: skip
"""How tokens are counted, by the name of the dialect: of those that have a count."""

COUNT_ROUTES: Mapping[str, Dialect] = {
    route + counting.path: ALL[name] for name, counting in COUNTED.items() for route in ALL[name].ROUTES
}
"""Every route that counts a request's tokens, with the dialect that its callers speak."""

ADDRESSES: Mapping[str, str] = {name: dialect.ADDRESS for name, dialect in ALL.items()}
"""What is appended to a provider's prefix, by dialect. Prefixes are whole: not every provider's path holds a /v1."""

KINDS = tuple(dict.fromkeys(dialect.KIND for dialect in ALL.values()))
"""What models are for: a model is of one kind, and a call goes to models of its dialect's kind."""

PREFIXED = frozenset({"anthropic_messages"})
"""Dialects whose callers may write any model's name with Anthropic's prefix (core.routing.PREFIX)."""

FORGETTING = frozenset({"openai_responses"})
"""Dialects in which an upstream can be asked without what was thought in earlier turns (talk.Aim.bare)."""

_TRANSLATED = ("openai_chat", "anthropic_messages", "openai_responses")
"""Dialects that others of their kind are translated into, the best first."""
_WITH_TOOLS = ("openai_responses", "openai_chat", "anthropic_messages")
"""The same where a model that thinks is to have tools: OpenAI's refuse them in chat."""

LEAST_CAP = 16
"""The least output cap that Responses takes."""


def translating(own: Dialect, *, thinks_with_tools: bool = False) -> tuple[str, ...]:
    """The dialects in which an upstream can be asked what was asked in this one: itself, then the others."""
    return (_WITH_TOOLS_IN if thinks_with_tools else _SPEECH)[own.NAME]


def _speech(best_first: tuple[str, ...]) -> Mapping[str, tuple[str, ...]]:
    return {
        name: (name, *(other for other in best_first if other in ALL and other != name and ALL[other].KIND == its.KIND))
        for name, its in ALL.items()
    }


_SPEECH, _WITH_TOOLS_IN = _speech(_TRANSLATED), _speech(_WITH_TOOLS)


def cap_fields(name: str) -> tuple[str, ...]:
    """The request fields that cap an answer in this dialect."""
    return ALL[name].CAP_FIELDS if name in ALL else ()
