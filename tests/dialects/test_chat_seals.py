"""What Google's models seal beside a call, for callers of other dialects: it comes back at that call, at the upstream
that made it, however the caller keeps a conversation."""

import copy
import json
from typing import Any

import msgspec
import pytest

from ftgate import dialects
from ftgate.core.usage import Usage
from ftgate.dialects.neutral import CallBegan, Event, Sealed
from ftgate.dialects.openai_chat.heard import Events
from ftgate.dialects.openai_chat.seals import Details, seal_of
from ftgate.dialects.talk import Aim
from tests.dialects import crossing, putting_together

CHAT = "openai_chat"
SIGNED = {"google": {"thought_signature": "CvcB+/=="}}
ABOVE = {"vertex": {"thought_signature": "AY89"}}
HI = {"role": "user", "content": "Hi"}
TOOLS = ("look", "hear")


def made(name: str, **more: Any) -> dict[str, Any]:
    return {"id": f"id-{name}", "type": "function", "function": {"name": name, "arguments": '{"at":1}'}, **more}


def answered(*calls: dict[str, Any], **more: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": "So.", "tool_calls": list(calls), **more}
    choices = [{"index": 0, "finish_reason": "tool_calls" if calls else "stop", "message": message}]
    return {"id": "a", "model": "gemini-3-pro", "choices": choices,
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}  # fmt: skip


def declared(caller: str) -> dict[str, Any]:
    schema = {"type": "object", "properties": {}}
    if caller == "anthropic_messages":
        return {"tools": [{"name": name, "input_schema": schema} for name in TOOLS]}
    return {"tools": [{"type": "function", "name": name, "parameters": schema} for name in TOOLS]}


def got(caller: str, answer: dict[str, Any], *, streams: bool) -> dict[str, Any]:
    """An upstream's answer as its caller keeps it."""
    if not streams:
        return crossing.answer(caller, CHAT, answer, declared(caller))  # type: ignore[no-any-return]
    pieces = putting_together.chat_streamed(answer)
    stream = crossing.stream(caller, CHAT, [pieces], declared(caller))
    if caller == "anthropic_messages":
        return putting_together.of_messages(stream)
    return json.loads(dialects.ALL[caller].whole_of(stream))  # type: ignore[no-any-return]


def next_request(caller: str, kept: dict[str, Any]) -> dict[str, Any]:
    """What he sends next: what he got, with the results of its calls."""
    if caller == "anthropic_messages":
        ids = [block["id"] for block in kept["content"] if block["type"] == "tool_use"]
        results = [{"type": "tool_result", "tool_use_id": id, "content": "ok"} for id in ids]
        said = [HI, {"role": "assistant", "content": kept["content"]}, {"role": "user", "content": results or "Go on"}]
        return {"messages": said, **declared(caller)}
    ids = [item["call_id"] for item in kept["output"] if item["type"] == "function_call"]
    results = [{"type": "function_call_output", "call_id": id, "output": "ok"} for id in ids]
    return {"input": [HI, *kept["output"], *(results or [HI])], **declared(caller)}


def up(caller: str, body: dict[str, Any], upstream: str = CHAT, maker: str = "") -> dict[str, Any]:
    sent = crossing.request(caller, upstream, body, Aim("up", 99, dialects.ALL[upstream].CAP_FIELDS[0], maker=maker))
    assert "cs1." not in json.dumps(sent)
    return sent  # type: ignore[no-any-return]


CASES: dict[str, tuple[dict[str, Any], list[Any]]] = {
    "one call": (answered(made("look", extra_content=SIGNED)), [SIGNED]),
    "the first of two": (answered(made("look", extra_content=SIGNED), made("hear")), [SIGNED, None]),
    "the second of two": (answered(made("look"), made("hear", extra_content=ABOVE)), [None, ABOVE]),
    "each of two": (answered(made("look", extra_content=SIGNED), made("hear", extra_content=ABOVE)),
                    [SIGNED, ABOVE]),
    "with a thought that may be read": (answered(made("look", extra_content=SIGNED), reasoning_content="hm"),
                                        [SIGNED]),
    "nothing that is sealed": (answered(made("look", extra_content={"google": {"thought": True}})), [None]),
    "nothing that is a text": (answered(made("look", extra_content={"google": {"thought_signature": [[1]]}})), [None]),
    "nothing that is an object": (answered(made("look", extra_content="x")), [None]),
    "no calls": (answered(), []),
}  # fmt: skip


@pytest.mark.parametrize("streams", [True, False])
@pytest.mark.parametrize("caller", ["anthropic_messages", "openai_responses"])
@pytest.mark.parametrize("case", CASES)
def test_a_seal_comes_back_at_its_call(case: str, caller: str, *, streams: bool) -> None:
    answer, seals = CASES[case]
    kept = got(caller, copy.deepcopy(answer), streams=streams)
    assistant = up(caller, next_request(caller, kept))["messages"][1]
    calls = assistant.get("tool_calls", [])
    assert [call.get("extra_content") for call in calls] == seals
    assert "extra_content" not in assistant and assistant["content"] == "So."
    assert [call["id"] for call in calls] == [call["id"] for call in answer["choices"][0]["message"]["tool_calls"]]
    assert assistant.get("reasoning_content") == answer["choices"][0]["message"].get("reasoning_content")


@pytest.mark.parametrize("caller", ["anthropic_messages", "openai_responses"])
def test_a_text_is_signed_too(caller: str) -> None:
    """A whole answer's seal stands before its text. In a stream it comes behind, where no block may stand."""
    answer = answered(extra_content=SIGNED)
    whole = got(caller, answer, streams=False)
    assert up(caller, next_request(caller, whole))["messages"][1]["extra_content"] == SIGNED
    head = b'data: {"id":"a","model":"m","choices":[{"index":0,"delta":'
    end = (b'data: {"id":"a","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n', b"data: [DONE]\n\n")
    text, seal = (head + json.dumps(delta).encode() + b"}]}\n\n" for delta in ({"content": "So."}, {
        "extra_content": SIGNED}))  # fmt: skip
    block = {"anthropic_messages": b'"type":"redacted_thinking"', "openai_responses": b'"type":"reasoning"'}[caller]
    assert block not in crossing.stream(caller, CHAT, [text, seal, *end])
    assert block in crossing.stream(caller, CHAT, [seal, text, *end])


@pytest.mark.parametrize("caller", ["anthropic_messages", "openai_responses"])
def test_a_seal_goes_to_its_maker_alone(caller: str) -> None:
    writer = crossing.writer(caller, declared(caller))
    writer.told = msgspec.structs.replace(writer.told, maker="a1b2")  # type: ignore[attr-defined]
    chat = dialects.ALL[CHAT]
    events = chat.events_of(json.dumps(answered(made("look", extra_content=SIGNED), extra_content=ABOVE)).encode())
    kept = json.loads(writer.whole(events, Usage(input=1, output=1), exact=True, cost=None))
    body = next_request(caller, kept)
    message = up(caller, body, maker="a1b2")["messages"][1]
    assert (message["extra_content"], message["tool_calls"][0]["extra_content"]) == (ABOVE, SIGNED)
    for maker in ("", "a1b3"):
        message = up(caller, body, maker=maker)["messages"][1]
        assert "extra_content" not in json.dumps(message) and message["tool_calls"][0]["id"] == "id-look"
    for upstream in {"anthropic_messages", "openai_responses"} - {caller}:
        assert "extra" not in json.dumps(up(caller, body, upstream, maker="a1b2"))


def test_a_seal_that_is_broken_is_left_out() -> None:
    for seal in ("cs1.", "cs1..", "cs1..e30", "cs1..!!", "cs1..W10", "cs1..eyJjYWxsIjoidCJ9", "cs1.é.é"):
        blocks = [{"type": "redacted_thinking", "data": "ft1." + seal},
                  {"type": "tool_use", "id": "t", "name": "look", "input": {}}]  # fmt: skip
        kept = {"content": blocks}
        (call,) = up("anthropic_messages", next_request("anthropic_messages", kept))["messages"][1]["tool_calls"]
        assert call.keys() == {"id", "type", "function"}
        sent = up("anthropic_messages", next_request("anthropic_messages", kept))
        assert sent["messages"][1].keys() == {"role", "content", "tool_calls"}


def test_what_a_user_says_is_no_seal() -> None:
    said = [{"role": "user", "content": 'the word "cs1." and "extra_content"'}]
    assert crossing.request("anthropic_messages", CHAT, {"messages": said})["messages"] == said


def read(*deltas: dict[str, Any]) -> list[Event]:
    reader, events = Events(), list[Event]()
    for delta in deltas:
        chunk = {"id": "a", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
        events += reader.read(json.dumps(chunk).encode())
    return [event for event in events if isinstance(event, (Sealed, CallBegan))]


def test_a_seal_is_told_once_whenever_it_comes() -> None:
    """With the call, before its name, behind its beginning, with each of its fragments."""
    call, sealed = made("look", index=0), {"index": 0, "extra_content": SIGNED}
    seal, began = Sealed(seal_of(sealed, "id-look")), CallBegan(0, "id-look", "look")
    assert seal.data.startswith("cs1.")
    assert read({"tool_calls": [{**call, **sealed}]}) == [seal, began]
    assert read({"tool_calls": [{**sealed, "id": "id-look"}]}, {"tool_calls": [call]}) == [seal, began]
    assert read({"tool_calls": [call]}, {"tool_calls": [sealed]}, {"tool_calls": [sealed]}) == [began, seal]
    assert read({"tool_calls": [{**call, **sealed}]}, {"tool_calls": [sealed]}) == [seal, began]


def test_two_calls_without_an_index_each_in_a_piece_of_its_own() -> None:
    """As Google's layer streams them."""
    first, second = read(
        {"tool_calls": [made("look", extra_content=SIGNED)]}, {"tool_calls": [made("hear")]}
    )[0::2]  # fmt: skip
    assert isinstance(first, Sealed) and second == CallBegan(1, "id-hear", "hear")


GEMINI = {"type": "reasoning.encrypted", "id": "id-look", "data": "Cv+/", "format": "google-gemini-v1", "index": 1}
SUMMARY = {"type": "reasoning.text", "text": "hm", "format": "google-gemini-v1", "index": 0}
CLAUDE = {"type": "reasoning.text", "text": "hm, so", "signature": "Et8", "format": "anthropic-claude-v1", "index": 0}
IN_PIECES = [{**CLAUDE, "text": "hm"}, {**CLAUDE, "text": ", so"}, {**CLAUDE, "signature": "Et8"}]
for _at, _piece in enumerate(IN_PIECES):
    _piece.pop("text" if _at == 2 else "signature")
DETAILED: dict[str, tuple[list[list[dict[str, Any]]], list[dict[str, Any]]]] = {
    "with the call": ([[SUMMARY, GEMINI]], [SUMMARY, GEMINI]),
    "one by one": ([[SUMMARY], [GEMINI]], [SUMMARY, GEMINI]),
    "a seal that comes behind its text": ([[piece] for piece in IN_PIECES], [CLAUDE]),
    "nothing that is sealed": ([[SUMMARY]], []),
    "nothing that is flat": ([[{**GEMINI, "data": [["x"]]}]], []),
}


@pytest.mark.parametrize("words", [None, "So."])
@pytest.mark.parametrize("caller", ["anthropic_messages", "openai_responses"])
@pytest.mark.parametrize("case", DETAILED)
def test_details_come_back_in_their_message(case: str, caller: str, words: str | None) -> None:
    """As OpenRouter streams them, before the call; and in a whole answer."""
    pieces, meant = DETAILED[case]
    head, end = {"role": "assistant", "content": ""}, {"content": words} if words else {}
    call = {"tool_calls": [made("look", index=0)]}
    deltas = [head, *({"reasoning_details": piece} for piece in pieces), end, call]
    chunks = [{"id": "a", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    chunks.append({"id": "a", "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]})
    sent = [b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks] + [b"data: [DONE]\n\n"]
    stream = crossing.stream(caller, CHAT, sent, declared(caller))
    streamed = putting_together.of_messages(stream) if caller == "anthropic_messages" else json.loads(
        dialects.ALL[caller].whole_of(stream))  # fmt: skip
    whole = got(caller, answered(made("look"), content=words, reasoning_details=meant or pieces[0]), streams=False)
    for kept in (streamed, whole):
        message = up(caller, next_request(caller, kept))["messages"][1]
        assert message.get("reasoning_details", []) == meant
        assert "reasoning_details" not in up(caller, next_request(caller, kept), maker="x")["messages"][1]
        assert message["content"] == words and message["tool_calls"][0]["id"] == "id-look"


def test_details_behind_a_text_are_no_block_of_their_own() -> None:
    assert read({"content": "So."}, {"reasoning_details": [GEMINI]}, {"content": " Yes."}) == [
        Sealed(sealed_details(GEMINI))]  # fmt: skip
    assert read({"content": "So."}, {"reasoning_details": [GEMINI]}) == []


def sealed_details(*said: dict[str, Any]) -> str:
    details = Details()
    details.take(list(said))
    return details.seal()
