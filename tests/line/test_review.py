"""Ways to get more than was paid for, or to pay for nothing, that were found once and stay closed."""

import json
from typing import Any

import pytest
import trio
import trio.testing

from ftgate.core.money import parse_price
from ftgate.core.retrying import Retry
from ftgate.core.secret import Secret
from ftgate.dialects import anthropic_messages
from ftgate.line.call import Call
from tests.fakes.ports import RecordingClient, ScriptedUpstream, Stage, addresses, channel, model
from tests.line.test_line import error_of, leave
from tests.line.transcript import DONE, PLAIN, STREAM, answer, ask, chat, delta, status, usage

Clock = trio.testing.MockClock
IN, OUT = parse_price("1"), parse_price("2")


async def test_an_upstream_that_ignores_the_cap_is_paid_for_what_it_delivered(autojump_clock: Clock) -> None:
    words = "many words " * 300
    stage = Stage(ScriptedUpstream([PLAIN, answer(words, prompt=9, completion=600)]))
    await stage.relay(ask(max_completion_tokens=1))
    assert json.loads(stage.upstream.requests[0].body)["max_tokens"] == 1  # it was told, in the field that it obeys
    row = stage.log.rows[0]
    assert row.estimated and 300 <= row.completion_tokens <= 1200
    assert row.cost == row.prompt_tokens * IN + row.completion_tokens * OUT
    assert "overrun" in [entry.kind for entry in stage.log.entries]


async def test_what_a_poor_account_cannot_pay_of_it_is_a_loss_in_the_books(autojump_clock: Clock) -> None:
    stage = Stage(ScriptedUpstream([PLAIN, answer("many words " * 300, prompt=9, completion=600)]), credits=30 * IN)
    await stage.relay(ask(max_tokens=1))
    assert stage.log.rows[0].lost > 0 and stage.books.accounts[1].posted == 0
    assert "loss" in [entry.kind for entry in stage.log.entries]


async def test_a_model_without_a_cap_field_is_held_whole_or_refused(autojump_clock: Clock) -> None:
    way = channel("one", model(cap_field=None))
    stage = Stage(ScriptedUpstream([PLAIN, answer(completion=900)]), way, credits=1100 * OUT)
    client = await stage.relay(ask(max_tokens=1))
    assert client.status == 200 and stage.log.rows[0].cost == 10 * IN + 900 * OUT
    assert [entry.kind for entry in stage.log.entries] == ["grant", "hold", "post"]
    poor = Stage(ScriptedUpstream(), way, credits=900 * OUT)
    assert (await poor.relay(ask(max_tokens=1))).status == 402
    assert (await poor.relay(ask())).status == 402


@pytest.mark.parametrize("code", [400, 404, 422])
async def test_an_upstreams_bad_key_is_never_the_callers_fault(code: int, autojump_clock: Clock) -> None:
    bad = [*status(code, "Incorrect API key provided: sk-abc")]
    stage = Stage(ScriptedUpstream(bad, [PLAIN, answer()]), channel("one"), channel("two"))
    assert (await stage.relay(ask())).status == 200
    alone = Stage(ScriptedUpstream(bad), retry=Retry(attempts=1))
    client = await alone.relay(ask())
    assert client.status == 502 and "key" not in error_of(client)["message"]


async def test_a_channels_own_secrets_are_taken_out_whatever_their_shape(
    autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    secrets = ("correct-horse-battery", "vllm.internal.lan", "hush-hush", "10.0.0.7:9000")
    way = channel(
        credentials=(Secret("correct-horse-battery"),),
        addresses=addresses("http://vllm.internal.lan:9000/v1"),
        headers={"x-team": "hush-hush"},
    )
    words = "token not good: correct-horse-battery at vllm.internal.lan:9000 for hush-hush via 10.0.0.7:9000"
    for script, stream in (
        ([*status(400, words)], False),
        ([STREAM, delta("a"), b'data: {"error":{"message":"%s"}}\n\n' % words.encode()], True),
    ):
        stage = Stage(ScriptedUpstream(script), way)
        client = await stage.relay(ask(stream=stream))
        assert b"token not good" in client.body
        for secret in secrets:
            assert secret.encode() not in client.body and secret not in caplog.text


async def test_a_configured_header_replaces_ours(autojump_clock: Clock) -> None:
    stage = Stage(ScriptedUpstream([PLAIN, answer()]), channel(headers={"Authorization": "Basic abc", "X-Team": "a"}))
    await stage.relay(ask())
    sent = stage.upstream.requests[0].headers
    assert [value for name, value in sent if name == b"authorization"] == [b"Basic abc"]


async def test_leaving_while_an_error_is_read_is_free(autojump_clock: Clock) -> None:
    head, _ = status(500)
    stage = Stage(ScriptedUpstream([head, b"half", ("wait", 100)]))
    await leave(stage, 1)
    assert stage.log.rows[0].status == "client_gone" and stage.log.rows[0].cost == 0


async def test_nobody_tries_again_for_a_client_that_has_left(autojump_clock: Clock) -> None:
    stage = Stage(
        ScriptedUpstream([("wait", 2), *status(500)], chat("never")),
        channel("one", drain=True),
        channel("two", drain=True),
    )
    await leave(stage, 1)
    assert len(stage.upstream.requests) == 1
    assert stage.log.rows[0].cost == 0


async def test_a_draining_channel_drains_nothing_that_never_went_up(autojump_clock: Clock) -> None:
    class Slow(ScriptedUpstream):
        def begin(self, request: Any, sending: Any, now: float) -> None:
            pass

        async def open(self, request: Any, sending: Any = None) -> Any:
            await trio.sleep(10)  # connecting
            return await super().open(request, sending)

    stage = Stage(Slow(chat("never")), channel(drain=True))
    await leave(stage, 1)
    assert trio.current_time() == pytest.approx(1) and stage.log.rows[0].cost == 0


async def test_usage_behind_the_end_marker_counts(autojump_clock: Clock) -> None:
    for last in ([DONE + usage(10, 7)], [DONE, usage(10, 7)]):
        stage = Stage(ScriptedUpstream([STREAM, delta("a"), delta(finish="stop"), *last]))
        await stage.relay(ask(stream=True))
        assert not stage.log.rows[0].estimated and stage.log.rows[0].cost == 10 * IN + 7 * OUT


async def test_a_whole_answer_to_a_stream_request_is_streamed(autojump_clock: Clock) -> None:
    stage = Stage(ScriptedUpstream([PLAIN, answer("Hi", prompt=10, completion=3)]))
    client = await stage.relay(ask(stream=True))
    assert (
        client.status == 200
        and client.body.endswith(DONE)
        and b'"delta":{"role": "assistant", "content": "Hi"}' in client.body
    )
    assert stage.log.rows[0].cost == 10 * IN + 3 * OUT and not stage.log.rows[0].estimated


async def test_a_last_event_without_a_blank_line_is_an_end(autojump_clock: Clock) -> None:
    stage = Stage(ScriptedUpstream([STREAM, delta("a"), delta(finish="stop")[:-2]]))
    client = await stage.relay(ask(stream=True))
    assert client.body.endswith(DONE) and b"error" not in client.body


async def test_uncapped_calls_do_not_block_each_other_by_what_they_will_not_use(autojump_clock: Clock) -> None:
    from ftgate.core.limits import Rates

    scripts = [[("wait", 3), PLAIN, answer()] for _ in range(6)]
    stage = Stage(
        ScriptedUpstream(*scripts),
        channel("one", model(max_output=8192, context=100_000)),
        rates=Rates(tokens_per_minute=20_000),
    )
    clients = [RecordingClient() for _ in range(6)]
    async with trio.open_nursery() as nursery:
        for client in clients:
            nursery.start_soon(stage.gate.relay, stage.call(ask()), client)
            await trio.sleep(0.01)
    assert [client.status for client in clients] == [200] * 6


async def test_a_large_body_is_read_beside_the_loop() -> None:
    stage = Stage(
        ScriptedUpstream([PLAIN, answer()]), channel("one", model(context=None, max_output=100)), credits=10**15
    )
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await trio.sleep(0.001)
            ticks += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(tick)
        client = await stage.relay(ask(messages=[{"role": "user", "content": "wörter und words " * 500_000}]))
        nursery.cancel_scope.cancel()
    assert client.status == 200 and ticks >= 3


@pytest.mark.parametrize(
    ("details", "kept"),
    [
        ({"error_code": "x"}, True),
        ({"many": ["some words"] * 100}, True),
        ({"more": ["some words"] * 1000}, False),
        ({"api_key": "abc123def456"}, False),
    ],
)
async def test_an_error_is_json_whatever_stood_beside_its_words(
    details: Any, kept: bool, autojump_clock: Clock
) -> None:
    body = {"type": "error", "error": {"type": "invalid_request_error", "message": "no", "details": details}}
    stage = Stage(ScriptedUpstream([(400, PLAIN[1]), json.dumps(body).encode()]))
    client = RecordingClient()
    asked = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
    call = Call(id="req_d", dialect=anthropic_messages, secret=b"sk-ft_test", body=json.dumps(asked).encode())
    await stage.gate.relay(call, client)
    assert client.status == 400 and json.loads(client.body)["error"].get("details") == (details if kept else None)
