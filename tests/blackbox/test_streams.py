"""Streams: bytes untouched, money told at the end, no half answer sold as a whole one, failover only before content."""

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import httpx
import pytest

from tests.blackbox.harness import (
    HELLO,
    HELLO_COST,
    HELLO_PROMPT,
    Account,
    House,
    channel,
    chunks,
    error,
    events,
    text,
    took,
)
from tests.fakes.upstream import scripts_from_json, stream_events

TOOLS = [
    {"id": "call_1", "name": "weather", "arguments": '{"city": "Zürich"}'},
    {"id": "call_2", "name": "time", "arguments": "{}"},
]
DIED = {"error": {"message": "engine sk-live-abcdefghijklmnop died"}}
HALF_OF_TWO = "".join(
    "data: "
    + json.dumps({"choices": [{"index": index, "delta": {"content": content}, "finish_reason": finish}]})
    + "\n\n"
    for index, content, finish in ((0, "one", None), (1, "uno", None), (0, "", "stop"), (1, " dos", None))
)
"""Two answers (n = 2), of which the second never finished, and no [DONE]."""
STRANGE = (
    "\ufeffdata: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\u2028b\u0085c\"},\"finish_reason\":null}]}\n\n"
    ": a comment\n\n"
    "event: ping\ndata: {\"type\":\"ping\"}\n\n"
    "data: no json\n\n"
    "data: {\"choices\":[{\"index\":0,\ndata: \"delta\":{\"content\":\"two lines\"},\"finish_reason\":null}]}\n\n"
    "id: 7\nretry: 10\n\n"
    "data:{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"no space\"},\"finish_reason\":\"stop\"}]}\r\r"
    "data: [DONE]\n\n"
)  # fmt: skip
UNREADABLE = (
    'data: {"choices":[{"index":0,"delta":{"content":"one two "},"finish_reason":null}]}\n\n'
    "data: {not json\n\n"
    'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
)
WHOLE: dict[str, dict[str, Any]] = {
    "plain": {},
    "comments": {"comment": "keep-alive", "content": ["a", "b"]},
    "crlf": {"crlf": True},
    "bytewise": {"write_size": 1, "content": ["é", "世界", "\u2028\u0085", "😀"]},
    "odd-cuts": {"write_size": 7},
    "together": {"events_per_write": 50, "content": ["x"] * 40},
    "tools": {"content": [], "tool_calls": TOOLS, "finish_reason": "tool_calls"},
    "reasoning": {"reasoning": ["Let me", " think"], "content": ["42"]},
    "no-role": {"role_chunk": False},
    "length-framed": {"framing": "length"},
    "close-framed": {"framing": "close"},
    "many": {"content": ["word "], "repeat": 2000, "events_per_write": 20},
    "unasked": {"usage_unasked": True},
    "length-stop": {"finish_reason": "length"},
}
WITHOUT_DONE: dict[str, dict[str, Any]] = {
    "no-done": {"done": False},
    "no-done-close": {"done": False, "framing": "close"},
    "no-done-no-usage": {"done": False, "usage_place": "none"},
}
TRUNCATED: dict[str, dict[str, Any]] = {
    "chunked-cut": {"cut_after": 2, "content": ["one ", "two ", "three "]},
    "chunked-reset": {"cut_after": 2, "content": ["one ", "two ", "three "], "cut": "rst"},
    "close-delimited-cut": {"cut_after": 2, "content": ["one ", "two ", "three "], "framing": "close"},
    "length-cut": {"cut_after": 2, "content": ["one ", "two ", "three "], "framing": "length"},
    "unfinished": {"content": ["one ", "two "], "finish_reason": None},
    "unfinished-no-done": {"content": ["one ", "two "], "finish_reason": None, "done": False},
    "finish-then-cut": {"content": ["one ", "two "], "done": False, "cut_after": "end"},
    "stalled": {"hang_after": 2, "content": ["one ", "two ", "three "]},
    "error-event": {"content": ["one ", "two "], "error_event": DIED, "error_after": 2},
    "unreadable": {"raw_body": UNREADABLE, "content_type": "text/event-stream"},
}  # fmt: skip
BEFORE: dict[str, dict[str, Any]] = {
    "bad-500": {"status": 500},
    "bad-503-json": {"status": 503, "error_body": {"error": "busy"}},
    "bad-429": {"status": 429, "retry_after": 5},
    "bad-401": {"status": 401},
    "bad-drop": {"drop": "close"},
    "bad-reset": {"drop": "rst"},
    "bad-head": {"head_delay_s": 30},
    "bad-token": {"first_delay_s": 30},
    "bad-comments": {"first_delay_s": 30, "comment": "still thinking"},
    "bad-error-event": {"error_event": {"error": {"message": "overloaded"}}, "error_after": 0},
    "bad-html": {"raw_body": "<html></html>", "content_type": "text/html"},
    "bad-cut": {"cut_after": 0},
}
AFTER: dict[str, dict[str, Any]] = {
    "late-cut": {"cut_after": 1},
    "late-reset": {"cut_after": 1, "cut": "rst"},
    "late-hang": {"hang_after": 1},
    "late-error": {"error_event": {"error": {"message": "overloaded"}}, "error_after": 1},
    "late-reasoning-cut": {"reasoning": ["hm"], "cut_after": 1},
    "late-tool-cut": {"content": [], "tool_calls": TOOLS, "cut_after": 1},
}
LIMITS = {"head": 0.4, "first_token": 0.4, "idle": 0.4}
FAILING_OVER = {name: {"upstream": name} for name in [*BEFORE, *AFTER]}
CONFIG = f"""
[limits]
requests_per_second = 0
[retry]
backoff = 0.01
[breaker]
failures = 1000
{channel("lab", [*WHOLE, *WITHOUT_DONE, *TRUNCATED, "strange", "paced", "half-of-two"], timeouts=LIMITS)}
{channel("first", FAILING_OVER, priority=1, timeouts=LIMITS)}
{channel("second", {name: {"upstream": "good", "output": 4} for name in FAILING_OVER}, priority=2)}
"""
SCRIPTS = {
    **WHOLE, **WITHOUT_DONE, **TRUNCATED, **BEFORE, **AFTER, "good": {},
    "strange": {"raw_body": STRANGE.encode().decode("latin-1"), "content_type": "text/event-stream"},
    "half-of-two": {"raw_body": HALF_OF_TWO, "content_type": "text/event-stream", "framing": "close"},
    "paced": {"piece_delay_s": 0.3, "content": ["a", "b", "c", "d"]},
}  # fmt: skip


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House(tmp_path_factory.mktemp("streams"), CONFIG, SCRIPTS) as house:
        house.canaries.append("sk-live-abcdefghijklmnop")
        yield house


def stream(house: House, model: str, account: Account | None = None, **fields: Any) -> httpx.Response:
    answer = house.chat(account or house.account(), model, stream=True, **fields)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream") and "content-length" not in answer.headers
    assert "x-findtoken-cost" not in answer.headers  # not known yet
    return answer


def expected(model: str, *kinds: str) -> bytes:
    """The events that the fake sends for a model, of these kinds."""
    script = scripts_from_json({model: SCRIPTS[model]})[model]
    body = {"model": model, "messages": HELLO, "stream": True, "stream_options": {"include_usage": True}}
    return b"".join(event for kind, event in stream_events(script, body) if kind in kinds)


PASSED = ("role", "piece", "finish")


@pytest.mark.parametrize("model", WHOLE)
def test_bytes_pass_untouched_and_the_money_stands_before_done(house: House, model: str) -> None:
    account = house.account()
    body = stream(house, model, account).content
    assert body.startswith(expected(model, *PASSED))
    tail = body.removeprefix(expected(model, *PASSED))
    row = house.row(account)
    assert tail == f": x-findtoken-cost={row['cost']} balance={house.balance(account):f}\ndata: [DONE]\n\n".encode()
    assert (row["status"], row["estimated"]) == ("ok", False)
    assert house.fake.requests(model)[-1]["json"]["stream_options"] == {"include_usage": True}


def test_usage_is_hidden_unless_asked_for(house: House) -> None:
    for model in ("plain", "unasked"):
        for fields in ({}, {"stream_options": {"include_usage": False}}):
            said = chunks(stream(house, model, **fields).content)
            assert said and all(not chunk.get("usage") and chunk["choices"] for chunk in said)


def test_usage_and_its_cost_are_shown_when_asked_for(house: House) -> None:
    body = stream(house, "plain", stream_options={"include_usage": True, "extra": 1}).content
    last = chunks(body)[-1]
    assert last["choices"] == [] and last["id"] == "chatcmpl-fake"
    assert last["usage"] == {
        "prompt_tokens": HELLO_PROMPT,
        "completion_tokens": 3,
        "total_tokens": 7,
        "cost": HELLO_COST,
    }
    assert b'"cost":0.00001' in body
    assert [event[:6] for event in events(body)[-2:]] == [b"data: ", b": x-fi"] and body.endswith(b"data: [DONE]\n\n")
    assert house.fake.requests("plain")[-1]["json"]["stream_options"] == {"include_usage": True, "extra": 1}


def test_usage_is_ours_when_the_upstream_gave_none(house: House) -> None:
    last = chunks(stream(house, "no-done-no-usage", stream_options={"include_usage": True}).content)[-1]
    assert last["usage"]["prompt_tokens"] > 0 and last["usage"]["completion_tokens"] > 0 and last["usage"]["cost"] > 0


@pytest.mark.parametrize("model", WITHOUT_DONE)
def test_a_missing_done_is_added(house: House, model: str) -> None:
    body = stream(house, model).content
    assert (
        body.startswith(expected(model, *PASSED))
        and body.endswith(b"\ndata: [DONE]\n\n")
        and body.count(b"[DONE]") == 1
    )


@pytest.mark.parametrize("model", TRUNCATED)
def test_a_truncated_stream_ends_in_an_error_and_no_done(house: House, model: str) -> None:
    account = house.account()
    answer = stream(house, model, account)
    assert b"[DONE]" not in answer.content
    note, last = events(answer.content)[-1].split(b"\n")[0], chunks(answer.content)[-1]
    code = "provider_timeout" if model == "stalled" else "provider_error"
    assert (last["error"]["type"], last["error"]["code"]) == ("api_error", code)
    assert last["error"]["message"] and "sk-live" not in last["error"]["message"]
    assert text(b"\n\n".join(events(answer.content)[:-1])) == "one two "
    row = house.row(account, answer.headers["x-request-id"])
    assert row["estimated"] is True and row["status"] in ("error", "timeout")
    assert (
        4 <= row["prompt_tokens"] <= 18 and 1 <= row["completion_tokens"] <= 4
    )  # "one two ", not the words of the error
    assert house.balance(account) == 1 - Decimal(row["cost"]) < 1
    assert note.decode() == f": x-findtoken-cost={row['cost']} balance={house.balance(account):f}"
    assert len(house.fake.requests(model)) == 1


def test_strange_events(house: House) -> None:
    """Unknown fields, several data lines, CR line ends, U+2028 inside a string: what is valid passes as it came; blocks
    without data do not, since some clients take them for events."""
    body = stream(house, "strange").content
    sent = STRANGE.encode()
    assert body.startswith(sent[: sent.index(b": a comment")])
    for part in (
        b'event: ping\ndata: {"type":"ping"}\n\n',
        b'data: {"choices":[{"index":0,\ndata: "delta":{"content":"two lines"}',
        b"no space",
    ):
        assert part in body
    for part in (b"no json", b"a comment", b"retry"):
        assert part not in body
    assert body.endswith(b"data: [DONE]\n\n") and body.count(b"[DONE]") == 1
    house.logged("events of lab were no JSON")


def test_one_finished_answer_of_two_is_no_finished_stream(house: House) -> None:
    """n = 2, the connection ends (close-delimited, so unseen by HTTP) while the second answer is being written."""
    body = stream(house, "half-of-two", n=2).content
    assert b"[DONE]" not in body and "error" in chunks(body)[-1]


def test_pieces_come_as_they_are_made(house: House) -> None:
    with house.raw(house.account(), "paced", stream=True) as wire:
        wire.until(b'"a"')
        assert house.fake.requests("paced")[-1]["pieces_sent"] < 4, "it waited for the whole answer"
        with took(at_least_s=0.6):  # three pauses of 0.3 s, of which the first may have begun
            wire.until(b"[DONE]")


def test_tool_calls_and_reasoning_reach_a_plain_call_too(house: House) -> None:
    account = house.account()
    message = house.chat(account, "tools").json()["choices"][0]["message"]
    assert [call["function"]["name"] for call in message["tool_calls"]] == ["weather", "time"]
    message = house.chat(account, "reasoning").json()["choices"][0]["message"]
    assert (message["reasoning_content"], message["content"]) == ("Let me think", "42")


# ---- failover ----


@pytest.mark.parametrize("model", BEFORE)
def test_failover_before_the_first_content(house: House, model: str) -> None:
    account = house.account()
    good = len(house.fake.requests("good"))
    with took(at_most_s=3.0):
        answer = stream(house, model, account)
    assert text(answer.content) == "Hello, world" and answer.content.endswith(b"[DONE]\n\n")
    assert answer.headers["x-findtoken-attempts"] == "2" and answer.headers["x-findtoken-model"] == model
    row = house.row(account)
    assert (row["status"], row["attempts"], row["cost"]) == ("ok", 2, "0.000016")  # the second channel's price
    # A kept connection that breaks at once counts as stale and is replaced unseen, within the attempt.
    assert len(house.fake.requests(model)) <= (2 if model in ("bad-drop", "bad-reset") else 1)
    assert len(house.fake.requests("good")) == good + 1 and len(house.rows(account)) == 1


@pytest.mark.parametrize("model", ["bad-500", "bad-drop"])
def test_failover_of_a_plain_call(house: House, model: str) -> None:
    answer = house.chat(house.account(), model)
    assert answer.status_code == 200 and answer.headers["x-findtoken-attempts"] == "2"
    assert answer.headers["x-findtoken-cost"] == "0.000016"


@pytest.mark.parametrize("model", AFTER)
def test_no_failover_after_the_first_content(house: House, model: str) -> None:
    account = house.account()
    good = len(house.fake.requests("good"))
    answer = stream(house, model, account)
    assert b"[DONE]" not in answer.content and "error" in chunks(answer.content)[-1]
    assert len(house.fake.requests("good")) == good
    row = house.row(account, answer.headers["x-request-id"])
    assert (row["attempts"], row["estimated"]) == (1, True) and Decimal(row["cost"]) > 0


def test_an_error_before_content_is_an_ordinary_answer(house: House) -> None:
    error(house.chat(house.account(), "nonesuch", stream=True), 400, "model_not_found", "model")
    assert json.loads(house.chat(None, stream=True).content)["error"]["code"] == "invalid_api_key"
