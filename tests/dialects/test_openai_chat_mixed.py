"""A Responses body at the chat route, as Cursor posts it."""

import json
from typing import Any

import pytest

from ftgate.dialects import openai_chat
from ftgate.dialects.talk import Aim
from ftgate.errors import InvalidRequest


def up(**fields: Any) -> Any:
    ask = openai_chat.read_request(json.dumps({"model": "m", "input": "Hi", **fields}).encode())
    return json.loads(openai_chat.render(ask, Aim("up", ask.cap, "max_tokens", usage=True)))


HI = {"role": "user", "content": "Hi"}
CURSOR = {
    "stream": True, "stream_options": {"include_usage": True}, "store": False, "include": ["x"], "user": "u",
    "input": [{"role": "system", "content": "brief"},
              {"role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
              {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
              {"type": "function_call_output", "call_id": "c1", "output": "1"}],
    "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": False}],
    "tool_choice": "auto", "reasoning": {"effort": "medium", "summary": "auto"}, "text": {"verbosity": "low"},
    "prompt_cache_retention": "24h", "metadata": {"cursorRequestId": "1"}, "max_output_tokens": 9,
    "routing": "cheapest",
}  # fmt: skip


def test_a_text_is_what_a_user_says() -> None:
    assert up() == {"model": "up", "messages": [HI]}


def test_what_cursor_asks_goes_up_as_a_chat() -> None:
    assert up(**CURSOR) == {
        "model": "up", "stream": True, "stream_options": {"include_usage": True}, "max_tokens": 9, "user": "u",
        "messages": [{"role": "system", "content": "brief"}, HI,
                     {"role": "assistant", "content": None, "tool_calls": [
                         {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
                     {"role": "tool", "tool_call_id": "c1", "content": "1"}],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}, "strict": False}}],
        "tool_choice": "auto", "reasoning_effort": "medium",
    }  # fmt: skip


def test_what_the_gate_must_know_is_a_chats() -> None:
    ask = openai_chat.read_request(json.dumps({"model": "m", **CURSOR}).encode())
    assert (ask.cap, ask.stream, ask.wants_usage, ask.has_tools, ask.routing) == (9, True, True, True, "cheapest")
    assert openai_chat.talk_of(ask).turns[0].role == "user" and 20 < ask.prompt.likely < 80


@pytest.mark.parametrize(("fields", "param"), [
    ({"previous_response_id": "resp_1"}, "previous_response_id"), ({"input": []}, "input"),
    ({"tools": [{"type": "mcp"}]}, "tools.0.type"), ({"input": [{"type": "hologram"}]}, "input.0.type"),
])  # fmt: skip
def test_what_it_cannot_say_is_refused(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        up(**fields)
    assert refused.value.param == param


def test_messages_win() -> None:
    assert up(messages=[HI], input="other") == {"model": "up", "messages": [HI], "input": "other"}
