"""What a table cannot say of a provider."""

from typing import Any

import msgspec
import pytest

from ftgate.providers.quirks import QUIRKS, blank_thoughts

USER = {"role": "user", "content": "What is it?"}
CALLS = [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
CALL = {"role": "assistant", "content": None, "tool_calls": CALLS}
THOUGHT = {**CALL, "reasoning_content": "Ask f."}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "1"}
SAID = {"role": "assistant", "content": "It is 1."}
BLANK = {"reasoning_content": " "}


def changed(messages: list[Any], *, raw: bool = True, **fields: Any) -> Any:
    body: dict[str, Any] = {"messages": messages, **fields}
    given = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in body.items()} if raw else body
    blank_thoughts(given)
    return msgspec.json.decode(msgspec.json.encode(given))["messages"]


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize(("messages", "sent"), [
    ([USER, CALL, RESULT], [USER, {**CALL, **BLANK}, RESULT]),
    ([USER, THOUGHT, RESULT], [USER, THOUGHT, RESULT]),
    ([USER, {**CALL, "reasoning_content": ""}, RESULT], [USER, {**CALL, **BLANK}, RESULT]),
    ([USER, {**CALL, "reasoning_content": None}, RESULT], [USER, {**CALL, **BLANK}, RESULT]),
    # Once there was a call, every turn needs one.
    ([USER, SAID, USER, THOUGHT, RESULT, SAID, USER],
     [USER, {**SAID, **BLANK}, USER, THOUGHT, RESULT, {**SAID, **BLANK}, USER]),
    # Without any, none does.
    ([USER, SAID, USER], [USER, SAID, USER]),
    ([USER, {**SAID, "tool_calls": []}, USER], [USER, {**SAID, "tool_calls": []}, USER]),
    ([USER, {**SAID, "tool_calls": None}, USER], [USER, {**SAID, "tool_calls": None}, USER]),
    ([{"role": "user", "content": '"tool_calls"'}, SAID], [{"role": "user", "content": '"tool_calls"'}, SAID]),
    ([], []),
])  # fmt: skip
def test_turns_get_a_blank_thought(messages: list[Any], sent: list[Any], raw: bool) -> None:
    assert changed(messages, raw=raw) == sent


def test_not_where_thinking_is_off() -> None:
    assert changed([USER, CALL, RESULT], thinking={"type": "disabled"}) == [USER, CALL, RESULT]
    assert changed([USER, CALL, RESULT], thinking={"type": "enabled"})[1] == {**CALL, **BLANK}
    assert changed([USER, CALL, RESULT], thinking=None)[1] == {**CALL, **BLANK}
    assert changed([USER, CALL, RESULT], thinking="disabled")[1] == {**CALL, **BLANK}


@pytest.mark.parametrize(
    "raw", [b'{"tool_calls":1}', b'["tool_calls"]', b'"tool_calls"', b'[{"role":"assistant"},2,"tool_calls"]']
)
def test_what_is_no_conversation_passes(raw: bytes) -> None:
    fields: dict[str, object] = {"messages": msgspec.Raw(raw)}
    blank_thoughts(fields)
    assert bytes(fields["messages"]) == raw  # type: ignore[call-overload]


def test_other_fields_keep_their_bytes() -> None:
    body = b'{"messages":[{"role":"assistant","tool_calls":[{"a":1.0e1}],"x":"\\u00e9"}],"seed":1.50}'
    fields: dict[str, object] = dict(msgspec.json.decode(body, type=dict[str, msgspec.Raw]))
    QUIRKS["blank_thoughts"](fields)
    turn = b'{"role":"assistant","tool_calls":[{"a":1.0e1}],"x":"\\u00e9","reasoning_content":" "}'
    assert msgspec.json.encode(fields) == b'{"messages":[' + turn + b'],"seed":1.50}'


@pytest.mark.parametrize(("said", "sent"), [
    ({}, {"thinking": {"type": "disabled"}}),
    ({"thinking": {"type": "enabled"}}, {"thinking": {"type": "enabled"}}),
    ({"thinking": None}, {"thinking": None}),  # the upstream's to refuse
    ({"reasoning_effort": "high"}, {"reasoning_effort": "high"}),
])  # fmt: skip
def test_a_name_without_thinking_thinks_where_the_caller_says_so(
    said: dict[str, object], sent: dict[str, object]
) -> None:
    fields = dict(said)
    QUIRKS["no_thoughts"](fields)
    assert fields == sent
