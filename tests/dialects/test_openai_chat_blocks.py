"""Anthropic's blocks and tools in a chat, as Cursor's agent posts them where a model is called Claude."""

import json
from typing import Any

import pytest

from ftgate import dialects
from ftgate.dialects import openai_chat
from ftgate.dialects.talk import Aim
from ftgate.errors import InvalidRequest
from tests.dialects import crossing

HI = {"role": "user", "content": "Hi"}
SCHEMA = {"type": "object", "properties": {"at": {"type": "string"}}}
TOOL = {"name": "look", "description": "Looks", "input_schema": SCHEMA}
FUNCTION = {"type": "function", "function": {"name": "look", "description": "Looks", "parameters": SCHEMA}}
PICTURE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}}
SHOWN = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}}
MARK = {"cache_control": {"type": "ephemeral"}}


def text(said: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": said, **more}


def use(id: str, **given: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": id, "name": "look", "input": given}


def result(id: str, content: Any, **more: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": id, "content": content, **more}


def call(id: str, arguments: str) -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": "look", "arguments": arguments}}


def tool(id: str, content: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": id, "content": content}


def up(**fields: Any) -> Any:
    asked = {"model": "m", "messages": [HI], "tools": [TOOL], **fields}
    ask = openai_chat.read_request(json.dumps(asked).encode())
    sent = json.loads(openai_chat.render(ask, Aim("up", ask.cap, "max_tokens")))
    del sent["model"]
    return sent


CALLS = {"role": "assistant", "content": [text("I look."), use("c1", at="é"), use("c2")]}
CALLED = {"role": "assistant", "content": [text("I look.")], "tool_calls": [call("c1", '{"at":"é"}'), call("c2", "{}")]}
MESSAGES: dict[str, tuple[list[Any], list[Any]]] = {
    "calls and what they brought": (
        [HI, CALLS, {"role": "user", "content": [result("c1", [text("a")]), result("c2", "b"), text("And?", **MARK)]}],
        [HI, CALLED, tool("c1", [text("a")]), tool("c2", "b"), {"role": "user", "content": [text("And?", **MARK)]}],
    ),
    "a call alone": (
        [HI, {"role": "assistant", "content": [use("c1")]}, {"role": "user", "content": [result("c1", "a")]}],
        [HI, {"role": "assistant", "content": None, "tool_calls": [call("c1", "{}")]}, tool("c1", "a")],
    ),
    "a call that failed": (
        [HI, {"role": "assistant", "content": [use("c1")]},
         {"role": "user", "content": [result("c1", "gone", is_error=True)]}],
        [HI, {"role": "assistant", "content": None, "tool_calls": [call("c1", "{}")]}, tool("c1", "Error: gone")],
    ),
    "a call that brought nothing, and one a picture": (
        [HI, CALLS, {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "c1"}, result("c2", [PICTURE])]}],
        [HI, CALLED, tool("c1", ""), tool("c2", [SHOWN])],
    ),
    "beside calls in chat's own words": (
        [HI, {"role": "assistant", "content": [use("c2")], "tool_calls": [call("c1", "{}")]},
         tool("c1", "a"), {"role": "user", "content": [result("c2", "b")]}],
        [HI, {"role": "assistant", "content": None, "tool_calls": [call("c1", "{}"), call("c2", "{}")]},
         tool("c1", "a"), tool("c2", "b")],
    ),
    "pictures": (
        [{"role": "user", "content": [text("What?"), PICTURE,
                                      {"type": "image", "source": {"type": "url", "url": "https://x.test/a.png"}}]}],
        [{"role": "user", "content": [text("What?"), SHOWN,
                                      {"type": "image_url", "image_url": {"url": "https://x.test/a.png"}}]}],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MESSAGES)
def test_blocks_go_up_in_chats_words(name: str) -> None:
    asked, sent = MESSAGES[name]
    assert up(messages=asked)["messages"] == sent


CHOICES: list[tuple[Any, dict[str, Any]]] = [
    ({"type": "auto"}, {"tool_choice": "auto"}),
    ({"type": "any"}, {"tool_choice": "required"}),
    ({"type": "none"}, {"tool_choice": "none"}),
    ({"type": "tool", "name": "look"}, {"tool_choice": {"type": "function", "function": {"name": "look"}}}),
    ({"type": "auto", "disable_parallel_tool_use": True}, {"tool_choice": "auto", "parallel_tool_calls": False}),
    ("required", {"tool_choice": "required"}),
]


@pytest.mark.parametrize(("choice", "sent"), CHOICES)
def test_tools_are_functions(choice: Any, sent: dict[str, Any]) -> None:
    asked = [{**TOOL, **MARK}, {"type": "custom", "name": "see", "input_schema": SCHEMA}, FUNCTION]
    see = {"type": "function", "function": {"name": "see", "parameters": SCHEMA}}
    assert up(tools=asked, tool_choice=choice) == {
        "messages": [HI], "tools": [{**FUNCTION, **MARK}, see, FUNCTION], **sent}  # fmt: skip


def test_they_come_back_to_anthropic_s_models_as_they_were() -> None:
    results = {"role": "user", "content": [result("c1", "a"), result("c2", "b"), text("And?")]}
    sent = crossing.request(
        "openai_chat", "anthropic_messages", {"messages": [HI, CALLS, results], "tools": [TOOL], "tool_choice":
                                              {"type": "any"}, "max_tokens": 9})  # fmt: skip
    assert sent == {"model": "up", "max_tokens": 9, "messages": [HI, CALLS, results], "tools": [TOOL],
                    "tool_choice": {"type": "any"}}  # fmt: skip


def test_what_is_said_of_blocks_is_no_block() -> None:
    said = [{"role": "user", "content": 'What is "tool_use", "tool_result", "input_schema"?'}]
    assert up(messages=said)["messages"] == said


@pytest.mark.parametrize(("fields", "param"), [
    ({"messages": [{"role": "assistant", "content": [{"type": "tool_use", "id": "c1"}]}]}, "messages.0.content.0.name"),
    ({"messages": [{"role": "user", "content": [{"type": "tool_result", "content": "a"}]}]},
     "messages.0.content.0.tool_use_id"),
    ({"tools": [{"input_schema": SCHEMA}]}, "tools.0.name"),
])  # fmt: skip
def test_broken_blocks_are_refused(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        up(**fields)
    assert refused.value.param == param


def test_a_tool_of_the_provider_s_stays_refused() -> None:
    with pytest.raises(InvalidRequest) as refused:
        up(tools=[TOOL, {"type": "web_search_20250305", "name": "web_search"}])
    assert refused.value.param == "tools.1.type"


def test_the_gate_measures_what_goes_up() -> None:
    assert dialects.ALL["openai_chat"] is openai_chat
    asked = {"model": "m", "tools": [TOOL], "messages": [
        HI, CALLS, {"role": "user", "content": [result("c1", 4000 * "word ")]}]}  # fmt: skip
    assert openai_chat.read_request(json.dumps(asked).encode()).prompt.likely > 3000
