"""What a client hears while it waits for a stream: when, what not, and that nothing else changes by it."""

import json
from typing import Any

import msgspec
import pytest
import trio
import trio.testing

from ftgate.core.money import format_usd, parse_price
from ftgate.core.retrying import Retry
from ftgate.core.routing import Timeouts
from ftgate.errors import Fault, UpstreamFailed
from ftgate.line.keepalive import LOOKS
from ftgate.ports import Headers
from tests.fakes.ports import RecordingClient, ScriptedUpstream, Stage, channel
from tests.line.test_cancel_everywhere import Strike
from tests.line.test_line import error_of
from tests.line.transcript import DONE, PLAIN, STREAM, WAYS, answer, ask, chat, delta, status, usage

Clock = trio.testing.MockClock
IN, OUT = parse_price("1"), parse_price("2")
LINE = b": keepalive\n"
LONG = Timeouts(head=500, first_token=500, idle=500, answer=500, total=1800)


class Listener(RecordingClient):
    """A client that notes when it heard what. `slow_s` is how long a piece takes to go."""

    def __init__(self, slow_s: float = 0.0) -> None:
        super().__init__()
        self.slow_s = slow_s
        self.heard: list[tuple[float, bytes]] = []

    async def start(self, status: int, headers: Headers) -> None:
        self.heard.append((trio.current_time(), b"head"))
        await super().start(status, headers)

    async def send(self, data: bytes) -> None:
        self.heard.append((trio.current_time(), data))
        await super().send(data)

    async def _pause(self) -> None:
        await super()._pause()
        if self.slow_s and self.status is not None:
            self.busy = True
            try:
                await trio.sleep(self.slow_s)
            finally:
                self.busy = False

    def send_now(self, data: bytes) -> bool:
        self.heard.append((trio.current_time(), data))
        return super().send_now(data)

    def lines(self) -> list[float]:
        return [at for at, data in self.heard if data == LINE]


def stage(*scripts: list[Any], ways: int = 1, every: float = 15.0, **changes: Any) -> Stage:
    channels = [channel(name, timeouts=LONG) for name in ("one", "two", "three")[:ways]]
    return Stage(ScriptedUpstream(*scripts), *channels, keepalive_s=every, **changes)


async def relay(on: Stage, client: Listener | None = None, body: bytes | None = None) -> Listener:
    client = client or Listener()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(on.gate.keep_alive)
        await on.gate.relay(on.call(body or ask(stream=True)), client)
        nursery.cancel_scope.cancel()
    on.check()
    return client


async def test_a_model_that_thinks_for_a_minute(autojump_clock: Clock) -> None:
    """A head and a line each span, and then the answer as ever; who answered stands in the closing comment."""
    on = stage([STREAM, delta(""), ("wait", 70), *chat("a")[2:]])
    client = await relay(on)
    assert len(client.lines()) == 4
    assert all(15 * n <= at <= 15 * n * (1 + 1 / LOOKS) for n, at in enumerate(client.lines(), 1))
    assert client.heard[0][1] == b"head" and client.status == 200
    assert client.headers["x-findtoken-mode"] == "standard" and client.headers["x-request-id"]
    assert client.headers["content-type"].startswith("text/event-stream")
    assert not {"x-findtoken-model", "x-findtoken-provider", "x-findtoken-attempts"} & client.headers.keys()
    cost, balance = format_usd(10 * IN + OUT), format_usd(10**12 - 10 * IN - OUT)
    note = f": x-findtoken-cost={cost} balance={balance} model=m provider=one attempts=1\n".encode()
    assert client.body == LINE * 4 + delta("") + delta("a") + delta(finish="stop") + note + DONE
    row = on.log.rows[0]
    assert (row.status, row.http_status, row.cost) == ("ok", 200, 10 * IN + OUT)
    assert row.first_token_ms == 70_000


async def test_a_quick_answer_hears_nothing_of_it(autojump_clock: Clock) -> None:
    on = stage([STREAM, ("wait", 14), *chat("a")[1:]])
    client = await relay(on)
    assert client.lines() == [] and client.headers["x-findtoken-provider"] == "one"
    assert b"model=" not in client.body


async def test_between_pieces_too(autojump_clock: Clock) -> None:
    """After its answer has begun: the head said who answers, so the comment does not."""
    on = stage([STREAM, delta("a"), ("wait", 40), delta("b"), ("wait", 10), delta("c"), ("wait", 16), *chat()[2:]])
    client = await relay(on)
    assert len(client.lines()) == 3
    assert client.body.startswith(delta("a") + LINE * 2 + delta("b") + delta("c") + LINE + delta(finish="stop"))
    assert client.headers["x-findtoken-provider"] == "one" and b"model=" not in client.body


async def test_comments_of_the_upstream_are_nothing_that_went(autojump_clock: Clock) -> None:
    on = stage([STREAM, *[b": still here\n\n", ("wait", 4)] * 8, *chat("a")[1:]])
    client = await relay(on)
    assert len(client.lines()) == 2 and b"still here" not in client.body


async def test_never_with_0(autojump_clock: Clock) -> None:
    on = stage([STREAM, ("wait", 400), *chat("a")[1:]], every=0.0)
    client = await relay(on)
    assert client.lines() == [] and len(client.heard) > 1


async def test_a_whole_answer_waits_in_silence(autojump_clock: Clock) -> None:
    client = await relay(stage([("wait", 400), PLAIN, answer()]), body=ask())
    assert client.lines() == [] and client.body == answer()


async def test_it_goes_on_through_backoff_and_failover(autojump_clock: Clock) -> None:
    """Which stay possible until content."""
    reset = UpstreamFailed(Fault.reset, "reset", sent=True)
    on = stage([("wait", 19), reset], [("wait", 19), *status(500)], [STREAM, ("wait", 19), *chat("a")[1:]], ways=3)
    client = await relay(on)
    assert len(client.lines()) == 3 and client.body.endswith(b" model=m provider=three attempts=3\n" + DONE)
    assert on.log.rows[0].attempts == 3 and on.log.rows[0].cost == 10 * IN + OUT
    patient = Retry(attempts=2, backoff=40, backoff_cap=40)
    on = stage([*status(503)], [STREAM, *chat("a")[1:]], retry=patient)
    client = await relay(on)
    assert client.lines() and client.body.endswith(b" attempts=2\n" + DONE)


async def test_an_error_after_it_is_told_in_the_stream(autojump_clock: Clock) -> None:
    """Nothing was charged, so no cost is told; the row says what HTTP said."""
    on = stage([("wait", 20), *status(400, "no such tool")])
    client = await relay(on)
    assert client.status == 200 and client.ended
    said = json.loads(client.body.removeprefix(LINE).removeprefix(b"data: "))
    assert said["error"]["message"] == "no such tool"
    row = on.log.rows[0]
    assert (row.status, row.http_status, row.cost, row.error_code) == ("error", 200, 0, "c")


async def test_an_error_after_content_names_who_answered(autojump_clock: Clock) -> None:
    on = stage([STREAM, ("wait", 20), delta("Hello"), UpstreamFailed(Fault.incomplete, "cut", sent=True)])
    client = await relay(on)
    last = client.body.split(b"\n\n")[-2]
    assert last.startswith(b": x-findtoken-cost=") and b" model=m provider=one attempts=1\ndata: {" in last
    assert b"[DONE]" not in client.body and on.log.rows[0].cost > 0


async def test_what_is_refused_before_the_hold_keeps_its_status(autojump_clock: Clock) -> None:
    client = await relay(stage(credits=10), body=ask(stream=True, max_tokens=900))
    assert client.status == 402 and error_of(client)["code"] == "insufficient_credits"


async def test_a_line_needs_no_durable_hold_but_content_does(autojump_clock: Clock) -> None:
    on = stage([STREAM, ("wait", 20), delta("a"), delta(finish="stop"), DONE])
    on.log.stuck = True
    client = await relay(on)
    assert client.body.startswith(LINE) and b'"a"' not in client.body
    assert b"database_busy" in client.body and on.log.rows[0].http_status == 200
    assert on.books.accounts[1].posted == 10**12


async def test_nothing_of_ours_goes_beside_a_piece(autojump_clock: Clock) -> None:
    """A slow client: the call waits for the line and the line for the call (the fake fails where two speak at once)."""
    pieces = [step for n in range(30) for step in (("wait", 7), delta(str(n)))]
    on = stage([STREAM, *pieces, delta(finish="stop"), usage(10, 30), DONE], every=5.0)
    client = await relay(on, Listener(slow_s=3.0))
    text = b"".join(delta(str(n)) for n in range(30))
    assert client.body.replace(LINE, b"").startswith(text) and client.body.endswith(DONE)
    assert len(client.lines()) > 5


async def test_a_byte_order_mark_does_not_stand_in_the_middle(autojump_clock: Clock) -> None:
    on = stage([STREAM, ("wait", 20), b"\xef\xbb\xbf" + delta("a"), *chat()[2:]])
    assert (await relay(on)).body.startswith(LINE + delta("a"))
    on = stage([STREAM, b"\xef\xbb\xbf" + delta("a"), *chat()[2:]])
    assert (await relay(on)).body.startswith(b"\xef\xbb\xbf" + delta("a"))


async def test_no_line_stands_between_the_halves_of_a_line_end(autojump_clock: Clock) -> None:
    one = delta("a").replace(b"\n", b"\r\n")
    on = stage([STREAM, one[:-1], ("wait", 40), one[-1:], *chat("b")[2:]])
    client = await relay(on)
    assert client.body.startswith(LINE * 2 + one + delta("b"))


async def test_nobody_is_kept_company_who_has_left(autojump_clock: Clock) -> None:
    on = Stage(
        ScriptedUpstream([STREAM, ("wait", 50), *chat("a")[1:]]), channel(drain=True, timeouts=LONG), keepalive_s=15
    )
    call, client = on.call(ask(stream=True)), Listener()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(on.gate.keep_alive)

        async def leave() -> None:
            await trio.sleep(20)
            call.client_gone()

        nursery.start_soon(leave)
        await on.gate.relay(call, client)
        nursery.cancel_scope.cancel()
    on.check()
    assert len(client.lines()) == 1 and on.log.rows[0].cost == 10 * IN + OUT


async def test_one_client_that_fails_ends_no_other_call(
    autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Listener):
        async def send(self, data: bytes) -> None:
            if data == LINE:
                raise OSError("gone")
            await super().send(data)

    on = stage([STREAM, ("wait", 70), *chat("a")[1:]], [STREAM, ("wait", 70), *chat("a")[1:]])
    clients = [Broken(), Listener()]
    async with trio.open_nursery() as keeping:
        keeping.start_soon(on.gate.keep_alive)
        async with trio.open_nursery() as nursery:
            for client in clients:
                nursery.start_soon(on.gate.relay, on.call(ask(stream=True)), client)
        keeping.cancel_scope.cancel()
    assert [client.body.endswith(DONE) for client in clients] == [True, True]
    assert "could not be kept alive" in caplog.text


@pytest.mark.parametrize("way", WAYS)
async def test_ended_at_every_step(way: str, autojump_clock: Clock) -> None:
    """Beside a keeper that speaks all the time."""
    reset = UpstreamFailed(Fault.reset, "reset", sent=True)
    for k in range(1, 200):
        scripts = [[("wait", 7), reset], [STREAM, ("wait", 7), delta("a"), ("wait", 7), delta("b"), *chat()[2:]]]
        on = stage(*scripts, ways=2, every=2.0, retry=Retry(backoff=0.0))
        call, client, outer = on.call(ask(stream=True)), Listener(slow_s=1.0), trio.CancelScope()
        strike = Strike(k, lambda call=call, outer=outer: WAYS[way](call, outer))
        strike.task = trio.lowlevel.current_task()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(on.gate.keep_alive)
            trio.lowlevel.add_instrument(strike)
            try:
                with outer:
                    await on.gate.relay(call, client)
            finally:
                trio.lowlevel.remove_instrument(strike)
            nursery.cancel_scope.cancel()
        on.check()
        if strike.left > 0:
            break
    assert 20 < k < 199


async def test_a_call_pays_no_task_for_it(autojump_clock: Clock) -> None:
    on = stage(*[[STREAM, ("wait", 10), *chat("a")[1:]] for _ in range(50)])
    tasks: list[int] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(on.gate.keep_alive)
        async with trio.open_nursery() as calls:
            for _ in range(50):
                calls.start_soon(on.gate.relay, on.call(ask(stream=True)), Listener())
            await trio.sleep(5)
            tasks.append(trio.lowlevel.current_statistics().tasks_living)
            assert len(on.gate.keeper.waiting) == 50 and repr(on.gate.keeper) == "<Keeper of 50 calls>"
        base = trio.lowlevel.current_statistics().tasks_living
        nursery.cancel_scope.cancel()
    assert tasks[0] == base + 50


async def test_the_setting_of_a_call_is_the_one_it_began_with(autojump_clock: Clock) -> None:
    on = stage([STREAM, ("wait", 70), *chat("a")[1:]])
    client = Listener()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(on.gate.keep_alive)

        async def change() -> None:
            await trio.sleep(20)
            on.gate.live.gate = msgspec.structs.replace(on.gate.settings, keepalive_s=0.0)

        nursery.start_soon(change)
        await on.gate.relay(on.call(ask(stream=True)), client)
        nursery.cancel_scope.cancel()
    assert len(client.lines()) == 4
