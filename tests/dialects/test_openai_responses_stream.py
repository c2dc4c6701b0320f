"""Answers of upstreams that speak Responses: what of them passes, what is heard in them, and how they are closed."""

import json
from typing import Any

import pytest

from ftgate.core.usage import Usage
from ftgate.dialects import openai_responses, sse
from ftgate.dialects.neutral import (
    Began,
    CallBegan,
    CallPart,
    Event,
    Finished,
    Refused,
    Said,
    Sealed,
    Signed,
    Thought,
)  # fmt: skip
from ftgate.dialects.states import State
from ftgate.dialects.talk import Meter, NotAnAnswer
from ftgate.errors import ProviderError
from tests.dialects import crossing
from tests.dialects.cutting import cuts

USAGE = {"input_tokens": 100, "input_tokens_details": {"cached_tokens": 40, "cache_write_tokens": 10},
         "output_tokens": 10, "output_tokens_details": {"reasoning_tokens": 4}, "total_tokens": 110}  # fmt: skip
READ = Usage(input=50, cache_read=40, cache_write=10, output=10, reasoning=4)
MESSAGE = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed",
           "content": [{"type": "output_text", "text": "one two", "annotations": []}]}  # fmt: skip
THOUGHT = {"id": "rs_1", "type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}],
           "encrypted_content": "gAAAA"}  # fmt: skip
CALL = {"id": "fc_1", "type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"a":1}',
        "status": "completed"}  # fmt: skip
FREE = {"id": "ctc_1", "type": "custom_tool_call", "call_id": "c2", "name": "p", "input": "x"}
REFUSAL = {**MESSAGE, "content": [{"type": "refusal", "refusal": "no"}]}


def response(*items: Any, **fields: Any) -> dict[str, Any]:
    return {"id": "resp_up", "object": "response", "created_at": 1, "model": "big", "status": "completed",
            "error": None, "output": list(items), "usage": USAGE, "x": 1e2, **fields}  # fmt: skip


def event(kind: str, **fields: Any) -> bytes:
    kind = f"response.{kind}"
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


def delta(kind: str, text: str, number: int = 0, index: int = 0) -> bytes:
    return event(f"{kind}.delta", item_id="i", output_index=index, delta=text, sequence_number=number)


CREATED = event("created", response=response(status="in_progress", usage=None), sequence_number=0)
ADDED = event("output_item.added", output_index=0, item={**MESSAGE, "content": []}, sequence_number=1)
PIECES = delta("output_text", "one", 2) + delta("output_text", " two", 3)
DONE = event("output_item.done", output_index=0, item=MESSAGE, sequence_number=4)
COMPLETED = event("completed", response=response(MESSAGE), sequence_number=5)
HEAD = CREATED + ADDED + PIECES + DONE


def passed(pieces: list[bytes]) -> tuple[Any, Meter, bytes]:
    meter = Meter()
    reader = openai_responses.StreamReader(meter, show_usage=True)
    return reader, meter, b"".join(map(reader.feed, pieces)) + reader.end()


def test_a_stream_passes_untouched_however_it_comes() -> None:
    for pieces in cuts(HEAD + COMPLETED):
        reader, meter, said = passed(pieces)
        assert (said, reader.state, meter.reported) == (HEAD, State.done, READ)
        assert reader.closing == COMPLETED


def last(tail: bytes) -> dict[str, Any]:
    (only,) = sse.Reader().feed(tail)
    assert only.name == b"response.completed"
    said: dict[str, Any] = json.loads(only.data or b"")
    return said


def test_the_last_event_waits_for_the_cost() -> None:
    reader, _, _ = passed([HEAD + COMPLETED + b"data: [DONE]\n\n"])
    tail = reader.tail(READ, exact=True, cost=12_000_000, note="cost")
    assert tail.startswith(b": cost\nevent: response.completed\ndata: ")
    assert last(tail) == {
        **json.loads(sse.Reader().feed(COMPLETED)[0].data or b""),
        "response": response(MESSAGE, usage={**USAGE, "cost": 0.000012}),
    }
    ours = last(reader.tail(Usage(input=7, output=2), exact=False, cost=1, note=""))["response"]["usage"]
    assert (ours["input_tokens"], ours["output_tokens"], ours["total_tokens"]) == (7, 2, 9)


def test_a_half_of_a_surrogate_pair_in_the_last_event_stays() -> None:
    data = COMPLETED.replace(b"one two", b"\\ud83d")
    reader, _, _ = passed([HEAD + data])
    tail = reader.tail(READ, exact=True, cost=1, note="")
    assert b"\\ud83d" in tail and b'"cost":' in tail


SIGNS: dict[str, tuple[bytes, State]] = {
    "nothing": (b"", State.pending),
    "it began": (CREATED, State.pending),
    "a message began": (CREATED + ADDED, State.pending),
    "reasoning began": (event("output_item.added", output_index=0, item={**THOUGHT, "summary": []}), State.pending),
    "reasoning with content began": (event("output_item.added", output_index=0, item=THOUGHT), State.content),
    "a call began": (event("output_item.added", output_index=0, item={**CALL, "arguments": ""}), State.content),
    "an empty piece": (delta("output_text", ""), State.pending),
    **{
        f"a piece of {kind}": (delta(kind, "a"), State.content)
        for kind in ("output_text", "refusal", "reasoning_summary_text", "reasoning_text", "function_call_arguments",
                     "custom_tool_call_input", "what_is_new")
    },
    "an item of which no piece came": (DONE, State.content),
    "a whole answer in its last event": (CREATED + COMPLETED, State.done),
    "an empty answer": (event("completed", response=response()), State.done),
    "a comment": (b": hello\n\n", State.pending),
    "an error": (b'event: error\ndata: {"type":"error","code":"server_error","message":"oops"}\n\n', State.failed),
    "an error without a name": (b'data: {"error":{"message":"oops"}}\n\n', State.failed),
    "failed at once": (CREATED + event("failed", response=response(status="failed", error={"message": "oops"})),
                       State.failed),
    "failed after a piece": (PIECES + event("failed", response=response(status="failed", error={"code": "x"})),
                             State.broken),
    "the mark of another dialect": (CREATED + b"data: [DONE]\n\n", State.failed),
    "the mark before the end": (PIECES + b"data: [DONE]\n\n", State.broken),
    "what cannot be read": (PIECES + b'data: {"type":\n\n', State.broken),
}  # fmt: skip


@pytest.mark.parametrize("name", SIGNS)
def test_signs(name: str) -> None:
    data, state = SIGNS[name]
    reader = openai_responses.StreamReader(Meter(), show_usage=True)
    said = reader.feed(data)
    assert reader.state is state
    assert bool(said) == (state in (State.content, State.broken) or name.startswith("a whole"))


def test_what_was_asked_and_is_said_again_starts_no_answer() -> None:
    reader = openai_responses.StreamReader(Meter(), show_usage=True)
    begun = event("created", response=response(status="in_progress", usage=None, instructions="x" * 500_000))
    assert reader.feed(begun + begun) == b"" and reader.state is State.pending


@pytest.mark.parametrize("kind", ["completed", "incomplete", "failed"])
def test_usage_is_read_from_every_end(kind: str) -> None:
    _, meter, _ = passed([PIECES + event(kind, response=response(status=kind))])
    assert meter.reported == READ


METERED: dict[str, tuple[bytes, str]] = {
    "pieces": (ADDED + PIECES + DONE + COMPLETED, "one two"),
    "items alone": (DONE + COMPLETED, "one two"),
    "the end alone": (COMPLETED, "one two"),
    "thinking": (delta("reasoning_summary_text", "hm") + event("output_item.done", output_index=0, item=THOUGHT), "hm"),
    "a call": (delta("function_call_arguments", '{"a":1}'), '{"a":1}'),
    "a call at once": (event("output_item.done", output_index=0, item=CALL), 'f{"a":1}'),
    "free text": (delta("custom_tool_call_input", "x"), "x"),
    "a number that is none": (event("output_text.delta", delta="one two", sequence_number=None), "one two"),
    "a place that is none": (event("output_text.delta", delta="one two", output_index="0") + DONE, "one two"),
    "a piece in an object": (event("output_text.delta", delta={"text": "one two"}), "one two"),
    "a call that began, and the end alone": (
        event("output_item.added", output_index=0, item={**CALL, "arguments": ""})
        + event("completed", response=response(CALL)), 'f{"a":1}'),
}  # fmt: skip


@pytest.mark.parametrize("name", METERED)
def test_what_a_model_wrote_is_metered_once(name: str) -> None:
    data, text = METERED[name]
    _, meter, _ = passed([data])
    told = Meter()
    told.note(text)
    assert meter.content_seen and meter.counted() == told.counted()


def test_what_breaks_off_fails_under_its_own_id_and_the_next_number() -> None:
    reader, _, _ = passed([HEAD])
    assert reader.state is State.broken
    failure = reader.failure(ProviderError("it broke off"), "req_1", "cost")
    assert failure.startswith(b": cost\nevent: response.failed\n")
    (only,) = sse.Reader().feed(failure)
    told = json.loads(only.data or b"")
    assert (told["sequence_number"], told["response"]["id"], told["response"]["status"]) == (5, "resp_up", "failed")
    assert told["response"]["output"] == [MESSAGE] and told["response"]["error"]["code"] == "server_error"


@pytest.mark.parametrize("at", range(0, len(HEAD + COMPLETED) - 2, 7))
def test_anything_cut_is_no_whole_answer(at: int) -> None:
    reader, _, _ = passed([(HEAD + COMPLETED)[:at]])
    assert reader.state in (State.failed, State.broken)


# ---- whole answers ----


def test_a_whole_answer_is_read() -> None:
    meter = Meter()
    openai_responses.read_answer(json.dumps(response(THOUGHT, MESSAGE, CALL)).encode(), meter)
    assert meter.reported == READ and meter.content_seen
    openai_responses.read_answer(json.dumps(response()).encode(), Meter())  # it had nothing to say


@pytest.mark.parametrize("body", [
    b"", b"[]", b"null", b"{}", b'{"error":{"message":"x"}}', b'{"output":[]}', b'[{"error":{"message":"x"}}]',
    json.dumps(response(MESSAGE, status="failed", error={"message": "x"})).encode(),
    json.dumps(response(MESSAGE, status="failed")).encode(), json.dumps(response(status="queued")).encode(),
])  # fmt: skip
def test_what_is_no_answer(body: bytes) -> None:
    with pytest.raises(NotAnAnswer):
        openai_responses.read_answer(body, Meter())
    with pytest.raises(NotAnAnswer):
        openai_responses.stream_of(body)


ITEMS = [THOUGHT, MESSAGE, CALL, FREE]


def test_a_whole_answer_is_a_stream_and_a_stream_a_whole_answer() -> None:
    whole = response(*ITEMS)
    stream = openai_responses.stream_of(json.dumps(whole).encode())
    reader, meter, _ = passed([stream])
    assert reader.state is State.done and meter.reported == READ
    numbers = [json.loads(one.data or b"")["sequence_number"] for one in sse.Reader().feed(stream)]
    assert numbers == list(range(len(numbers)))
    assert json.loads(openai_responses.whole_of(stream)) == whole
    for one in (HEAD, HEAD + event("failed", response=response(status="failed", error={"code": "x"}))):
        with pytest.raises(NotAnAnswer):
            openai_responses.whole_of(one)


def test_items_that_the_last_event_leaves_out_are_put_in() -> None:
    bare = event("completed", response=response())
    assert json.loads(openai_responses.whole_of(HEAD + bare))["output"] == [MESSAGE]


# ---- in neutral words ----

BEGAN = Began("big")
SEAL = Signed("rs1.gAAAA")
HEARD: dict[str, tuple[list[Any], list[Event], Finished]] = {
    "text": ([MESSAGE], [Said("one two")], Finished("end")),
    "a refusal": ([REFUSAL], [Refused("no")], Finished("end")),
    "thinking": ([THOUGHT, MESSAGE], [Thought("hm"), SEAL, Said("one two")], Finished("end")),
    "a seal alone": ([{**THOUGHT, "summary": []}, MESSAGE], [Sealed("rs1.gAAAA"), Said("one two")], Finished("end")),
    "thinking in full": (
        [{"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]}, MESSAGE],
        [Thought("hm"), Said("one two")], Finished("end")),
    "calls": ([CALL, FREE], [CallBegan(0, "c1", "f"), CallPart(0, '{"a":1}'), CallBegan(1, "c2", "p"),
                             CallPart(1, '{"input":"x"}')], Finished("calls")),
    "a call without a name": ([{**CALL, "name": None}, {**FREE, "name": ""}],
                             [CallBegan(0, "c1", ""), CallPart(0, '{"a":1}'), CallBegan(1, "c2", ""),
                              CallPart(1, '{"input":"x"}')], Finished("calls")),
    "nothing": ([], [], Finished("end")),
}  # fmt: skip


@pytest.mark.parametrize("name", HEARD)
def test_whole_answers_are_heard(name: str) -> None:
    items, events, finished = HEARD[name]
    assert list(openai_responses.events_of(json.dumps(response(*items)).encode())) == [BEGAN, *events, finished]


@pytest.mark.parametrize("name", HEARD)
def test_streams_are_heard(name: str) -> None:
    items, events, finished = HEARD[name]
    stream = openai_responses.stream_of(json.dumps(response(*items)).encode())
    heard = openai_responses.Events()
    assert [one for block in sse.Reader().feed(stream) for one in heard.read(block.data or b"")] == [
        BEGAN, *events, finished]  # fmt: skip


@pytest.mark.parametrize(("reason", "finished"), [
    ("max_output_tokens", "length"), ("content_filter", "filter"), (None, "length")])  # fmt: skip
def test_why_it_is_incomplete(reason: Any, finished: Any) -> None:
    body = response(MESSAGE, status="incomplete", incomplete_details={"reason": reason})
    assert list(openai_responses.events_of(json.dumps(body).encode()))[-1] == Finished(finished)


# ---- other callers ----


@pytest.mark.parametrize("caller", ["openai_chat", "anthropic_messages", "openai_completions"])
def test_other_callers_are_answered(caller: str) -> None:
    said = crossing.answer(caller, "openai_responses", response(MESSAGE))
    streamed = crossing.stream(caller, "openai_responses", [HEAD + COMPLETED])
    assert b"one" in streamed and b" two" in streamed and "one two" in json.dumps(said)
    for pieces in cuts(HEAD + COMPLETED) if caller != "openai_completions" else ():  # which joins what comes together
        assert crossing.stream(caller, "openai_responses", pieces) == streamed
    broken, state = crossing.watched(caller, "openai_responses", [HEAD], cut=True)
    assert state is State.content and b"broke off" in broken


SENT: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "a conversation": (
        "openai_chat",
        {"messages": [{"role": "system", "content": "brief"}, {"role": "user", "content": "Hi"},
                      {"role": "assistant", "content": "I look.", "tool_calls": [
                          {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
                      {"role": "tool", "tool_call_id": "c1", "content": "1"}],
         "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
         "tool_choice": "required", "parallel_tool_calls": False, "max_tokens": 7, "temperature": 0.5},
        {"instructions": "brief", "input": [
            {"type": "message", "role": "user", "content": "Hi"},
            {"type": "message", "role": "assistant", "content": [
                {"type": "output_text", "text": "I look.", "annotations": []}]},
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "1"}],
         "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": False}],
         "tool_choice": "required", "parallel_tool_calls": False, "max_output_tokens": 7, "temperature": 0.5},
    ),
    "a shape and an effort": (
        "openai_chat",
        {"messages": [{"role": "user", "content": "Hi"}], "reasoning_effort": "high", "response_format": {
            "type": "json_schema", "json_schema": {"name": "out", "schema": {"a": 1}, "strict": True}}},
        {"input": [{"type": "message", "role": "user", "content": "Hi"}], "reasoning": {"effort": "high"},
         "include": ["reasoning.encrypted_content"],
         "text": {"format": {"type": "json_schema", "name": "out", "schema": {"a": 1}, "strict": True}}},
    ),
    "a picture": (
        "anthropic_messages",
        {"messages": [{"role": "user", "content": [
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}}]}]},
        {"input": [{"type": "message", "role": "user", "content": [
            {"type": "input_image", "image_url": "data:image/png;base64,iVBO", "detail": "auto"}]}],
         "max_output_tokens": 99},
    ),
    "thinking of its own kind": (
        "anthropic_messages",
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "hm", "signature": "rs1.gAAAA"},
            {"type": "thinking", "thinking": "hm", "signature": "Claude's"},
            {"type": "redacted_thinking", "data": "rs1.xx"}, {"type": "text", "text": "a"}]},
            {"role": "user", "content": "b"}]},
        {"input": [
            {"type": "message", "role": "user", "content": "Hi"},
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "gAAAA"},
            {"type": "reasoning", "summary": [], "encrypted_content": "xx"},
            {"type": "message", "role": "assistant", "content": [
                {"type": "output_text", "text": "a", "annotations": []}]},
            {"type": "message", "role": "user", "content": "b"}],
         "max_output_tokens": 99},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SENT)
def test_other_callers_conversations_go_up(name: str) -> None:
    caller, body, sent = SENT[name]
    assert crossing.request(caller, "openai_responses", body) == {"model": "up", "store": False, **sent}


# ---- Responses over Messages ----


def test_thinking_goes_there_and_back() -> None:
    content = [
        {"type": "thinking", "thinking": "hm", "signature": "sig"}, {"type": "redacted_thinking", "data": "xx"},
        {"type": "text", "text": "I look."}, {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}},
    ]  # fmt: skip
    said = {
        "id": "m", "type": "message", "role": "assistant", "model": "claude", "stop_reason": "tool_use",
        "content": content, "usage": {"input_tokens": 3, "output_tokens": 5, "cache_read_input_tokens": 2},
    }  # fmt: skip
    tools = [{"type": "function", "name": "f"}]
    got = crossing.answer("openai_responses", "anthropic_messages", said, {"tools": tools})
    assert [item["type"] for item in got["output"]] == ["reasoning", "message", "function_call"]
    assert (got["usage"]["input_tokens"], got["usage"]["input_tokens_details"]["cached_tokens"]) == (5, 2)
    history = [{"role": "user", "content": "Hi"}, *got["output"],
               {"type": "function_call_output", "call_id": "t1", "output": "1"}]  # fmt: skip
    up = crossing.request("openai_responses", "anthropic_messages", {
        "input": history, "tools": tools, "reasoning": {"effort": "high"}, "max_output_tokens": 8000})  # fmt: skip
    assert up["messages"][1]["content"] == content
    assert up["messages"][2]["content"][0]["tool_use_id"] == "t1"
