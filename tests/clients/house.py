"""The house of one kind of channel: what its models are called, and what the scripted upstream says as each of them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.blackbox.harness import House, channel

KINDS: Mapping[str, Mapping[str, object]] = {
    "chats": {},
    "own": {"provider": "anthropic-compatible"},
    "responds": {"responses_base_url": "FAKE/v1"},
}
"""The settings of a channel that chats, of one that speaks Anthropic's Messages, and of one that chats and responds."""
CACHED: Mapping[str, Mapping[str, Any]] = {
    "chats": {"prompt_tokens": 100, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 80}},
    "own": {"input_tokens": 20, "cache_read_input_tokens": 80, "cache_creation_input_tokens": 0, "output_tokens": 3},
}
LOOK = {"id": "toolu_1", "name": "look", "arguments": '{"at": "door"}'}
HEAR = {"id": "toolu_2", "name": "hear", "arguments": '{"seconds": 2}'}
SCRIPTS: Mapping[str, Mapping[str, Any]] = {
    "words": {"content": ["one ", "two ", "three"]},
    "thinks": {"reasoning": ["Let me", " think"], "content": ["42"]},
    "calls": {"content": ["I look."], "tool_calls": [LOOK, HEAR], "finish_reason": "tool_calls"},
    "loops": {"content": ["done"], "tool_calls": [LOOK, HEAR], "offered": True},
    "json": {"content": ['{"city": ', '"Rome", "age": 2779}']},
    "cut": {"cut_after": 1, "content": ["one ", "two"]},
    "429": {"status": 429, "retry_after": 7},
    "500": {"status": 500},
    "flaky": {"fail_first": [1, 500]},
}
LIMITED = [
    *(f"limited-{stream}" for stream in ("true", "false")),
    *(f"limited-{route}-{stream}" for route in ("chat", "responses") for stream in ("true", "false")),
]
"""Models of one request a minute: one for each check, which wants to be the first."""
CODERS = ["claude-sonnet-5-5", "claude-haiku-4-5-20251001", "coder", "gpt-5.5", "gpt-5.6-sol"]
"""Those of the command lines, which choose their tools by a model's name."""
LIMITS = "[limits]\nrequests_per_second = 0\n[retry]\nattempts = 2\nbackoff = 0.01\nmax_retry_after = 0\n"


def house(base: Path, kind: str) -> House:
    """The house of this kind of channel, with every model that the clients ask for."""
    scripts = {**SCRIPTS, "cached": {"usage": CACHED.get(kind, CACHED["chats"]), "content": ["a", "b", "c"]}}
    config = LIMITS + "".join(f'[limits.model."{model}"]\nrequests_per_minute = 1\n' for model in LIMITED)
    config += channel(kind, [*scripts, *LIMITED, *CODERS], **KINDS[kind])
    return House(base, config, scripts)
