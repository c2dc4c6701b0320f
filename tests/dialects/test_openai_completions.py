"""Completions: what is asked, how long it is, and answers whose choices have a text in place of a message."""

import json

import pytest

from ftgate.dialects import openai_completions as dialect
from ftgate.dialects.states import State
from ftgate.dialects.talk import Aim, Meter, NotAnAnswer
from ftgate.errors import InvalidRequest


def body(**fields: object) -> bytes:
    return json.dumps({"model": "m", "prompt": "Hello world", **fields}).encode()


@pytest.mark.parametrize(
    ("fields", "tokens", "answers", "cap"),
    [
        ({}, 4, 1, None),
        ({"n": 3, "best_of": 5, "max_tokens": 7}, 4, 5, 7),
        ({"prompt": ["Hello world", "Hello world"], "n": 2}, 8, 4, None),
        ({"prompt": [1, 2, 3]}, 3, 1, None),
        ({"prompt": [[1, 2], [3]], "max_tokens": None}, 3, 2, None),
        ({"suffix": "Hello world"}, 8, 1, None),
        ({"suffix": None}, 4, 1, None),
    ],
)
def test_what_is_asked(fields: dict[str, object], tokens: int, answers: int, cap: int | None) -> None:
    ask = dialect.read_request(body(**fields))
    assert (ask.prompt.likely, ask.answers, ask.cap) == (tokens, answers, cap)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": None}, "prompt"), ({"prompt": []}, "prompt"), ({"prompt": [None]}, "prompt"), ({"n": 0}, "n"),
        ({"best_of": 129}, "best_of"), ({"max_tokens": "5"}, "max_tokens"), ({"stream": 1}, "stream"),
        ({"suffix": 5}, "suffix"), ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
    ],
)  # fmt: skip
def test_what_is_refused(fields: dict[str, object], param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        dialect.read_request(body(**fields))
    assert refused.value.param == param


def test_the_cap_and_the_usage_go_up() -> None:
    ask = dialect.read_request(body(stream=True, echo=False, models=["n"]))
    sent = json.loads(dialect.render(ask, Aim("up", 9, "max_tokens", usage=True)))
    assert sent == {
        "model": "up", "prompt": "Hello world", "stream": True, "echo": False, "max_tokens": 9,
        "stream_options": {"include_usage": True},
    }  # fmt: skip


def choice(text: str, finish: str | None = None, index: int = 0) -> dict[str, object]:
    return {"index": index, "text": text, "logprobs": None, "finish_reason": finish}


def answer(*choices: dict[str, object], **fields: object) -> bytes:
    return json.dumps({"id": "c", "object": "text_completion", "choices": choices, **fields}).encode()


USAGE = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}


def test_a_whole_answer() -> None:
    meter = Meter()
    dialect.read_answer(answer(choice("one two three", "stop"), choice("four", "length", 1), usage=USAGE), meter)
    assert meter.reported is not None and (meter.reported.prompt, meter.reported.output) == (5, 2)
    assert meter.content_seen and meter.output() >= 3
    with pytest.raises(NotAnAnswer):
        dialect.read_answer(answer(), Meter())


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_a_stream(size: int) -> None:
    events = [answer(choice("one ")), answer(choice("two")), answer(choice("", "stop")), answer(usage=USAGE)]
    whole = b"".join(b"data: " + event + b"\n\n" for event in events) + b"data: [DONE]\n\n"
    meter = Meter()
    reader = dialect.StreamReader(meter, show_usage=True)
    passed = b"".join(reader.feed(whole[at : at + size]) for at in range(0, len(whole), size))
    assert passed == b"".join(b"data: " + event + b"\n\n" for event in events[:3])
    assert reader.state is State.done and meter.content_seen and meter.reported is not None


def test_a_usage_of_ours_is_one_of_this_dialect() -> None:
    reader = dialect.StreamReader(Meter(), show_usage=True)
    reader.feed(b"data: " + answer(choice("one", "stop")) + b"\n\ndata: [DONE]\n\n")
    from ftgate.core.usage import Usage

    tail = reader.tail(Usage(input=3, output=1), exact=False, cost=5, note="x")
    assert b'"object":"text_completion"' in tail and b'"prompt_tokens":3' in tail


def test_a_whole_answer_where_a_stream_was_asked_for() -> None:
    meter = Meter()
    reader = dialect.StreamReader(meter, show_usage=False)
    passed = reader.feed(dialect.stream_of(answer(choice("one two", "stop"), usage=USAGE)))
    assert json.loads(passed.removeprefix(b"data: "))["choices"] == [choice("one two", "stop")]
    assert reader.state is State.done and meter.reported is not None


def test_a_suffix_stands_behind_every_prompt() -> None:
    one = dialect.read_request(b'{"model": "m", "prompt": "a", "suffix": "one two three four"}').prompt
    both = dialect.read_request(b'{"model": "m", "prompt": ["a", "a"], "suffix": "one two three four"}')
    assert both.prompt.bound == 2 * one.bound and both.longest == one
