"""Answers of other dialects as Anthropic's clients get them: block after block, each whole, each closed."""

import json
from typing import Any

import msgspec
import pytest

from ftgate.core.usage import Usage
from ftgate.dialects import anthropic_messages as messages
from ftgate.dialects.neutral import (
    Began,
    CallBegan,
    CallPart,
    Event,
    Finished,
    Reason,
    Refused,
    Said,
    Sealed,
    Signed,
    Talk,
    Thought,
    Tool,
)
from ftgate.dialects.talk import NOTHING, Told
from ftgate.errors import ProviderError

USED = Usage(input=10, cache_read=4, cache_write=3, cache_write_1h=2, output=7, reasoning=5)


def writer() -> messages.Writer:
    return messages.Writer(Told(NOTHING, Talk(()), "req_9", 7, "asked", 12, lambda: 9))


def streamed(*pieces: list[Event]) -> list[dict[str, Any]]:
    one = writer()
    data = b"".join(one.write(piece) for piece in pieces)
    data += one.tail(USED, exact=True, cost=None, note="")
    found = []
    for block in data.split(b"\n\n"):
        if block:
            name, line = block.split(b"\n")
            said = json.loads(line.removeprefix(b"data: "))
            assert name == b"event: " + said["type"].encode()
            found.append(said)
    return found


def blocks(said: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A stream's blocks, put together; whatever stands in the wrong place fails."""
    made: list[dict[str, Any]] = []
    is_open = False
    for event in said:
        match event["type"]:
            case "content_block_start":
                assert not is_open and event["index"] == len(made)
                made.append(dict(event["content_block"]))
                is_open = True
                if made[-1]["type"] == "tool_use":
                    made[-1]["input"] = ""
            case "content_block_delta":
                assert is_open and event["index"] == len(made) - 1
                for field, text in event["delta"].items():
                    if field != "type":
                        place = "input" if field == "partial_json" else field
                        made[-1][place] += text
            case "content_block_stop":
                assert is_open and event["index"] == len(made) - 1
                is_open = False
    assert not is_open
    for block in made:
        if block["type"] == "tool_use":
            block["input"] = json.loads(block["input"] or "{}")
    return made


def call(key: int, name: str) -> CallBegan:
    return CallBegan(key, f"id{key}", name)


def use(key: int, name: str, **made: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": f"id{key}", "name": name, "input": made}


def text(said: str) -> dict[str, Any]:
    return {"type": "text", "text": said}


def thought(said: str, signature: str = "ft1.") -> dict[str, Any]:
    return {"type": "thinking", "thinking": said, "signature": signature}


ANSWERS: dict[str, tuple[list[Event], list[dict[str, Any]]]] = {
    "text": ([Said("a"), Said("b")], [text("ab")]),
    "nothing": ([], []),
    "thought, then text": ([Thought("h"), Thought("m"), Said("a")], [thought("hm"), text("a")]),
    "a sealed thought keeps its seal": ([Thought("hm"), Signed("s"), Said("a")], [thought("hm", "s"), text("a")]),
    "two thoughts, each with its seal": (
        [Thought("a"), Signed("s"), Thought("b"), Signed("t")], [thought("a", "s"), thought("b", "t")]),
    "a seal without a thought": ([Signed("s"), Said("a")], [thought("", "s"), text("a")]),
    "what only its upstream can read": ([Sealed("xx"), Said("a")], [{"type": "redacted_thinking", "data": "xx"},
                                                                   text("a")]),
    "what another upstream sealed": ([Sealed("rs1.xx")], [{"type": "redacted_thinking", "data": "ft1.rs1.xx"}]),
    "a thought that another upstream sealed": ([Thought("a"), Signed("rs1.xx")], [thought("a", "ft1.rs1.xx")]),
    "a call": ([call(0, "f"), CallPart(0, '{"a"'), CallPart(0, ":1}")], [use(0, "f", a=1)]),
    "a call of nothing": ([call(0, "f")], [use(0, "f")]),
    "text, then two calls": (
        [Said("t"), call(0, "f"), CallPart(0, "{}"), call(1, "g"), CallPart(1, '{"b":2}')],
        [text("t"), use(0, "f"), use(1, "g", b=2)]),
    "calls whose parts come in turn": (
        [call(0, "f"), call(1, "g"), CallPart(0, '{"a"'), CallPart(1, '{"b"'), CallPart(0, ":1}"), CallPart(1, ":2}")],
        [use(0, "f", a=1), use(1, "g", b=2)]),
    "three calls, the first the last to be whole": (
        [call(0, "f"), call(1, "g"), call(2, "h"), CallPart(2, "{}"), CallPart(1, "{}"), CallPart(0, "{}")],
        [use(0, "f"), use(1, "g"), use(2, "h")]),
    "text behind a call": ([call(0, "f"), CallPart(0, "{}"), Said("a")], [use(0, "f"), text("a")]),
    "text in the midst of a call": (
        [call(0, "f"), CallPart(0, '{"a"'), Said("t"), CallPart(0, ":1}")], [use(0, "f", a=1), text("t")]),
    "keys in any order": ([call(7, "f"), CallPart(7, "{}"), call(3, "g"), CallPart(3, "{}")],
                          [use(7, "f"), use(3, "g")]),
    "text and thought in turn": ([Said("a"), Thought("b"), Said("c")], [text("a"), thought("b"), text("c")]),
}  # fmt: skip


@pytest.mark.parametrize("case", ANSWERS)
def test_blocks(case: str) -> None:
    events, made = ANSWERS[case]
    whole: list[Event] = [Began("up"), *events, Finished("end")]
    said = streamed(whole)
    assert blocks(said) == made
    assert blocks(streamed(*[[event] for event in whole])) == made
    assert [one["type"] for one in said][-2:] == ["message_delta", "message_stop"]
    message = json.loads(writer().whole(whole, USED, exact=True, cost=5))
    assert message["content"] == made


STOPS: dict[Reason, str] = {
    "end": "end_turn", "length": "max_tokens", "calls": "tool_use", "stop_sequence": "stop_sequence",
    "filter": "refusal", "refusal": "refusal", "pause": "pause_turn", "context": "model_context_window_exceeded",
}  # fmt: skip


@pytest.mark.parametrize("reason", STOPS)
def test_how_it_ends(reason: Reason) -> None:
    details = msgspec.Raw(b'{"type":"refusal"}') if reason == "refusal" else None
    sequence = "END" if reason == "stop_sequence" else ""
    events: list[Event] = [Began("up"), Said("a"), Finished(reason, sequence, details)]
    delta = streamed(events)[-2]
    message = json.loads(writer().whole(events, USED, exact=True, cost=None))
    for said in (delta["delta"], message):
        assert said["stop_reason"] == STOPS[reason]
        assert said["stop_sequence"] == (sequence or None)
        assert said.get("stop_details") == ({"type": "refusal"} if details is not None else None)
    assert delta["usage"] == message["usage"] == {
        "input_tokens": 10, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 5,
        "cache_creation": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 2},
        "output_tokens": 7, "output_tokens_details": {"thinking_tokens": 5}, "service_tier": "standard",
    }  # fmt: skip


def test_a_refusal_in_words_is_one() -> None:
    assert streamed([Began(), Refused("no"), Finished("end")])[-2]["delta"]["stop_reason"] == "refusal"
    assert streamed([Began(), Refused("no"), Finished("length")])[-2]["delta"]["stop_reason"] == "max_tokens"


def test_the_head() -> None:
    said = streamed([Began("up"), Said("a"), Finished("end")])[0]["message"]
    assert said.pop("usage")["input_tokens"] == 12  # what it likely has; the end says it rightly
    assert said == {"id": "msg_9", "type": "message", "role": "assistant", "model": "up", "content": [],
                    "stop_reason": None, "stop_sequence": None}  # fmt: skip
    assert json.loads(writer().whole([Finished("end")], USED, exact=True, cost=None))["model"] == "asked"


def test_the_cost_stands_in_the_end_s_own_block() -> None:
    one = writer()
    one.write([Began(), Said("a"), Finished("end")])
    end = one.tail(USED, exact=True, cost=9, note="x-findtoken-cost=9").split(b"\n\n")
    assert end[0].startswith(b"event: message_delta") and end[1].startswith(
        b": x-findtoken-cost=9\nevent: message_stop"
    )


def test_a_stream_that_breaks() -> None:
    one = writer()
    one.write([Began(), Said("a")])
    assert one.failure(ProviderError("broke"), "req_9", "").startswith(b"event: error\ndata: ")


def test_half_a_pair_goes_out_as_it_came() -> None:
    one = writer()
    assert rb'"text":"\ud83d"' in one.write([Began(), Said("\ud83d")])
    whole = one.whole([Said("\ud83d"), Said("\ude00"), Finished("end")], USED, exact=True, cost=None)
    assert json.loads(whole)["content"] == [text("\U0001f600")]


def test_a_call_comes_back_under_the_caller_s_own_name() -> None:
    tools = (Tool("up", msgspec.Raw(b"{}"), own="the caller's"),)
    told = Told(NOTHING, Talk((), tools=tools), "req_9", 7, "asked", 12, lambda: 9)
    events: list[Event] = [Began("up"), call(0, "up"), CallPart(0, "{}"), Finished("calls")]
    assert b'"name":"the caller\'s"' in messages.Writer(told).write(events)
    whole = json.loads(messages.Writer(told).whole(events, USED, exact=True, cost=None))
    assert whole["content"] == [use(0, "the caller's")]
