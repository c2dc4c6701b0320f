"""Golden answers between OpenAI's chat and Anthropic's messages, both ways, whole and streamed: what an upstream of one
answers, and what a caller of the other must then get, as the SDKs of both put it together.
"""

import json
from collections.abc import Callable
from typing import Any

import pytest

from ftgate.dialects.states import State
from tests.dialects import crossing
from tests.dialects.cutting import cuts
from tests.dialects.putting_together import chat_streamed, events, messages_streamed, of_chat, of_messages

CHAT, MESSAGES = "openai_chat", "anthropic_messages"
USAGE = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}
USED = {"input_tokens": 9, "output_tokens": 5}


def chat(finish: str, *calls: tuple[str, str, str], usage: Any = USAGE, **message: Any) -> dict[str, Any]:
    made = [{"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}
            for id, name, arguments in calls]  # fmt: skip
    said = {"role": "assistant", "content": None, **message, **({"tool_calls": made} if made else {})}
    return {"id": "chatcmpl-up", "object": "chat.completion", "created": 1, "model": "big",
            "choices": [{"index": 0, "message": said, "finish_reason": finish}], "usage": usage}  # fmt: skip


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def use(id: str, name: str, given: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": id, "name": name, "input": given}


def thought(words: str, seal: str) -> dict[str, Any]:
    return {"type": "thinking", "thinking": words, "signature": seal}


ODD = 'é "q"\n\u2028\U0001f600'
FROM_CHAT: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a text": (chat("stop", content="Hello"), {"content": [text("Hello")]}),
    "letters of all kinds": (chat("stop", content=ODD), {"content": [text(ODD)]}),
    "nothing": (chat("stop", content=""), {"content": []}),
    "a text that was cut": (chat("length", content="Hel"), {"content": [text("Hel")], "stop_reason": "max_tokens"}),
    "a filter": (chat("content_filter", content="Hel"), {"content": [text("Hel")], "stop_reason": "refusal"}),
    "a refusal": (chat("stop", refusal="I cannot."), {"content": [text("I cannot.")], "stop_reason": "refusal"}),
    "a call": (chat("tool_calls", ("c1", "look", '{"a": "x"}')),
               {"content": [use("c1", "look", {"a": "x"})], "stop_reason": "tool_use"}),
    "calls in turn": (
        chat("tool_calls", ("c1", "look", '{"a": "x"}'), ("c2", "see", '{"b": [1, {}]}'), ("c3", "look", "{}")),
        {"content": [use("c1", "look", {"a": "x"}), use("c2", "see", {"b": [1, {}]}), use("c3", "look", {})],
         "stop_reason": "tool_use"}),
    "a text and a call": (
        chat("tool_calls", ("c1", "look", "{}"), content="I look."),
        {"content": [text("I look."), use("c1", "look", {})], "stop_reason": "tool_use"}),
    "a call of no arguments": (chat("tool_calls", ("c1", "look", "")),
                               {"content": [use("c1", "look", {})], "stop_reason": "tool_use"}),
    "a call and a stop": (chat("stop", ("c1", "look", "{}")),
                          {"content": [use("c1", "look", {})], "stop_reason": "tool_use"}),
    "thinking": (chat("stop", content="So.", reasoning_content="hm"),
                 {"content": [thought("hm", "ft1."), text("So.")]}),
    "thinking under another name": (chat("stop", content="So.", reasoning="hm"),
                                    {"content": [thought("hm", "ft1."), text("So.")]}),
    "thinking, a text and calls": (
        chat("tool_calls", ("c1", "look", "{}"), ("c2", "see", '{"b": 1}'), content="So.", reasoning_content="hm"),
        {"content": [thought("hm", "ft1."), text("So."), use("c1", "look", {}), use("c2", "see", {"b": 1})],
         "stop_reason": "tool_use"}),
    "thinking that took all": (chat("length", content="", reasoning_content="hm"),
                               {"content": [thought("hm", "ft1.")], "stop_reason": "max_tokens"}),
    "cached tokens": (
        chat("stop", content="a", usage={**USAGE, "prompt_tokens_details": {"cached_tokens": 6}}),
        {"content": [text("a")], "usage": {"input_tokens": 3, "cache_read_input_tokens": 6, "output_tokens": 5}}),
    "tokens of thinking": (
        chat("stop", content="a", usage={**USAGE, "completion_tokens_details": {"reasoning_tokens": 4}}),
        {"content": [text("a")], "usage": {**USED, "output_tokens_details": {"thinking_tokens": 4}}}),
}  # fmt: skip
HEAD = {"id": "msg_7", "type": "message", "role": "assistant", "model": "big", "stop_sequence": None}


def _is_the_message(got: dict[str, Any], meant: dict[str, Any]) -> None:
    meant = {"stop_reason": "end_turn", "usage": USED, **HEAD, **meant}
    usage = got.pop("usage")
    assert meant.pop("usage").items() <= usage.items()
    assert usage["cache_creation_input_tokens"] == 0 and isinstance(usage["cache_read_input_tokens"], int)
    assert got == meant


@pytest.mark.parametrize("name", FROM_CHAT)
def test_a_whole_chat_answer_is_a_message(name: str) -> None:
    said, meant = FROM_CHAT[name]
    _is_the_message(crossing.answer(MESSAGES, CHAT, said), meant)


@pytest.mark.parametrize("name", FROM_CHAT)
def test_a_streamed_chat_answer_is_a_message(name: str) -> None:
    said, meant = FROM_CHAT[name]
    _is_the_message(of_messages(crossing.stream(MESSAGES, CHAT, [chat_streamed(said)], {"stream": True})), meant)


def test_arguments_that_are_no_object_are_not_lost() -> None:
    got = crossing.answer(MESSAGES, CHAT, chat("tool_calls", ("c1", "look", '{"a": ')))
    assert got["content"] == [use("c1", "look", {"_raw": '{"a": '})]


def test_a_message_of_a_text_is_streamed_like_this() -> None:
    data = crossing.stream(MESSAGES, CHAT, [chat_streamed(chat("stop", content="ab"))], {"stream": True})
    assert [name for name, _ in events(data)] == [
        "message_start", "content_block_start", "content_block_delta", "content_block_delta", "content_block_stop",
        "message_delta", "message_stop",
    ]  # fmt: skip
    ended = json.loads(events(data)[-2][1])
    assert ended["delta"] == {"stop_reason": "end_turn", "stop_sequence": None}
    assert USED.items() <= ended["usage"].items()  # the prompt again: some clients read it here


# ---- the other way ----


def message(stop: str, *blocks: Any, usage: Any = USED, **more: Any) -> dict[str, Any]:
    return {"id": "msg_up", "type": "message", "role": "assistant", "model": "big", "content": list(blocks),
            "stop_reason": stop, "stop_sequence": None, "usage": usage, **more}  # fmt: skip


def calls(*made: tuple[str, str, Any]) -> list[dict[str, Any]]:
    return [{"id": id, "type": "function", "function": {"name": name, "arguments": given}} for id, name, given in made]


FROM_MESSAGES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a text": (message("end_turn", text("Hello")), {"content": "Hello"}),
    "letters of all kinds": (message("end_turn", text(ODD)), {"content": ODD}),
    "nothing": (message("end_turn"), {"content": ""}),
    "two texts": (message("end_turn", text("a"), text("b")), {"content": "ab"}),
    "a text that was cut": (message("max_tokens", text("Hel")), {"content": "Hel", "finish_reason": "length"}),
    "a full context": (message("model_context_window_exceeded", text("Hel")),
                       {"content": "Hel", "finish_reason": "length"}),
    "a stop sequence": (message("stop_sequence", text("Hel"), stop_sequence="END"), {"content": "Hel"}),
    "a pause": (message("pause_turn", text("Hel")), {"content": "Hel"}),
    "a refusal": (message("refusal", stop_details={"type": "refusal", "category": "cyber", "explanation": None}),
                  {"content": "", "finish_reason": "content_filter"}),
    "a call": (message("tool_use", use("toolu_1", "look", {"a": "x"})),
               {"tool_calls": calls(("toolu_1", "look", {"a": "x"})), "finish_reason": "tool_calls"}),
    "a call of no input": (message("tool_use", use("toolu_1", "look", {})),
                           {"tool_calls": calls(("toolu_1", "look", {})), "finish_reason": "tool_calls"}),
    "a text and two calls": (
        message("tool_use", text("I look."), use("toolu_1", "look", {"a": "x"}), use("toolu_2", "see", {"b": [1]})),
        {"content": "I look.", "tool_calls": calls(("toolu_1", "look", {"a": "x"}), ("toolu_2", "see", {"b": [1]})),
         "finish_reason": "tool_calls"}),
    "thinking": (
        message("end_turn", thought("hm", "S"), text("So.")),
        {"content": "So.", "reasoning_content": "hm", "reasoning_details": [
            {"type": "reasoning.text", "text": "hm", "signature": "S", "index": 0}]}),
    "thinking that is not shown": (
        message("end_turn", thought("", "S"), text("So.")),
        {"content": "So.", "reasoning_details": [
            {"type": "reasoning.text", "text": "", "signature": "S", "index": 0}]}),
    "thinking between calls": (
        message("tool_use", thought("hm", "S"), {"type": "redacted_thinking", "data": "X"}, thought("oh", "T"),
                use("toolu_1", "look", {})),
        {"reasoning_content": "hmoh", "reasoning_details": [
            {"type": "reasoning.text", "text": "hm", "signature": "S", "index": 0},
            {"type": "reasoning.encrypted", "data": "X", "index": 1},
            {"type": "reasoning.text", "text": "oh", "signature": "T", "index": 2}],
         "tool_calls": calls(("toolu_1", "look", {})), "finish_reason": "tool_calls"}),
    "what the provider did by itself": (
        message("end_turn", text("Wait."),
                {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}},
                {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}, text(" So.")),
        {"content": "Wait. So."}),
    "cached tokens": (
        message("end_turn", text("a"), usage={"input_tokens": 2, "cache_read_input_tokens": 6,
                                              "cache_creation_input_tokens": 1, "output_tokens": 5}),
        {"content": "a", "usage": {**USAGE, "prompt_tokens_details": {"cached_tokens": 6, "cache_write_tokens": 1}}}),
    "tokens of thinking": (
        message("end_turn", text("a"), usage={**USED, "output_tokens_details": {"thinking_tokens": 4}}),
        {"content": "a", "usage": {**USAGE, "completion_tokens_details": {"reasoning_tokens": 4}}}),
}  # fmt: skip


def _is_the_answer(got: dict[str, Any], finish: str, usage: Any, meant: dict[str, Any]) -> None:
    meant = {"finish_reason": "stop", "usage": USAGE, **meant}
    assert finish == meant.pop("finish_reason")
    assert meant.pop("usage").items() <= usage.items()
    assert got.pop("role") == "assistant"
    if not (got.get("content") or meant.get("content")):  # a stream's role comes with an empty text
        assert got.pop("content", "") in ("", None)
        meant.pop("content", None)
    assert got.pop("refusal", None) is None
    for call in got.get("tool_calls", ()):
        call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    assert got == meant


@pytest.mark.parametrize("name", FROM_MESSAGES)
def test_a_whole_message_is_a_chat_answer(name: str) -> None:
    said, meant = FROM_MESSAGES[name]
    got = crossing.answer(CHAT, MESSAGES, said)
    (choice,) = got["choices"]
    assert (got["id"], got["object"], got["created"], got["model"]) == ("chatcmpl-7", "chat.completion", 5, "big")
    assert (
        bool(choice["message"].get("tool_calls")) is (choice["message"]["content"] is None)
        or (choice["message"]["content"])
    )
    _is_the_answer(choice["message"], choice["finish_reason"], got["usage"], meant)


STREAMED = {"stream": True, "stream_options": {"include_usage": True}}


@pytest.mark.parametrize("name", FROM_MESSAGES)
def test_a_streamed_message_is_a_chat_answer(name: str) -> None:
    said, meant = FROM_MESSAGES[name]
    got = of_chat(crossing.stream(CHAT, MESSAGES, [messages_streamed(said)], STREAMED))
    assert got["usage"].pop("cost") == 0.000002
    _is_the_answer(got["message"], got["finish_reason"], got["usage"], meant)


# ---- however they come ----

Put = Callable[[bytes], dict[str, Any]]
WAYS: dict[str, tuple[str, str, bytes, Put, bytes]] = {
    f"{caller}: {name}": (caller, upstream, streamed(table[name][0]), put, mark)
    for caller, upstream, table, streamed, put, mark, names in (
        (MESSAGES, CHAT, FROM_CHAT, chat_streamed, of_messages, b"message_stop",
         ("calls in turn", "thinking, a text and calls")),
        (CHAT, MESSAGES, FROM_MESSAGES, messages_streamed, of_chat, b"[DONE]",
         ("a text and two calls", "thinking between calls")),
    )
    for name in names
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_a_stream_is_the_same_however_it_is_cut(way: str) -> None:
    caller, upstream, data, put, _ = WAYS[way]
    whole = crossing.stream(caller, upstream, [data], {"stream": True})
    put(whole)
    for pieces in cuts(data):
        assert crossing.stream(caller, upstream, pieces, {"stream": True}) == whole


@pytest.mark.parametrize("lost", [True, False], ids=["lost", "closed"])
@pytest.mark.parametrize("way", WAYS)
def test_a_stream_that_ends_early_is_never_a_whole_one(way: str, lost: bool) -> None:
    """Wherever it is cut. One that has said why it ended may be closed without its mark, and is whole then."""
    caller, upstream, data, put, mark = WAYS[way]
    whole = put(crossing.stream(caller, upstream, [data], {"stream": True}))
    ends = 0
    for at in range(len(data)):
        passed, state = crossing.watched(caller, upstream, [data[:at]], {"stream": True}, cut=lost)
        if state in (State.done, State.ended):
            ends += 1
            got = put(passed)
            assert {**got, "usage": None} == {**whole, "usage": None}
            continue
        last = events(passed)[-1]
        assert mark not in passed and "error" in json.loads(last[1])
        assert b'"stop_reason":"' not in passed and b'"finish_reason":"' not in passed
    assert (ends > 0) is not lost


BROKEN: dict[str, tuple[str, str, bytes]] = {
    "an error in a chat": (MESSAGES, CHAT, b'data: {"error": {"message": "overloaded", "code": 503}}\n\n'),
    "an event of a chat that cannot be read": (MESSAGES, CHAT, b'data: {"choices": [{"index"\n\n'),
    "an error in a message": (
        CHAT, MESSAGES,
        b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'),
    "an event of a message that cannot be read": (
        CHAT, MESSAGES, b'event: content_block_delta\ndata: {"type":"content_block_de\n\n'),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_an_upstream_that_breaks_off_breaks_the_stream(name: str) -> None:
    caller, upstream, wrong = BROKEN[name]
    said = FROM_CHAT["a text"][0] if upstream == CHAT else FROM_MESSAGES["a text"][0]
    data = chat_streamed(said) if upstream == CHAT else messages_streamed(said)
    cut = data.index(b"\n\n", data.index(b'"He"')) + 2  # in the midst of the text
    passed, state = crossing.watched(caller, upstream, [data[:cut], wrong, data[cut:]], {"stream": True})
    assert state is State.broken and b'"He"' in passed
    assert "error" in json.loads(events(passed)[-1][1])
    assert b"[DONE]" not in passed and b"message_stop" not in passed
