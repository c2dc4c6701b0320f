"""Golden answers of an upstream that speaks OpenAI's Responses, as callers of chat and of messages get them: whole,
streamed, fed in every way, and cut at every point.

Sources: OpenAI's API reference (Responses, Streaming events), Anthropic's API reference (Messages), and what clients of
both were seen to need.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from ftgate.dialects.states import WHOLE
from tests.dialects import crossing, putting_together
from tests.dialects.cutting import cuts

CHAT, MESSAGES, RESPONSES = "openai_chat", "anthropic_messages", "openai_responses"


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def answered(text: str) -> dict[str, Any]:
    return {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [
        {"type": "output_text", "text": text, "annotations": [], "logprobs": []}]}  # fmt: skip


def reasoned(text: str, sealed: str | None = None) -> dict[str, Any]:
    summary = [{"type": "summary_text", "text": text}] if text else []
    return {"id": "rs_1", "type": "reasoning", "summary": summary, "encrypted_content": sealed}


def calling(id: str, given: str) -> dict[str, Any]:
    return {"id": f"fc_{id}", "type": "function_call", "call_id": id, "name": "look", "arguments": given,
            "status": "completed"}  # fmt: skip


def refusing(text: str) -> dict[str, Any]:
    return {**answered(""), "content": [{"type": "refusal", "refusal": text}]}


USED = {"input_tokens": 9, "input_tokens_details": {"cached_tokens": 4}, "output_tokens": 7,
        "output_tokens_details": {"reasoning_tokens": 2}, "total_tokens": 16}  # fmt: skip


def response(*items: Any, cut_by: str = "") -> dict[str, Any]:
    status = {"status": "incomplete", "incomplete_details": {"reason": cut_by}} if cut_by else {"status": "completed"}
    return {"id": "resp_1", "object": "response", "created_at": 5, "model": "big", **status, "output": list(items),
            "usage": USED}  # fmt: skip


def streamed(whole: dict[str, Any]) -> bytes:
    """A whole answer as OpenAI streams it, written apart from ftgate."""
    events = [
        {"type": "response.created", "response": {"id": whole["id"], "model": whole["model"], "output": []}},
        *(event for at, item in enumerate(whole["output"]) for event in _item(at, item)),
        {"type": f"response.{whole['status']}", "response": whole},
    ]
    return b"".join(
        f"event: {event['type']}\ndata: {json.dumps({**event, 'sequence_number': at})}\n\n".encode()
        for at, event in enumerate(events)
    )


_EMPTY: dict[str, Any] = {"content": [], "summary": [], "arguments": "", "encrypted_content": None}


def _item(at: int, item: dict[str, Any]) -> Iterator[dict[str, Any]]:
    place = {"output_index": at, "item_id": item["id"]}
    begun = {**item, **{name: empty for name, empty in _EMPTY.items() if name in item}}
    yield {"type": "response.output_item.added", "output_index": at, "item": begun}
    match item["type"]:
        case "reasoning":
            for part in item["summary"]:
                here = {**place, "summary_index": 0}
                yield {"type": "response.reasoning_summary_part.added", **here, "part": {**part, "text": ""}}
                for letter in part["text"]:
                    yield {"type": "response.reasoning_summary_text.delta", **here, "delta": letter}
                yield {"type": "response.reasoning_summary_text.done", **here, "text": part["text"]}
        case "function_call":
            for letter in item["arguments"]:
                yield {"type": "response.function_call_arguments.delta", **place, "delta": letter}
            yield {"type": "response.function_call_arguments.done", **place, "arguments": item["arguments"]}
        case "message":
            (part,) = item["content"]
            kind, field = ("output_text", "text") if "text" in part else ("refusal", "refusal")
            here = {**place, "content_index": 0}
            yield {"type": "response.content_part.added", **here, "part": {**part, field: ""}}
            for letter in part[field]:
                yield {"type": f"response.{kind}.delta", **here, "delta": letter}
            yield {"type": f"response.{kind}.done", **here, field: part[field]}
    yield {"type": "response.output_item.done", "output_index": at, "item": item}


def call_of(id: str, given: str) -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": "look", "arguments": given}}


def use_of(id: str, **given: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": id, "name": "look", "input": given}


def think(text: str, seal: str) -> dict[str, Any]:
    return {"type": "thinking", "thinking": text, "signature": seal}


ANSWERS: dict[str, tuple[dict[str, Any], tuple[dict[str, Any], str], tuple[list[Any], str]]] = {
    "a text": (response(answered("Hé")), ({"content": "Hé"}, "stop"), ([text("Hé")], "end_turn")),
    "nothing": (response(), ({"content": ""}, "stop"), ([], "end_turn")),
    "two calls": (
        response(calling("c1", '{"a":1}'), calling("c2", "{}")),
        ({"content": None, "tool_calls": [call_of("c1", '{"a":1}'), call_of("c2", "{}")]}, "tool_calls"),
        ([use_of("c1", a=1), use_of("c2")], "tool_use")),
    "a text, then a call": (
        response(answered("So."), calling("c1", "{}")),
        ({"content": "So.", "tool_calls": [call_of("c1", "{}")]}, "tool_calls"),
        ([text("So."), use_of("c1")], "tool_use")),
    "a thought": (
        response(reasoned("hm"), answered("So.")),
        ({"content": "So.", "reasoning_content": "hm"}, "stop"),
        ([think("hm", "ft1."), text("So.")], "end_turn")),
    "a thought and its seal": (
        response(reasoned("hm", "gA"), answered("So.")),
        ({"content": "So.", "reasoning_content": "hm", "reasoning_details": [
            {"type": "reasoning.text", "text": "hm", "signature": "rs1.gA", "index": 0}]}, "stop"),
        ([think("hm", "ft1.rs1.gA"), text("So.")], "end_turn")),
    "a thought that only it can read": (
        response(reasoned("", "gA"), answered("So.")),
        ({"content": "So.", "reasoning_details": [{"type": "reasoning.encrypted", "data": "rs1.gA", "index": 0}]},
         "stop"),
        ([{"type": "redacted_thinking", "data": "ft1.rs1.gA"}, text("So.")], "end_turn")),
    "cut by its cap": (response(answered("So"), cut_by="max_output_tokens"), ({"content": "So"}, "length"),
                       ([text("So")], "max_tokens")),
    "held back": (response(answered("So"), cut_by="content_filter"), ({"content": "So"}, "content_filter"),
                  ([text("So")], "refusal")),
    "a refusal": (response(refusing("No.")), ({"content": None, "refusal": "No."}, "stop"),
                  ([text("No.")], "refusal")),
}  # fmt: skip
CHAT_USED = {"prompt_tokens": 9, "completion_tokens": 7, "total_tokens": 16}
MESSAGES_USED = {"input_tokens": 5, "cache_read_input_tokens": 4, "output_tokens": 7}


def of_chat(said: dict[str, Any]) -> dict[str, Any]:
    """A message of chat without what is not said in it."""
    given = {name: value for name, value in said.items() if value is not None and name != "role"}
    if "tool_calls" not in given and "refusal" not in given:
        given.setdefault("content", "")
    return given


@pytest.mark.parametrize("name", ANSWERS)
def test_chats_callers_are_answered(name: str) -> None:
    whole, (message, finish), _ = ANSWERS[name]
    wanted = {name: value for name, value in message.items() if value is not None}
    got = crossing.answer(CHAT, RESPONSES, whole)
    (choice,) = got["choices"]
    assert (of_chat(choice["message"]), choice["finish_reason"]) == (wanted, finish)
    assert got["usage"].items() >= CHAT_USED.items()
    assert got["usage"]["prompt_tokens_details"]["cached_tokens"] == 4
    asked = {"stream": True, "stream_options": {"include_usage": True}}
    once = crossing.stream(CHAT, RESPONSES, [streamed(whole)], asked)
    made = putting_together.of_chat(once)
    streams_empty = {} if wanted.get("content") else {"content": ""}
    assert {**streams_empty, **of_chat(made["message"])} == {**streams_empty, **wanted}
    assert made["finish_reason"] == finish and made["usage"].items() >= CHAT_USED.items()
    for pieces in cuts(streamed(whole)):
        assert crossing.stream(CHAT, RESPONSES, pieces, asked) == once


@pytest.mark.parametrize("name", ANSWERS)
def test_messages_callers_are_answered(name: str) -> None:
    whole, _, (content, stop) = ANSWERS[name]
    got = crossing.answer(MESSAGES, RESPONSES, whole)
    assert (got["content"], got["stop_reason"], got["id"]) == (content, stop, "msg_7")
    assert got["usage"].items() >= MESSAGES_USED.items()
    once = crossing.stream(MESSAGES, RESPONSES, [streamed(whole)], {"stream": True})
    made = putting_together.of_messages(once)
    assert (made["content"], made["stop_reason"]) == (content, stop)
    assert made["usage"].items() >= MESSAGES_USED.items()
    for pieces in cuts(streamed(whole)):
        assert crossing.stream(MESSAGES, RESPONSES, pieces, {"stream": True}) == once


@pytest.mark.parametrize("caller", [CHAT, MESSAGES])
@pytest.mark.parametrize("name", ["a text", "two calls", "a thought and its seal", "cut by its cap"])
def test_a_stream_that_is_cut_is_never_a_whole_one(name: str, caller: str) -> None:
    data = streamed(ANSWERS[name][0])
    broken = 0
    for at in range(len(data)):
        passed, state = crossing.watched(caller, RESPONSES, [data[:at]], {"stream": True}, cut=True)
        if state not in WHOLE:
            broken += 1
            assert b"broke off" in passed.split(b"\n\n")[-2]
            assert b"[DONE]" not in passed and b"message_stop" not in passed and b'"finish_reason":"' not in passed
    assert broken > len(data) // 2
