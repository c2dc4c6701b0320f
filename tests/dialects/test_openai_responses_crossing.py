"""Responses over both other dialects: what goes up of a request, and what a caller gets of an answer of Anthropic's,
whole, streamed, and cut at every point."""

import json
from typing import Any

import pytest

from ftgate.dialects import sse
from ftgate.dialects.openai_responses.envelope import opened
from ftgate.dialects.states import WHOLE
from ftgate.errors import InvalidRequest
from tests.dialects import crossing
from tests.dialects.cutting import cuts

CHAT, MESSAGES, OWN = "openai_chat", "anthropic_messages", "openai_responses"
F = {"type": "function", "name": "f", "description": "F", "parameters": {"type": "object"}, "strict": True}
CUSTOM = {"type": "custom", "name": "p"}
USER = {"role": "user", "content": "Hi"}
PICTURE = {"type": "input_image", "image_url": "data:image/png;base64,iVBO", "detail": "original"}
FILE = {"type": "input_file", "file_data": "data:application/pdf;base64,JVBE", "filename": "a.pdf"}
CALL = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"a":1}'}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "1"}
THOUGHT = {"type": "reasoning", "summary": [], "encrypted_content": "ft1.W3sidHlwZSI6InRleHQiLCJ0ZXh0IjoiaG0ifV0"}
"""What a chat model has thought: hm."""


def chat(**fields: Any) -> Any:
    sent = crossing.request(OWN, CHAT, fields)
    assert sent.pop("model") == "up"
    return sent


def messages(**fields: Any) -> Any:
    sent = crossing.request(OWN, MESSAGES, {"max_output_tokens": 9, **fields})
    assert (sent.pop("model"), sent.pop("max_tokens")) == ("up", 9)
    return sent


HI = {"messages": [{"role": "user", "content": "Hi"}]}
TO_CHAT: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a text": ({}, HI),
    "instructions": ({"instructions": "a", "input": [{"role": "developer", "content": "b"}, USER]},
                     {"messages": [{"role": "system", "content": "a\n\nb"}, *HI["messages"]]}),
    "the cap": ({"max_output_tokens": 9}, {**HI, "max_tokens": 9}),
    "a stream": ({"stream": True}, {**HI, "stream": True, "stream_options": {"include_usage": True}}),
    "sampling": ({"temperature": 0.5, "top_p": 0.1, "user": "u"},
                 {**HI, "temperature": 0.5, "top_p": 0.1, "user": "u"}),
    "what only tunes": (
        {"store": True, "service_tier": "flex", "truncation": "auto", "metadata": {"a": "b"}, "include": ["x"],
         "reasoning": {"summary": "auto"}, "new": 1}, HI),
    "what not everybody takes": (
        {"text": {"verbosity": "low"}, "prompt_cache_key": "k", "safety_identifier": "s"},
        {**HI, "verbosity": "low", "prompt_cache_key": "k", "safety_identifier": "s"}),
    "effort": ({"reasoning": {"effort": "low"}}, {**HI, "reasoning_effort": "low"}),
    "a shape": (
        {"text": {"format": {"type": "json_schema", "name": "o", "schema": {"a": 1}, "strict": True}}},
        {**HI, "response_format": {"type": "json_schema", "json_schema": {
            "name": "o", "schema": {"a": 1}, "strict": True}}}),
    "tools": (
        {"tools": [F, CUSTOM, {"type": "web_search"}], "tool_choice": {"type": "custom", "name": "p"},
         "parallel_tool_calls": False},
        {**HI, "parallel_tool_calls": False, "tool_choice": {"type": "function", "function": {"name": "p"}}, "tools": [
            {"type": "function", "function": {"name": "f", "description": "F", "parameters": {"type": "object"},
                                              "strict": True}},
            {"type": "function", "function": {
                "name": "p", "description": "Put the whole text into `input`.", "parameters": {
                    "type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"],
                    "additionalProperties": False}}}]}),
    "hosted tools alone": (
        {"tools": [{"type": "web_search"}], "tool_choice": "auto", "parallel_tool_calls": False}, HI),
    "media": (
        {"input": [{"role": "user", "content": [{"type": "input_text", "text": "a"}, PICTURE, FILE]}]},
        {"messages": [{"role": "user", "content": [
            {"type": "text", "text": "a"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO", "detail": "high"}},
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"}}]}]}),
    "a round": (
        {"input": [USER, THOUGHT, {"role": "assistant", "content": "I look."}, CALL, USER, OUTPUT]},
        {"messages": [
            *HI["messages"],
            {"role": "assistant", "content": "I look.", "reasoning_content": "hm", "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}]},
            {"role": "tool", "tool_call_id": "c1", "content": "1"}, *HI["messages"]]}),
    "a picture that a tool gave": (
        {"input": [CALL, {**OUTPUT, "output": [{"type": "input_text", "text": "see"}, PICTURE]}]},
        {"messages": [
            {"role": "assistant", "content": None, "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}]},
            {"role": "tool", "tool_call_id": "c1", "content": "see"},
            {"role": "user", "content": [
                {"type": "text", "text": "What tool call c1 returned:"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO", "detail": "high"}}]}]}),
}  # fmt: skip


@pytest.mark.parametrize("name", TO_CHAT)
def test_to_chat(name: str) -> None:
    fields, sent = TO_CHAT[name]
    assert chat(**fields) == sent


def texts(*said: str) -> list[dict[str, Any]]:
    return [{"type": "text", "text": text} for text in said]


def content(sent: Any) -> list[tuple[str, Any]]:
    """Roles and contents, a text as the list of one text that means the same."""
    return [(one["role"], texts(one["content"]) if isinstance(one["content"], str) else one["content"])
            for one in sent["messages"]]  # fmt: skip


USED = {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1}}
TO_MESSAGES: dict[str, tuple[list[Any], list[tuple[str, Any]]]] = {
    "a text": ([USER], [("user", texts("Hi"))]),
    "media": (
        [{"role": "user", "content": [PICTURE, FILE, {"type": "input_image", "image_url": "https://x.test/a.png"}]}],
        [("user", [
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}},
            {"type": "document", "title": "a.pdf",
             "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBE"}},
            {"type": "image", "source": {"type": "url", "url": "https://x.test/a.png"}}])]),
    "a chat's thinking is not Anthropic's": (
        [USER, THOUGHT, {"role": "assistant", "content": "a"}, USER],
        [("user", texts("Hi")), ("assistant", texts("a")), ("user", texts("Hi"))]),
    "an organisation's own thinking": (
        [USER, {"type": "reasoning", "summary": [], "encrypted_content": "gAAAA"},
         {"role": "assistant", "content": "a"}, USER],
        [("user", texts("Hi")), ("assistant", texts("a")), ("user", texts("Hi"))]),
}  # fmt: skip


@pytest.mark.parametrize("name", TO_MESSAGES)
def test_to_messages(name: str) -> None:
    items, sent = TO_MESSAGES[name]
    assert content(messages(input=items)) == sent


def test_a_round_to_messages() -> None:
    turns = content(messages(input=[USER, CALL, OUTPUT], tools=[F], tool_choice="required", instructions="a"))
    assert [role for role, _ in turns] == ["user", "assistant", "user"] and turns[1][1] == [USED]
    (result,) = turns[2][1]
    assert (result["type"], result["tool_use_id"]) == ("tool_result", "c1") and "1" in json.dumps(result["content"])
    sent = messages(tools=[F], tool_choice="required", parallel_tool_calls=False, instructions="a", user="u")
    assert sent["tool_choice"] == {"type": "any", "disable_parallel_tool_use": True}
    assert sent["tools"][0]["name"] == "f" and sent["tools"][0]["input_schema"] == {"type": "object"}
    assert "a" in json.dumps(sent["system"]) and sent["metadata"] == {"user_id": "u"}


@pytest.mark.parametrize("part", [
    {"type": "input_image", "image_url": "data:image/tiff;base64,iVBO"},
    {"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}},
])  # fmt: skip
def test_what_messages_cannot_say(part: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as refused:
        messages(input=[{"role": "user", "content": [part]}])
    assert str(refused.value.param).startswith("input.0.content.0")
    assert part["type"] != "input_image" or str(refused.value.param).endswith(".image_url")


# ---- answers of Anthropic's ----


def block(at: int, kind: dict[str, Any], *deltas: dict[str, Any]) -> bytes:
    pieces = [("content_block_start", {"index": at, "content_block": kind})]
    pieces += [("content_block_delta", {"index": at, "delta": delta}) for delta in deltas]
    return b"".join(named(name, **fields) for name, fields in [*pieces, ("content_block_stop", {"index": at})])


def named(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\n".encode() + sse.event(json.dumps({"type": kind, **fields}).encode())


def stream(*blocks: bytes, reason: str = "end_turn") -> bytes:
    usage = {"input_tokens": 3, "cache_read_input_tokens": 2, "output_tokens": 1}
    start = {"id": "m", "type": "message", "role": "assistant", "model": "claude", "content": [], "usage": usage}
    end = named("message_delta", delta={"stop_reason": reason, "stop_sequence": None}, usage={"output_tokens": 7})
    return named("message_start", message=start) + b"".join(blocks) + end + named("message_stop")


def said(text: str, at: int = 0) -> bytes:
    return block(at, {"type": "text", "text": ""}, {"type": "text_delta", "text": text})


def used(at: int, id: str, *parts: str, name: str = "f") -> bytes:
    deltas = [{"type": "input_json_delta", "partial_json": part} for part in parts]
    return block(at, {"type": "tool_use", "id": id, "name": name, "input": {}}, *deltas)


THINKS = block(0, {"type": "thinking", "thinking": "", "signature": ""},
               {"type": "thinking_delta", "thinking": "h"}, {"type": "thinking_delta", "thinking": "m"},
               {"type": "signature_delta", "signature": "sig"})  # fmt: skip
SEALED = block(1, {"type": "redacted_thinking", "data": "xx"})
STREAMS: dict[str, tuple[bytes, list[str], str]] = {
    "text": (stream(said("é")), ["message"], "completed"),
    "nothing": (stream(), [], "completed"),
    "thinking": (stream(THINKS, SEALED, said("a", 2)), ["reasoning", "message"], "completed"),
    "calls": (stream(said("a"), used(1, "t1", '{"a":', "1}"), used(2, "t2", name="p"), reason="tool_use"),
              ["message", "function_call", "custom_tool_call"], "completed"),
    "cut short": (stream(said("a"), reason="max_tokens"), ["message"], "incomplete"),
    "refused": (stream(said("a"), reason="refusal"), ["message"], "incomplete"),
}  # fmt: skip
ASKED = {"stream": True, "tools": [F, CUSTOM]}


def events(data: bytes) -> list[dict[str, Any]]:
    found = [json.loads(one.data or b"") for one in sse.Reader().feed(data)]
    assert [one["sequence_number"] for one in found] == list(range(len(found)))
    return found


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_of_anthropics_however_it_comes(name: str) -> None:
    data, kinds, status = STREAMS[name]
    whole = crossing.stream(OWN, MESSAGES, [data], ASKED)
    response = events(whole)[-1]["response"]
    assert [item["type"] for item in response["output"]] == kinds and response["status"] == status
    assert response["usage"]["input_tokens"] == 5 and response["usage"]["output_tokens"] == 7
    assert response["usage"]["cost"] == 0.000002
    for pieces in cuts(data):
        assert crossing.stream(OWN, MESSAGES, pieces, ASKED) == whole


def test_what_anthropic_thought_stands_in_the_envelope() -> None:
    item = events(crossing.stream(OWN, MESSAGES, [STREAMS["thinking"][0]], ASKED))[-1]["response"]["output"][0]
    assert item["summary"] == [{"type": "summary_text", "text": "hm"}]
    first, second = opened(item["encrypted_content"])
    assert (first.text, first.signature, second.sealed) == ("hm", "sig", "xx")


@pytest.mark.parametrize("name", STREAMS)
def test_anything_of_anthropics_that_is_cut_ends_in_a_failure(name: str) -> None:
    data, broken = STREAMS[name][0], 0
    for at in range(len(data)):
        passed, state = crossing.watched(OWN, MESSAGES, [data[:at]], ASKED, cut=True)
        if state not in WHOLE:
            last = events(passed)[-1]
            assert (last["type"], last["response"]["status"]) == ("response.failed", "failed")
            broken += 1
    assert broken > 100
