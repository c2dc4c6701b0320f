"""Golden requests between OpenAI's chat and Anthropic's messages, both ways: what a caller of one asks, and what an
upstream of the other must then be sent. The right hand sides are what the references of both APIs demand.

Sources: OpenAI's API reference (Chat), Anthropic's API reference (Messages, Tool use, Extended thinking, Structured
outputs, Vision, PDF support), PROVIDERS.md.
"""

import base64
import hashlib
import json
from typing import Any

import pytest

from ftgate.errors import InvalidRequest
from tests.dialects import crossing

CHAT, MESSAGES = "openai_chat", "anthropic_messages"
HI = {"role": "user", "content": "Hi"}
CACHE = {"type": "ephemeral"}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}
LOOK = {"type": "function", "function": {"name": "look", "description": "Looks", "parameters": SCHEMA}}
LOOKS = {"name": "look", "description": "Looks", "input_schema": SCHEMA}
PNG = "data:image/png;base64,iVBO"
PICTURE = {"type": "image_url", "image_url": {"url": PNG}}
PICTURED = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}}


def user(*parts: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(parts)}


def text(words: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": words, **more}


def called(*calls: tuple[str, str, str], **more: Any) -> dict[str, Any]:
    """An assistant's message of chat with calls: id, name, arguments."""
    return {"role": "assistant", "content": None, **more, "tool_calls": [
        {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}
        for id, name, arguments in calls]}  # fmt: skip


def result(id: str, content: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": id, "content": content}


def use(id: str, name: str, given: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": id, "name": name, "input": given}


def used(id: str, *content: Any, **more: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": id, **({"content": content[0]} if content else {}), **more}


def file(name: str, media: str, data: bytes) -> dict[str, Any]:
    return {"type": "file", "file": {
        "filename": name, "file_data": f"data:{media};base64,{base64.b64encode(data).decode()}"}}  # fmt: skip


ROUND = [HI, called(("c1", "look", '{"a": "x"}'), ("c2", "look", "{}")), result("c2", "two"), result("c1", "one")]
TO_MESSAGES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a text": ({}, {}),
    "a cap": ({"max_completion_tokens": 50}, {"max_tokens": 50}),
    "a stream": ({"stream": True, "stream_options": {"include_usage": True}}, {"stream": True}),
    "the system": ({"messages": [{"role": "system", "content": "Be brief."}, HI]}, {"system": "Be brief."}),
    "the system in two messages": (
        {"messages": [{"role": "system", "content": "a"}, {"role": "developer", "content": "b"}, HI]},
        {"system": [text("a"), text("b")]},
    ),
    "a mark in the system": (
        {"messages": [{"role": "system", "content": [text("a", cache_control=CACHE)]}, HI]},
        {"system": [text("a", cache_control=CACHE)]},
    ),
    "turns": (
        {"messages": [HI, {"role": "assistant", "content": "Hello"}, HI]},
        {"messages": [HI, {"role": "assistant", "content": "Hello"}, HI]},
    ),
    "one side twice": ({"messages": [HI, HI]}, {"messages": [user(text("Hi"), text("Hi"))]}),
    "a turn of nothing": ({"messages": [HI, {"role": "assistant", "content": ""}, HI]},
                          {"messages": [user(text("Hi"), text("Hi"))]}),
    "a blank is no text": ({"messages": [user(text("Hi"), text(" \n"))]}, {}),
    "what the model is to go on from": (
        {"messages": [HI, {"role": "assistant", "content": "It is \n"}]},
        {"messages": [HI, {"role": "assistant", "content": "It is"}]},
    ),
    "a refusal": ({"messages": [HI, {"role": "assistant", "content": None, "refusal": "No."}, HI]},
                  {"messages": [HI, {"role": "assistant", "content": "No."}, HI]}),
    "a picture": ({"messages": [user(text("What?"), PICTURE)]}, {"messages": [user(text("What?"), PICTURED)]}),
    "a picture elsewhere": (
        {"messages": [user({"type": "image_url", "image_url": {"url": "https://x.test/a.png", "detail": "high"}})]},
        {"messages": [user({"type": "image", "source": {"type": "url", "url": "https://x.test/a.png"}})]},
    ),
    "image/jpg": (
        {"messages": [user({"type": "image_url", "image_url": {"url": "data:image/jpg;base64,/9j/"}})]},
        {"messages": [user({"type": "image", "source": {"type": "base64", "media_type": "image/jpeg",
                                                        "data": "/9j/"}})]},
    ),
    "a PDF": (
        {"messages": [user(file("a.pdf", "application/pdf", b"%PDF"))]},
        {"messages": [user({"type": "document", "title": "a.pdf", "source": {
            "type": "base64", "media_type": "application/pdf", "data": "JVBERg=="}})]},
    ),
    "a file of text": (
        {"messages": [user(file("a.txt", "text/plain", "Größe".encode()))]},
        {"messages": [user({"type": "document", "title": "a.txt", "source": {
            "type": "text", "media_type": "text/plain", "data": "Größe"}})]},
    ),
    "a file elsewhere": (
        {"messages": [user({"type": "file", "file": {"file_data": "https://x.test/a.pdf"}})]},
        {"messages": [user({"type": "document", "source": {"type": "url", "url": "https://x.test/a.pdf"}})]},
    ),
    "tools": ({"tools": [LOOK]}, {"tools": [LOOKS]}),
    "a tool without parameters": (
        {"tools": [{"type": "function", "function": {"name": "see"}}]},
        {"tools": [{"name": "see", "input_schema": {"type": "object", "properties": {}}}]},
    ),
    "a tool's mark": ({"tools": [{**LOOK, "cache_control": CACHE}]}, {"tools": [{**LOOKS, "cache_control": CACHE}]}),
    "auto": ({"tools": [LOOK], "tool_choice": "auto"}, {"tools": [LOOKS], "tool_choice": {"type": "auto"}}),
    "required": ({"tools": [LOOK], "tool_choice": "required"}, {"tools": [LOOKS], "tool_choice": {"type": "any"}}),
    "none": ({"tools": [LOOK], "tool_choice": "none"}, {"tools": [LOOKS], "tool_choice": {"type": "none"}}),
    "one": ({"tools": [LOOK], "tool_choice": {"type": "function", "function": {"name": "look"}}},
            {"tools": [LOOKS], "tool_choice": {"type": "tool", "name": "look"}}),
    "one call at a time": (
        {"tools": [LOOK], "parallel_tool_calls": False},
        {"tools": [LOOKS], "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
    ),
    "one call, demanded": (
        {"tools": [LOOK], "tool_choice": "required", "parallel_tool_calls": False},
        {"tools": [LOOKS], "tool_choice": {"type": "any", "disable_parallel_tool_use": True}},
    ),
    "a round of calls": (
        {"messages": ROUND},
        {"messages": [HI, {"role": "assistant", "content": [use("c1", "look", {"a": "x"}), use("c2", "look", {})]},
                      user(used("c2", "two"), used("c1", "one"))]},
    ),
    "results before what is said behind them": (
        {"messages": [*ROUND, HI]},
        {"messages": [HI, {"role": "assistant", "content": [use("c1", "look", {"a": "x"}), use("c2", "look", {})]},
                      user(used("c2", "two"), used("c1", "one"), text("Hi"))]},
    ),
    "a text before its call": (
        {"messages": [HI, called(("c1", "look", "{}"), content="I look."), result("c1", [text("1"), PICTURE])]},
        {"messages": [HI, {"role": "assistant", "content": [text("I look."), use("c1", "look", {})]},
                      user(used("c1", [text("1"), PICTURED]))]},
    ),
    "a result of nothing": (
        {"messages": [HI, called(("c1", "look", "")), result("c1", "")]},
        {"messages": [HI, {"role": "assistant", "content": [use("c1", "look", {})]}, user(used("c1"))]},
    ),
    "arguments that are no object": (
        {"messages": [HI, called(("c1", "look", '{"a": ')), result("c1", "1")]},
        {"messages": [HI, {"role": "assistant", "content": [use("c1", "look", {"_raw": '{"a": '})]},
                      user(used("c1", "1"))]},
    ),
    "ids in letters that are not allowed": (
        {"messages": [HI, called(("functions.look:0", "look", "{}"), ("functions_look:0", "look", "{}")),
                      result("functions.look:0", "1"), result("functions_look:0", "2")]},
        {"messages": [HI, {"role": "assistant", "content": [use("functions_look_0", "look", {}),
                                                            use("functions_look_0_2", "look", {})]},
                      user(used("functions_look_0", "1"), used("functions_look_0_2", "2"))]},
    ),
    "an id that comes again": (
        {"messages": [HI, called(("call_0", "look", "{}")), result("call_0", "1"),
                      called(("call_0", "look", "{}")), result("call_0", "2")]},
        {"messages": [HI, {"role": "assistant", "content": [use("call_0", "look", {})]}, user(used("call_0", "1")),
                      {"role": "assistant", "content": [use("call_0_2", "look", {})]}, user(used("call_0_2", "2"))]},
    ),
    "a function's call of old": (
        {"messages": [HI, {"role": "assistant", "content": None,
                           "function_call": {"name": "look", "arguments": "{}"}},
                      {"role": "function", "name": "look", "content": "1"}]},
        {"messages": [HI, {"role": "assistant", "content": [use("call_0_1", "look", {})]},
                      user(used("call_0_1", "1"))]},
    ),
    "a custom tool": (
        {"messages": [HI, {"role": "assistant", "content": None, "tool_calls": [
            {"id": "c1", "type": "custom", "custom": {"name": "run", "input": "ls"}}]}, result("c1", "a")],
         "tools": [{"type": "custom", "custom": {"name": "run", "description": "Runs"}}]},
        {"messages": [HI, {"role": "assistant", "content": [use("c1", "run", {"input": "ls"})]}, user(used("c1", "a"))],
         "tools": [{"name": "run", "description": "Runs\n\nPut the whole text into `input`.", "input_schema": {
             "type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"],
             "additionalProperties": False}}]},
    ),
    "thinking that Claude has sealed": (
        {"messages": [HI, called(("c1", "look", "{}"), content="So.", reasoning_details=[
            {"type": "reasoning.text", "text": "hm", "signature": "S"}, {"type": "reasoning.encrypted", "data": "X"}]),
            result("c1", "1")], "reasoning_effort": "high"},
        {"messages": [HI, {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "hm", "signature": "S"}, {"type": "redacted_thinking", "data": "X"},
            text("So."), use("c1", "look", {})]}, user(used("c1", "1"))],
         "thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}},
    ),
    "thinking that nobody sealed": (
        {"messages": [HI, {"role": "assistant", "content": "So.", "reasoning_content": "hm"}, HI]},
        {"messages": [HI, {"role": "assistant", "content": "So."}, HI]},
    ),
    "a call that came without its thought is answered without thinking": (
        {"messages": [HI, called(("c1", "look", "{}"), reasoning_content="hm"), result("c1", "1")],
         "thinking": {"type": "enabled", "budget_tokens": 2000}},
        {"messages": [HI, {"role": "assistant", "content": [use("c1", "look", {})]}, user(used("c1", "1"))]},
    ),
    "stops": ({"stop": ["END", "\n"]}, {"stop_sequences": ["END"]}),
    "a hot model": ({"temperature": 1.7}, {"temperature": 1.0}),
    "a cool model": ({"temperature": 0.2, "top_k": 5}, {"temperature": 0.2, "top_k": 5}),
    "top_p": ({"top_p": 0.5, "temperature": 1}, {"top_p": 0.5}),
    "what has no words there": (
        {"seed": 1, "frequency_penalty": 1, "presence_penalty": 1, "verbosity": "low", "store": True,
         "metadata": {"a": "b"}, "service_tier": "flex"}, {}),
    "who asks": ({"user": "u1"}, {"metadata": {"user_id": "u1"}}),
    "effort": ({"reasoning_effort": "low"}, {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}),
    "no effort": ({"reasoning_effort": "none"}, {"thinking": {"type": "disabled"}}),
    "a budget": ({"reasoning": {"max_tokens": 2000}}, {"thinking": {"type": "enabled", "budget_tokens": 2000}}),
    "a budget that is too small": ({"thinking": {"type": "enabled", "budget_tokens": 5}},
                                   {"thinking": {"type": "enabled", "budget_tokens": 1024}}),
    "a budget larger than the answer": (
        {"thinking": {"type": "enabled", "budget_tokens": 9000}, "max_tokens": 4000},
        {"thinking": {"type": "enabled", "budget_tokens": 3000}, "max_tokens": 4000}),
    "who thinks is neither hot nor cool": (
        {"reasoning": {"max_tokens": 2000}, "temperature": 0.2, "top_k": 5},
        {"thinking": {"type": "enabled", "budget_tokens": 2000}}),
    "who must call does not think": (
        {"reasoning": {"max_tokens": 2000}, "tools": [LOOK], "tool_choice": "required"},
        {"tools": [LOOKS], "tool_choice": {"type": "any"}}),
    "a shape": (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "out", "strict": True, "schema": SCHEMA}}},
        {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}}),
}  # fmt: skip


@pytest.mark.parametrize("name", TO_MESSAGES)
def test_chat_goes_up_as_messages(name: str) -> None:
    asked, sent = TO_MESSAGES[name]
    least = {"model": "up", "max_tokens": 8192, "messages": [HI]}
    assert crossing.request(CHAT, MESSAGES, asked) == {**least, **crossing.with_called(sent)}


def test_tools_that_were_called_are_told_of_though_none_is_offered() -> None:
    """Anthropic's API refuses a conversation with calls in it and no tools."""
    sent = crossing.request(CHAT, MESSAGES, {"messages": [*ROUND, HI]})
    assert sent["tools"] == [{"name": "look", "input_schema": {"type": "object", "properties": {}}}]
    assert sent["tool_choice"] == {"type": "none"}
    offered = crossing.request(CHAT, MESSAGES, {"messages": [*ROUND, HI], "tools": [LOOK]})
    assert offered["tools"] == [LOOKS] and "tool_choice" not in offered


def test_any_json_is_asked_for_in_words() -> None:
    sent = crossing.request(CHAT, MESSAGES, {"response_format": {"type": "json_object"}})
    assert "JSON" in sent["system"] and "output_config" not in sent


def test_the_system_in_the_midst_is_told_in_its_place() -> None:
    """Only newer models know a system's turn there, and only by a beta header: it stands in the user's, marked."""
    midst = {"role": "system", "content": "be brief"}
    sent = crossing.request(CHAT, MESSAGES, {"messages": [HI, midst, {"role": "assistant", "content": "a"}, HI]})
    assert "system" not in sent
    assert [one["role"] for one in sent["messages"]] == ["user", "assistant", "user"]
    assert "be brief" in sent["messages"][0]["content"][1]["text"]


UNSAID: dict[str, tuple[dict[str, Any], str]] = {
    "sound": ({"messages": [user({"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}})]},
              "messages.0.content.0.input_audio"),
    "a picture of another kind": (
        {"messages": [user({"type": "image_url", "image_url": {"url": "data:image/svg+xml;base64,PHN2"}})]},
        "messages.0.content.0.image_url"),
    "a file of another kind": ({"messages": [user(file("a.docx", "application/msword", b"x"))]},
                               "messages.0.content.0.file"),
    "several answers": ({"n": 3}, "n"),
    "a call of no tool": ({"tool_choice": "required"}, "tool_choice"),
    "a tool of the provider's": ({"tools": [{"type": "web_search"}]}, "tools.0.type"),
}  # fmt: skip


@pytest.mark.parametrize("name", UNSAID)
def test_what_messages_cannot_say_is_refused_by_the_callers_path(name: str) -> None:
    asked, param = UNSAID[name]
    with pytest.raises(InvalidRequest) as refused:
        crossing.request(CHAT, MESSAGES, asked)
    assert refused.value.param == param


# ---- the other way ----

SAID = {"role": "assistant", "content": "Hello"}
LONG = "mcp__" + 100 * "a"
SHORT = f"{LONG[:55]}_{hashlib.sha256(LONG.encode()).hexdigest()[:8]}"
"""OpenAI takes 64 letters of a name, Anthropic 128."""
TO_CHAT: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a text": ({}, {}),
    "a cap": ({"max_tokens": 50}, {"max_tokens": 50}),
    "a stream": ({"stream": True}, {"stream": True, "stream_options": {"include_usage": True}}),
    "the system": ({"system": "Be brief."}, {"messages": [{"role": "system", "content": "Be brief."}, HI]}),
    "the system in blocks": (
        {"system": [text("x-anthropic-billing-header: cc_version=1"), text("a", cache_control=CACHE), text("b")]},
        {"messages": [{"role": "system", "content": "a\n\nb"}, HI]},
    ),
    "turns": ({"messages": [HI, SAID, HI]}, {"messages": [HI, SAID, HI]}),
    "blocks of text": ({"messages": [user(text("a"), text("b", cache_control=CACHE))]},
                       {"messages": [{"role": "user", "content": "a\n\nb"}]}),
    "a picture": ({"messages": [user(text("What?"), PICTURED)]}, {"messages": [user(text("What?"), PICTURE)]}),
    "a picture elsewhere": (
        {"messages": [user({"type": "image", "source": {"type": "url", "url": "https://x.test/a.png"}})]},
        {"messages": [user({"type": "image_url", "image_url": {"url": "https://x.test/a.png"}})]},
    ),
    "a PDF": (
        {"messages": [user({"type": "document", "title": "a.pdf", "source": {
            "type": "base64", "media_type": "application/pdf", "data": "JVBERg=="}})]},
        {"messages": [user(file("a.pdf", "application/pdf", b"%PDF"))]},
    ),
    "a document of text with its title": (
        {"messages": [user({"type": "document", "title": "a.txt", "context": "Theirs.", "citations": {"enabled": True},
                            "source": {"type": "text", "media_type": "text/plain", "data": "All"}})]},
        {"messages": [{"role": "user", "content": "a.txt\n\nTheirs.\n\nAll"}]}),
    "a document of text": (
        {"messages": [user({"type": "document", "source": {
            "type": "text", "media_type": "text/plain", "data": "All"}}, text("Sum it up"))]},
        {"messages": [{"role": "user", "content": "All\n\nSum it up"}]},
    ),
    "a document of blocks": (
        {"messages": [user({"type": "document", "source": {"type": "content", "content": [text("a"), text("b")]}})]},
        {"messages": [{"role": "user", "content": "a\n\nb"}]},
    ),
    "what a search found": (
        {"messages": [user({"type": "search_result", "source": "https://x.test", "title": "T",
                            "content": [text("a")]})]},
        {"messages": [{"role": "user", "content": "T\nhttps://x.test\n\na"}]},
    ),
    "tools": ({"tools": [{**LOOKS, "cache_control": CACHE}]}, {"tools": [LOOK]}),
    "tools of its own type": ({"tools": [{"type": "custom", **LOOKS}]}, {"tools": [LOOK]}),
    "auto": ({"tools": [LOOKS], "tool_choice": {"type": "auto"}}, {"tools": [LOOK], "tool_choice": "auto"}),
    "any": ({"tools": [LOOKS], "tool_choice": {"type": "any"}}, {"tools": [LOOK], "tool_choice": "required"}),
    "none": ({"tools": [LOOKS], "tool_choice": {"type": "none"}}, {"tools": [LOOK], "tool_choice": "none"}),
    "one": ({"tools": [LOOKS], "tool_choice": {"type": "tool", "name": "look"}},
            {"tools": [LOOK], "tool_choice": {"type": "function", "function": {"name": "look"}}}),
    "one call at a time": (
        {"tools": [LOOKS], "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
        {"tools": [LOOK], "tool_choice": "auto", "parallel_tool_calls": False},
    ),
    "a round of calls": (
        {"messages": [HI, {"role": "assistant", "content": [
            text("I look."), use("c1", "look", {"a": "x"}), use("c2", "look", {})]},
            user(used("c2", "two"), used("c1", [text("one")]), text("And?"))]},
        {"messages": [HI, called(("c1", "look", '{"a":"x"}'), ("c2", "look", "{}"), content="I look."),
                      result("c1", "one"), result("c2", "two"), {"role": "user", "content": "And?"}]},
    ),
    "a result that failed": (
        {"messages": [HI, {"role": "assistant", "content": [use("c1", "look", {})]},
                      user(used("c1", "gone", is_error=True))]},
        {"messages": [HI, called(("c1", "look", "{}")), result("c1", "Error: gone")]},
    ),
    "a result of nothing": (
        {"messages": [HI, {"role": "assistant", "content": [use("c1", "look", {})]}, user(used("c1"))]},
        {"messages": [HI, called(("c1", "look", "{}")), result("c1", "")]},
    ),
    "a document of text that a tool brought": (
        {"messages": [HI, {"role": "assistant", "content": [use("c1", "look", {})]},
                      user(used("c1", [text("see"), {"type": "document", "source": {
                          "type": "text", "media_type": "text/plain", "data": "All"}}]))]},
        {"messages": [HI, called(("c1", "look", "{}")), result("c1", "see\n\nAll")]},
    ),
    "a picture that a tool took": (
        {"messages": [HI, {"role": "assistant", "content": [use("c1", "look", {})]},
                      user(used("c1", [text("see"), PICTURED]))]},
        {"messages": [HI, called(("c1", "look", "{}")), result("c1", "see"),
                      user(text("What tool call c1 returned:"), PICTURE)]},
    ),
    "thinking": (
        {"messages": [HI, {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "hm", "signature": "S"}, text("So.")]}, HI]},
        {"messages": [HI, {"role": "assistant", "content": "So.", "reasoning_content": "hm"}, HI]},
    ),
    "thinking that we have marked": (
        {"messages": [HI, {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "hm", "signature": "ft1."}, use("c1", "look", {})]},
            user(used("c1", "1"))]},
        {"messages": [HI, called(("c1", "look", "{}"), reasoning_content="hm"), result("c1", "1")]},
    ),
    "thinking that nobody can read": (
        {"messages": [HI, {"role": "assistant", "content": [{"type": "redacted_thinking", "data": "X"}, text("So.")]},
                      HI]},
        {"messages": [HI, {"role": "assistant", "content": "So."}, HI]},
    ),
    "what the provider did by itself": (
        {"messages": [HI, {"role": "assistant", "content": [
            {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "x"}},
            {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}, text("So.")]}, HI]},
        {"messages": [HI, {"role": "assistant", "content": "So."}, HI]},
    ),
    "the system in the midst": (
        {"messages": [HI, {"role": "system", "content": "be brief"}, SAID, HI]},
        {"messages": [HI, {"role": "system", "content": "be brief"}, SAID, HI]},
    ),
    "stops": ({"stop_sequences": ["END", "STOP"]}, {"stop": ["END", "STOP"]}),
    # OpenAI takes four and says so itself, with its `param` and nothing charged; others take sixteen, or any number.
    "more stops than some take": ({"stop_sequences": list("ABCDE")}, {"stop": list("ABCDE")}),
    "sampling": ({"temperature": 0.2, "top_p": 0.5, "top_k": 5}, {"temperature": 0.2, "top_p": 0.5}),
    "who asks": ({"metadata": {"user_id": "u1"}}, {"user": "u1"}),
    "a tool with a long name": ({"tools": [{**LOOKS, "name": LONG}]},
                                {"tools": [{**LOOK, "function": {**LOOK["function"], "name": SHORT}}]}),
    "a call of a tool with a long name": (
        {"messages": [HI, {"role": "assistant", "content": [use("c1", LONG, {})]}, user(used("c1", "1"))],
         "tools": [{**LOOKS, "name": LONG}], "tool_choice": {"type": "tool", "name": LONG}},
        {"messages": [HI, called(("c1", SHORT, "{}")), result("c1", "1")],
         "tools": [{**LOOK, "function": {**LOOK["function"], "name": SHORT}}],
         "tool_choice": {"type": "function", "function": {"name": SHORT}}}),
    "a choice without tools": ({"tool_choice": {"type": "auto"}}, {}),
    "no thinking": ({"thinking": {"type": "disabled"}}, {}),
    "a budget": ({"thinking": {"type": "enabled", "budget_tokens": 4096}, "max_tokens": 9000},
                 {"reasoning_effort": "low", "max_tokens": 9000}),
    "a large budget": ({"thinking": {"type": "enabled", "budget_tokens": 31_999}, "max_tokens": 64_000},
                       {"reasoning_effort": "high", "max_tokens": 64_000}),
    "thinking as it likes": ({"thinking": {"type": "adaptive"}}, {}),
    "effort": ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}}, {"reasoning_effort": "max"}),
    "a shape": (
        {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
        {"response_format": {"type": "json_schema", "json_schema": {
            "name": "answer", "strict": True, "schema": SCHEMA}}}),
    "a shape as it was tried": (
        {"output_format": {"type": "json_schema", "schema": SCHEMA}},
        {"response_format": {"type": "json_schema", "json_schema": {
            "name": "answer", "strict": True, "schema": SCHEMA}}}),
    "what has no words there": ({"service_tier": "auto", "context_management": {"edits": []}, "betas": ["x"]}, {}),
}  # fmt: skip


@pytest.mark.parametrize("name", TO_CHAT)
def test_messages_go_up_as_chat(name: str) -> None:
    asked, sent = TO_CHAT[name]
    got = crossing.request(MESSAGES, CHAT, asked)
    assert got == {"model": "up", "max_tokens": 99, "messages": [HI], **sent}
    for message in got["messages"]:
        for call in message.get("tool_calls", ()):
            json.loads(call["function"]["arguments"])


LOOKED = called(("c1", "look", "{}"), ("c2", "look", "{}"))
BOTH = [HI, LOOKED, result("c1", "one"), result("c2", "two")]
ROUNDS: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]] = {
    "in another order": ([user(used("c2", "two"), used("c1", "one"))], BOTH),
    "in turns of their own": ([user(used("c1", "one")), user(used("c2", "two"))], BOTH),
    "behind what the user says": ([user(text("Go")), user(used("c2", "two"), text("on"), used("c1", "one"))],
                                  [*BOTH, {"role": "user", "content": "Go"}, {"role": "user", "content": "on"}]),
    "behind what the system says": (
        [{"role": "system", "content": "Soon"}, user(used("c1", "one"), used("c2", "two"))],
        [*BOTH, {"role": "system", "content": "Soon"}]),
    "one told twice": ([user(used("c1", "one"), used("c2", "tw"), used("c2", "o"))],
                       [*BOTH[:3], result("c2", "tw\n\no")]),
}  # fmt: skip


@pytest.mark.parametrize("name", ROUNDS)
def test_what_calls_brought_stands_right_behind_them(name: str) -> None:
    said, sent = ROUNDS[name]
    calls = {"role": "assistant", "content": [use("c1", "look", {}), use("c2", "look", {})]}
    assert crossing.request(MESSAGES, CHAT, {"messages": [HI, calls, *said]})["messages"] == sent


def test_calls_in_two_turns_are_one_round() -> None:
    parted = [{"role": "assistant", "content": [use(id, "look", {})]} for id in ("c1", "c2")]
    asked = [HI, *parted, user(used("c1", "one"), used("c2", "two"))]
    assert crossing.request(MESSAGES, CHAT, {"messages": asked})["messages"] == BOTH


def test_calls_of_one_id_have_a_result_each() -> None:
    calls = {"role": "assistant", "content": [use("c1", "look", {}), use("c1", "look", {})]}
    asked = [HI, calls, user(used("c1", "one"), used("c1", "two"))]
    sent = crossing.request(MESSAGES, CHAT, {"messages": asked})["messages"]
    assert [one["content"] for one in sent[2:]] == ["one", "two"]


CALLED = {"role": "assistant", "content": [use("c1", "look", {}), use("c2", "look", {})]}
HALVES: dict[str, tuple[list[dict[str, Any]], str, str]] = {
    "no result": ([HI, CALLED, user(text("Never mind"))], "messages.1", "without `tool_result` blocks immediately"),
    "nothing behind it": ([HI, CALLED], "messages.1", "immediately after: c1, c2. Each"),
    "one of two": ([HI, CALLED, user(used("c1", "one"))], "messages.1", "immediately after: c2. Each"),
    "of no call": ([HI, user(used("c1", "one"))], "messages.1.content.0.tool_use_id", "unexpected `tool_use_id`"),
    "a round too late": ([HI, CALLED, user(used("c1"), used("c2")), SAID, user(text("a"), used("c1"))],
                         "messages.4.content.1.tool_use_id", "unexpected `tool_use_id`"),
}  # fmt: skip


@pytest.mark.parametrize("name", HALVES)
@pytest.mark.parametrize("upstream", [CHAT, "openai_responses"])
def test_half_a_round_is_refused(name: str, upstream: str) -> None:
    messages, param, words = HALVES[name]
    with pytest.raises(InvalidRequest) as refused:
        crossing.request(MESSAGES, upstream, {"messages": messages})
    assert refused.value.param == param and words in refused.value.message


SILENT: dict[str, tuple[str, dict[str, Any], str]] = {
    "no blocks": (MESSAGES, {"messages": [user(), {"role": "user", "content": ""}]}, "messages"),
    "an empty block": (MESSAGES, {"messages": [user(text("", cache_control=CACHE))]}, "messages"),
    "an empty text": (CHAT, {"messages": [{"role": "system", "content": ""}, {"role": "user", "content": ""}]},
                      "messages"),
    "nothing": (CHAT, {"messages": [{"role": "user", "content": None}]}, "messages"),
    "blanks": (CHAT, {"messages": [{"role": "user", "content": [text(" \n")]}]}, "messages"),
    "an input of nothing": ("openai_responses", {"input": ""}, "input"),
    "an item of nothing": ("openai_responses", {"input": [{"role": "user", "content": []}]}, "input"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "upstream"), [(name, there) for name in SILENT for there in (CHAT, MESSAGES) if SILENT[name][0] != there]
)
def test_who_says_nothing_is_refused(name: str, upstream: str) -> None:
    caller, asked, param = SILENT[name]
    with pytest.raises(InvalidRequest) as refused:
        crossing.request(caller, upstream, asked)
    assert refused.value.param == param


UNSAID_THERE: dict[str, tuple[dict[str, Any], str]] = {
    "a file kept at the provider": (
        {"messages": [user({"type": "image", "source": {"type": "file", "file_id": "file_1"}})]},
        "messages.0.content.0.source"),
    "a document elsewhere": (
        {"messages": [user({"type": "document", "source": {"type": "url", "url": "https://x.test/a.pdf"}})]},
        "messages.0.content.0"),
    "a call of no tool": ({"tool_choice": {"type": "any"}}, "tool_choice"),
    "a call of an unknown tool": ({"tools": [LOOKS], "tool_choice": {"type": "tool", "name": "see"}},
                                  "tool_choice.name"),
    "a tool that only Claude knows": ({"tools": [{"type": "bash_20250124", "name": "bash"}]}, "tools.0.type"),
}  # fmt: skip


@pytest.mark.parametrize("name", UNSAID_THERE)
def test_what_chat_cannot_say_is_refused_by_the_callers_path(name: str) -> None:
    asked, param = UNSAID_THERE[name]
    with pytest.raises(InvalidRequest) as refused:
        crossing.request(MESSAGES, CHAT, asked)
    assert refused.value.param == param
