"""Odd answers of upstreams, as transcripts: what the client gets, who is tried, what is charged. Most are from public
bug reports; what is said inside one event or one body stands in tests/dialects."""

import gzip
import json
import zlib
from typing import Any

import pytest
import trio
import trio.testing

from ftgate.core.money import format_usd, parse_price
from ftgate.core.retrying import Retry
from ftgate.line.meaning import MAX_ERROR_BYTES, _inflated
from tests.fakes.ports import RecordingClient, ScriptedUpstream, Stage, channel, model
from tests.line.test_line import error_of
from tests.line.transcript import DONE, PLAIN, STREAM, answer, ask, chat, delta, status, usage

Clock = trio.testing.MockClock
IN, OUT = parse_price("1"), parse_price("2")
ONCE = Retry(attempts=1)


def kind(value: bytes | None, code: int = 200) -> tuple[int, list[tuple[bytes, bytes]]]:
    return code, [] if value is None else [(b"content-type", value)]


def event(**fields: Any) -> bytes:
    return b"data: " + json.dumps(fields).encode() + b"\n\n"


def two(*scripts: list[Any], **changes: Any) -> Stage:
    return Stage(ScriptedUpstream(*scripts), channel("one"), channel("two"), **changes)


async def relay(stage: Stage, *, stream: bool, **fields: Any) -> RecordingClient:
    return await stage.relay(ask(stream=stream, **fields))


# ---- a sound answer is an answer ----


@pytest.mark.parametrize("code", [200, 201, 202, 206, 299])
@pytest.mark.parametrize("stream", [False, True])
async def test_any_2xx_with_an_answer_is_one(stream: bool, code: int, autojump_clock: Clock) -> None:
    body = chat("a")[1:] if stream else [answer()]
    stage = Stage(ScriptedUpstream([(code, STREAM[1] if stream else PLAIN[1]), *body]))
    client = await relay(stage, stream=stream)
    assert client.status == 200 and stage.log.rows[0].status == "ok"
    assert client.body.endswith(DONE) if stream else client.body == answer()


@pytest.mark.parametrize("code", [204, 205, 200])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_2xx_without_a_body_is_a_failed_attempt(stream: bool, code: int, autojump_clock: Clock) -> None:
    stage = two([(code, [])], chat("a") if stream else [PLAIN, answer()])
    client = await relay(stage, stream=stream)
    assert client.status == 200 and client.headers["x-findtoken-attempts"] == "2"


NAMES = [
    b"application/json",
    b"text/plain",
    b"application/octet-stream",
    b"Text/Event-Stream; Charset=UTF-8",
    b"x",
    None,
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "first", [b"", b": hi\n\n", b"event: x\n", b"id: 1\n", b"\xef\xbb\xbf", b"\n\n", b"retry: 5\n\n"]
)
async def test_a_stream_is_one_whatever_it_calls_itself(name: bytes, first: bytes, autojump_clock: Clock) -> None:
    said = first + b"".join(chat("a")[1:])
    for pieces in ([said], [said[:1], said[1:3], said[3:]]):
        stage = Stage(ScriptedUpstream([kind(name), *pieces]))
        client = await relay(stage, stream=True)
        assert client.status == 200 and client.body.endswith(DONE) and b'"a"' in client.body
        assert stage.log.rows[0].cost == 10 * IN + OUT


@pytest.mark.parametrize("first", [b"x-unknown: 1\n\n", b"\n" * 5000, b"hello\n\n"])
@pytest.mark.parametrize("name", [b"text/event-stream", b"Text/Event-Stream; Charset=UTF-8", None])
async def test_where_the_first_bytes_do_not_tell_its_name_does(
    name: bytes, first: bytes, autojump_clock: Clock
) -> None:
    stage = Stage(ScriptedUpstream([kind(name), first, *chat("a")[1:]]))
    client = await relay(stage, stream=True)
    assert client.status == 200 and client.body.startswith(delta("")) and client.body.endswith(DONE)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("indent", [None, 2])
async def test_a_whole_answer_to_a_streamed_call(name: bytes, indent: int | None, autojump_clock: Clock) -> None:
    body = json.dumps(json.loads(answer("Hi")), indent=indent).encode()
    for pieces in ([body], [body[:1], body[1:]], [b"\n \n", body]):
        stage = Stage(ScriptedUpstream([kind(name), *pieces]))
        client = await relay(stage, stream=True)
        (first, last) = client.body.split(b"\n\n")[:2]
        assert json.loads(first.removeprefix(b"data: "))["choices"][0]["delta"]["content"] == "Hi"
        assert last.startswith(b": x-findtoken-cost=") and last.endswith(b"\ndata: [DONE]")
        assert (stage.log.rows[0].cost, stage.log.rows[0].estimated) == (10 * IN + 2 * OUT, False)


@pytest.mark.parametrize("name", [STREAM[1][0][1], b"application/json", None])
async def test_a_stream_to_a_call_that_asked_for_none(name: bytes, autojump_clock: Clock) -> None:
    """It is put together: what the provider delivers and bills, its client gets."""
    for pieces in (chat("a", "b")[1:], [b"".join(chat("a", "b")[1:])]):
        stage = Stage(ScriptedUpstream([kind(name), *pieces]))
        client = await relay(stage, stream=False)
        said = json.loads(client.body)
        assert client.status == 200 and client.headers["content-type"] == "application/json"
        assert said["choices"][0] == {"index": 0, "message": {"content": "ab"}, "finish_reason": "stop"}
        assert said["usage"] == {"prompt_tokens": 10, "completion_tokens": 2}
        assert (stage.log.rows[0].cost, stage.log.rows[0].estimated) == (10 * IN + 2 * OUT, False)


async def test_one_that_broke_off_is_a_failed_attempt(autojump_clock: Clock) -> None:
    stage = two([STREAM, delta("a"), DONE], [PLAIN, answer()])
    client = await relay(stage, stream=False)
    assert client.status == 200 and client.headers["x-findtoken-attempts"] == "2"


@pytest.mark.parametrize("stream", [False, True])
async def test_an_empty_error_beside_an_answer_is_none(stream: bool, autojump_clock: Clock) -> None:
    none = {"message": "", "code": None}
    script = [STREAM, delta("a", error=none), delta(finish="stop"), DONE] if stream else [PLAIN, answer(error=none)]
    client = await relay(Stage(ScriptedUpstream(script)), stream=stream)
    assert client.status == 200 and (client.body.endswith(DONE) or not stream)


# ---- an upstream's refusal keeps its status and reason ----

LONG = "This model's maximum context length is 8 tokens"


def inside(stream: bool, **error: Any) -> list[Any]:
    return [STREAM, event(error=error)] if stream else [PLAIN, json.dumps({"error": error}).encode()]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"code": 400, "message": LONG}, (400, "context_length_exceeded")),
        ({"message": LONG}, (400, "context_length_exceeded")),
        ({"code": 400, "message": "no such tool", "param": "tools"}, (400, "400")),
        ({"type": "invalid_request_error", "message": "no such tool", "code": "bad_tool"}, (400, "bad_tool")),
        ({"code": 422, "message": "no"}, (422, "422")),
        ({"code": 429, "message": "slow down"}, (503, "no_healthy_provider")),
        ({"code": 500, "message": "died"}, (502, "provider_error")),
        ({"code": 401, "message": "bad key"}, (502, "provider_error")),
        ({"message": "just words"}, (502, "provider_error")),
    ],
)
async def test_an_error_inside_a_200_counts_as_its_own_status(
    error: dict[str, Any], expected: tuple[int, str], stream: bool, autojump_clock: Clock
) -> None:
    stage = Stage(ScriptedUpstream(inside(stream, **error)), retry=ONCE)
    client = await relay(stage, stream=stream)
    assert (client.status, error_of(client)["code"]) == expected
    assert stage.log.rows[0].cost == 0
    if expected[0] in {400, 422}:
        assert error_of(client)["message"] == error["message"]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_refusal_inside_a_200_is_not_tried_elsewhere_and_an_overload_is(
    stream: bool, autojump_clock: Clock
) -> None:
    good = chat("a") if stream else [PLAIN, answer()]
    stage = two(inside(stream, code=400, message="no such tool"), good)
    assert (await relay(stage, stream=stream)).status == 400 and len(stage.upstream.requests) == 1
    stage = two(inside(stream, code=503, message="busy"), good)
    assert (await relay(stage, stream=stream)).status == 200 and len(stage.upstream.requests) == 2


WORDS = {
    "llama.cpp": {"code": 400, "message": "the request exceeds the available context size, try increasing it",
                  "type": "exceed_context_size_error", "n_prompt_tokens": 1407, "n_ctx": 256},
    "sglang": {"code": 400, "message": "Input length (1602 tokens) exceeds the maximum allowed length (598 tokens)."},
    "moonshot": {"message": "Invalid request: Your request exceeded model token limit: 262144", "type":
                 "invalid_request_error"},
    "dashscope": {"code": "invalid_parameter_error", "message": "Range of input length should be [1, 204800]"},
    "gemini": {"code": 400, "message": "The input token count (284) exceeds the maximum number of tokens allowed (10).",
               "status": "INVALID_ARGUMENT"},
    "ark": {"code": "InvalidParameter", "message": "Input length 203743 exceeds the maximum length 202752"},
}  # fmt: skip


@pytest.mark.parametrize("server", WORDS)
@pytest.mark.parametrize("way", ["400", "inside a 200", "first event", "gzip"])
async def test_too_long_in_every_servers_words(server: str, way: str, autojump_clock: Clock) -> None:
    """The longer fallback is tried; alone, the caller is told in the one code that clients shorten their prompts on."""
    error = {"error": WORDS[server]}
    body = json.dumps([error] if server == "gemini" else error).encode()
    script: list[Any] = {
        "400": [kind(b"application/json", 400), body],
        "inside a 200": [PLAIN, body],
        "first event": [STREAM, b"data: " + body + b"\n\n"],
        "gzip": [(400, [(b"content-encoding", b"gzip")]), gzip.compress(body)],
    }[way]
    stream = way == "first event"
    client = await relay(Stage(ScriptedUpstream(list(script))), stream=stream)
    assert (client.status, error_of(client)["code"]) == (400, "context_length_exceeded")
    assert error_of(client)["message"] == WORDS[server]["message"]
    ways = channel("one", model("m", context=1000)), channel("two", model("n", context=100_000))
    good = chat("a") if stream else [PLAIN, answer()]
    stage = Stage(ScriptedUpstream(script, good), *ways, fallback={"m": ("n",)})
    client = await relay(stage, stream=stream)
    assert (client.status, client.headers["x-findtoken-model"]) == (200, "n")


@pytest.mark.parametrize(
    ("coding", "squeeze"),
    [
        (b"gzip", gzip.compress),
        (b"X-GZip", gzip.compress),
        (b"deflate", zlib.compress),
        (b"deflate", lambda data: zlib.compress(data, wbits=-15)),
        (b"identity", bytes),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_refusal_may_come_compressed(coding: bytes, squeeze: Any, stream: bool, autojump_clock: Clock) -> None:
    body = b'{"error":{"message":"no such tool","code":"bad_tool"}}'
    stage = Stage(ScriptedUpstream([(422, [(b"content-encoding", coding)]), squeeze(body)]))
    client = await relay(stage, stream=stream)
    assert (client.status, error_of(client)["message"], error_of(client)["code"]) == (422, "no such tool", "bad_tool")


@pytest.mark.parametrize(
    ("coding", "body"),
    [(b"br", b"\x8b\x02\x80"), (b"gzip", b"no gzip"), (b"gzip", gzip.compress(b"x" * 10**8)), (b"gzip", b"")],
    ids=["a coding we do not read", "no gzip", "a bomb", "nothing"],
)
async def test_a_refusal_whose_words_cannot_be_read_keeps_its_status(
    coding: bytes, body: bytes, autojump_clock: Clock
) -> None:
    stage = Stage(ScriptedUpstream([(422, [(b"content-encoding", coding)]), body]))
    client = await relay(stage, stream=False)
    assert client.status == 422 and len(client.body) < 1000


@pytest.mark.parametrize(
    ("headers", "waited"),
    [
        ({"retry_after": "Thu, 01 Jan 1970 00:00:07 GMT"}, 7),  # by our clock, which begins at 0 here
        ({"retry_after": "Sun, 06 Nov 1994 08:49:37 GMT", "date": "Sun, 06 Nov 1994 08:49:30 GMT"}, 7),
        ({"retry_after": "Sunday, 06-Nov-94 08:49:37 GMT", "date": "nonsense"}, None),  # years from our clock
        ({"retry_after": "Sun, 06 Nov 1994 08:49:37 GMT", "date": "Sun, 06 Nov 1994 08:49:40 GMT"}, 1),  # over
        ({"retry_after": "Mon, 07 Nov 1994 08:49:38 GMT", "date": "Sun, 06 Nov 1994 08:49:37 GMT"}, None),
        ({"retry_after": "Sun, 06 Nov 1994 09:49:37 GMT", "date": "Sun, 06 Nov 1994 08:49:37 GMT"}, "3600"),
        ({"retry_after": "soon"}, None),
        ({"retry_after_ms": "2500"}, 2.5),
        ({"retry_after_ms": "2500", "retry_after": "3"}, 2.5),  # the same, rounded
        ({"retry_after_ms": "-1", "retry_after": "3"}, 3),
    ],
)
async def test_a_date_in_retry_after(headers: dict[str, str], waited: Any, autojump_clock: Clock) -> None:
    """Within a day it is understood; waited for where that is short, and told to the caller where it is not."""
    stage = Stage(ScriptedUpstream([*status(429, **headers)], [PLAIN, answer()]))
    client = await relay(stage, stream=False)
    if isinstance(waited, (int, float)):
        assert client.status == 200 and trio.current_time() == pytest.approx(waited, abs=0.01)
    else:
        assert client.status == 503 and client.headers["retry-after"] == (waited or "1")


DELAYS = [('"7s"', 7), ('"2.5s"', 2.5), ('"34.074824224s"', "35"), ('"-1s"', None), ('"soon"', None), ("7", None)]


@pytest.mark.parametrize(("delay", "waited"), DELAYS)
@pytest.mark.parametrize("code", [429, 200])
async def test_a_time_to_wait_beside_the_words(delay: str, waited: Any, code: int, autojump_clock: Clock) -> None:
    """As Google's errors have it, which come without a header."""
    body = (
        b'[{"error": {"code": 429, "message": "Quota exceeded", "status": "RESOURCE_EXHAUSTED", "details": ['
        b'{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": %b}]}}]' % delay.encode()
    )
    stage = Stage(ScriptedUpstream([(code, [(b"content-type", b"application/json")]), body], [PLAIN, answer()]))
    client = await relay(stage, stream=False)
    if isinstance(waited, (int, float)):
        assert client.status == 200 and trio.current_time() == pytest.approx(waited, abs=0.01)
    else:
        assert client.status == 503 and client.headers["retry-after"] == (waited or "1")


def test_a_bomb_is_not_blown_up() -> None:
    bomb = gzip.compress(b"x" * 50_000_000)
    assert len(_inflated(bomb, [(b"content-encoding", b"gzip")])) == MAX_ERROR_BYTES


# ---- finish_reason has values of its own ----


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_that_broke_off_at_the_provider_is_a_failed_attempt(
    stream: bool, autojump_clock: Clock
) -> None:
    choice = {"index": 0, "finish_reason": "error", "error": {"code": 502, "message": "Upstream died"}}
    if stream:
        bad = [STREAM, delta(""), event(choices=[{**choice, "delta": {"content": ""}}]), DONE]
    else:
        bad = [PLAIN, json.dumps({"choices": [{**choice, "message": {"content": None}}]}).encode()]
    stage = two(bad, chat("a") if stream else [PLAIN, answer()])
    client = await relay(stage, stream=stream)
    assert client.status == 200 and client.headers["x-findtoken-attempts"] == "2"
    assert stage.log.rows[0].status == "ok"


async def test_one_that_broke_off_after_content_ends_in_an_error(autojump_clock: Clock) -> None:
    stage = two([STREAM, delta("Hello"), delta(finish="error"), usage(10, 1), DONE])
    client = await relay(stage, stream=True)
    assert b"Hello" in client.body and b"[DONE]" not in client.body and b"provider_error" in client.body
    row = stage.log.rows[0]
    assert (row.status, row.estimated) == ("error", True) and row.cost > 0


@pytest.mark.parametrize("finish", ["null", "", "None"])
async def test_a_finish_that_says_nothing_is_no_end(finish: str, autojump_clock: Clock) -> None:
    client = await relay(two([STREAM, delta("Hello", finish=finish), DONE]), stream=True)
    assert b"[DONE]" not in client.body and b"provider_error" in client.body
    stage = two([STREAM, delta("", finish=finish), DONE], chat("a"))
    assert (await relay(stage, stream=True)).headers["x-findtoken-attempts"] == "2"


# ---- usage ----


@pytest.mark.parametrize("stream", [False, True])
async def test_zeros_without_content_are_believed(stream: bool, autojump_clock: Clock) -> None:
    zeros = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    if stream:
        script = [STREAM, delta("", finish="content_filter"), event(choices=[], usage=zeros), DONE]
    else:
        choice = {"index": 0, "message": {"role": "assistant", "content": None}, "finish_reason": "content_filter"}
        script = [PLAIN, json.dumps({"choices": [choice], "usage": zeros}).encode()]
    stage = Stage(ScriptedUpstream(script))
    client = await relay(stage, stream=stream, messages=[{"role": "user", "content": "word " * 2000}])
    row = stage.log.rows[0]
    assert client.status == 200 and (row.status, row.cost, row.prompt_tokens, row.estimated) == ("ok", 0, 0, False)
    assert [entry.kind for entry in stage.log.entries[1:]] in (["hold", "post"], ["hold", "void"])


async def test_zeros_are_not_believed_beside_content_or_before_an_end(autojump_clock: Clock) -> None:
    zeros = {"prompt_tokens": 0, "completion_tokens": 0}
    stage = Stage(ScriptedUpstream([PLAIN, answer("Hello there", usage=zeros)]))
    await relay(stage, stream=False)
    assert stage.log.rows[0].estimated and stage.log.rows[0].cost > 0
    stage = Stage(ScriptedUpstream([STREAM, delta("", usage=zeros), ("wait", 50)]))
    call, client = stage.call(ask(stream=True)), RecordingClient()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.gate.relay, call, client)
        await trio.sleep(1)
        call.client_gone()
    assert stage.log.rows[0].cost == stage.log.rows[0].prompt_tokens * IN > 0


@pytest.mark.parametrize("later", [{}, {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, None])
async def test_an_empty_usage_replaces_nothing(later: Any, autojump_clock: Clock) -> None:
    stage = Stage(ScriptedUpstream([*chat("a")[:-1], event(id="c1", choices=[], usage=later), DONE]))
    client = await relay(stage, stream=True, stream_options={"include_usage": True})
    row = stage.log.rows[0]
    assert (row.prompt_tokens, row.completion_tokens, row.estimated) == (10, 1, False)
    assert client.body.count(b'"prompt_tokens"') == 1


@pytest.mark.parametrize("place", ["finish", "each chunk", "choice", "chunk of its own", "behind the marker"])
@pytest.mark.parametrize("asked", [True, False])
async def test_usage_is_shown_once_and_only_to_who_asked(place: str, asked: bool, autojump_clock: Clock) -> None:
    said = {"prompt_tokens": 10, "completion_tokens": 5}
    script = {
        "finish": [delta("a"), delta(finish="stop", usage=said), DONE],
        "each chunk": [delta("a", usage=said), delta(finish="stop", usage=said), usage(10, 5), DONE],
        "choice": [
            delta("a"),
            event(choices=[{"index": 0, "delta": {}, "finish_reason": "stop", "usage": said}]),
            DONE,
        ],
        "chunk of its own": [delta("a"), delta(finish="stop"), usage(10, 5), DONE],
        "behind the marker": [delta("a"), delta(finish="stop"), DONE + usage(10, 5)],
    }[place]
    stage = Stage(ScriptedUpstream([STREAM, *script]))
    client = await relay(stage, stream=True, **({"stream_options": {"include_usage": True}} if asked else {}))
    assert client.body.count(b"prompt_tokens") == asked and client.body.endswith(DONE)
    assert stage.log.rows[0].cost == 10 * IN + 5 * OUT
    if asked:
        shown = json.loads(client.body.split(b"\n\n")[-3].removeprefix(b"data: "))
        assert shown["choices"] == [] and shown["usage"] == {**said, "cost": float(format_usd(10 * IN + 5 * OUT))}


async def test_a_prompt_far_above_what_was_sent_is_believed_and_told(
    caplog: pytest.LogCaptureFixture, autojump_clock: Clock
) -> None:
    stage = Stage(ScriptedUpstream([PLAIN, answer("Hi.", prompt=9_000, completion=2)]))
    await relay(stage, stream=False)
    assert stage.log.rows[0].cost == 9_000 * IN + 2 * OUT and not stage.log.rows[0].estimated
    assert "one counts 9000 prompt tokens where" in caplog.text
    caplog.clear()
    stage = Stage(ScriptedUpstream([PLAIN, answer("Hi.", prompt=1_500, completion=2)]))
    await relay(stage, stream=False)
    assert "prompt tokens" not in caplog.text, "a provider's own instructions"


# ---- nothing is lost, nothing is dropped to stay able to fail over ----


@pytest.mark.parametrize(
    "field",
    [
        {"images": [{"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 150_000}}]},
        {"audio": {"id": "a", "data": "AAAA"}},
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]},
        {"annotations": [{"type": "url_citation", "url_citation": {"url": "http://x"}}]},
        {"reasoning_details": [{"type": "reasoning.encrypted", "data": "QUJD"}]},
    ],
    ids=lambda field: next(iter(field)),
)
async def test_what_a_client_may_want_reaches_it_at_once(field: dict[str, Any], autojump_clock: Clock) -> None:
    first = event(choices=[{"index": 0, "delta": {"content": "", **field}, "finish_reason": None}])
    stage = Stage(
        ScriptedUpstream([STREAM, delta(""), first, ("wait", 5), delta(finish="stop"), usage(10, 1290), DONE])
    )
    call, client = stage.call(ask(stream=True)), RecordingClient()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.gate.relay, call, client)
        await trio.sleep(1)
        assert client.body == delta("") + first
    assert client.body.endswith(DONE)


async def test_too_much_to_keep_back_begins_the_answer(autojump_clock: Clock) -> None:
    filler = event(choices=[], prompt_filter_results="x" * 10_000)
    stage = two([STREAM, *[filler] * 10, ("wait", 1), delta("a"), delta(finish="stop"), DONE])
    client = await relay(stage, stream=True)
    assert client.body.startswith(filler * 10) and client.headers["x-findtoken-attempts"] == "1"


async def test_an_event_that_cannot_be_read_fails_over_before_content_and_ends_the_stream_after(
    autojump_clock: Clock,
) -> None:
    half = delta("b")[:40] + b"\n\n"
    stage = two([STREAM, delta(""), half, delta("c")], chat("a"))
    assert (await relay(stage, stream=True)).headers["x-findtoken-attempts"] == "2"
    stage = two([STREAM, delta("a"), half, delta("c"), delta(finish="stop"), DONE])
    client = await relay(stage, stream=True)
    assert b'"a"' in client.body and b'"c"' not in client.body and b"[DONE]" not in client.body
    assert b"cannot be read" in client.body and stage.log.rows[0].cost > 0


async def test_an_error_written_bare_into_the_stream_is_heard(autojump_clock: Clock) -> None:
    stage = two([STREAM, delta("a"), b'{"error": {"message": "out of memory", "code": 500}}\n'])
    client = await relay(stage, stream=True)
    assert b"out of memory" in client.body and b"[DONE]" not in client.body


# ---- leaving: what was delivered is measured as what it is ----


async def left_after(*steps: Any) -> int:
    """The output tokens charged to a client that leaves after these."""
    stage = Stage(ScriptedUpstream([STREAM, *steps, ("wait", 50)]))
    call, client = stage.call(ask(stream=True)), RecordingClient()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.gate.relay, call, client)
        await trio.sleep(1)
        call.client_gone()
    stage.check()
    return stage.log.rows[0].completion_tokens


async def test_text_in_parts_is_charged_as_text(autojump_clock: Clock) -> None:
    def part(text: str) -> bytes:
        thinking = [{"type": "thinking", "thinking": [{"type": "text", "text": text}]}]
        return event(choices=[{"index": 0, "delta": {"content": thinking}, "finish_reason": None}])

    words = [" greeting"] * 40
    as_text = await left_after(*map(delta, words))
    as_parts = await left_after(*map(part, words))
    assert as_text / 2 <= as_parts <= as_text * 2


async def test_a_picture_is_charged_as_a_picture(autojump_clock: Clock) -> None:
    url = "data:image/png;base64," + "iVBORw0K" * 20_000
    picture = event(choices=[{"index": 0, "delta": {"images": [{"type": "image_url", "image_url": {"url": url}}]}}])
    assert 645 <= await left_after(picture) <= 2580


# ---- what goes up ----


async def test_usage_that_is_not_asked_for_is_our_count(autojump_clock: Clock) -> None:
    stage = Stage(ScriptedUpstream([*chat("Hello", " there")[:-2], DONE]), channel(drop_params=("stream_options",)))
    client = await relay(stage, stream=True, stream_options={"include_usage": True})
    assert "stream_options" not in json.loads(stage.upstream.requests[0].body)
    row = stage.log.rows[0]
    shown = json.loads(client.body.split(b"\n\n")[-3].removeprefix(b"data: "))["usage"]
    assert row.estimated and row.cost > 0 and shown["completion_tokens"] == row.completion_tokens == 3
    assert client.body.endswith(DONE)


@pytest.mark.parametrize(
    ("field", "asked", "sent"),
    [
        ("max_tokens", {"max_completion_tokens": 100}, {"max_tokens": 100}),
        ("max_tokens", {"max_completion_tokens": 100, "max_tokens": 50}, {"max_tokens": 50}),
        ("max_completion_tokens", {"max_tokens": 100}, {"max_completion_tokens": 100}),
        ("max_tokens", {"max_tokens": None, "max_completion_tokens": 100}, {"max_tokens": 100}),
        ("max_tokens", {}, {"max_tokens": 1000}),
        ("max_completion_tokens", {}, {"max_completion_tokens": 1000}),
        (None, {"max_tokens": 100, "max_completion_tokens": 50}, {}),
    ],
)
async def test_one_cap_goes_up(field: str | None, asked: Any, sent: Any, autojump_clock: Clock) -> None:
    stage = Stage(ScriptedUpstream([PLAIN, answer()]), channel("one", model(cap_field=field)))
    assert (await relay(stage, stream=False, **asked)).status == 200
    body = json.loads(stage.upstream.requests[0].body)
    assert {name: body[name] for name in body if name in ("max_tokens", "max_completion_tokens")} == sent
