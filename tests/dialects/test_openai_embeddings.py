"""Embeddings: what is asked, how long it is, which answers are answers, and what they used."""

import json

import pytest

from ftgate.core.usage import Usage
from ftgate.dialects import openai_embeddings as dialect
from ftgate.dialects.talk import Aim, Meter, NotAnAnswer
from ftgate.errors import InvalidRequest


def body(**fields: object) -> bytes:
    return json.dumps({"model": "e", "input": "Hello", **fields}).encode()


@pytest.mark.parametrize(
    ("given", "tokens"),
    [
        ("", 1),
        ("Hello world", 4),
        (["Hello world", "Hello world"], 8),
        ([15339, 1917, 5], 3),
        ([[15339, 1917], [5], []], 3),
    ],
)
def test_how_long_an_input_is(given: object, tokens: int) -> None:
    ask = dialect.read_request(body(input=given, models=["f"], routing="cheapest"))
    assert (ask.prompt.likely, ask.answers, ask.cap, ask.stream) == (tokens, 0, None, False)
    assert (ask.names, ask.routing) == (("e", "f"), "cheapest")


@pytest.mark.parametrize("given", [None, 5, [], {}, [None], [1, "a"], [["a"]], [1.5], True, ["x"] * 2049])
def test_what_is_no_input(given: object) -> None:
    with pytest.raises(InvalidRequest) as refused:
        dialect.read_request(body(input=given))
    assert refused.value.param == "input"


def test_what_else_is_refused() -> None:
    with pytest.raises(InvalidRequest) as refused:
        dialect.read_request(b'{"model": "e"}')
    assert (refused.value.code, refused.value.param) == ("missing_field", "input")
    with pytest.raises(InvalidRequest) as refused:
        dialect.read_request(body(stream=True))
    assert refused.value.param == "stream"
    assert dialect.read_request(body(stream=False)).names == ("e",)


def test_what_goes_up() -> None:
    ask = dialect.read_request(body(models=["f"], dimensions=256, encoding_format="base64", user="u", new={"x": 1.0}))
    sent = dialect.render(ask, Aim("up", 5, None, usage=True, drop=("user",)))
    assert json.loads(sent) == {
        "model": "up", "input": "Hello", "dimensions": 256, "encoding_format": "base64", "new": {"x": 1.0}
    }  # fmt: skip
    assert b'{"x": 1.0}' in sent  # as it came


VECTOR = {"object": "embedding", "index": 0, "embedding": [0.1]}


@pytest.mark.parametrize(
    ("usage", "read", "malformed"),
    [
        ({"prompt_tokens": 8, "total_tokens": 8}, Usage(input=8), False),
        ({"total_tokens": 8}, Usage(input=8), False),
        ({"prompt_tokens": 8}, Usage(input=8), False),
        ({"prompt_tokens": 0, "total_tokens": 0}, None, False),
        ({}, None, False),
        (None, None, False),
        ({"prompt_tokens": -1}, None, True),
        ({"prompt_tokens": "8"}, None, True),
        ([], None, True),
    ],
)
def test_usage(usage: object, read: Usage | None, malformed: bool) -> None:
    meter = Meter()
    dialect.read_answer(json.dumps({"data": [VECTOR], "usage": usage}).encode(), meter)
    assert (meter.reported, meter.malformed) == (read, malformed)
    assert meter.output() == 0


@pytest.mark.parametrize(
    "answer",
    [b"", b"[]", b"{}", b'{"data": []}', b'{"data": {}}', b'{"data": [null]}', b"\xff", b"<html>",
     b'{"error": {"message": "no"}, "data": [{}]}'],
)  # fmt: skip
def test_what_is_no_answer(answer: bytes) -> None:
    with pytest.raises(NotAnAnswer):
        dialect.read_answer(answer, Meter())
