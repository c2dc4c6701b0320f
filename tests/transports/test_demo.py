"""The demo provider: its markers, always the same words, caps and usage, and its way through the gate."""

import json
from typing import Any

import pytest
import trio

from ftgate.core.routing import Reach
from ftgate.errors import Fault, UpstreamFailed
from ftgate.ports import Answer, Sending, UpstreamRequest
from ftgate.transports import demo
from ftgate.transports.choice import Transports
from ftgate.transports.demo import DemoUpstream
from tests.fakes.ports import Stage, channel
from tests.line.transcript import DONE, ask

TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {}}}]


async def opened(text: Any = "Hi", **fields: Any) -> tuple[Answer, bytes]:
    """The answer, read to its end."""
    body = {
        "model": "m-upstream",
        "messages": [{"role": "system", "content": "Be brief"}, {"role": "user", "content": text}],
        **fields,
    }
    sending = Sending()
    answer = await DemoUpstream().open(
        UpstreamRequest("demo", "http://demo", (), json.dumps(body).encode(), 1.0), sending
    )
    assert sending.sent
    said = b""
    while piece := await answer.receive():
        said += piece
    await answer.aclose()
    return answer, said


async def plain(text: Any = "Hi", **fields: Any) -> dict[str, Any]:
    answer, said = await opened(text, **fields)
    assert answer.status == 200 and answer.headers == [(b"content-type", b"application/json")]
    found: dict[str, Any] = json.loads(said)
    return found


async def stream(text: Any = "Hi", **fields: Any) -> list[dict[str, Any]]:
    answer, said = await opened(text, stream=True, **fields)
    assert answer.status == 200 and answer.headers == [(b"content-type", b"text/event-stream")]
    *events, done, rest = said.split(b"\n\n")
    assert done + b"\n\n" == DONE and rest == b""
    return [json.loads(event.removeprefix(b"data: ")) for event in events]


@pytest.fixture(autouse=True)
def _quick(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """No pauses, where the clock is the real one."""
    if "autojump_clock" not in request.fixturenames:
        monkeypatch.setattr(demo, "PIECE_S", 0)


async def test_a_plain_answer() -> None:
    found = await plain()
    assert found["model"] == "m-upstream" and found["object"] == "chat.completion"
    (choice,) = found["choices"]
    assert choice["message"] == {"role": "assistant", "content": "Hello from ftgate's demo provider. You said: Hi"}
    assert choice["finish_reason"] == "stop"
    usage = found["usage"]
    assert usage["completion_tokens"] == 8 and usage["prompt_tokens"] > 0
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


async def test_a_stream_says_what_the_plain_answer_says() -> None:
    found, events = await plain("a  b\n[x] ä"), await stream("a  b\n[x] ä", stream_options={"include_usage": True})
    deltas = [event["choices"][0] for event in events[:-1]]
    assert deltas[0]["delta"] == {"role": "assistant", "content": ""}
    assert "".join(one["delta"].get("content", "") for one in deltas) == found["choices"][0]["message"]["content"]
    assert [one["finish_reason"] for one in deltas] == [None] * (len(deltas) - 1) + ["stop"]
    assert events[-1]["choices"] == [] and events[-1]["usage"] == found["usage"]
    assert {(event["id"], event["created"], event["model"], event["object"]) for event in events} == {
        ("chatcmpl-demo", 1_767_225_600, "m-upstream", "chat.completion.chunk")
    }


async def test_usage_is_streamed_only_when_asked() -> None:
    for fields in ({}, {"stream_options": {"include_usage": False}}):
        events = await stream(**fields)
        assert events and all(event["choices"] for event in events)


async def test_the_same_request_gets_the_same_bytes() -> None:
    for fields in ({}, {"stream": True}, {"stream": True, "stream_options": {"include_usage": True}}):
        assert (await opened("Hi [long]", **fields))[1] == (await opened("Hi [long]", **fields))[1]


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize(
    ("cap", "words", "finish"), [(1, 1, "length"), (3, 3, "length"), (7, 7, "length"), (8, 8, "stop"), (99, 8, "stop")]
)
async def test_a_cap_binds(field: str, cap: int, words: int, finish: str) -> None:
    found = await plain(**{field: cap})
    assert found["usage"]["completion_tokens"] == words and found["choices"][0]["finish_reason"] == finish
    assert len(found["choices"][0]["message"]["content"].split()) == words
    events = await stream(**{field: cap})
    assert sum(bool(event["choices"][0]["delta"].get("content")) for event in events) == words
    assert events[-1]["choices"][0]["finish_reason"] == finish


async def test_long() -> None:
    found = await plain("[long]")
    assert found["usage"]["completion_tokens"] > 200 and "[long]" not in found["choices"][0]["message"]["content"]


@pytest.mark.parametrize(
    "tools",
    [
        ["x"],
        [None],
        [5],
        [[]],
        [{}],
        [{"function": "f"}],
        [{"function": None}],
        [{"function": {"name": 5}}],
        "x",
        {},
        [""],
    ],
)
@pytest.mark.parametrize("way", [plain, stream])
async def test_tools_that_are_none(way: Any, tools: Any) -> None:
    """A caller's odd tools are not the demo's end."""
    assert await way("[tool]", tools=tools)


async def test_a_request_that_cannot_be_read() -> None:
    for body in (b'{"messages": [{"content": "x"}], "n": ' + b"1" * 5000 + b"}", b"[" * 100_000):
        request = UpstreamRequest("demo", "http://demo.invalid/chat/completions", (), body, 5.0)
        answer = await DemoUpstream().open(request)
        assert answer.status == 400 and b"cannot read" in await answer.receive()


async def test_tool() -> None:
    found = await plain("[tool]", tools=TOOLS)
    (choice,) = found["choices"]
    call = {"id": "call_demo", "type": "function", "function": {"name": "weather", "arguments": '{"demo": true}'}}
    assert choice == {
        "index": 0,
        "message": {"role": "assistant", "content": None, "tool_calls": [call]},
        "finish_reason": "tool_calls",
    }
    events = await stream("[tool]", tools=TOOLS)
    assert [event["choices"][0]["delta"].get("tool_calls") for event in events] == [None, [{"index": 0, **call}], None]
    assert (await plain("[tool]"))["choices"][0]["finish_reason"] == "stop"  # without tools it talks
    assert (await plain("Hi", tools=TOOLS))["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize(("marker", "status"), [("[error]", 500), ("[limit]", 429)])
@pytest.mark.parametrize("streamed", [False, True])
async def test_errors(marker: str, status: int, streamed: bool) -> None:
    answer, said = await opened(f"now {marker}", stream=streamed)
    assert answer.status == status and set(json.loads(said)["error"]) == {"message", "type", "code"}


async def test_slow(autojump_clock: trio.abc.Clock) -> None:
    started = trio.current_time()
    await stream("Hi")
    assert trio.current_time() - started < 1
    started = trio.current_time()
    events = await stream("[slow]")
    assert trio.current_time() - started > 0.5 * len(events)


async def test_cut() -> None:
    with pytest.raises(UpstreamFailed) as caught:
        await stream("[cut]")
    assert caught.value.fault is Fault.incomplete and caught.value.sent


async def test_parts_and_odd_contents() -> None:
    parts = [
        {"type": "text", "text": "two "},
        {"type": "image_url", "image_url": {"url": "data:"}},
        {"type": "text", "text": "parts"},
    ]
    assert (await plain(parts))["choices"][0]["message"]["content"].endswith("You said: two  parts")
    for odd in (None, [], [7, None], ""):
        assert (await plain(odd))["choices"][0]["message"]["content"].endswith("You said: ")
    more = await plain("word " * 300)
    assert more["usage"]["prompt_tokens"] > (await plain("word"))["usage"]["prompt_tokens"] + 200


# Through the gate


class Demo(DemoUpstream):
    """With the count that Stage looks at."""

    requests: list[Any]
    open_answers = 0


def stage(**fields: Any) -> Stage:
    return Stage(Demo(), **fields)  # type: ignore[arg-type]


async def test_a_call_is_charged_for_what_the_demo_says_it_used() -> None:
    for streamed in (False, True):
        here = stage()
        client = await here.relay(ask(stream=streamed))
        assert client.status == 200 and client.ended and b"demo" in client.body
        (row,) = here.log.rows
        assert (row.status, row.completion_tokens, row.estimated, row.stream) == ("ok", 8, False, streamed)
        assert row.cost == row.prompt_tokens * 1_000_000 + 8 * 2_000_000
        assert row.cost == here.credits - here.books.accounts[1].posted


@pytest.mark.parametrize(
    ("marker", "streamed", "status", "row_status"),
    [
        ("[error]", False, 502, "error"),
        ("[limit]", True, 503, "error"),
        ("[cut]", True, 200, "error"),
        ("[long]", True, 200, "ok"),
    ],
)
async def test_markers_through_the_gate(
    marker: str, streamed: bool, status: int, row_status: str, autojump_clock: trio.abc.Clock
) -> None:
    here = stage()
    client = await here.relay(ask(stream=streamed, messages=[{"role": "user", "content": marker}]))
    (row,) = here.log.rows
    assert client.status == status and row.status == row_status
    if marker == "[cut]":
        assert row.cost > 0 and row.estimated and DONE not in client.body and b"error" in client.body
    elif row_status == "error":
        assert row.cost == 0


async def test_each_channel_goes_its_own_way() -> None:
    channels = [
        channel("demo", provider="demo", reach=Reach(built_in=True)), channel("lab"),
        channel("by proxy", reach=Reach(proxy="http://127.0.0.1:9")), channel("two", reach=Reach(http2=True)),
    ]  # fmt: skip
    for direct in (True, False):
        ways = Transports(direct=direct)
        by_channel = {channel.name: ways.for_reach(channel.reach) for channel in channels}
        straight = ways.direct if direct else ways.sturdy
        assert isinstance(by_channel.pop("demo"), DemoUpstream)
        assert by_channel == {"lab": straight, "by proxy": ways.sturdy, "two": ways.sturdy}
        await ways.aclose_all()
