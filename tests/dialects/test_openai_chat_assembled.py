"""Streams put together as whole answers, for upstreams that stream whatever they are asked for."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftgate.core.usage import Usage
from ftgate.dialects import openai_completions
from ftgate.dialects.openai_chat import DONE, read_answer, stream_of, whole_of
from ftgate.dialects.talk import Meter, NotAnAnswer


def event(**fields):
    return b"data: " + json.dumps({"id": "c1", "model": "up", "created": 7, **fields}).encode() + b"\n\n"


def said(delta=None, finish=None, index=0, **more):
    return event(choices=[{"index": index, "delta": delta or {}, "finish_reason": finish}], **more)


USED = event(choices=[], usage={"prompt_tokens": 10, "completion_tokens": 5})
TOOL = {"index": 0, "id": "t", "type": "function", "function": {"name": "f", "arguments": '{"a"'}}


STARTS, STOPS = said({"role": "assistant", "content": ""}), said(finish="stop")
MORE = {"index": 0, "function": {"arguments": ":1}"}}
MADE = {"id": "t", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
PICTURES = [{"index": 0, "image_url": {"url": url}} for url in ("a", "b")]


@pytest.mark.parametrize(
    ("events", "message", "finish"),
    [
        ([STARTS, said({"content": "Hel"}), said({"content": "lo"}), STOPS], {"role": "assistant", "content": "Hello"},
         "stop"),
        ([said({"role": "assistant"}), said({"role": "assistant", "content": "x"}, "stop")],
         {"role": "assistant", "content": "x"}, "stop"),
        ([said({"reasoning_content": "h"}), said({"reasoning_content": "m", "content": None}), said({"content": "x"}),
          STOPS], {"reasoning_content": "hm", "content": "x"}, "stop"),
        ([said({"tool_calls": [TOOL]}), said({"tool_calls": [MORE]}),
          said({"tool_calls": [{**TOOL, "index": 1, "id": "u"}]}), said(finish="tool_calls")],
         {"tool_calls": [MADE, {**TOOL, "id": "u"}]}, "tool_calls"),
        ([said({"images": PICTURES[:1]}), said({"images": PICTURES[1:]}), STOPS], {"images": PICTURES}, "stop"),
        ([said({"audio": {"id": "x", "data": "AA"}}), said({"audio": {"data": "BB", "expires_at": 5}}), STOPS],
         {"audio": {"id": "x", "data": "AABB", "expires_at": 5}}, "stop"),
        ([said({"content": "x"}, "null"), said({"content": "y"}, "length"), said()], {"content": "xy"}, "length"),
        ([said({"content": "\ud83d"}), said({"content": "\ude00"}), STOPS], {"content": "\U0001f600"}, "stop"),
        ([said({"content": "x\ud83d"}), STOPS], {"content": "x\ufffd"}, "stop"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("end", [USED + DONE, DONE, USED, b""])
def test_what_is_put_together(events, message, finish, end):
    whole = whole_of(b": hi\n\n" + b"".join(events) + end)
    answer = json.loads(whole)
    assert (answer["id"], answer["model"], answer["object"]) == ("c1", "up", "chat.completion")
    (choice,) = answer["choices"]
    for call in message.get("tool_calls", ()):
        call.pop("index", None)  # of streams alone
    assert choice == {"index": 0, "message": message, "finish_reason": finish}
    meter = Meter()
    read_answer(whole, meter)
    assert meter.reported == (Usage(input=10, output=5) if USED in end else None) and meter.content_seen


def test_two_answers():
    body = (
        said({"content": "b"}, index=1) + said({"content": "a"}) + said(finish="stop") + said(finish="length", index=1)
    )
    choices = json.loads(whole_of(body))["choices"]
    assert [(one["index"], one["message"]["content"], one["finish_reason"]) for one in choices] == [
        (0, "a", "stop"), (1, "b", "length")
    ]  # fmt: skip


def test_usage_wherever_it_stood():
    used = {"prompt_tokens": 10, "completion_tokens": 5}
    in_choice = event(choices=[{"index": 0, "delta": {}, "finish_reason": "stop", "usage": used}])
    for end in (in_choice, said(finish="stop", usage=used)):
        answer = json.loads(whole_of(said({"content": "x"}) + end))
        assert answer["usage"] == used and "usage" not in answer["choices"][0]


def test_completions():
    pieces = ("Hel", None), ("lo", "stop")
    body = b"".join(event(choices=[{"index": 0, "text": text, "finish_reason": finish}]) for text, finish in pieces)
    answer = json.loads(openai_completions.whole_of(body))
    assert answer["object"] == "text_completion" and answer["choices"][0]["text"] == "Hello"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "ended before"),
        (said({"content": "x"}), "ended before"),
        (said({"content": "x"}) + DONE, "ended before"),
        (said({"content": "x"}) + b"data: {half\n\n", "cannot be read"),
        (event(error={"message": "died"}), "died"),
        (said({"content": "x"}) + event(error={"message": "died"}), "died"),
    ],
)
def test_what_is_no_answer(body, words):
    with pytest.raises(NotAnAnswer) as caught:
        whole_of(body)
    assert words in caught.value.complaint.message


@pytest.mark.parametrize("odd", [1.5, True, "x", {"a": 1}])
def test_choices_that_are_no_list_are_passed_over(odd):
    whole = whole_of(said({"content": "x"}, "stop") + event(choices=odd) + DONE)
    assert json.loads(whole)["choices"][0]["message"]["content"] == "x"


@given(st.lists(st.text(max_size=5), max_size=20), st.sampled_from(["stop", "length"]))
def test_there_and_back(pieces, finish):
    body = b"".join(said({"content": piece}) for piece in pieces) + said(finish=finish) + USED + DONE
    whole = whole_of(body)
    assert json.loads(whole)["choices"][0]["message"].get("content", "") == "".join(pieces)
    assert json.loads(whole_of(stream_of(whole))) == json.loads(whole)


def test_a_long_stream_is_put_together_in_linear_time():
    body = b"".join([said({"content": "word "})] * 20_000) + said(finish="stop")
    began = time.process_time()
    whole_of(body)
    assert time.process_time() - began < 3
