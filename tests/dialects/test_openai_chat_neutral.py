"""Chat in neutral words: what goes up of a conversation, and what is heard of an answer."""

import json
from typing import Any

import msgspec
import pytest

from ftgate.dialects import openai_chat, sse
from ftgate.dialects.neutral import (
    Audio,
    Began,
    CallBegan,
    CallPart,
    Choice,
    Document,
    Effort,
    Event,
    Finished,
    Format,
    Image,
    Refusal,
    Refused,
    Said,
    Talk,
    Text,
    Thinking,
    Thought,
    Tool,
    ToolResult,
    ToolUse,
    Turn,
)  # fmt: skip
from ftgate.errors import InvalidRequest

SCHEMA = msgspec.Raw(b'{"type": "object"}')
PNG = Image(data="iVBO", media="image/png")
TOOL = Tool("look", SCHEMA)


def user(*parts: Any) -> Turn:
    return Turn("user", parts)


def model(*parts: Any) -> Turn:
    return Turn("assistant", parts)


def rendered(talk: Talk) -> Any:
    return json.loads(msgspec.json.encode(openai_chat.render_talk(talk)))


MESSAGES: dict[str, tuple[tuple[Turn, ...], list[Any]]] = {
    "a text": ((user(Text("Hi")),), [{"role": "user", "content": "Hi"}]),
    "texts are one": ((user(Text("a"), Text("b")),), [{"role": "user", "content": "a\n\nb"}]),
    "a picture": (
        (user(Text("What?"), PNG),),
        [{"role": "user", "content": [
            {"type": "text", "text": "What?"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}},
        ]}],
    ),
    "a picture elsewhere": (
        (user(Image(url="https://x.test/a.png", detail="low")),),
        [{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": "https://x.test/a.png", "detail": "low"}}]}],
    ),
    "sound": (
        (user(Audio("UklG", "wav")),),
        [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}}]}],
    ),
    "a file": (
        (user(Document(data="JVBE", media="application/pdf", name="a.pdf")),),
        [{"role": "user", "content": [
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"}}]}],
    ),
    "a document of text": (
        (user(Document(text="All of it"), PNG),),
        [{"role": "user", "content": [
            {"type": "text", "text": "All of it"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}}]}],
    ),
    "thinking, text and calls": (
        (model(Thinking("hm", "sig"), Text("I look."), ToolUse("c1", "look", '{"a":1}'), ToolUse("c2", "look", "{}")),),
        [{"role": "assistant", "content": "I look.", "reasoning_content": "hm", "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"a":1}'}},
            {"id": "c2", "type": "function", "function": {"name": "look", "arguments": "{}"}}]}],
    ),
    "a call alone has no content": (
        (model(ToolUse("c1", "look", "{}")),),
        [{"role": "assistant", "content": None, "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}]}],
    ),
    "an answer of nothing": ((model(),), [{"role": "assistant", "content": ""}]),
    "a sealed thought says nothing": ((model(Thinking(sealed="xx"), Text("a")),), [
        {"role": "assistant", "content": "a"}]),
    "a refusal is a text": ((model(Refusal("no")),), [{"role": "assistant", "content": "no"}]),
    "results before what is said": (
        (user(Text("And?"), ToolResult("c1", (Text("1"),)), ToolResult("c2", (Text("2"),), failed=True)),),
        [{"role": "tool", "tool_call_id": "c1", "content": "1"},
         {"role": "tool", "tool_call_id": "c2", "content": "Error: 2"},
         {"role": "user", "content": "And?"}],
    ),
    "an error that says so": (
        (user(ToolResult("c1", (Text("error: gone"),), failed=True)),),
        [{"role": "tool", "tool_call_id": "c1", "content": "error: gone"}],
    ),
    "a result's picture": (
        (user(ToolResult("c1", (Text("see"), PNG)), ToolResult("c2", (Text("2"),))),),
        [{"role": "tool", "tool_call_id": "c1", "content": "see"},
         {"role": "tool", "tool_call_id": "c2", "content": "2"},
         {"role": "user", "content": [
             {"type": "text", "text": "What tool call c1 returned:"},
             {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}}]}],
    ),
    "the system in the midst": (
        (user(Text("a")), Turn("system", (Text("be brief"),)), user(Text("b"))),
        [{"role": "user", "content": "a"}, {"role": "system", "content": "be brief"}, {"role": "user", "content": "b"}],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MESSAGES)
def test_turns_go_up(name: str) -> None:
    turns, messages = MESSAGES[name]
    assert rendered(Talk(turns))["messages"] == messages


FIELDS: dict[str, tuple[Talk, dict[str, Any]]] = {
    "nothing": (Talk(()), {}),
    "tools": (
        Talk((), tools=(Tool("look", SCHEMA, "Looks", strict=True), TOOL)),
        {"tools": [
            {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}, "description": "Looks",
                                              "strict": True}},
            {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]},
    ),
    "a choice without tools is none": (Talk((), choice=Choice("any"), parallel=False), {}),
    "the shape": (
        Talk((), format=Format(SCHEMA, "out", "Out", strict=True)),
        {"response_format": {"type": "json_schema", "json_schema": {
            "name": "out", "schema": {"type": "object"}, "description": "Out", "strict": True}}},
    ),
    "any JSON": (Talk((), format=Format()), {"response_format": {"type": "json_object"}}),
    "sampling": (
        Talk((), stop=("a", "b"), temperature=0.0, top_p=0.5, top_k=4, seed=1, frequency_penalty=0.1,
             presence_penalty=-1.0, verbosity="low", user="u"),
        {"stop": ["a", "b"], "temperature": 0.0, "top_p": 0.5, "seed": 1, "frequency_penalty": 0.1,
         "presence_penalty": -1.0, "verbosity": "low", "user": "u"},
    ),
    "effort": (Talk((), effort=Effort("xhigh")), {"reasoning_effort": "xhigh"}),
    "budgets": (Talk((), effort=Effort(budget=4096)), {"reasoning_effort": "low"}),
    "a large budget": (Talk((), effort=Effort(budget=16_385)), {"reasoning_effort": "high"}),
    "as the model likes": (Talk((), effort=Effort(adaptive=True)), {}),
}  # fmt: skip


@pytest.mark.parametrize("name", FIELDS)
def test_fields_go_up(name: str) -> None:
    talk, fields = FIELDS[name]
    assert rendered(talk) == {"messages": [], **fields}


CHOICES = {"auto": "auto", "none": "none", "any": "required"}


@pytest.mark.parametrize("how", CHOICES)
def test_choices_go_up(how: Any) -> None:
    said = rendered(Talk((), tools=(TOOL,), choice=Choice(how), parallel=False))
    assert (said["tool_choice"], said["parallel_tool_calls"]) == (CHOICES[how], False)
    named = rendered(Talk((), tools=(TOOL,), choice=Choice("tool", "look")))
    assert named["tool_choice"] == {"type": "function", "function": {"name": "look"}}


def test_one_system_message_leads() -> None:
    said = rendered(Talk((user(Text("Hi")),), system=(Text("a"), Text("b"))))
    assert said["messages"][0] == {"role": "system", "content": "a\n\nb"}


def test_a_document_at_an_address_cannot_be_said() -> None:
    with pytest.raises(InvalidRequest) as refused:
        openai_chat.render_talk(Talk((user(Document(url="https://x.test/a.pdf", path="messages.0.content.1")),)))
    assert refused.value.param == "messages.0.content.1"


# ---- what is heard ----


def chunk(finish: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"id": "up", "model": "big", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def call(index: int | None, id: str | None = None, name: str | None = None, arguments: str | None = None) -> Any:
    function = {key: its for key, its in (("name", name), ("arguments", arguments)) if its is not None}
    return {"index": index, "function": function} | ({"id": id} if id is not None else {})


def calls(*said: Any, finish: str | None = None) -> dict[str, Any]:
    return chunk(finish, tool_calls=list(said))


BEGAN = Began("big")
STREAMS: dict[str, tuple[list[dict[str, Any]], list[Event]]] = {
    "text": (
        [chunk(role="assistant", content=""), chunk(content="a"), chunk(content="b"), chunk("stop")],
        [BEGAN, Said("a"), Said("b"), Finished("end")],
    ),
    "a finish alone": ([chunk("length")], [BEGAN, Finished("length")]),
    "thought": ([chunk(reasoning_content="hm"), chunk("stop", content="a")],
                [BEGAN, Thought("hm"), Said("a"), Finished("end")]),
    "thought under two names is one": ([chunk("stop", reasoning_content="hm", reasoning="hm")],
                                       [BEGAN, Thought("hm"), Finished("end")]),
    "parts": ([chunk("stop", content=[{"type": "text", "text": "a"}, {"type": "text", "text": "b"}])],
              [BEGAN, Said("ab"), Finished("end")]),
    "a refusal": ([chunk("content_filter", refusal="no")], [BEGAN, Refused("no"), Finished("filter")]),
    "a call": (
        [calls(call(0, "c1", "look", "")), calls(call(0, None, None, '{"a"')), calls(call(0, None, None, ":1}")),
         chunk("tool_calls")],
        [BEGAN, CallBegan(0, "c1", "look"), CallPart(0, '{"a"'), CallPart(0, ":1}"), Finished("calls")],
    ),
    "calls in turn": (
        [calls(call(0, "c1", "look"), call(1, "c2", "see")), calls(call(1, arguments="{}")),
         calls(call(0, arguments="{}"), finish="tool_calls")],
        [BEGAN, CallBegan(0, "c1", "look"), CallBegan(1, "c2", "see"), CallPart(1, "{}"), CallPart(0, "{}"),
         Finished("calls")],
    ),
    "calls of one index": (
        [calls(call(0, "c1", "look", "{}")), calls(call(0, "c2", "see", "{}")), chunk("stop")],
        [BEGAN, CallBegan(0, "c1", "look"), CallPart(0, "{}"), CallBegan(1, "c2", "see"), CallPart(1, "{}"),
         Finished("calls")],
    ),
    "calls without an index": (
        [calls(call(None, "c1", "look", "{}"), call(None, "c2", "see", "{}"), finish="tool_calls")],
        [BEGAN, CallBegan(0, "c1", "look"), CallPart(0, "{}"), CallBegan(1, "c2", "see"), CallPart(1, "{}"),
         Finished("calls")],
    ),
    "a late id": (
        [calls(call(0, None, "look")), calls(call(0, "c1", None, "{}")), chunk("tool_calls")],
        [BEGAN, CallBegan(0, "c1", "look"), CallPart(0, "{}"), Finished("calls")],
    ),
    "a late name": (
        [calls(call(0, "c1", None, '{"a":')), calls(call(0, None, "look", "1}")), chunk("tool_calls")],
        [BEGAN, CallBegan(0, "c1", "look"), CallPart(0, '{"a":1}'), Finished("calls")],
    ),
    "no id": (
        [calls(call(0, "", "look", "{}")), chunk("tool_calls")],
        [BEGAN, CallBegan(0, "call_up_0", "look"), CallPart(0, "{}"), Finished("calls")],
    ),
    "no id and no arguments": (
        [calls(call(0, None, "look")), chunk("tool_calls")],
        [BEGAN, CallBegan(0, "call_up_0", "look"), Finished("calls")],
    ),
    "calls of one index without an id": (
        [calls(call(0, "", "look", '{"a":1}')), calls(call(0, "", "see", "{}")), calls(call(0, "", "see", "{}")),
         chunk("stop")],
        [BEGAN, CallBegan(0, "call_up_0", "look"), CallPart(0, '{"a":1}'), CallBegan(1, "call_up_1", "see"),
         CallPart(1, "{}"), CallBegan(2, "call_up_2", "see"), CallPart(2, "{}"), Finished("calls")],
    ),
    "a name that is said again": (
        [calls(call(0, "c1", "look", '{"a":')), calls(call(0, "c1", "look", "1}")), calls(call(0, "c1", "look", "")),
         chunk("tool_calls")],
        [BEGAN, CallBegan(0, "c1", "look"), CallPart(0, '{"a":'), CallPart(0, "1}"), Finished("calls")],
    ),
    "a new id beside each fragment": (
        [calls(call(0, "c1", "look", "")), calls(call(0, "c2", None, '{"a":')), calls(call(0, "c3", None, "1}")),
         calls(call(1, "c4", "see")), calls(call(1, "c5", None, "{}")), chunk("tool_calls")],
        [BEGAN, CallBegan(0, "c1", "look"), CallPart(0, '{"a":'), CallPart(0, "1}"), CallBegan(1, "c4", "see"),
         CallPart(1, "{}"), Finished("calls")],
    ),
    "a fragment under an index of its own": (
        [calls(call(0, "c1", "look", "")), calls(call(1, None, None, '{"a":')), calls(call(2, None, None, "1}")),
         chunk("tool_calls")],
        [BEGAN, CallBegan(0, "c1", "look"), CallPart(0, '{"a":'), CallPart(0, "1}"), Finished("calls")],
    ),
    "one id for two calls": (
        [calls(call(0, "c1", "look", "{}"), call(1, "c1", "see", "{}")), chunk("tool_calls")],
        [BEGAN, CallBegan(0, "c1", "look"), CallPart(0, "{}"), CallBegan(1, "c1_1", "see"), CallPart(1, "{}"),
         Finished("calls")],
    ),
    "arguments that are an object": (
        [calls({"index": 0, "id": "c1", "function": {"name": "look", "arguments": {"a": "é"}}}), chunk("tool_calls")],
        [BEGAN, CallBegan(0, "c1", "look"), CallPart(0, '{"a":"é"}'), Finished("calls")],
    ),
    "thought among the parts": (
        [chunk(content=[{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]),
         chunk("stop", content=[{"type": "thinking", "thinking": "so"}, {"type": "text", "text": "a"}])],
        [BEGAN, Thought("hm"), Thought("so"), Said("a"), Finished("end")],
    ),
    "thought in its details alone": (
        [chunk(reasoning_details=[{"type": "reasoning.text", "text": "hm", "index": 0}]),
         chunk(reasoning_details=[{"type": "reasoning.summary", "summary": "so", "index": 1}]),
         chunk("stop", content="a")],
        [BEGAN, Thought("hm"), Thought("so"), Said("a"), Finished("end")],
    ),
    "a function call of old": (
        [chunk(function_call={"name": "look", "arguments": "{"}), chunk("function_call", function_call={
            "arguments": "}"})],
        [BEGAN, CallBegan(0, "call_up_0", "look"), CallPart(0, "{"), CallPart(0, "}"), Finished("calls")],
    ),
    "another answer": (
        [chunk(content="a"), {"choices": [{"index": 1, "delta": {"content": "b"}}]}, chunk("stop")],
        [BEGAN, Said("a"), Finished("end")],
    ),
}  # fmt: skip


def heard(data: bytes) -> list[Event]:
    blocks, events = sse.Reader(), openai_chat.Events()
    return [said for block in blocks.feed(data) for said in events.read(block.data or b"")]


@pytest.mark.parametrize("name", STREAMS)
def test_streams_are_heard(name: str) -> None:
    chunks, events = STREAMS[name]
    assert heard(b"".join(sse.event(json.dumps(one).encode()) for one in chunks)) == events


def message(finish: str | None, **said: Any) -> bytes:
    return json.dumps(
        {"id": "up", "model": "big", "choices": [{"index": 0, "message": said, "finish_reason": finish}]}
    ).encode()


WHOLE: dict[str, tuple[bytes, list[Event]]] = {
    "text": (message("stop", role="assistant", content="ab"), [BEGAN, Said("ab"), Finished("end")]),
    "no reason": (message(None, content="ab"), [BEGAN, Said("ab"), Finished("end")]),
    "nothing": (message("length", content=None), [BEGAN, Finished("length")]),
    "all": (
        message("stop", content="a", reasoning_content="hm", tool_calls=[
            {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}},
            {"id": "c2", "type": "function", "function": {"name": "see", "arguments": '{"a":1}'}}]),
        [BEGAN, Thought("hm"), Said("a"), CallBegan(0, "c1", "look"), CallPart(0, "{}"), CallBegan(1, "c2", "see"),
         CallPart(1, '{"a":1}'), Finished("calls")],
    ),
    "a text of old": (
        b'{"choices": [{"text": "ab", "finish_reason": "stop"}]}', [Began(""), Said("ab"), Finished("end")]),
}  # fmt: skip


@pytest.mark.parametrize("name", WHOLE)
def test_whole_answers_are_heard(name: str) -> None:
    body, events = WHOLE[name]
    assert list(openai_chat.events_of(body)) == events


FINISHES = {
    "max_tokens": "length", "MAX_TOKENS": "length", "model_length": "context",
    "model_context_window_exceeded": "context", "sensitive": "filter", "SAFETY": "filter",
    "content_filter: PROHIBITED_CONTENT": "filter", "eos": "end", "end_turn": "end", "tool_use": "end",
}  # fmt: skip


@pytest.mark.parametrize("finish", FINISHES)
def test_why_an_answer_ended_is_known_in_other_words_too(finish: str) -> None:
    assert heard(sse.event(json.dumps(chunk(finish, content="a")).encode()))[-1] == Finished(FINISHES[finish])


@pytest.mark.parametrize(("user", "up"), [("", None), ("ann", "ann"), ("x" * 64, "x" * 64), ("x" * 65, None)])
def test_a_long_word_for_who_asks_stays_here(user: str, up: str | None) -> None:
    assert rendered(Talk((Turn("user", (Text("Hi"),)),), user=user)).get("user") == up
