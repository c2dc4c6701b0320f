"""Anthropic's Messages as they pass: requests, usage, whole answers, streams, errors."""

import json
from typing import Any

import msgspec
import pytest

from ftgate.core.usage import Usage
from ftgate.dialects import anthropic_messages as messages
from ftgate.dialects.neutral import Began, CallBegan, CallPart, Finished
from ftgate.dialects.states import BEGUN, WHOLE, State
from ftgate.dialects.talk import Aim, Meter, NotAnAnswer
from ftgate.errors import (
    BodyTooLarge,
    GateError,
    InternalError,
    InvalidRequest,
    NoHealthyProvider,
    PaymentRequired,
    ProviderError,
    ProviderTimeout,
    RateLimited,
)
from tests.dialects.cutting import cuts

ASKED = {"model": "claude", "max_tokens": 100, "messages": [{"role": "user", "content": "Hi"}]}


def read(**fields: Any) -> Any:
    return messages.read_request(json.dumps({**ASKED, **fields}).encode())


def rendered(aim: Aim | None = None, **fields: Any) -> Any:
    return json.loads(messages.render(read(**fields), aim or Aim("up", 100, "max_tokens")))


# Requests


def test_what_the_gate_knows_of_a_request() -> None:
    ask = read(system="Be brief", tools=[{"name": "a", "input_schema": {"type": "object"}}], stream=True)
    assert (ask.names, ask.cap, ask.stream, ask.has_tools, ask.answers) == (("claude",), 100, True, True, 1)
    assert ask.prompt.likely > read().prompt.likely + 5
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO" * 9000}}
    shown = read(messages=[{"role": "user", "content": [image, {"type": "text", "text": "What?"}]}])
    assert shown.images == 1 and shown.prompt.likely < 100
    result = {"type": "tool_result", "tool_use_id": "t", "content": [image]}
    assert read(messages=[{"role": "user", "content": [result]}]).images == 1


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no cap": ({"max_tokens": None}, "max_tokens"),
    "a cap of nothing": ({"max_tokens": 0}, "max_tokens"),
    "a cap that is a text": ({"max_tokens": "9"}, "max_tokens"),
    "no messages": ({"messages": []}, "messages"),
    "messages that are none": ({"messages": "Hi"}, "messages"),
    "a thread": ({"thread": {"id": "t"}}, "thread"),
    "a search by the provider": ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools.0.type"),
    "pages read by the provider": ({"tools": [{"type": "web_fetch_20250910", "name": "f"}]}, "tools.0.type"),
    "tools searched by the provider": ({"tools": [{"type": "tool_search_tool_regex_20251119", "name": "s"}]},
                                       "tools.0.type"),
    "a compaction by the provider": (
        {"context_management": {"edits": [{"type": "clear_tool_uses_20250919"}, {"type": "compact_20260112"}]}},
        "context_management.edits.1.type"),
    "an edit that nobody knows": ({"context_management": {"edits": [{"type": "x"}]}},
                                  "context_management.edits.0.type"),
    "an edit in other letters": ({"context_management": {"edits": [{"type": "clear_a", "Type": "compact_a"}]}},
                                 "context_management.edits.0.Type"),
    "edits in other letters": ({"context_management": {"Edits": []}}, "context_management.Edits"),
    "edits that are none": ({"context_management": {"edits": "all"}}, "context_management.edits"),
    "a context that is no object": ({"context_management": []}, "context_management"),
    "thinking that is no object": ({"thinking": "enabled"}, "thinking"),
    "a budget that is a text": ({"thinking": {"type": "enabled", "budget_tokens": "4000"}}, "thinking.budget_tokens"),
    "half a budget": ({"thinking": {"type": "enabled", "budget_tokens": 4000.5}}, "thinking.budget_tokens"),
    "a tool of two types": ({"tools": [{"type": "custom", "name": "a", "TYPE": "web_search_20250305"}]},
                            "tools.0.TYPE"),
    "another cap": ({"Max_Tokens": 9000}, "Max_Tokens"),
    "code run by the provider": ({"tools": [{"name": "a", "input_schema": {}}, {"type": "code_execution_20250825"}]},
                                 "tools.1.type"),
    "another place": ({"inference_geo": "us"}, "inference_geo"),
    "servers of others": ({"mcp_servers": [{"url": "https://x.test"}]}, "mcp_servers"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_before_the_hold(case: str) -> None:
    fields, param = REFUSED[case]
    with pytest.raises(InvalidRequest) as refused:
        read(**fields)
    assert refused.value.param == param and param.split(".")[0] in refused.value.message


def test_a_thread_is_refused_as_its_clients_expect() -> None:
    with pytest.raises(InvalidRequest) as refused:
        read(thread={"type": "new"})
    status, _, body = messages.error(refused.value, "req_1")
    said = json.loads(body)["error"]
    assert (status, said["type"]) == (400, "invalid_request_error")
    assert said["details"] == {"error_code": "thread_unsupported_request"}
    assert read(thread=None).cap == 100


TOOLS_THAT_PASS = [
    {"name": "a", "input_schema": {}}, {"type": "custom", "name": "a", "input_schema": {}},
    {"type": "bash_20250124", "name": "bash"}, {"type": "text_editor_20250728", "name": "e"},
    {"type": "computer_20250124", "name": "c"},
]  # fmt: skip


@pytest.mark.parametrize("tool", TOOLS_THAT_PASS)
def test_tools_that_cost_tokens_alone_pass(tool: dict[str, Any]) -> None:
    assert rendered(tools=[tool])["tools"] == [tool]


def test_a_request_goes_up_as_it_came() -> None:
    odd = {"unknown": {"a": 1.50}, "metadata": {"user_id": "u"}, "stop_sequences": ["x"], "top_k": 5}
    up = rendered(Aim("up", 50, "max_tokens"), routing="cheapest", models=["b"], **odd)
    assert up == {**ASKED, "model": "up", "max_tokens": 50, **odd}
    raw = messages.render(read(unknown=1), Aim("up", 100, "max_tokens", drop=("unknown",)))
    assert b"unknown" not in raw


def test_what_nobody_can_price_does_not_go_up() -> None:
    up = rendered(service_tier="auto", speed="fast", fallbacks=[{"model": "dear"}])
    assert up.keys() == {"model", "max_tokens", "messages"}


THINKS = {"type": "enabled", "budget_tokens": 4000, "display": "omitted"}


@pytest.mark.parametrize(
    ("asked", "cap", "thinking"),
    [
        (8000, 8000, THINKS),
        (4000, 4000, THINKS),  # the caller's own mistake is the provider's to name
        (8000, 4000, {**THINKS, "budget_tokens": 3000}),
        (8000, 1024, None),
        (8000, 6000, THINKS),
    ],
)
def test_a_budget_stays_under_a_cap_of_ours(asked: int, cap: int, thinking: Any) -> None:
    assert rendered(Aim("up", cap, "max_tokens"), max_tokens=asked, thinking=THINKS).get("thinking") == thinking


def test_thoughts_that_we_marked_stay_here() -> None:
    said = [
        {"role": "user", "content": 'quote: "ft1."'},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "a", "signature": "ft1."}]},
        {"role": "user", "content": "b"},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "a", "signature": "real"},
            {"type": "redacted_thinking", "data": "ft1.rs1.xyz"},
            {"type": "text", "text": "c"}]},
        {"role": "user", "content": "d"},
    ]  # fmt: skip
    up = rendered(messages=said, thinking={"type": "adaptive"})
    assert [len(message["content"]) for message in up["messages"] if message["role"] == "assistant"] == [2]
    assert up["messages"][0] == said[0]
    assert "thinking" not in up  # the last turn lost one: it would be looked for
    kept = rendered(messages=said[:1] + said[2:3], thinking={"type": "adaptive"})
    assert "thinking" in kept


def test_thoughts_are_not_cleared_where_none_are_to_be_thought() -> None:
    said = [{"role": "user", "content": "a"}, {"role": "assistant", "content": [
        {"type": "thinking", "thinking": "a", "signature": "ft1."}, {"type": "text", "text": "b"}]}]  # fmt: skip
    clears, uses = {"type": "clear_thinking_20251015", "keep": "all"}, {"type": "clear_tool_uses_20250919"}
    thinks = {"type": "adaptive"}
    up = rendered(messages=said, thinking=thinks, context_management={"edits": [clears, uses]})
    assert up["context_management"] == {"edits": [uses]}
    up = rendered(messages=said, thinking=thinks, context_management={"edits": [clears]})
    assert "context_management" not in up
    up = rendered(messages=said[:1], thinking=thinks, context_management={"edits": [clears]})
    assert up["context_management"] == {"edits": [clears]}


# Usage


def told(*usages: Any) -> Meter:
    meter, usage = Meter(), messages.usage.Told()
    for said in usages:
        usage.take(said, meter)
    return meter


USAGES: dict[str, tuple[list[Any], Usage | None]] = {
    "start and end": ([{"input_tokens": 10, "output_tokens": 1}, {"output_tokens": 5}], Usage(input=10, output=5)),
    "caches stand outside": (
        [{"input_tokens": 10, "cache_read_input_tokens": 7, "cache_creation_input_tokens": 5, "output_tokens": 2}],
        Usage(input=10, cache_read=7, cache_write=5, output=2),
    ),
    "an hour apart": (
        [{"input_tokens": 1, "cache_creation_input_tokens": 9, "output_tokens": 2,
          "cache_creation": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 6}}],
        Usage(input=1, cache_write=3, cache_write_1h=6, output=2),
    ),
    "the split alone": (
        [{"input_tokens": 1, "output_tokens": 2,
          "cache_creation": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 6}}],
        Usage(input=1, cache_write=3, cache_write_1h=6, output=2),
    ),
    "an end that forgets the prompt": (
        [{"input_tokens": 10, "cache_read_input_tokens": 4, "output_tokens": 1},
         {"input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 9}],
        Usage(input=10, cache_read=4, output=9),
    ),
    "an end that knows it better": (
        [{"input_tokens": 0, "output_tokens": 0}, {"input_tokens": 12, "output_tokens": 3}], Usage(input=12, output=3),
    ),
    "an end that leaves the caches out": (
        [{"input_tokens": 3, "cache_read_input_tokens": 8, "output_tokens": 1},
         {"input_tokens": 3, "output_tokens": 4}],
        Usage(input=3, cache_read=8, output=4),
    ),
    "nulls": ([{"input_tokens": 3, "cache_read_input_tokens": None, "output_tokens": 4}], Usage(input=3, output=4)),
    "thinking": (
        [{"input_tokens": 3, "output_tokens": 9, "output_tokens_details": {"thinking_tokens": 5}}],
        Usage(input=3, output=9, reasoning=5),
    ),
    "several runs": (
        [{"input_tokens": 3, "output_tokens": 4, "iterations": [
            {"type": "compaction", "input_tokens": 100, "output_tokens": 20},
            {"type": "message", "input_tokens": 3, "output_tokens": 4}]}],
        Usage(input=103, output=24),
    ),
    "a text": (["12"], None),
    "less than nothing": ([{"input_tokens": -1, "output_tokens": 4}], None),
    "nothing": ([None], None),
}  # fmt: skip


@pytest.mark.parametrize("case", USAGES)
def test_usage(case: str) -> None:
    said, usage = USAGES[case]
    meter = told(*said)
    assert meter.reported == usage
    assert meter.malformed == (usage is None and said != [None])


# Streams


def event(said: dict[str, Any], name: str | None = "") -> bytes:
    head = b"" if name is None else f"event: {name or said['type']}\n".encode()
    return head + b"data: " + json.dumps(said).encode() + b"\n\n"


def start(**more: Any) -> bytes:
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [], "stop_reason": None,
               "stop_sequence": None, "usage": {"input_tokens": 10, "output_tokens": 1}}  # fmt: skip
    return event({"type": "message_start", "message": {**message, **more}})


def delta(index: int = 0, **piece: Any) -> bytes:
    return event({"type": "content_block_delta", "index": index, "delta": piece})


def begun(index: int = 0, **block: Any) -> bytes:
    return event({"type": "content_block_start", "index": index, "content_block": block})


PING = event({"type": "ping"})
TEXT = begun(type="text", text="")
HI, THERE = delta(type="text_delta", text="Hi"), delta(type="text_delta", text=" there")
CLOSED = event({"type": "content_block_stop", "index": 0})
END = event({"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None},
             "usage": {"output_tokens": 5}})  # fmt: skip
STOP = event({"type": "message_stop"})
ORDINARY = start() + PING + TEXT + HI + THERE + CLOSED + END
ERROR = event({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})


class Passed:
    def __init__(self, *pieces: bytes) -> None:
        self.meter = Meter()
        self.reader = messages.StreamReader(self.meter, show_usage=True)
        self.raw = b"".join([self.reader.feed(data) for data in pieces])

    @property
    def state(self) -> State:
        return self.reader.state


def test_an_ordinary_stream_passes_as_it_came() -> None:
    passed = Passed(ORDINARY + STOP)
    assert passed.raw == ORDINARY and passed.state is State.done
    assert passed.meter.reported == Usage(input=10, output=5)
    end = passed.reader.tail(Usage(), exact=True, cost=7, note="x-findtoken-cost=7")
    assert end == b': x-findtoken-cost=7\nevent: message_stop\ndata: {"type":"message_stop"}\n\n'
    assert passed.reader.tail(Usage(), exact=True, cost=None, note="").startswith(b"event: message_stop\n")


@pytest.mark.parametrize("crlf", [False, True])
def test_however_it_is_cut(crlf: bool) -> None:
    whole = start() + TEXT + HI + CLOSED + END
    if crlf:
        whole = whole.replace(b"\n", b"\r\n")
    for pieces in cuts(whole + STOP):
        passed = Passed(*pieces)
        assert (passed.raw, passed.state, passed.meter.counted()) == (whole, State.done, Passed(whole).meter.counted())


def test_whatever_ends_early_is_no_whole_answer() -> None:
    whole = ORDINARY + STOP
    first, finished = len(start() + PING + TEXT + HI), len(ORDINARY)
    for at in range(len(whole)):
        passed = Passed(whole[:at])
        passed.reader.end()
        if at < first - 2:  # an event may lack its blank line
            assert passed.state is State.failed, at
        elif at < finished - 2:
            assert passed.state is State.broken, at
        else:
            assert passed.state in WHOLE or b"data: {" in whole[finished:at], at


STATES: dict[str, tuple[bytes, State]] = {
    "nothing to want yet": (start() + PING + TEXT, State.pending),
    "an empty piece": (start() + TEXT + delta(type="text_delta", text=""), State.pending),
    "text": (start() + TEXT + HI, State.content),
    "a text in its block's beginning": (start() + begun(type="text", text="Hi"), State.content),
    "thinking": (start() + begun(type="thinking", thinking="") + delta(type="thinking_delta", thinking="hm"),
                 State.content),
    "sealed thinking": (start() + begun(type="redacted_thinking", data="xx"), State.content),
    "a seal": (start() + begun(type="thinking", thinking="") + delta(type="signature_delta", signature="s"),
               State.content),
    "a call": (start() + begun(type="tool_use", id="t", name="f", input={}), State.content),
    "a piece of its input": (start() + delta(type="input_json_delta", partial_json="{"), State.content),
    "a block that nobody knows": (start() + begun(type="novelty", x=1), State.content),
    "an event that nobody knows": (start() + event({"type": "novelty"}), State.pending),
    "an end without content": (start() + END, State.finished),
    "an error first": (start() + ERROR, State.failed),
    "an error in the midst": (start() + TEXT + HI + ERROR, State.broken),
    "an error behind the end": (ORDINARY + ERROR, State.broken),
    "an error without a name": (start() + TEXT + HI + event({"type": "error", "error": {"message": "x"}}, None),
                                State.broken),
    "an end marker too early": (start() + TEXT + HI + STOP, State.broken),
    "an end marker at once": (start() + STOP, State.failed),
    "OpenAI's end marker": (ORDINARY + b"data: [DONE]\n\n", State.done),
    "half an event": (start() + TEXT + HI + b'event: x\ndata: {"type":\n\n', State.broken),
    "an error object": (b'data: {"error": {"message": "no"}}\n\n', State.failed),
}  # fmt: skip


@pytest.mark.parametrize("case", STATES)
def test_states(case: str) -> None:
    data, state = STATES[case]
    assert Passed(data).state is state


def test_an_event_without_a_name_gets_it() -> None:
    bare = event({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a"}}, None)
    assert Passed(start(), bare).raw == start() + b"event: content_block_delta\n" + bare


def test_an_error_says_what_it_is() -> None:
    complaint = Passed(start() + ERROR).reader.complaint
    assert complaint is not None and (complaint.kind, complaint.status) == ("overloaded_error", 529)


def test_what_is_measured() -> None:
    passed = Passed(start() + begun(type="tool_use", id="t", name="look", input={})
                    + delta(type="input_json_delta", partial_json='{"a": "some words"}'))  # fmt: skip
    assert passed.meter.output() >= 4 and passed.state in BEGUN


@pytest.mark.parametrize("end", [{}, {"output_tokens": None}, None, {"output_tokens": -1}, "x"])
def test_output_that_only_the_start_told_is_not_believed(end: Any) -> None:
    stop = event({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": end})
    passed = Passed(start() + TEXT + delta(type="text_delta", text="some words " * 50) + stop + STOP)
    assert passed.state is State.done and passed.meter.content_seen
    assert not (passed.meter.reported or Usage()).output and passed.meter.output() >= 50


@pytest.mark.parametrize("kind", [None, 1, {"a": 1}, ["text"]])
def test_a_block_of_no_kind_is_content(kind: Any) -> None:
    passed, meter = Passed(start() + begun(type=kind, text="some words")), Meter()
    assert passed.state in BEGUN and passed.meter.output() >= 2
    messages.read_answer(
        json.dumps({**WHOLE_ANSWER, "content": [{"type": kind, "text": "some words"}]}).encode(), meter
    )
    assert meter.content_seen and meter.output() >= 2


# Whole answers, and what is put together or taken apart

WHOLE_ANSWER = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "m",
    "content": [
        {"type": "thinking", "thinking": "hm", "signature": "sig"},
        {"type": "redacted_thinking", "data": "xx"},
        {"type": "text", "text": "Hé 😀"},
        {"type": "tool_use", "id": "t1", "name": "look", "input": {"a": [1, "x"]}},
        {"type": "tool_use", "id": "t2", "name": "wait", "input": {}},
    ],
    "stop_reason": "tool_use", "stop_sequence": None, "usage": {"input_tokens": 10, "output_tokens": 5},
}  # fmt: skip


def test_a_whole_answer_and_its_stream_are_the_same() -> None:
    body = json.dumps(WHOLE_ANSWER).encode()
    stream = messages.stream_of(body)
    passed = Passed(stream)
    meter = Meter()
    messages.read_answer(body, meter)
    assert passed.state is State.done
    assert meter.reported == passed.meter.reported == Usage(input=10, output=5)
    assert json.loads(messages.whole_of(stream)) == WHOLE_ANSWER
    assert list(messages.events_of(body)) == [
        said for one in stream.split(b"\n\n") if one for said in READ(one.split(b"data: ")[1])
    ]


READ = messages.Events().read


@pytest.mark.parametrize("closed", [True, False])
def test_a_call_whose_input_never_comes_has_an_empty_one(closed: bool) -> None:
    read = messages.Events().read
    stream = [start(), begun(type="tool_use", id="t", name="f", input={}), *([CLOSED] if closed else []), END]
    said = [one for data in stream for one in read(data.split(b"data: ")[1])]
    assert said == [Began("m"), CallBegan(0, "t", "f"), CallPart(0, "{}"), Finished("calls")]


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"no", b"{}", b'{"type": "error", "error": {"type": "api_error", "message": "x"}}',
        b'{"error": "broken"}', b'{"content": "text"}', b'{"type": "message", "content": []}',
        b'{"code": "Arrears", "message": "pay"}', b'{"base_resp": {"status_code": 1008, "status_msg": "x"}}',
    ],
)  # fmt: skip
def test_what_is_no_answer(body: bytes) -> None:
    with pytest.raises(NotAnAnswer):
        messages.read_answer(body, Meter())
    with pytest.raises(NotAnAnswer):
        messages.stream_of(body)


def test_an_answer_of_nothing_is_one() -> None:
    meter = Meter()
    messages.read_answer(b'{"type": "message", "content": [], "stop_reason": "end_turn"}', meter)
    assert not meter.content_seen


@pytest.mark.parametrize("cut", [start() + TEXT + HI, start() + ERROR, b"", ORDINARY[:-40]])
def test_a_stream_that_is_not_whole_is_no_whole_answer(cut: bytes) -> None:
    with pytest.raises(NotAnAnswer):
        messages.whole_of(cut)


# Errors


def refused(kind: type[GateError], **more: Any) -> GateError:
    error = kind("words", code=more.pop("code", None))
    for name, value in more.items():
        setattr(error, name, value)
    return error


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (refused(InvalidRequest), 400, "invalid_request_error"),
        (refused(InvalidRequest, code="model_not_found"), 404, "not_found_error"),
        (refused(PaymentRequired), 402, "billing_error"),
        (refused(BodyTooLarge), 413, "request_too_large"),
        (refused(RateLimited), 429, "rate_limit_error"),
        (refused(ProviderError), 502, "api_error"),
        (refused(NoHealthyProvider), 503, "api_error"),
        (refused(NoHealthyProvider, overloaded=True), 529, "overloaded_error"),
        (refused(ProviderTimeout), 504, "timeout_error"),
        (refused(InternalError), 500, "api_error"),
    ],
)
def test_errors(error: GateError, status: int, kind: str) -> None:
    found, headers, body = messages.error(error, "req_9")
    said = json.loads(body)
    assert found == status
    assert said == {"type": "error", "error": {"type": kind, "message": "words"}, "request_id": "req_9"}
    assert dict(headers)[b"request-id"] == b"req_9"
    shown = messages.error_event(error, "req_9", "note")
    assert shown == b": note\nevent: error\ndata: " + body + b"\n\n"


def test_a_prompt_that_is_too_long_is_called_so() -> None:
    error = InvalidRequest("it has 9 tokens", code="context_length_exceeded")
    said = json.loads(messages.error(error, "r")[2])["error"]["message"]
    assert said == "prompt is too long: it has 9 tokens"
    error = InvalidRequest("Prompt is too long: 9 > 8", code="context_length_exceeded")
    assert json.loads(messages.error(error, "r")[2])["error"]["message"] == error.message


def test_details_pass() -> None:
    error = InvalidRequest("no")
    error.details = b'{"a":1}'
    assert json.loads(messages.error(error, "r")[2])["error"]["details"] == {"a": 1}
    assert messages.read_error(messages.error(error, "r")[2]).details == b'{"a":1}'
    assert msgspec.json.decode(messages.error(error, "r")[2])["error"]["type"] == "invalid_request_error"
