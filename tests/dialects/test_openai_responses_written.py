"""Answers of any dialect as Responses: the order and shape of a stream's events, however they come, and that nothing
that broke off looks whole."""

import json
from typing import Any

import msgspec
import pytest

from ftgate.core.usage import Usage
from ftgate.dialects import openai_chat, openai_responses, sse
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
    Thinking,
    Thought,
)  # fmt: skip
from ftgate.dialects.openai_responses.envelope import opened
from ftgate.dialects.states import State
from ftgate.dialects.talk import Meter, Told
from ftgate.errors import NoHealthyProvider, ProviderError, ProvidersOverloaded, ProviderTimeout
from ftgate.line.passing import Translated
from tests.dialects.cutting import cuts

BEGAN = Began("up")
USAGE = Usage(input=5, cache_read=2, cache_write=1, output=4, reasoning=1)
TOOLS = [{"type": "function", "name": "f"}, {"type": "custom", "name": "p"},
         {"type": "namespace", "name": "n", "tools": [{"type": "function", "name": "g"}]}]  # fmt: skip


def told(**fields: Any) -> Told:
    body = {"model": "m", "input": "Hi", "stream": True, "tools": TOOLS, **fields}
    ask = openai_responses.read_request(json.dumps(body).encode())
    return Told(ask, openai_responses.talk_of(ask), "req_0123", 1_700_000_000, "m", 5, lambda: 1_700_000_003)


def read(stream: bytes) -> list[dict[str, Any]]:
    """A stream's events, each looked at by itself and in its place: named as typed, numbered from 0, its item known
    while it goes on."""
    said: list[dict[str, Any]] = []
    added: dict[int, dict[str, Any]] = {}
    for number, event in enumerate(sse.Reader().feed(stream)):
        one = json.loads(event.data or b"")
        assert (event.name or b"").decode() == one["type"] and one["sequence_number"] == number
        if one["type"] == "response.output_item.added":
            assert one["output_index"] == len(added)
            added[one["output_index"]] = one["item"]
        elif "output_index" in one:
            item = added[one["output_index"]]
            assert one.get("item_id", item["id"]) == item["id"]
        if one["type"] == "response.output_item.done":
            for name in ("id", "type", "call_id", "name", "namespace"):
                assert one["item"].get(name) == added[one["output_index"]].get(name)
        said.append(one)
    return said


def kinds(said: list[dict[str, Any]]) -> list[str]:
    return [one["type"].removeprefix("response.") for one in said]


def written(*events: Event, **fields: Any) -> list[dict[str, Any]]:
    writer = openai_responses.Writer(told(**fields))
    passed = b"".join(writer.write([event]) for event in events)
    return read(passed + writer.tail(USAGE, exact=True, cost=None, note=""))


FRAME = ["created", "in_progress"]
TEXT = ["output_item.added", "content_part.added", "output_text.delta", "output_text.done", "content_part.done",
        "output_item.done"]  # fmt: skip
THOUGHT = ["output_item.added", "reasoning_summary_part.added", "reasoning_summary_text.delta",
           "reasoning_summary_text.done", "reasoning_summary_part.done", "output_item.done"]  # fmt: skip
CALL = ["output_item.added", "function_call_arguments.delta", "function_call_arguments.done", "output_item.done"]
FREE = ["output_item.added", "custom_tool_call_input.delta", "custom_tool_call_input.done", "output_item.done"]
BARE = ["output_item.added", "output_item.done"]


def began(key: int, name: str = "f") -> CallBegan:
    return CallBegan(key, f"c{key}", name)


GROUPS: dict[str, tuple[list[Event], list[str], list[dict[str, Any]]]] = {
    "nothing": ([Finished("end")], [], []),
    "text": ([Said("a"), Finished("end")], TEXT, [{"type": "message", "text": "a"}]),
    "empty pieces": ([Said(""), Thought(""), Said("a"), Said(""), Finished("end")], TEXT, [{"type": "message"}]),
    "a refusal": (
        [Refused("no"), Finished("end")], [kind.replace("output_text", "refusal") for kind in TEXT],
        [{"type": "message"}]),
    "text and a refusal": (
        [Said("a"), Refused("no"), Finished("end")],
        TEXT[:-1] + [kind.replace("output_text", "refusal") for kind in TEXT[1:]], [{"type": "message"}]),
    "thinking": ([Thought("a"), Finished("end")], THOUGHT, [{"type": "reasoning"}]),
    "a seal alone": ([Sealed("x"), Finished("end")], BARE, [{"type": "reasoning", "summary": []}]),
    "thinking, text, thinking": (
        [Thought("a"), Said("b"), Thought("c"), Finished("end")], THOUGHT + TEXT + THOUGHT,
        [{"type": "reasoning"}, {"type": "message"}, {"type": "reasoning"}]),
    "a call": ([began(0), CallPart(0, '{"a":1}'), Finished("calls")], CALL,
               [{"type": "function_call", "call_id": "c0", "name": "f", "arguments": '{"a":1}'}]),
    "a call of nothing": ([began(0), Finished("calls")], CALL, [{"arguments": "{}"}]),
    "a call in a namespace": ([began(0, "n__g"), CallPart(0, "{}"), Finished("calls")], CALL,
                              [{"name": "g", "namespace": "n"}]),
    "a call that nobody offered": ([began(0, "h"), CallPart(0, "{}"), Finished("calls")], CALL, [{"name": "h"}]),
    "free text": ([began(0, "p"), CallPart(0, '{"input":'), CallPart(0, '"x\\ny"}'), Finished("calls")], FREE,
                  [{"type": "custom_tool_call", "name": "p", "input": "x\ny"}]),
    "free text that is no JSON": ([began(0, "p"), CallPart(0, "x y"), Finished("calls")], FREE, [{"input": "x y"}]),
    "text, calls, text": (
        [Said("a"), began(0), CallPart(0, "{}"), began(1), CallPart(1, "{}"), Said("b"), Finished("calls")],
        TEXT + CALL + CALL + TEXT, [{}, {"call_id": "c0"}, {"call_id": "c1"}, {"type": "message"}]),
    "calls in turn": (
        [began(0), began(1), CallPart(1, "{"), CallPart(0, "{"), CallPart(1, "}"), CallPart(0, "}"), Finished("calls")],
        [*CALL[:1], *CALL[1:2] * 2, *CALL[2:], *CALL[:1], *CALL[1:2] * 2, *CALL[2:]],
        [{"call_id": "c0", "arguments": "{}"}, {"call_id": "c1", "arguments": "{}"}]),
    "three in turn, one never whole": (
        [began(0), began(1), began(2), CallPart(0, "{"), CallPart(2, "{}"), CallPart(1, "{}"), Finished("calls")],
        CALL * 3, [{"arguments": "{"}, {"call_id": "c1", "arguments": "{}"}, {"call_id": "c2", "arguments": "{}"}]),
    "text that waits for a call": (
        [began(0), CallPart(0, "{"), Said("a"), CallPart(0, "}"), Finished("calls")],
        [*CALL[:1], *CALL[1:2] * 2, *CALL[2:], *TEXT], [{"arguments": "{}"}, {"type": "message"}]),
}  # fmt: skip


def matches(item: dict[str, Any], wanted: dict[str, Any]) -> bool:
    text = "".join(part.get("text", "") for part in item.get("content") or ())
    return all((text if name == "text" else item.get(name)) == value for name, value in wanted.items())


@pytest.mark.parametrize("name", GROUPS)
def test_groups_of_events(name: str) -> None:
    events, group, items = GROUPS[name]
    said = written(BEGAN, *events)
    assert kinds(said) == [*FRAME, *group, "completed"]
    response = said[-1]["response"]
    assert response["output"] == [one["item"] for one in said if one["type"] == "response.output_item.done"]
    assert len(response["output"]) == len(items) and all(map(matches, response["output"], items))
    assert {item["status"] for item in response["output"]} <= {"completed"}
    assert len({item["id"] for item in response["output"]}) == len(items)
    whole = openai_responses.Writer(told()).whole([BEGAN, *events], USAGE, exact=True, cost=12)
    assert json.loads(whole) == response  # and a plain answer says the same


ENDS: dict[Any, tuple[str, Any]] = {
    "end": ("completed", None), "calls": ("completed", None), "stop_sequence": ("completed", None),
    "pause": ("completed", None), "length": ("incomplete", "max_output_tokens"),
    "context": ("incomplete", "max_output_tokens"), "filter": ("incomplete", "content_filter"),
    "refusal": ("incomplete", "content_filter"),
}  # fmt: skip


@pytest.mark.parametrize("reason", ENDS)
def test_ends(reason: Any) -> None:
    status, why = ENDS[reason]
    said = written(BEGAN, Said("a"), began(0), CallPart(0, '{"a'), Finished(reason))
    response = said[-1]["response"]
    assert (kinds(said)[-1], response["status"]) == (status, status)
    assert response["incomplete_details"] == (None if why is None else {"reason": why})
    assert [item["status"] for item in response["output"]] == ["completed", status]
    assert response["output"][1]["arguments"] == '{"a'  # as far as they came
    assert response["completed_at"] == (None if status == "incomplete" else 1_700_000_003)


def test_what_was_thought_stands_in_the_envelope() -> None:
    said = written(
        BEGAN, Thought("a"), Thought("b"), Signed("s"), Sealed("x"), Thought("c"), Said("d"), Finished("end")
    )
    item = said[-1]["response"]["output"][0]
    assert item["summary"] == [{"type": "summary_text", "text": "ab\n\nc"}]
    assert opened(item["encrypted_content"]) == (Thinking("ab", "s"), Thinking(sealed="x"), Thinking("c"))
    added = next(one["item"] for one in said if one["type"] == "response.output_item.added")
    assert added["encrypted_content"] is None and added["summary"] == []


ALWAYS = {
    "id", "object", "created_at", "completed_at", "status", "error", "incomplete_details", "model", "output", "usage",
    "instructions", "max_output_tokens", "max_tool_calls", "metadata", "parallel_tool_calls", "temperature", "top_p",
    "text", "tool_choice", "tools", "top_logprobs", "user", "safety_identifier", "prompt_cache_key", "reasoning",
    "previous_response_id", "background", "store", "service_tier", "truncation", "presence_penalty",
    "frequency_penalty",
}  # fmt: skip
DEFAULTS = {
    "object": "response", "created_at": 1_700_000_000, "error": None, "model": "up", "instructions": None,
    "max_output_tokens": None, "metadata": {}, "parallel_tool_calls": True, "temperature": 1.0, "top_p": 1.0,
    "text": {"format": {"type": "text"}}, "tool_choice": "auto", "top_logprobs": 0,
    "reasoning": {"effort": None, "summary": None}, "store": False, "service_tier": "default", "truncation": "disabled",
}  # fmt: skip
ASKED: dict[str, Any] = {
    "instructions": "be\nbrief", "max_output_tokens": 7, "metadata": {"a": "b"}, "parallel_tool_calls": False,
    "temperature": 0.5, "top_p": 0.1, "tool_choice": "none", "user": "u", "safety_identifier": "s",
    "prompt_cache_key": "k",
}  # fmt: skip


def test_the_response_has_every_field_always() -> None:
    said = written(BEGAN, Said("a"), Finished("end"))
    for one in (said[0], said[1], said[-1]):
        assert one["response"].keys() == ALWAYS
        assert {name: one["response"][name] for name in DEFAULTS} == DEFAULTS
        assert one["response"]["id"] == "resp_0123" and one["response"]["tools"] == TOOLS
    assert [one["response"]["status"] for one in said[:2]] == ["in_progress"] * 2
    assert said[0]["response"]["output"] == [] and said[0]["response"]["usage"] is None
    assert said[-1]["response"]["usage"] == {
        "input_tokens": 8, "input_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 1}, "output_tokens": 4,
        "output_tokens_details": {"reasoning_tokens": 1}, "total_tokens": 12,
    }  # fmt: skip


def test_what_was_asked_is_said_again() -> None:
    asked = {**ASKED, "store": True, "service_tier": "priority", "truncation": "auto", "text": {"verbosity": "low"},
             "reasoning": {"effort": "low", "summary": "auto", "context": "x"}}  # fmt: skip
    response = written(BEGAN, Finished("end"), **asked)[0]["response"]
    assert {name: response[name] for name in ASKED} == ASKED
    assert response["text"] == {"format": {"type": "text"}, "verbosity": "low"}
    assert response["reasoning"] == {"effort": "low", "summary": "auto"}
    assert (response["store"], response["service_tier"], response["truncation"]) == (False, "default", "disabled")


def test_a_line_end_in_the_request_ends_no_event() -> None:
    body = b'{"model": "m", "input": "Hi", "metadata": {\n\r\n"a":\r"b"}}'
    ask = openai_responses.read_request(body)
    writer = openai_responses.Writer(Told(ask, openai_responses.talk_of(ask), "req_1", 1, "m", 5, lambda: 2))
    assert read(writer.write([BEGAN]))[0]["response"]["metadata"] == {"a": "b"}


def test_half_of_a_surrogate_pair_is_no_harm_anywhere() -> None:
    half = "\ud83d"
    events = [Began(half), Thought(half), Signed(half), Said(half), CallBegan(0, half, half), CallPart(0, half)]
    writer = openai_responses.Writer(told())
    passed = writer.write([*events, Finished("calls")]) + writer.tail(USAGE, exact=True, cost=1, note="")
    assert kinds(read(passed))[-1] == "completed"


def test_the_end_has_its_cost_and_the_note_in_its_own_block() -> None:
    writer = openai_responses.Writer(told())
    passed = writer.write([BEGAN, Said("a"), Finished("end")])
    tail = writer.tail(USAGE, exact=True, cost=12_000_000, note="x-findtoken-cost=0.000012")
    assert tail.startswith(b": x-findtoken-cost=0.000012\nevent: response.completed\n")
    assert read(passed + tail)[-1]["response"]["usage"]["cost"] == 0.000012


@pytest.mark.parametrize(("error", "code", "kind"), [
    (ProviderError("it broke off"), "server_error", "provider_error"),
    (ProviderTimeout("too slow"), "server_error", "provider_timeout"),
    (ProviderError("the provider reported an error inside the stream: slow rate_limit_exceeded"), "rate_limit_exceeded",
     "provider_error"),
    (ProviderError("inside the stream: long context_length_exceeded"), "context_length_exceeded", "provider_error"),
])  # fmt: skip
def test_what_breaks_off_has_failed(error: Any, code: str, kind: str) -> None:
    writer = openai_responses.Writer(told())
    passed = writer.write([BEGAN, Thought("hm"), Said("a")])
    passed += writer.failure(error, "req_0123", "cost")
    said = read(passed)
    assert kinds(said)[-1] == "failed" and b": cost\nevent: response.failed\n" in passed
    response = said[-1]["response"]
    assert response["error"] == {"code": code, "message": error.message, "type": kind, "param": None}
    assert [item["type"] for item in response["output"]] == ["reasoning"]  # the message was not finished
    assert response["usage"] is None and response["status"] == "failed"


def test_an_error_before_anything_was_said_is_a_stream_of_its_own() -> None:
    ask = told().ask
    said = read(openai_responses.error_event(ProviderError("gone"), "req_018bcfe56800ffff", "cost", ask))
    assert kinds(said) == [*FRAME, "failed"]
    assert said[0]["response"]["model"] == "m" and said[0]["response"]["created_at"] == 1_700_000_000
    assert {one["response"]["id"] for one in said} == {"resp_018bcfe56800ffff"}
    assert said[2]["response"]["error"]["message"] == "gone" and said[2]["response"].keys() == ALWAYS


def test_providers_that_are_overloaded_have_the_code_that_clients_know() -> None:
    error = ProvidersOverloaded("busy", retry_after_s=5.0)
    status, headers, body = openai_responses.error(error, "req_1")
    said = json.loads(body)["error"]
    assert (status, said["code"], said["type"]) == (503, "server_is_overloaded", "api_error")
    assert (b"retry-after", b"5") in headers
    (*_, last) = read(openai_responses.error_event(error, "req_1", "", told().ask))
    assert last["response"]["error"]["code"] == "server_is_overloaded"
    _, _, other = openai_responses.error(NoHealthyProvider("away"), "req_1")
    assert json.loads(other)["error"]["code"] == "no_healthy_provider"


# ---- from a chat upstream's bytes ----


def chunk(finish: str | None = None, **delta: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return sse.event(msgspec.json.encode({"id": "x", "model": "up", "choices": [choice]}))


def calls(*made: tuple[int, str | None, str | None, str]) -> bytes:
    return chunk(tool_calls=[
        {"index": index, **({"id": id} if id else {}),
         "function": {"arguments": text} | ({"name": name} if name else {})}
        for index, id, name, text in made
    ])  # fmt: skip


CHATS: dict[str, bytes] = {
    "text": chunk(content="é") + chunk(content="b") + chunk("stop"),
    "thinking": chunk(reasoning_content="hm") + chunk(content="a") + chunk("stop"),
    "calls in turn": calls((0, "c1", "f", "{"), (1, "c2", "n__g", "")) + calls((1, None, None, "{}"))
    + calls((0, None, None, "}")) + chunk("tool_calls"),
    "free text": calls((0, "c1", "p", '{"input":')) + calls((0, None, None, '"x"}')) + chunk("tool_calls"),
    "a refusal": chunk(refusal="no") + chunk("stop"),
    "cut off": chunk(content="a") + chunk("length"),
}  # fmt: skip


def passed(pieces: list[bytes]) -> tuple[Translated, bytes]:
    reader = Translated(
        openai_chat, openai_chat.StreamReader(Meter(), show_usage=True), openai_responses.Writer(told())
    )
    return reader, b"".join(map(reader.feed, pieces)) + reader.end()


@pytest.mark.parametrize("name", CHATS)
def test_a_chat_stream_however_it_comes(name: str) -> None:
    data = CHATS[name] + b"data: [DONE]\n\n"
    reader, whole = passed([data])
    whole += reader.tail(USAGE, exact=True, cost=None, note="")
    assert kinds(read(whole))[-1] == ("incomplete" if name == "cut off" else "completed")
    for pieces in cuts(data):
        reader, said = passed(pieces)
        assert said + reader.tail(USAGE, exact=True, cost=None, note="") == whole


@pytest.mark.parametrize("name", CHATS)
def test_anything_cut_ends_in_a_failure(name: str) -> None:
    data = CHATS[name]
    assert data
    for at in range(len(data)):
        reader, out = passed([data[:at]])
        if reader.state is State.broken:
            said = read(out + reader.failure(ProviderError("it broke off"), "req_0123", ""))
            assert kinds(said)[-1] == "failed" and said[-1]["response"]["status"] == "failed"
            assert not {"completed", "incomplete"} & set(kinds(said))
        elif reader.state is State.ended:  # all but the blank line behind the finish was there
            assert at >= len(data) - 2
        else:
            assert reader.state is State.failed and not out
