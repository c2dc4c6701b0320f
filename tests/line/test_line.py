"""The line as transcripts: what the upstream does, what the client sees, what is charged. On Trio's mock clock."""

import json
from typing import Any

import msgspec
import pytest
import trio
import trio.testing

from ftgate.core.limits import Rates
from ftgate.core.money import format_usd, parse_price
from ftgate.core.pricing import Price
from ftgate.core.retrying import Retry
from ftgate.core.routing import Address, Timeouts
from ftgate.core.tries import tries_of
from ftgate.dialects import openai_chat
from ftgate.errors import Fault, GateError, UpstreamFailed
from ftgate.ports import Held, HoldRequest, Poor, Terms
from ftgate.store.batch import Batch
from ftgate.store.database import DatabaseFault
from tests.fakes.ports import RecordingClient, ScriptedUpstream, Stage, channel, model
from tests.line.transcript import DONE, PLAIN, STREAM, answer, ask, chat, delta, leave, status, usage

CUT = UpstreamFailed(Fault.incomplete, "cut", sent=True)

IN, OUT = parse_price("1"), parse_price("2")
Clock = trio.testing.MockClock


def reset(*, sent: bool = True) -> UpstreamFailed:
    return UpstreamFailed(Fault.reset, "reset", sent=sent)


def cut() -> UpstreamFailed:
    return UpstreamFailed(Fault.incomplete, "cut", sent=True)


def error_of(client: RecordingClient) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(client.body)["error"]
    return said


# Answers


async def test_a_plain_answer_passes_untouched_with_its_exact_cost(autojump_clock: Clock) -> None:
    body = answer(prompt=11, completion=3, strange={"kept": [1.50]})
    stage = Stage(ScriptedUpstream([PLAIN, body]))
    client = await stage.relay(ask())
    assert (client.status, client.body) == (200, body)
    cost = 11 * IN + 3 * OUT
    assert client.headers["x-findtoken-cost"] == format_usd(cost) == "0.000017"
    assert client.headers["x-findtoken-balance"] == format_usd(10**12 - cost)
    assert client.headers["x-findtoken-provider"] == "one"
    assert client.headers["x-findtoken-attempts"] == "1"
    row = stage.log.rows[0]
    assert (row.status, row.cost, row.estimated, row.prompt_tokens, row.completion_tokens) == ("ok", cost, False, 11, 3)
    assert row.request_id == client.headers["x-request-id"]


async def test_the_upstream_gets_its_own_model_name_key_and_an_injected_cap(autojump_clock: Clock) -> None:
    stage = Stage(ScriptedUpstream([PLAIN, answer()]))
    await stage.relay(ask(routing="cheapest", temperature=0.5))
    sent = stage.upstream.requests[0]
    fields = json.loads(sent.body)
    assert fields == {
        "model": "m-upstream",
        "messages": [{"role": "user", "content": "Hello"}],
        "temperature": 0.5,
        "max_tokens": 1000,
    }
    assert (b"authorization", b"Bearer sk-upstream") in sent.headers


async def test_a_metered_call_injects_nothing_and_shows_no_balance(autojump_clock: Clock) -> None:
    stage = Stage(ScriptedUpstream([PLAIN, answer()]), credits=0, metered=True)
    client = await stage.relay(ask())
    assert client.status == 200
    assert "x-findtoken-balance" not in client.headers
    assert "max_tokens" not in json.loads(stage.upstream.requests[0].body)
    assert stage.books.accounts[1].used == 10 * IN + 2 * OUT


async def test_a_stream_passes_untouched_but_for_its_usage_chunk(autojump_clock: Clock) -> None:
    stage = Stage(ScriptedUpstream(chat("a", "b")))
    client = await stage.relay(ask(stream=True))
    cost = format_usd(10 * IN + 2 * OUT)
    balance = format_usd(10**12 - 10 * IN - 2 * OUT)
    tail = f": x-findtoken-cost={cost} balance={balance}\n".encode()
    assert client.body == delta("") + delta("a") + delta("b") + delta(finish="stop") + tail + DONE
    assert json.loads(stage.upstream.requests[0].body)["stream_options"] == {"include_usage": True}


async def test_a_stream_shows_usage_with_cost_when_asked(autojump_clock: Clock) -> None:
    stage = Stage(ScriptedUpstream(chat("a")))
    client = await stage.relay(ask(stream=True, stream_options={"include_usage": True}))
    chunk = json.loads(client.body.split(b"\n\n")[-3].removeprefix(b"data: "))
    assert chunk["usage"] == {"prompt_tokens": 10, "completion_tokens": 1, "cost": float(format_usd(10 * IN + OUT))}
    assert client.body.endswith(DONE)


async def test_a_missing_end_marker_is_added(autojump_clock: Clock) -> None:
    stage = Stage(ScriptedUpstream([STREAM, delta("a"), delta(finish="stop"), usage(10, 1)]))
    client = await stage.relay(ask(stream=True))
    assert client.body.endswith(DONE) and client.ended


async def test_pieces_that_come_together_go_together(autojump_clock: Clock) -> None:
    together = delta("a") + delta("b") + delta(finish="stop")
    stage = Stage(ScriptedUpstream([STREAM, together[:30], together[30:], usage(10, 2) + DONE]))
    client = await stage.relay(ask(stream=True))
    assert client.body.startswith(together)


# Money when things go wrong


@pytest.mark.parametrize(
    "said", [None, {"prompt_tokens": -1, "completion_tokens": 2}, {"prompt_tokens": "10", "completion_tokens": 2}]
)
@pytest.mark.parametrize("stream", [False, True])
async def test_usage_that_cannot_be_believed_is_estimated_never_free(
    said: Any, stream: bool, autojump_clock: Clock
) -> None:
    words = "one two three four five six seven eight"
    if stream:
        script: list[Any] = [
            STREAM,
            delta(words),
            delta(finish="stop"),
            *([] if said is None else [usage(0, 0, **said)]),
            DONE,
        ]
    else:
        script = [PLAIN, answer(words, usage=said)]
    stage = Stage(ScriptedUpstream(script))
    await stage.relay(ask(stream=stream))
    row = stage.log.rows[0]
    assert row.estimated and row.status == "ok"
    assert 4 <= row.completion_tokens <= 16 and 4 <= row.prompt_tokens <= 20
    assert row.cost == row.prompt_tokens * IN + row.completion_tokens * OUT


@pytest.mark.parametrize(("prompt", "completion"), [(10_001, 2), (10, 1001), (0, 2), (10, 0), (10**18, 2)])
async def test_absurd_usage_is_replaced(prompt: int, completion: int, autojump_clock: Clock) -> None:
    stage = Stage(ScriptedUpstream([PLAIN, answer(prompt=prompt, completion=completion)]))
    await stage.relay(ask())
    assert stage.log.rows[0].estimated
    assert stage.log.rows[0].cost < 100 * OUT
    assert stage.log.rows[0].remark.startswith("usage from one refused: ")


@pytest.mark.parametrize(("prompt", "remarks"), [(2020, 0), (2021, 1)])
async def test_a_prompt_counted_far_above_what_was_sent_is_remarked(
    prompt: int, remarks: int, autojump_clock: Clock
) -> None:
    """Ten tokens are the most that was sent: twice as many and 2,000 pass without a word."""
    stage = Stage(ScriptedUpstream([PLAIN, answer(prompt=prompt)]))
    await stage.relay(ask())
    row = stage.log.rows[0]
    assert not row.estimated and row.prompt_tokens == prompt
    assert row.remark == "one counts 2021 prompt tokens where 10 are the most that was sent" * remarks


async def test_more_used_than_held_takes_what_is_there_and_records_the_rest_as_lost(autojump_clock: Clock) -> None:
    credits = 30 * IN + 10 * OUT
    stage = Stage(ScriptedUpstream([PLAIN, answer(prompt=100, completion=10)]), credits=credits)
    client = await stage.relay(ask(max_tokens=10))
    assert client.headers["x-findtoken-balance"] == "0"
    row = stage.log.rows[0]
    assert (row.cost, row.lost, row.remark) == (credits, 100 * IN + 10 * OUT - credits, "")
    assert [entry.kind for entry in stage.log.entries[1:]] == ["hold", "post", "overrun", "loss"]


async def test_a_stream_cut_after_content_pays_for_what_came_and_says_so(autojump_clock: Clock) -> None:
    stage = Stage(ScriptedUpstream([STREAM, delta("Hello there"), cut()]))
    client = await stage.relay(ask(stream=True))
    assert b"[DONE]" not in client.body
    row = stage.log.rows[0]
    assert row.estimated and row.status == "error" and row.completion_tokens >= 2
    assert row.cost == row.prompt_tokens * IN + row.completion_tokens * OUT
    note, said = client.body.split(b"\n\n")[1].split(b"\n")
    assert note.decode() == f": x-findtoken-cost={format_usd(row.cost)} balance={format_usd(10**12 - row.cost)}"
    assert json.loads(said.removeprefix(b"data: "))["error"]["code"] == "provider_error"


async def test_a_stream_that_ends_without_a_finish_is_not_sold_as_finished(autojump_clock: Clock) -> None:
    stage = Stage(ScriptedUpstream([STREAM, delta("Hello"), DONE]))
    client = await stage.relay(ask(stream=True))
    assert b"[DONE]" not in client.body and b'"error"' in client.body


async def test_an_error_inside_a_stream_is_passed_on_redacted_and_not_billed_as_output(autojump_clock: Clock) -> None:
    long = b'data: {"error":{"message":"boom sk-verysecretkey123 ' + b"x" * 300 + b'"}}\n\n'
    stage = Stage(ScriptedUpstream([STREAM, delta("a"), long]))
    client = await stage.relay(ask(stream=True))
    assert b"boom" in client.body and b"verysecret" not in client.body
    assert stage.log.rows[0].completion_tokens == 1


@pytest.mark.parametrize("early", [True, False])
async def test_what_a_cut_stream_brought_past_its_cap_is_counted(early: bool, autojump_clock: Clock) -> None:
    """Also beside a usage that came before the cut, and speaks of less."""
    told = [delta("", usage={"prompt_tokens": 20, "completion_tokens": 1, "total_tokens": 21})] if early else []
    stage = Stage(ScriptedUpstream([STREAM, *told, *[delta(" greeting")] * 40, cut()]))
    await stage.relay(ask(stream=True, max_tokens=10))
    row = stage.log.rows[0]
    assert row.estimated and row.completion_tokens >= 40 and row.prompt_tokens == (20 if early else 9)


@pytest.mark.parametrize("asks", [True, False])
async def test_usage_is_asked_for_where_the_provider_knows_that(asks: bool, autojump_clock: Clock) -> None:
    stage = Stage(ScriptedUpstream(chat("a")), channel(stream_usage=asks))
    await stage.relay(ask(stream=True))
    sent = json.loads(stage.upstream.requests[0].body)
    assert sent.get("stream_options") == ({"include_usage": True} if asks else None)


# Failing over


async def test_each_failure_before_content_goes_to_the_next_candidate_in_one_hold(autojump_clock: Clock) -> None:
    ways = [channel(name) for name in ("one", "two", "three")]
    stage = Stage(ScriptedUpstream([reset()], [*status(500)], [PLAIN, answer()]), *ways)
    client = await stage.relay(ask())
    assert client.status == 200 and client.headers["x-findtoken-attempts"] == "3"
    assert client.headers["x-findtoken-provider"] == "three"
    assert [entry.kind for entry in stage.log.entries] == ["grant", "hold", "post"]


@pytest.mark.parametrize(
    "first",
    [
        [STREAM, ("wait", 1000)],
        [("wait", 1000), STREAM],
        [STREAM, delta(""), cut()],
        [STREAM, b": waiting\n\n", DONE],
        [STREAM, b'data: {"error":{"message":"overloaded"}}\n\n'],
        [(200, [(b"content-type", b"text/html")]), b"<html>"],
        [PLAIN, b'{"error":{"message":"no stream"}}'],
        [(204, [])],
        [(302, [(b"location", b"http://169.254.169.254/")])],
        [*status(429)],
        [*status(401)],
        [*status(529)],
        [*status(400, "Your credit balance is too low")],
    ],
)
async def test_a_stream_fails_over_until_its_first_content(first: list[Any], autojump_clock: Clock) -> None:
    stage = Stage(ScriptedUpstream(first, chat("a")), channel("one"), channel("two"))
    client = await stage.relay(ask(stream=True))
    assert client.status == 200 and client.body.endswith(DONE)
    assert client.headers["x-findtoken-attempts"] == "2"
    assert stage.log.rows[0].cost == 10 * IN + OUT


async def test_no_second_attempt_after_content(autojump_clock: Clock) -> None:
    stage = Stage(ScriptedUpstream([STREAM, delta("a"), cut()], chat("never")), channel("one"), channel("two"))
    await stage.relay(ask(stream=True))
    assert len(stage.upstream.requests) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"{}",
        b'{"choices":[]}',
        b'{"error":{"message":"x"}}',
        b'{"choices":[{"message":{"content":""}}]}',
    ],
)
async def test_a_hollow_answer_is_a_failed_attempt(body: bytes, autojump_clock: Clock) -> None:
    stage = Stage(ScriptedUpstream([PLAIN, body], [PLAIN, answer()]), channel("one"), channel("two"))
    client = await stage.relay(ask())
    assert client.status == 200 and client.headers["x-findtoken-attempts"] == "2"


async def test_alone_it_is_tried_again_with_backoff(autojump_clock: Clock) -> None:
    stage = Stage(ScriptedUpstream([*status(500)], [*status(503)], [PLAIN, answer()]))
    started = trio.current_time()
    client = await stage.relay(ask())
    assert client.status == 200
    assert 0.75 <= trio.current_time() - started <= 1.5
    assert stage.log.rows[0].attempts == 3


async def test_a_short_retry_after_is_waited_for_and_a_long_one_is_not(autojump_clock: Clock) -> None:
    stage = Stage(ScriptedUpstream([*status(429, retry_after="7")], [PLAIN, answer()]))
    started = trio.current_time()
    assert (await stage.relay(ask())).status == 200
    assert trio.current_time() - started >= 7
    stage = Stage(ScriptedUpstream([*status(429, retry_after="11")]))
    client = await stage.relay(ask())
    assert (client.status, client.headers["retry-after"]) == (503, "11")
    assert error_of(client)["code"] == "no_healthy_provider"


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ([*status(500)], (502, "provider_error")),
        ([*status(401, "bad key sk-upstream")], (502, "provider_error")),
        ([*status(402)], (502, "provider_error")),
        ([reset()], (503, "no_healthy_provider")),
        ([UpstreamFailed(Fault.connect, "refused", sent=False)], (503, "no_healthy_provider")),
        ([("wait", 10_000)], (504, "provider_timeout")),
        ([PLAIN, b"<html>"], (502, "provider_error")),
    ],
)
async def test_when_all_have_failed(script: list[Any], expected: tuple[int, str], autojump_clock: Clock) -> None:
    stage = Stage(ScriptedUpstream(script), retry=Retry(attempts=1))
    client = await stage.relay(ask())
    assert (client.status, error_of(client)["code"]) == expected
    assert stage.books.accounts[1].posted == 10**12
    assert [entry.kind for entry in stage.log.entries] == ["grant", "hold", "void"]
    text = client.body.decode()
    assert "invalid" not in text and "sk-upstream" not in text


async def test_the_upstreams_own_400_reaches_the_caller_in_our_envelope(autojump_clock: Clock) -> None:
    refused = (400, [(b"content-type", b"application/json")])
    body = b'{"error":{"message":"flagged; see http://internal.host/x","type":"invalid_request_error","code":"content_policy","param":"messages"}}'
    stage = Stage(ScriptedUpstream([refused, body]), channel("one"), channel("two"))
    client = await stage.relay(ask())
    said = error_of(client)
    assert (client.status, said["code"], said["param"]) == (400, "content_policy", "messages")
    assert "flagged" in said["message"] and "internal.host" not in said["message"]
    assert stage.log.rows[0].cost == 0


# Time limits


@pytest.mark.parametrize(
    ("script", "seconds"),
    [
        ([("wait", 1000), STREAM], 7),  # head
        ([STREAM, ("wait", 1000)], 9),  # first token
        ([STREAM, *[b": ping\n\n", ("wait", 4)] * 9], 9),  # comments are no token
    ],
)
async def test_limits_before_content(script: list[Any], seconds: float, autojump_clock: Clock) -> None:
    times = Timeouts(head=7, first_token=9, idle=11, answer=13, total=100)
    stage = Stage(ScriptedUpstream(script), channel(timeouts=times), retry=Retry(attempts=1))
    started = trio.current_time()
    client = await stage.relay(ask(stream=True))
    assert client.status == 504
    assert trio.current_time() - started == pytest.approx(seconds)
    assert stage.log.rows[0].status == "timeout" and stage.log.rows[0].cost == 0


async def test_the_words_of_an_error_may_come_after_the_limit_for_its_head(autojump_clock: Clock) -> None:
    times = Timeouts(head=7, first_token=9, idle=11, answer=7, total=100)
    for stream in (True, False):
        script = [
            ("wait", 5),
            (400, [(b"content-type", b"application/json")]),
            ("wait", 4),
            b'{"error":{"message":"no such thing"}}',
        ]
        stage = Stage(ScriptedUpstream(script), channel(timeouts=times), retry=Retry(attempts=1))
        client = await stage.relay(ask(stream=stream))
        assert (client.status, error_of(client)["message"]) == (400, "no such thing")


async def test_a_call_that_is_ended_while_its_hold_is_taken_asks_nobody(autojump_clock: Clock) -> None:
    stage = Stage(ScriptedUpstream([STREAM, delta("a")]))
    call, client = stage.call(ask()), RecordingClient()
    take = stage.gate.ledger.hold

    async def hold(request: HoldRequest) -> Held | Poor:
        call.cancel("operator")
        return await take(request)

    stage.gate.ledger.hold = hold  # type: ignore[method-assign]
    await stage.gate.relay(call, client)
    assert client.status == 503 and stage.upstream.requests == []
    assert [entry.kind for entry in stage.log.entries] == ["grant", "hold", "void"]


async def test_an_idle_stream_is_ended_with_an_error_the_client_can_read(autojump_clock: Clock) -> None:
    times = Timeouts(head=7, first_token=9, idle=11, answer=13, total=100)
    stage = Stage(ScriptedUpstream([STREAM, delta("a"), ("wait", 1000)]), channel(timeouts=times))
    client = await stage.relay(ask(stream=True))
    assert b"provider_timeout" in client.body and b"[DONE]" not in client.body and client.ended
    assert trio.current_time() == pytest.approx(11)
    assert stage.log.rows[0].cost > 0


async def test_a_usage_before_a_cut_stands_for_the_prompt(autojump_clock: Clock) -> None:
    early = delta("", usage={"prompt_tokens": 500, "completion_tokens": 0, "total_tokens": 500})
    stage = Stage(ScriptedUpstream([STREAM, early, delta("one two three"), cut()]))
    await stage.relay(ask(stream=True))
    row = stage.log.rows[0]
    assert (row.prompt_tokens, row.estimated) == (500, True) and row.completion_tokens >= 2
    # and for a client that leaves while its first content waits for the hold's commit
    stage = Stage(ScriptedUpstream([STREAM, early, delta("one two three"), ("wait", 60)]))
    stage.log.stuck = True
    call = stage.call(ask(stream=True))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.gate.relay, call, RecordingClient())
        await trio.sleep(1)
        call.client_gone()
        stage.log.unstick()
    assert stage.log.rows[0].prompt_tokens == 500 and stage.log.rows[0].completion_tokens >= 2


async def test_the_connect_limit_is_a_timeout(autojump_clock: Clock) -> None:
    slow = UpstreamFailed(Fault.connect, "no connection within 5 s", sent=False, timed_out=True)
    stage = Stage(ScriptedUpstream(*[[slow]] * 3), retry=Retry(attempts=1))
    assert (await stage.relay(ask())).status == 504


async def test_a_plain_answer_has_its_own_limit(autojump_clock: Clock) -> None:
    times = Timeouts(head=7, first_token=9, idle=11, answer=13, total=100)
    stage = Stage(ScriptedUpstream([("wait", 12.5), PLAIN, answer()]), channel(timeouts=times))
    assert (await stage.relay(ask())).status == 200


async def test_the_total_limit_ends_a_slow_drip(autojump_clock: Clock) -> None:
    stage = Stage(ScriptedUpstream([STREAM, *[delta("a"), ("wait", 10)] * 20]), total_s=55)
    client = await stage.relay(ask(stream=True))
    assert trio.current_time() == pytest.approx(55)
    assert b"provider_timeout" in client.body and b"[DONE]" not in client.body
    assert stage.log.rows[0].status == "timeout" and stage.log.rows[0].completion_tokens >= 2


async def test_a_ten_minute_stream_is_not_cut(autojump_clock: Clock) -> None:
    stage = Stage(
        ScriptedUpstream([STREAM, *[delta("a"), ("wait", 30)] * 20, delta(finish="stop"), usage(10, 20), DONE])
    )
    client = await stage.relay(ask(stream=True))
    assert trio.current_time() >= 600
    assert client.body.endswith(DONE) and stage.log.rows[0].cost == 10 * IN + 20 * OUT


# Who may call


@pytest.mark.parametrize(
    ("key", "code"),
    [
        ({"active": False}, "key_disabled"),
        ({"account_active": False}, "key_disabled"),
        ({"expires_at_us": 0}, "key_expired"),
    ],
)
async def test_a_key_that_may_not_call(key: dict[str, Any], code: str, autojump_clock: Clock) -> None:
    stage = Stage(ScriptedUpstream(), key=key)
    client = await stage.relay(ask())
    assert (client.status, error_of(client)["code"]) == (401, code)
    assert not stage.log.rows


@pytest.mark.parametrize("secret", [None, b"", b"sk-ft_tes", b"\xff", b"' OR 1=1 --"])
async def test_a_wrong_key(secret: bytes | None, autojump_clock: Clock) -> None:
    stage = Stage(ScriptedUpstream())
    client = RecordingClient()
    await stage.gate.relay(stage.call(ask(), secret=secret), client)
    assert (client.status, error_of(client)["code"]) == (401, "invalid_api_key")


async def test_a_restricted_key_may_use_only_its_models_and_its_fallbacks_too(autojump_clock: Clock) -> None:
    two = channel("one", model("m"), model("other"))
    stage = Stage(ScriptedUpstream(), two, key={"models": ("m",)})
    client = await stage.relay(ask(model="other"))
    assert (client.status, error_of(client)["code"]) == (403, "model_not_allowed")
    stage = Stage(
        ScriptedUpstream([*status(500)]),
        two,
        key={"models": ("m",)},
        fallback={"m": ("other",)},
        retry=Retry(attempts=1),
    )
    assert (await stage.relay(ask())).status == 502
    assert len(stage.upstream.requests) == 1
    stage = Stage(ScriptedUpstream(), two, terms=Terms(models=("other",)))
    assert (await stage.relay(ask())).status == 403


async def test_a_key_whose_plan_is_gone_is_refused_before_anything_is_held(autojump_clock: Clock) -> None:
    stage = Stage(ScriptedUpstream(), key={"plan": "gone"})
    for asked in ("m", "auto"):
        client = await stage.relay(ask(model=asked))
        assert (client.status, error_of(client)["code"]) == (403, "plan_unavailable")
    assert not stage.upstream.requests and not any(entry.kind == "hold" for entry in stage.log.entries)


@pytest.mark.parametrize("asked", ["auto", "m"])
@pytest.mark.parametrize("restricts", ["key", "plan"])
async def test_auto_and_fallbacks_stay_within_what_a_key_and_its_plan_may_use(
    restricts: str, asked: str, autojump_clock: Clock
) -> None:
    """The other model is cheaper, so it would be the first of auto."""
    free = Price(0, 0, 0, 0, 0)
    stage = Stage(
        ScriptedUpstream(status(500), status(500)), channel("one", model("m"), model("other", price=free)),
        key={"models": ("m",)} if restricts == "key" else None,
        terms=Terms(models=("m",)) if restricts == "plan" else None,
        fallback={"m": ("other",)}, retry=Retry(attempts=2, backoff=0),
    )  # fmt: skip
    assert (await stage.relay(ask(model=asked))).status == 502
    assert [json.loads(sent.body)["model"] for sent in stage.upstream.requests] == ["m-upstream"] * 2


async def test_an_unknown_model_and_one_without_a_dialect(autojump_clock: Clock) -> None:
    stage = Stage(
        ScriptedUpstream(),
        channel("one", model("m")),
        channel(
            "two",
            model("claude"),
            addresses={"spoken_nowhere": Address("spoken_nowhere", "http://two.invalid", "bearer")},
        ),
    )
    client = await stage.relay(ask(model="gpt-0"))
    assert (client.status, error_of(client)["code"]) == (400, "model_not_found")
    client = await stage.relay(ask(model="claude"))
    assert (client.status, error_of(client)["code"]) == (501, "not_implemented")


async def test_poor_accounts_are_told_what_is_missing(autojump_clock: Clock) -> None:
    long = channel("one", model(context=None, max_output=200_000))
    stage = Stage(ScriptedUpstream(), long, credits=15 * 10**10)
    client = await stage.relay(ask(max_tokens=115_000))
    said = error_of(client)
    assert (client.status, said["type"], said["code"]) == (402, "insufficient_balance", "insufficient_credits")
    assert said["message"].startswith("Insufficient credits. Balance: $0.15, Required: $0.23")
    assert stage.log.rows[0].status == "refused" and stage.log.rows[0].http_status == 402


async def test_the_row_of_a_refused_call_costs_no_second_answer(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []

    def error(error: GateError, request_id: str) -> Any:
        written.append(error.code)
        return openai_chat.errors.error(error, request_id)

    monkeypatch.setattr(openai_chat, "error", error)
    stage = Stage(ScriptedUpstream(), quota=1, metered=True)
    assert (await stage.relay(ask())).status == stage.log.rows[0].http_status == 402
    assert written == ["key_quota_exceeded"]


async def test_a_used_up_quota(autojump_clock: Clock) -> None:
    stage = Stage(ScriptedUpstream(), quota=10 * OUT)
    client = await stage.relay(ask(max_tokens=100))
    assert (client.status, error_of(client)["code"]) == (402, "key_quota_exceeded")
    stage = Stage(ScriptedUpstream(), quota=1, metered=True)
    assert error_of(await stage.relay(ask()))["code"] == "key_quota_exceeded"


async def test_the_rate_limit_is_exact_and_says_when(autojump_clock: Clock) -> None:
    stage = Stage(ScriptedUpstream(*[[PLAIN, answer()] for _ in range(4)]), rates=Rates(requests_per_second=3))
    for left in (2, 1, 0):
        client = await stage.relay(ask())
        assert client.headers["x-ratelimit-remaining-requests"] == str(left)
    client = await stage.relay(ask())
    assert client.status == 429 and client.headers["retry-after"] == "1"
    assert error_of(client)["message"] == "Rate limit exceeded. Try again in 1s"
    await trio.sleep(1)
    assert (await stage.relay(ask())).status == 200


async def test_a_keys_tokens_count_as_they_were_used(autojump_clock: Clock) -> None:
    """About 40 are borrowed for the answer, and 900 and 30 used."""
    used = [answer(prompt=880, completion=20), answer(prompt=20, completion=10), answer()]
    stage = Stage(ScriptedUpstream(*[[PLAIN, body] for body in used]), rates=Rates(tokens_per_minute=1000))
    statuses = [(await stage.relay(ask(max_tokens=30))).status for _ in range(3)]
    assert statuses == [200, 200, 200]
    assert (await stage.relay(ask(max_tokens=60))).status == 429  # 942 are used
    await trio.sleep(60)
    stage.upstream.scripts.append([PLAIN, answer()])
    assert (await stage.relay(ask(max_tokens=60))).status == 200


async def test_calls_in_flight_are_limited_and_given_back(autojump_clock: Clock) -> None:
    stage = Stage(ScriptedUpstream(*[[("wait", 5), PLAIN, answer()] for _ in range(3)]), rates=Rates(concurrent=2))
    clients = [RecordingClient() for _ in range(3)]
    async with trio.open_nursery() as nursery:
        for client in clients:
            nursery.start_soon(stage.gate.relay, stage.call(ask()), client)
            await trio.sleep(0.1)
    assert sorted(c.status or 0 for c in clients) == [200, 200, 429]
    assert (await stage.relay(ask())).status == 200


# Drains


@pytest.mark.parametrize(("most", "read"), [(0, 4), (1, 5), (5, 9), (100, 20)])
async def test_a_drain_ends_when_what_came_in_it_costs_enough(autojump_clock: Clock, most: int, read: int) -> None:
    """Its client leaves when three pieces have come, one a second, of about a token each."""
    pieces = [step for _ in range(20) for step in (("wait", 1.0), delta("word "))]
    upstream = ScriptedUpstream([STREAM, *pieces, delta(finish="stop"), usage(10, 20), DONE])
    stage = Stage(upstream, channel(drain=True, drain_most=most * OUT))
    await leave(stage, 3.5)
    (row,) = stage.log.rows
    assert row.status == "client_gone" and trio.current_time() == pytest.approx(read, abs=1)
    assert row.estimated is (read < 20) and row.cost == row.prompt_tokens * IN + row.completion_tokens * OUT
    assert read <= row.completion_tokens <= 1.3 * read


# The limits of models


def two_models(*scripts: list[Any], **rates: Rates) -> Stage:
    ways = channel("one", model("m")), channel("two", model("n"))
    return Stage(ScriptedUpstream(*scripts), *ways, fallback={"m": ("n",)}, model_rates=rates)


def served(stage: Stage) -> list[str]:
    return [row.served_model for row in stage.log.rows]


async def test_a_full_model_gives_way_to_its_fallback(autojump_clock: Clock) -> None:
    stage = two_models(
        *[[PLAIN, answer()] for _ in range(4)], m=Rates(requests_per_minute=2), n=Rates(requests_per_minute=1)
    )
    statuses = [(await stage.relay(ask())).status for _ in range(4)]
    assert statuses == [200, 200, 200, 429] and served(stage) == ["m", "m", "n", ""]
    client = await stage.relay(ask())
    assert (
        client.status == 429
        and client.headers["retry-after"] == "60"
        and error_of(client)["code"] == "rate_limit_exceeded"
    )
    await trio.sleep(60)
    assert (await stage.relay(ask())).status == 200


async def test_a_fallback_counts_at_its_own_model(autojump_clock: Clock) -> None:
    down = [*status(500)]
    stage = two_models(down, [PLAIN, answer()], down, down, down, [PLAIN, answer()], n=Rates(requests_per_minute=1))
    stage.gate.live.gate = msgspec.structs.replace(stage.gate.settings, retry=Retry(attempts=3))
    assert (await stage.relay(ask())).status == 200
    client = await stage.relay(ask())  # n is full: m alone is tried, again and again
    assert client.status == 502 and [request.channel for request in stage.upstream.requests] == [
        "one",
        "two",
        "one",
        "one",
        "one",
    ]
    assert (await stage.relay(ask())).status == 200 and served(stage) == ["n", "", "m"]


@pytest.mark.parametrize(
    ("script", "streamed", "model"),
    [
        ([status(500)], False, ""),
        ([status(400)], True, ""),
        ([[PLAIN, answer()]], False, "m"),
        ([[STREAM, delta("Hi"), CUT]], True, "m"),  # broken, but it had begun
        ([[STREAM, CUT]], True, ""),
    ],
)
async def test_who_gave_nothing_has_not_served_it(
    script: list[Any], streamed: bool, model: str, autojump_clock: Clock
) -> None:
    """Statistics would stand under names that callers make up; what was tried is told all the same."""
    stage = Stage(ScriptedUpstream(*script), retry=Retry(attempts=1))
    await stage.relay(ask(stream=streamed))
    (row,) = stage.log.rows
    assert (row.served_model, row.model, row.channel) == (model, "m", "one")
    assert [one.model for one in tries_of(row.tries)] == ([] if model else ["m"])


async def test_a_model_that_was_left_has_used_nothing(autojump_clock: Clock) -> None:
    used = Rates(tokens_per_minute=1000, concurrent=1)
    stage = two_models(
        [*status(500)],
        [("wait", 5), PLAIN, answer(completion=90)],
        [PLAIN, answer()],
        [PLAIN, answer()],
        m=used,
        n=used,
    )
    async with trio.open_nursery() as nursery:
        first = RecordingClient()
        nursery.start_soon(stage.gate.relay, stage.call(ask(max_tokens=900)), first)
        await trio.sleep(1)
        meters = {name: stage.gate.limits.meters("model", name) for name in ("m", "n")}
        assert {name: (m.in_flight, m.tokens.used > 900) for name, m in meters.items()} == {
            "m": (0, False),
            "n": (1, True),
        }
        assert meters["m"].tokens.used == 0
        assert (await stage.gate.relay(stage.call(ask(max_tokens=900)), RecordingClient())) is None  # m has room again
    assert first.status == 200 and meters["n"].tokens.used == 100
    assert served(stage) == ["m", "n"] and meters["m"].tokens.used == 12


async def test_who_cannot_pay_uses_up_no_limit_that_all_share(autojump_clock: Clock) -> None:
    stage = Stage(
        ScriptedUpstream([PLAIN, answer()]),
        credits=100 * OUT,
        model_rates={"m": Rates(requests_per_minute=1, tokens_per_minute=5000)},
    )
    assert (await stage.relay(ask(max_tokens=1000))).status == 402
    meters = stage.gate.limits.meters("model", "m")
    assert (meters.in_flight, meters.minute.used, meters.tokens.used) == (0, 0, 0)
    assert (await stage.relay(ask(max_tokens=50))).status == 200


async def test_a_slow_reader_does_not_keep_a_models_place(autojump_clock: Clock) -> None:
    stage = Stage(ScriptedUpstream([PLAIN, answer()], [PLAIN, answer()]), model_rates={"m": Rates(concurrent=1)})

    class Slow(RecordingClient):
        async def answer(self, *values: Any) -> None:
            await trio.sleep(60)
            await super().answer(*values)

    slow = Slow()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.gate.relay, stage.call(ask()), slow)
        await trio.sleep(1)
        await stage.gate.relay(stage.call(ask()), other := RecordingClient())
        assert (slow.status, other.status) == (None, 200)


async def test_a_database_that_takes_nothing_is_not_given_refusals(autojump_clock: Clock) -> None:
    stage = Stage(ScriptedUpstream())
    stage.log.trouble = "disk full"
    assert (await stage.relay(ask())).status == 503 and not stage.log.rows


async def test_tokens_of_a_model_are_borrowed_before_its_request_is_counted(autojump_clock: Clock) -> None:
    stage = Stage(
        ScriptedUpstream([PLAIN, answer(completion=890)], [PLAIN, answer()]),
        model_rates={"m": Rates(tokens_per_minute=1000, requests_per_minute=2)},
    )
    assert (await stage.relay(ask(max_tokens=900))).status == 200
    assert (await stage.relay(ask(max_tokens=900))).status == 429
    assert stage.gate.limits.meters("model", "m").minute.used == 1


# The ledger in trouble


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_that_will_never_be_billed_does_not_go_out(stream: bool, autojump_clock: Clock) -> None:
    stage = Stage(ScriptedUpstream(chat("a", "b") if stream else [PLAIN, answer()]))
    stage.log.stuck = True

    async def dies_after_the_hold(batch: Batch, seconds: float) -> bool:
        if stage.log.rows:
            raise DatabaseFault("gone")
        return True

    stage.log.durable_within = dies_after_the_hold  # type: ignore[method-assign]
    client = await stage.relay(ask(stream=stream))
    if stream:  # its content went out piece by piece while the ledger lived; only the balance is not said
        assert client.status == 200 and client.body.count(b"data: ") == 5 and b"balance=" not in client.body
    else:
        assert (client.status, error_of(client)["code"]) == (503, "database_busy") and b"Hi" not in client.body


async def test_no_new_call_while_the_database_takes_no_commits(autojump_clock: Clock) -> None:
    stage = Stage(ScriptedUpstream())
    stage.log.trouble = "disk full"
    client = await stage.relay(ask())
    assert (client.status, error_of(client)["code"]) == (503, "database_busy")
    assert "retry-after" in client.headers and not stage.upstream.requests


async def test_no_whole_answer_before_its_hold_is_durable(autojump_clock: Clock) -> None:
    stage = Stage(ScriptedUpstream([PLAIN, answer()]))
    stage.log.stuck = True
    client = RecordingClient()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.gate.relay, stage.call(ask()), client)
        await trio.sleep(30)
        assert client.status is None
        stage.log.unstick()
    assert client.status == 200 and "x-findtoken-balance" not in client.headers
    stage.check()


async def test_no_content_before_the_hold_is_durable(autojump_clock: Clock) -> None:
    stage = Stage(ScriptedUpstream(chat("a")))
    stage.log.stuck = True
    client = await stage.relay(ask(stream=True))
    assert (client.status, error_of(client)["code"]) == (503, "database_busy")
    assert trio.current_time() == pytest.approx(2)
    assert stage.books.accounts[1].posted == 10**12


async def test_an_answer_goes_without_its_balance_when_its_settle_is_late(autojump_clock: Clock) -> None:
    stage = Stage(ScriptedUpstream([("wait", 1), PLAIN, answer()]))
    client = RecordingClient()

    async def jam() -> None:
        await trio.sleep(0.5)
        stage.log.stuck = True

    async with trio.open_nursery() as nursery:
        nursery.start_soon(jam)
        await stage.gate.relay(stage.call(ask()), client)
    assert client.status == 200 and "x-findtoken-cost" in client.headers and "x-findtoken-balance" not in client.headers
    assert trio.current_time() == pytest.approx(3)


# Leaving and stopping


async def test_leaving_before_the_head_pays_the_prompt_once_the_request_went_up(autojump_clock: Clock) -> None:
    stage = Stage(ScriptedUpstream([("wait", 100), STREAM]))
    await leave(stage, 1)
    row = stage.log.rows[0]
    assert (row.status, row.http_status, row.estimated, row.completion_tokens) == ("client_gone", 499, True, 0)
    assert row.cost == row.prompt_tokens * IN > 0
    assert trio.current_time() == pytest.approx(1)
    free = Stage(ScriptedUpstream([("wait", 100), STREAM]), channel(charge_left_before_content=False))
    await leave(free, 1)
    assert free.log.rows[0].cost == 0


@pytest.mark.parametrize("stream", [False, True])
async def test_leaving_before_the_request_went_up_is_free(stream: bool, autojump_clock: Clock) -> None:
    stage = Stage(ScriptedUpstream([("connect", 100), STREAM]))
    await leave(stage, 1, stream=stream)
    row = stage.log.rows[0]
    assert (row.status, row.http_status, row.prompt_tokens, row.cost) == ("client_gone", 499, 0, 0)


async def test_leaving_in_mid_stream_pays_what_came(autojump_clock: Clock) -> None:
    stage = Stage(ScriptedUpstream([STREAM, delta("one two three"), ("wait", 50), delta("four"), ("wait", 50)]))
    client = await leave(stage, 60)
    assert b"four" in client.body
    row = stage.log.rows[0]
    assert row.status == "client_gone" and row.estimated and 3 <= row.completion_tokens <= 8


@pytest.mark.parametrize(
    ("of_channel", "of_model", "drains"),
    [(True, False, True), (False, True, True), (True, True, True), (False, False, False)],
)
async def test_draining_reads_on_for_the_exact_usage(
    of_channel: bool, of_model: bool, drains: bool, autojump_clock: Clock
) -> None:
    stage = Stage(
        ScriptedUpstream([STREAM, delta("a"), ("wait", 20), delta(finish="stop"), usage(10, 300), DONE]),
        channel("one", model(drain=of_model), drain=of_channel),
    )
    await leave(stage, 5)
    row = stage.log.rows[0]
    assert (row.status, row.estimated) == ("client_gone", not drains)
    assert (row.cost == 10 * IN + 300 * OUT) is drains


async def test_draining_has_an_end(autojump_clock: Clock) -> None:
    stage = Stage(ScriptedUpstream([STREAM, *[delta("a"), ("wait", 20)] * 50]), channel(drain=True))
    await leave(stage, 5)
    assert trio.current_time() == pytest.approx(125)
    assert stage.log.rows[0].estimated


async def test_shutdown_in_mid_stream_tells_the_client(autojump_clock: Clock) -> None:
    stage = Stage(ScriptedUpstream([STREAM, delta("a"), ("wait", 50)]))
    call, client = stage.call(ask(stream=True)), RecordingClient()

    async def stop() -> None:
        await trio.sleep(5)
        stage.gate.closing = True
        call.cancel("shutdown")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(stop)
        await stage.gate.relay(call, client)
    assert b"shutting_down" in client.body and b"[DONE]" not in client.body and client.ended
    assert stage.log.rows[0].status == "shutdown" and stage.log.rows[0].cost > 0
    refused = await stage.relay(ask())
    assert (refused.status, error_of(refused)["code"]) == (503, "shutting_down")


async def test_a_bug_of_ours_costs_one_call_and_no_money(
    caplog: pytest.LogCaptureFixture, autojump_clock: Clock
) -> None:
    class Broken(ScriptedUpstream):
        def begin(self, request: Any, sending: Any, now: float) -> None:
            pass

        async def open(self, request: Any, sending: Any = None) -> Any:
            raise ZeroDivisionError

    stage = Stage(Broken())
    client = await stage.relay(ask())
    assert (client.status, error_of(client)["code"]) == (500, "internal_error")
    assert client.headers["x-request-id"] in error_of(client)["message"]
    assert stage.books.accounts[1].posted == 10**12
    assert "internal error in call" in caplog.text
