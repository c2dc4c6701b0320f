"""What a person asks, found in the requests of every dialect."""

import json

import pytest

from ftgate.core.complexity import Asked
from ftgate.dialects import (
    anthropic_messages,
    gist,
    openai_chat,
    openai_completions,
    openai_responses,
)  # fmt: skip
from ftgate.dialects.talk import Dialect

PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
CHAT = [
    {"role": "system", "content": "Be brief"},
    {"role": "user", "content": "first"},
    {"role": "assistant", "content": "an answer"},
    {"role": "user", "content": [{"type": "text", "text": "last"}, PICTURE]},
]
MESSAGES = {
    "system": [{"type": "text", "text": "Be brief"}],
    "max_tokens": 9,
    "tools": [{"name": "f", "input_schema": {"type": "object"}}],
    "messages": [
        {"role": "user", "content": "first"},
        {"role": "user", "content": [{"type": "text", "text": "last"}]},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "found"}]},
    ],
}
RESPONSES = {
    "instructions": "Be brief",
    "input": [
        {"role": "user", "content": "first"},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "last"}]},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "found"},
    ],
}


@pytest.mark.parametrize(
    ("dialect", "fields", "found"),
    [
        (openai_chat, {"messages": CHAT}, Asked("last", "first", "Be brief", turns=2, images=1)),
        (openai_chat, {"messages": [{"role": "user", "content": ""}]}, Asked("", turns=1)),
        (anthropic_messages, MESSAGES, Asked("last", "first", "Be brief", turns=3, tools=1)),
        (openai_responses, RESPONSES, Asked("last", "first", "Be brief", turns=2)),
        (openai_responses, {"input": "all"}, Asked("all", turns=1)),
        (openai_completions, {"prompt": "all"}, Asked("all", turns=1)),
        (openai_completions, {"prompt": [1, 2]}, Asked("", turns=0)),
    ],
)
def test_every_dialect(dialect: Dialect, fields: dict[str, object], found: Asked) -> None:
    ask = dialect.read_request(json.dumps({"model": "auto", **fields}).encode())
    said = gist.asked(ask)
    assert said.tokens == ask.prompt.likely > 0
    assert said == Asked(
        found.last, found.before, found.system, found.turns, found.tools, found.images, ask.prompt.likely
    )
