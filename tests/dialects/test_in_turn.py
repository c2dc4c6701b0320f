"""Calls made side by side, told one behind the other: what is told when, that nothing is lost, and how often a text is
looked at."""

import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ftgate.core.usage import Usage
from ftgate.dialects import in_turn
from ftgate.dialects.fields import loads
from ftgate.dialects.in_turn import Arguments, InTurn
from ftgate.dialects.neutral import Began, CallBegan, CallPart, Event, Finished, Said, Sealed, Thought
from tests.dialects.crossing import writer

A, B, C = (CallBegan(key, f"c{key}", "f") for key in range(3))
A1, A2, B1, B2, C1 = CallPart(0, '{"a":'), CallPart(0, "1}"), CallPart(1, '{"b"'), CallPart(1, ":2}"), CallPart(2, "{}")
SAID = Said("Hi")
SIDE_BY_SIDE: list[tuple[str, list[tuple[Event, list[Event]]], list[Event]]] = [
    ("what is no call passes", [(SAID, [SAID]), (Sealed("s"), [Sealed("s")])], []),
    ("calls one behind the other", [(A, [A]), (A1, [A1]), (A2, [A2]), (B, [B]), (B1, [B1]), (B2, [B2])], []),
    ("fragments in turn", [(A, [A]), (B, []), (A1, [A1]), (B1, []), (A2, [A2, B, B1]), (B2, [B2])], []),
    ("the later one is whole first", [(A, [A]), (B, []), (B1, []), (B2, []), (A1, [A1]), (A2, [A2, B, B1, B2])], []),
    ("and then the next may go on", [(A, [A]), (B, []), (C, []), (B1, []), (B2, []), (A1, [A1]),
                                     (A2, [A2, B, B1, B2, C]), (C1, [C1])], []),
    ("text between fragments", [(A, [A]), (A1, [A1]), (SAID, []), (A2, [A2, SAID])], []),
    ("text between calls keeps its place", [(A, [A]), (B, []), (SAID, []), (C, []), (C1, []), (A1, [A1]),
                                            (A2, [A2, B]), (B1, [B1]), (B2, [B2, SAID, C, C1])], []),
    ("a part of a call that has ended", [(A, [A]), (A1, [A1]), (A2, [A2]), (SAID, [SAID]), (CallPart(0, " "), [])],
     []),
    ("a part of nothing", [(A1, []), (A, [A]), (B1, [])], []),
    ("no arguments at all", [(A, [A]), (B, []), (B1, []), (B2, [])], [B, B1, B2]),
    ("arguments that are no JSON", [(A, [A]), (CallPart(0, "{x}"), [CallPart(0, "{x}")]), (SAID, []), (B, [])],
     [SAID, B]),
    ("several that are not whole", [(A, [A]), (A1, [A1]), (B, []), (B1, []), (C, []), (B2, [])], [B, B1, B2, C]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("came", "finished"), [case[1:] for case in SIDE_BY_SIDE], ids=[case[0] for case in SIDE_BY_SIDE]
)
def test_what_is_told_when(came: list[tuple[Event, list[Event]]], finished: list[Event]) -> None:
    order = InTurn()
    assert [list(order.take(event)) for event, _ in came] == [told for _, told in came]
    assert order.finish() == finished and order.finish() == []


TEXTS = st.sampled_from(
    ["{}", '{"a": 1}', '{"t": "x}\\"{", "n": [{}, "]"]}', '{"\\\\": "\\\\"}', ' {"é": "\\ud83d"}\n', '{"n": NaN}', "[]",
     "null", "", "{}}", "{]", '{"a": {"b": {}}} ', "x{}", '"{}"', '{"s": "\ud83d"}', "{'it\\'s': 1}", "{} {}"]
)  # fmt: skip


@given(TEXTS, st.data())
def test_arguments_are_whole_when_they_are_an_object(text: str, data: st.DataObject) -> None:
    made, so_far = Arguments(), ""
    while so_far != text:
        piece = text[len(so_far) :][: data.draw(st.integers(1, 5))]
        made.add(piece)
        so_far += piece
        if data.draw(st.booleans()):
            assert made.whole() == is_object(so_far), so_far
    assert made.whole() == made.whole() == is_object(text)


def is_object(text: str) -> bool:
    try:
        return isinstance(loads(text.encode("utf-8", "surrogatepass")), dict)
    except ValueError:
        return False


def side_by_side(given: list[str], order: list[tuple[int, int]]) -> list[Event]:
    """Calls with these arguments, which begin and go on in this order (a call and how much of it; no call is text)."""
    came: list[Event] = []
    left: dict[int, str] = {}
    for key, size in [*order, *((key, 99) for key in range(len(given)) for _ in "ab")]:
        if key >= len(given):
            came.append((Said, Thought)[size % 2](f"t{len(came)}"))
        elif key not in left:
            came.append(CallBegan(key, f"c{key}", "f"))
            left[key] = given[key]
        elif left[key]:
            came.append(CallPart(key, left[key][:size]))
            left[key] = left[key][size:]
    return came


ORDER = st.lists(st.tuples(st.integers(0, 4), st.integers(1, 8)), max_size=30)


@given(st.lists(TEXTS, max_size=4), ORDER)
@example(["{}{}", "{}"], [(0, 1), (1, 1), (0, 2), (0, 2)])
def test_nothing_is_lost_and_nothing_stands_between_a_call_and_its_parts(
    given: list[str], order: list[tuple[int, int]]
) -> None:
    came, one = side_by_side(given, order), InTurn()
    told = [event for each in came for event in one.take(each)] + one.finish()
    for at, event in enumerate(told):
        if isinstance(event, CallPart):
            began = next(other for other in reversed(told[:at]) if not isinstance(other, CallPart))
            assert isinstance(began, CallBegan) and began.key == event.key
    assert others(told) == others(came)
    for key, sent in enumerate(given):
        got = texts(told, key)
        assert got == sent or (is_object(got) and sent.startswith(got))  # what comes behind a whole object


def others(events: Iterable[Event]) -> list[Event]:
    return [event for event in events if not isinstance(event, CallPart)]


def texts(events: Iterable[Event], key: int) -> str:
    return "".join(event.text for event in events if isinstance(event, CallPart) and event.key == key)


@pytest.mark.parametrize("calls", [2, 7])
@pytest.mark.parametrize("caller", ["anthropic_messages", "openai_responses"])
def test_the_arguments_of_calls_in_turn_are_looked_at_once(
    caller: str, calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Characters that are read, and put together to be parsed: as many as there are."""
    seen = {"read": 0, "parsed": 0}
    follow = Arguments._take

    def take(self: Arguments, text: str) -> None:
        seen["read"] += len(text)
        follow(self, text)

    def parse(data: bytes) -> object:
        seen["parsed"] += len(data)
        return loads(data)

    monkeypatch.setattr(Arguments, "_take", take)
    monkeypatch.setattr(in_turn, "loads", parse)
    given = json.dumps({"text": "} words of an argument, }" * 100})
    pieces = [given[at : at + 9] for at in range(0, len(given), 9)]
    keys = range(calls)
    one = writer(caller)
    data = one.write([Began("up"), *(CallBegan(key, f"c{key}", "f") for key in keys)])
    data += b"".join(one.write([CallPart(key, piece)]) for piece in pieces for key in keys)
    data += one.write([Finished("calls")]) + one.tail(Usage(output=9), exact=True, cost=None, note="")
    assert arguments(data) == [given] * calls
    assert 0 < seen["read"] <= calls * len(given) and 0 < seen["parsed"] <= calls * len(given)


def arguments(stream: bytes) -> list[str]:
    """What the deltas of each call of a stream say."""
    said: dict[int, str] = {}
    for line in stream.split(b"\n"):
        if line.startswith(b"data: "):
            event: dict[str, Any] = json.loads(line.removeprefix(b"data: "))
            if event["type"] == "content_block_delta":
                said[event["index"]] = said.get(event["index"], "") + event["delta"]["partial_json"]
            elif event["type"] == "response.function_call_arguments.delta":
                said[event["output_index"]] = said.get(event["output_index"], "") + event["delta"]
    return list(said.values())
