"""The gate over the direct transport on real sockets, where a plain call's answer is waited for without a scope:
whoever ends the call, its upstream is closed at once and its money is right."""

import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from math import inf
from typing import Any

import msgspec
import pytest
import trio

from ftgate.core.money import parse_price
from ftgate.core.retrying import Retry
from ftgate.core.routing import Channel, Timeouts
from ftgate.core.tries import tries_of
from ftgate.line.call import Call
from ftgate.readiness import SUPPORTED, TICK_S, Readiness
from ftgate.transports.direct import DirectUpstream
from ftgate.transports.outgoing import ChannelCounts
from tests.fakes.ports import RecordingClient, Stage, addresses, channel, model
from tests.fakes.upstream import Script
from tests.line.test_cancel_everywhere import Strike
from tests.line.test_line import error_of
from tests.line.transcript import WAYS, answer, ask
from tests.patience import AT_ONCE_S, SOON_S
from tests.transports.transports import TogetherUpstream, watching

pytestmark = pytest.mark.skipif(not SUPPORTED, reason="there is no epoll here")

IN, OUT = parse_price("1"), parse_price("2")
PATIENT = Timeouts(connect=5, head=60, answer=60, first_token=60, idle=60, total=60)
NEVER = Script(head_delay_s=inf)
PROMPT, OUTPUT = 4, 3
"""Tokens of ask() and of the fake's answer, as the fake counts them."""


class Direct(DirectUpstream):
    """As the Stage wants it; `words` counts the waits without a scope and what they brought."""

    def __init__(self, readiness: Readiness) -> None:
        super().__init__(readiness=readiness)
        self.begun = 0

    @property
    def open_answers(self) -> int:
        return sum(counts.in_use for counts in self.counts().values())

    def begin(self, request: Any, sending: Any, now: float) -> Any:
        begun = super().begin(request, sending, now)
        self.begun += begun is not None
        return begun


class House:
    """A gate with the channels `one` and `two`, their connections kept, and the upstream of both, which knows them by
    the models `m-one` and `m-two`."""

    def __init__(self, fake: TogetherUpstream, upstream: Direct) -> None:
        self.fake = fake
        self.upstream = upstream
        self.stage: Stage
        self.client = RecordingClient()
        self.number = 0  # of requests before the call

    def way(self, name: str, **changes: Any) -> Channel:
        times = msgspec.structs.replace(PATIENT, **changes.pop("times", {}))
        prefix = self.fake.url + "/v1"
        return channel(name, model(upstream=f"m-{name}"), addresses=addresses(prefix), timeouts=times, **changes)

    async def set(self, *ways: Channel, **settings: Any) -> None:
        """A stage whose channels have each a kept connection."""
        for way in ways:
            self.fake.scripts[f"m-{way.name}"] = Script()
            if not self.idle(way.name):
                first = Stage(self.upstream, msgspec.structs.replace(way, timeouts=PATIENT))  # type: ignore[arg-type]
                assert (await first.relay(ask())).status == 200
            assert self.idle(way.name) == 1
        self.number, self.upstream.begun = len(self.fake.requests), 0
        self.stage = Stage(self.upstream, *ways, **settings)  # type: ignore[arg-type]

    def idle(self, name: str) -> int:
        counts = self.upstream.counts()
        return counts[name].idle if name in counts else 0

    async def ended(self, end: Callable[[Call, trio.CancelScope], None] | None = None) -> float:
        """Relay one call, and `end` it while it waits for its word. When that was (time.monotonic())."""
        call, outer, at = self.stage.call(ask()), trio.CancelScope(), 0.0

        async def relay() -> None:
            with outer:
                await self.stage.gate.relay(call, self.client)

        with trio.fail_after(SOON_S):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(relay)
                await self.fake.until(lambda: len(self.fake.requests) > self.number)
                if end is not None:
                    assert call.begun is not None and call.scope is None, "it does not wait for a word"
                    at = time.monotonic()
                    end(call, outer)
        self.stage.check()
        assert call.begun is None and call.scope is None
        return at

    async def closed_after(self, at: float, number: int = 0) -> None:
        """Soon after `at` the connection of the call's request `number` was closed."""
        connection = self.fake.requests[self.number + number].connection
        await self.fake.until(lambda: not connection.is_open)
        assert connection.closed_by_peer_at is not None and connection.closed_by_peer_at - at < AT_ONCE_S

    def row(self) -> Any:
        (row,) = self.stage.log.rows
        return row


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with opened() as house:
        yield house


@asynccontextmanager
async def opened() -> AsyncIterator[House]:
    async with TogetherUpstream().serving() as fake, watching() as readiness:
        upstream = Direct(readiness)
        yield House(fake, upstream)
        await upstream.aclose_all()
        assert not readiness._watched


async def test_a_whole_answer_is_taken_at_its_word(house: House) -> None:
    await house.set(house.way("one"))
    for count in range(1, 4):
        client = await house.stage.relay(ask())
        assert client.status == 200 and json.loads(client.body)["usage"]["prompt_tokens"] == PROMPT
        row = house.stage.log.rows[-1]
        assert (row.status, row.cost, row.estimated) == ("ok", PROMPT * IN + OUTPUT * OUT, False)
        assert row.tries == ""  # the row itself says it all
        assert house.upstream.begun == count
    assert len(house.fake.connections) == 1


async def test_an_answer_in_pieces(house: House) -> None:
    await house.set(house.way("one"))
    house.fake.scripts["m-one"] = Script(first_delay_s=0.01, write_size=50)
    client = await house.stage.relay(ask())
    assert client.status == 200 and house.row().cost == PROMPT * IN + OUTPUT * OUT
    assert house.upstream.begun == 1 and len(house.fake.connections) == 1 and house.idle("one") == 1


# ---- ended from outside ----


@pytest.mark.parametrize("charged", [True, False])
@pytest.mark.parametrize("way", WAYS)
async def test_ended_while_it_waits_for_its_word(house: House, way: str, charged: bool) -> None:
    await house.set(house.way("one", charge_left_before_content=charged))
    house.fake.scripts["m-one"] = NEVER
    at = await house.ended(WAYS[way])
    assert time.monotonic() - at < AT_ONCE_S
    await house.closed_after(at)
    left = way in ("client_gone", "write_timeout")
    row = house.row()
    assert row.status == ("shutdown" if way == "outside" else way)
    assert row.attempts == 1 and len(house.fake.requests) == house.number + 1
    if left and charged:  # the prompt was read
        assert row.estimated and row.completion_tokens == 0 and row.cost == row.prompt_tokens * IN > 0
        assert [entry.kind for entry in house.stage.log.entries[1:]] == ["hold", "post"]
    else:
        assert (row.cost, row.prompt_tokens) == (0, 0)
        assert [entry.kind for entry in house.stage.log.entries[1:]] == ["hold", "void"]
    if way in ("operator", "shutdown"):
        assert house.client.status == 503 and error_of(house.client)["code"] in ("shutting_down", "stopped")
    assert house.upstream.counts()["one"] == ChannelCounts(in_use=0, waiting=0, idle=0)


SCRIPTS: dict[str, tuple[Script, Script]] = {
    "whole": (Script(head_delay_s=0.001), Script()),
    "pieces": (Script(head_delay_s=0.001, first_delay_s=0.001), Script()),
    "error": (Script(status=500), Script()),
    "error in pieces": (Script(status=500, first_delay_s=0.001), Script()),
    "stale": (Script(fail_first=(1, 0)), Script()),
    "garbage": (Script(raw_response=b"nothing that is known\r\n\r\n"), Script(status=500)),
}


@pytest.mark.parametrize(("way", "drain"), [*((way, False) for way in WAYS), ("client_gone", True)])
@pytest.mark.parametrize("script", SCRIPTS)
async def test_ended_at_every_step(house: House, script: str, way: str, drain: bool) -> None:
    """As test_cancel_everywhere does it, with what really waits for an answer."""
    struck: list[bool] = []  # whether it waited for its word
    answered = 0
    for k in range(1, 200):
        await house.set(house.way("one", drain=drain), house.way("two", drain=drain), retry=Retry(backoff=0.0))
        house.fake.scripts.update({"m-one": SCRIPTS[script][0], "m-two": SCRIPTS[script][1]})
        house.fake._failed.clear()
        call, client, outer = house.stage.call(ask()), RecordingClient(), trio.CancelScope()

        def blow(call: Call = call, outer: trio.CancelScope = outer) -> None:
            struck.append(call.begun is not None)
            WAYS[way](call, outer)

        strike = Strike(k, blow)
        strike.task = trio.lowlevel.current_task()
        trio.lowlevel.add_instrument(strike)
        try:
            with outer, trio.fail_after(5):
                await house.stage.gate.relay(call, client)
        finally:
            trio.lowlevel.remove_instrument(strike)
        house.stage.check()
        cost = sum(row.cost for row in house.stage.log.rows)
        if client.status == 200:
            assert cost == PROMPT * IN + OUTPUT * OUT
        elif cost:  # an answer that nobody waited for any more, or the prompt of one who left
            assert cost == PROMPT * IN + OUTPUT * OUT or (call.left and cost == house.row().prompt_tokens * IN)
        answered += client.status == 200
        await house.fake.until(lambda: len(house.fake.open_connections) == house.idle("one") + house.idle("two"))
        if strike.left > 0:
            break
    assert len(struck) > 8 and any(struck) and k < 199
    assert answered or script == "garbage"


# ---- out of time ----


@pytest.mark.parametrize("late", ["no word", "half a word"])
async def test_the_answer_limit_passes(house: House, late: str) -> None:
    """And the next candidate answers."""
    await house.set(house.way("one", times={"answer": 0.15, "idle": 0.15}), house.way("two"))
    house.fake.scripts["m-one"] = NEVER if late == "no word" else Script(first_delay_s=inf)
    began = time.monotonic()
    await house.ended()
    assert 0.15 <= time.monotonic() - began < 0.15 + TICK_S + AT_ONCE_S
    await house.closed_after(began + 0.15 + TICK_S)
    assert house.client.status == 200 and house.client.headers["x-findtoken-provider"] == "two"
    row = house.row()
    assert (row.status, row.attempts, row.channel, row.cost) == ("ok", 2, "two", PROMPT * IN + OUTPUT * OUT)
    assert house.upstream.begun == 2 and (house.idle("one"), house.idle("two")) == (0, 1)


async def test_the_answer_limit_of_the_last_candidate_passes(house: House) -> None:
    await house.set(house.way("one", times={"answer": 0.05}), retry=Retry(attempts=1))
    house.fake.scripts["m-one"] = NEVER
    await house.ended()
    assert house.client.status == 504 and "no response head in time" in error_of(house.client)["message"]
    assert (house.row().status, house.row().cost, house.idle("one")) == ("timeout", 0, 0)


async def test_the_whole_calls_time_passes(house: House) -> None:
    """Nobody else is tried then."""
    await house.set(*(house.way(name, times={"total": 0.1}) for name in ("one", "two")), total_s=0.1)
    house.fake.scripts["m-one"] = NEVER
    began = time.monotonic()
    await house.ended()
    assert time.monotonic() - began < 0.1 + TICK_S + AT_ONCE_S
    assert house.client.status == 504 and len(house.fake.requests) == house.number + 1
    assert (house.row().status, house.row().cost, house.idle("one")) == ("timeout", 0, 0)


# ---- failures ----


@pytest.mark.parametrize(
    "bad",
    [
        Script(status=500), Script(status=429), Script(status=204), Script(gzip=True), Script(raw_response=b"no "
        b"HTTP\r\n\r\n"),
        Script(raw_body=b""), Script(raw_body=b"no JSON"), Script(cut_after=1), Script(drop="rst"),
        Script(status=503, raw_body=answer()),
    ],
    ids=["500", "429", "204", "compressed", "garbage", "empty", "no JSON", "cut", "reset", "an answer's words"],
)  # fmt: skip
async def test_a_bad_word_goes_to_the_next_candidate(house: House, bad: Script) -> None:
    await house.set(house.way("one"), house.way("two"), retry=Retry(backoff=0.0))
    house.fake.scripts["m-one"] = bad
    await house.ended()
    assert house.client.status == 200 and house.client.headers["x-findtoken-provider"] == "two"
    assert (house.row().status, house.row().attempts, house.row().cost) == ("ok", 2, PROMPT * IN + OUTPUT * OUT)
    first, second = tries_of(house.row().tries)
    assert (first.channel, first.status in (bad.status, 200, None), first.outcome != "ok") == ("one", True, True)
    assert (second.channel, second.outcome, second.status, second.error) == ("two", "ok", 200, "")
    assert 0 <= first.ms + second.ms <= house.row().latency_ms + 1
    assert house.upstream.begun == 2
    asked = [seen.model for seen in house.fake.requests[house.number :]]
    assert asked == ["m-one", "m-one", "m-two"] if bad.drop else asked == ["m-one", "m-two"]


async def test_what_is_the_callers_fault_is_told_to_the_caller(house: House) -> None:
    await house.set(house.way("one"), house.way("two"))
    house.fake.scripts["m-one"] = Script(status=422)
    await house.ended()
    assert house.client.status == 422 and error_of(house.client)["message"] == "scripted 422"
    assert (house.row().attempts, house.row().cost, house.idle("one")) == (1, 0, 1)
    (only,) = tries_of(house.row().tries)
    assert (only.channel, only.outcome, only.status, only.error) == ("one", "caller", 422, "scripted 422")


async def test_a_close_that_crosses_is_one_attempt(house: House) -> None:
    await house.set(house.way("one"), house.way("two"))
    house.fake.scripts["m-one"] = Script(fail_first=(1, 0))
    await house.ended()
    assert house.client.status == 200 and house.client.headers["x-findtoken-provider"] == "one"
    assert (house.row().attempts, house.row().cost) == (1, PROMPT * IN + OUTPUT * OUT)
    assert [seen.model for seen in house.fake.requests[house.number :]] == ["m-one", "m-one"]


# ---- drained ----


@pytest.mark.parametrize("pieces", [False, True])
async def test_left_and_drained(house: House, pieces: bool) -> None:
    """The answer is read for its usage, and the connection is kept."""
    await house.set(house.way("one", drain=True))
    house.fake.scripts["m-one"] = Script(head_delay_s=0.1, first_delay_s=0.1 * pieces)
    await house.ended(WAYS["client_gone"])
    row = house.row()
    assert (row.status, row.cost, row.estimated) == ("client_gone", PROMPT * IN + OUTPUT * OUT, False)
    assert house.idle("one") == 1 and house.fake.requests[-1].finished_at is not None


@pytest.mark.parametrize("half", [False, True])
async def test_a_drain_has_an_end(house: House, half: bool) -> None:
    await house.set(house.way("one", drain=True, drain_s=0.15), house.way("two", drain=True))
    house.fake.scripts["m-one"] = Script(head_delay_s=0.05, first_delay_s=inf) if half else NEVER
    at = await house.ended(WAYS["client_gone"])
    assert 0.15 <= time.monotonic() - at < 0.15 + TICK_S + AT_ONCE_S
    await house.closed_after(at + 0.15 + TICK_S)
    row = house.row()
    assert row.status == "client_gone" and row.estimated and row.cost == row.prompt_tokens * IN > 0
    assert len(house.fake.requests) == house.number + 1, "nobody waits for another try"


async def test_a_drain_ends_with_the_calls_own_time(house: House) -> None:
    await house.set(house.way("one", drain=True, times={"total": 0.15}), total_s=0.15)
    house.fake.scripts["m-one"] = NEVER
    at = await house.ended(WAYS["client_gone"])
    assert time.monotonic() - at < 0.15 + TICK_S + AT_ONCE_S
    assert house.row().status == "client_gone" and house.idle("one") == 0


@pytest.mark.parametrize("way", ["operator", "shutdown"])
async def test_a_drained_call_can_be_ended(house: House, way: str) -> None:
    await house.set(house.way("one", drain=True))
    house.fake.scripts["m-one"] = NEVER

    def end(call: Call, outer: trio.CancelScope) -> None:
        call.client_gone()
        WAYS[way](call, outer)

    at = await house.ended(end)
    assert time.monotonic() - at < AT_ONCE_S
    await house.closed_after(at)
    assert house.row().status == "client_gone" and house.row().cost > 0
