"""How likely tokens were: asked for and told across dialects, whole, streamed, and cut at every point.

Sources: OpenAI's API reference (Chat: logprobs, top_logprobs; Responses: include, top_logprobs, output_text.logprobs).
"""

import json
from typing import Any

import pytest

from ftgate.dialects import openai_responses
from ftgate.dialects.logprobs import tokens_of
from ftgate.dialects.talk import Aim
from ftgate.errors import InvalidRequest
from tests.dialects import crossing
from tests.dialects.cutting import cuts

CHAT, MESSAGES, RESPONSES = "openai_chat", "anthropic_messages", "openai_responses"
INCLUDED = {"include": ["message.output_text.logprobs"]}
ASKED: dict[str, tuple[str, str, dict[str, Any], dict[str, Any]]] = {
    "so many of Responses": (RESPONSES, CHAT, {"top_logprobs": 5}, {"logprobs": True, "top_logprobs": 5}),
    "those of Responses alone": (RESPONSES, CHAT, INCLUDED, {"logprobs": True}),
    "none is as good as unsaid": (RESPONSES, CHAT, {"top_logprobs": 0}, {}),
    "Anthropic's know none": (RESPONSES, MESSAGES, {"top_logprobs": 5, **INCLUDED}, {}),
    "so many of chat": (CHAT, RESPONSES, {"logprobs": True, "top_logprobs": 5}, {**INCLUDED, "top_logprobs": 5}),
    "those of chat alone": (CHAT, RESPONSES, {"logprobs": True}, INCLUDED),
    "none of chat": (CHAT, RESPONSES, {"logprobs": False, "top_logprobs": 0}, {}),
    "with what is thought": (
        CHAT, RESPONSES, {"logprobs": True, "reasoning_effort": "low"},
        {"include": ["reasoning.encrypted_content", *INCLUDED["include"]], "reasoning": {"effort": "low"}}),
}  # fmt: skip


@pytest.mark.parametrize("name", ASKED)
def test_what_is_asked_goes_up(name: str) -> None:
    caller, upstream, asked, sent = ASKED[name]
    plain = crossing.request(caller, upstream, {})
    assert crossing.request(caller, upstream, asked) == {**plain, **sent}


def test_a_model_that_is_told_of_no_thinking_is_asked_for_them_all_the_same() -> None:
    asked = {"logprobs": True, "thinking": {"type": "adaptive"}}
    sent = crossing.request(CHAT, RESPONSES, asked, Aim("up", thinks=False))
    assert sent["include"] == INCLUDED["include"] and "reasoning" not in sent


CANNOT: list[tuple[str, str, dict[str, Any], str]] = [
    (CHAT, MESSAGES, {"logprobs": True}, "logprobs"),
    (CHAT, MESSAGES, {"top_logprobs": 3}, "top_logprobs"),
    (RESPONSES, CHAT, {"top_logprobs": 21}, "top_logprobs"),
    (RESPONSES, CHAT, {"top_logprobs": -1}, "top_logprobs"),
    (RESPONSES, CHAT, {"top_logprobs": "many"}, "top_logprobs"),
]


@pytest.mark.parametrize("row", CANNOT)
def test_what_cannot_be_asked_is_refused(row: tuple[str, str, dict[str, Any], str]) -> None:
    caller, upstream, asked, param = row
    with pytest.raises(InvalidRequest) as refused:
        crossing.request(caller, upstream, asked)
    assert refused.value.param == param


def token(text: str, likely: float, **top: float) -> dict[str, Any]:
    others = [{"token": other, "logprob": its, "bytes": list(other.encode())} for other, its in top.items()]
    return {"token": text, "logprob": likely, "bytes": list(text.encode()), "top_logprobs": others}


GOOD, DAY, END = token("Guten", -0.25, Hallo=-1.5), token(" Tag", -0.01), token("", -0.5)
USED = {"prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6}


def chunk(delta: Any, *tokens: Any, finish: str | None = None) -> bytes:
    told = {"content": list(tokens), "refusal": None} if tokens else None
    choice = {"index": 0, "delta": delta, "logprobs": told, "finish_reason": finish}
    return b"data: " + json.dumps({"id": "up", "model": "big", "choices": [choice]}).encode() + b"\n\n"


CHATS = b"".join((
    chunk({"role": "assistant", "content": ""}), chunk({"content": "Guten"}, GOOD), chunk({"content": " Tag"}, DAY),
    chunk({"content": ""}, END), chunk({}, finish="stop"), b"data: [DONE]\n\n",
))  # fmt: skip
"""The last token has no text, as some servers tell of the one that ends the answer."""


def read(stream: bytes) -> list[Any]:
    lines = (line for line in stream.split(b"\n") if line.startswith(b"data: {"))
    return [json.loads(line.removeprefix(b"data: ")) for line in lines]


def test_a_chats_stream_is_told_in_responses() -> None:
    whole = crossing.stream(RESPONSES, CHAT, [CHATS])
    events = read(whole)
    told = [(event["delta"], event["logprobs"]) for event in events if event["type"] == "response.output_text.delta"]
    assert told == [("Guten", [GOOD]), (" Tag", [DAY]), ("", [END])]
    assert [event["logprobs"] for event in events if event["type"] == "response.output_text.done"] == [[GOOD, DAY, END]]
    part = {"type": "output_text", "text": "Guten Tag", "annotations": [], "logprobs": [GOOD, DAY, END]}
    assert [event["part"] for event in events if event["type"] == "response.content_part.done"] == [part]
    assert events[-1]["response"]["output"][0]["content"] == [part]
    assert all(crossing.stream(RESPONSES, CHAT, pieces) == whole for pieces in cuts(CHATS))


def test_each_part_has_its_own() -> None:
    pieces = [chunk({"content": "Guten"}, GOOD), chunk({"refusal": "No."}), chunk({"content": " Tag"}, DAY),
              chunk({}, finish="stop"), b"data: [DONE]\n\n"]  # fmt: skip
    parts = read(crossing.stream(RESPONSES, CHAT, pieces))[-1]["response"]["output"][0]["content"]
    assert [part.get("logprobs") for part in parts] == [[GOOD], None, [DAY]]


def test_a_whole_chat_is_told_in_responses() -> None:
    message = {"role": "assistant", "content": "Guten Tag"}
    choice = {"index": 0, "message": message, "logprobs": {"content": [GOOD, DAY]}, "finish_reason": "stop"}
    got = crossing.answer(RESPONSES, CHAT, {"id": "up", "model": "big", "choices": [choice], "usage": USED})
    assert got["output"][0]["content"][0]["logprobs"] == [GOOD, DAY]
    assert crossing.answer(MESSAGES, CHAT, {"choices": [choice], "usage": USED})["content"] == [
        {"type": "text", "text": "Guten Tag"}]  # fmt: skip


def test_what_messages_have_no_words_for_leaves_no_empty_piece() -> None:
    whole = crossing.stream(MESSAGES, CHAT, [chunk({"content": ""}, END), CHATS])
    told = [event["delta"]["text"] for event in read(whole) if event["type"] == "content_block_delta"]
    assert told == ["Guten", " Tag"]


def responses(*texts: tuple[str, list[Any]]) -> dict[str, Any]:
    parts = [{"type": "output_text", "text": text, "annotations": [], "logprobs": tokens} for text, tokens in texts]
    item = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": parts}
    return {"id": "resp_1", "object": "response", "created_at": 5, "model": "big", "status": "completed",
            "output": [item], "usage": {"input_tokens": 3, "output_tokens": 3, "total_tokens": 6}}  # fmt: skip


def test_responses_are_told_in_a_chat() -> None:
    got = crossing.answer(CHAT, RESPONSES, responses(("Guten Tag", [GOOD, DAY])))
    assert got["choices"][0]["logprobs"] == {"content": [GOOD, DAY], "refusal": None}
    assert crossing.answer(CHAT, RESPONSES, responses(("Guten Tag", [])))["choices"][0]["logprobs"] is None
    up = openai_responses.stream_of(json.dumps(responses(("Guten", [GOOD]), (" Tag", [DAY]))).encode())
    assert [event["logprobs"] for event in read(up) if event["type"].endswith("output_text.delta")] == [[GOOD], [DAY]]
    whole = crossing.stream(CHAT, RESPONSES, [up])
    choices = [event["choices"][0] for event in read(whole) if event["choices"]]
    told = [(choice["delta"]["content"], choice["logprobs"]) for choice in choices if choice.get("logprobs")]
    assert told == [("Guten", {"content": [GOOD], "refusal": None}), (" Tag", {"content": [DAY], "refusal": None})]
    assert all(crossing.stream(CHAT, RESPONSES, pieces) == whole for pieces in cuts(up))


@pytest.mark.parametrize(("came", "likely", "letters"), [
    ({"token": "ä", "logprob": -1}, -1.0, [195, 164]),
    ({"token": "a", "logprob": float("-inf"), "bytes": None}, -9999.0, [97]),
    ({"token": "a", "logprob": float("nan"), "bytes": [1]}, -9999.0, [1]),
    ({"token": "\ud83d", "bytes": []}, -9999.0, []),
])  # fmt: skip
def test_what_an_upstream_leaves_out_is_filled_in(came: Any, likely: float, letters: list[int]) -> None:
    (told,) = tokens_of([came, "no token"])
    assert told == {"token": came["token"], "logprob": likely, "bytes": letters, "top_logprobs": []}


@pytest.mark.parametrize("odd", [None, {}, "a", [None, 1, []]])
def test_what_is_no_list_of_tokens_is_none(odd: Any) -> None:
    assert tokens_of(odd) == ()
