"""One hold, a cap for each attempt: who is asked, with which cap, and for how much, when a call may go several ways."""

import gc
import json
import weakref
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from ftgate.core import receipt
from ftgate.core.limits import Rates
from ftgate.core.pricing import Multiplier, Price
from ftgate.core.retrying import Retry
from ftgate.core.routing import Channel
from ftgate.core.secret import Secret
from ftgate.line.attempt import Attempts
from ftgate.line.call import Exchange, Tried
from ftgate.line.charge import quote
from ftgate.ports import Terms
from ftgate.store.ledger import MemoryLedger
from tests.fakes.ports import PRICE, RecordingClient, ScriptedUpstream, Stage, channel, model
from tests.line.test_line import error_of
from tests.line.transcript import PLAIN, answer, ask, status

FREE = Price(0, 0, 0, 0, 0)
USD = 10**12


def dear(times: int) -> Price:
    return Price(
        *(times * getattr(PRICE, field) for field in ("input", "output", "cached", "cache_write")), PRICE.input
    )


def caps(stage: Stage) -> list[tuple[str, int | None]]:
    """Channel and cap of every request that went up."""
    return [(r.channel, json.loads(r.body).get("max_tokens")) for r in stage.upstream.requests]


FAILED = status(500)
GOOD = [PLAIN, answer()]


# The four examples that showed what one cap for all candidates does


async def test_a_model_alone_may_write_all_it_can(autojump_clock: MockClock) -> None:
    stage = Stage(ScriptedUpstream(GOOD), channel("one", model("m", context=100_000, max_output=8000)))
    assert (await stage.relay(ask())).status == 200
    assert caps(stage) == [("one", 8000)]


async def test_a_short_fallback_shortens_nobody_else(autojump_clock: MockClock) -> None:
    ways = (
        channel("one", model("m", context=100_000, max_output=8000)),
        channel("two", model("n", context=4000, max_output=2000)),
    )
    stage = Stage(ScriptedUpstream(FAILED, GOOD), *ways, fallback={"m": ("n",)})
    client = await stage.relay(ask())
    assert client.status == 200 and caps(stage) == [("one", 8000), ("two", 2000)]


async def test_what_cannot_fit_is_not_sent_and_shortens_nobody(autojump_clock: MockClock) -> None:
    ways = (
        channel("one", model("m", context=100_000, max_output=8000)),
        channel("two", model("n", context=4000, max_output=2000)),
    )
    long = [{"role": "user", "content": "word " * 6000}]
    stage = Stage(ScriptedUpstream(FAILED, FAILED), *ways, fallback={"m": ("n",)}, retry=Retry(attempts=2, backoff=0))
    client = await stage.relay(ask(messages=long))
    assert client.status == 502 and caps(stage) == [("one", 8000), ("one", 8000)]  # alone, so it is tried again


async def test_a_free_model_is_not_capped(autojump_clock: MockClock) -> None:
    free = channel("one", model("m", price=FREE, context=None, max_output=None))
    for credits in (0, 10**12):
        stage = Stage(ScriptedUpstream(GOOD), free, credits=credits)
        assert (await stage.relay(ask())).status == 200
        assert caps(stage) == [("one", None)]


@pytest.mark.parametrize(
    ("factor", "credits", "held", "cap", "charged"),
    [
        # 10 tokens of prompt at most; what is held for 8,000 tokens of answer, at $1 and $2 a million
        ((1, 1), USD, 16_010, 8000, 42),
        ((3, 2), USD, 24_015, 8000, 63),
        ((1, 2), USD, 8005, 8000, 21),
        # half of what there is buys less of an answer where a factor stands before it
        ((1, 1), USD // 50, 10_000, 4995, 42),
        ((3, 2), USD // 50, 9_999, 3328, 63),
        ((0, 1), USD // 50, 0, 8000, 0),
    ],
)
async def test_a_plans_factor_stands_before_the_hold_the_cap_and_the_charge(
    factor: tuple[int, int], credits: int, held: int, cap: int, charged: int, autojump_clock: MockClock
) -> None:
    """Amounts in micro-dollars; the answer takes 10 and 16 tokens."""
    stage = Stage(
        ScriptedUpstream([PLAIN, answer(prompt=10, completion=16)]), channel("one", model("m", max_output=8000)),
        credits=credits, terms=Terms(multiplier=Multiplier(*factor)),
    )  # fmt: skip
    assert (await stage.relay(ask())).status == 200
    hold, post = stage.log.entries[1:]
    row = stage.log.rows[0]
    assert (hold.amount, caps(stage)) == (held * 10**6, [("one", cap)])
    assert (post.amount, row.cost, row.multiplier) == (charged * 10**6, charged * 10**6, f"{factor[0]}/{factor[1]}")
    assert receipt.wrong(row) is None


async def test_a_picture_is_bounded_by_what_each_channel_states(autojump_clock: MockClock) -> None:
    """Two channels serve one model; at the second a picture may take a hundred times as many tokens."""
    ways = channel("one", model("m", image_tokens=100)), channel("two", model("m", image_tokens=9000))
    picture = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x/y.png"}}]}]
    used = answer(prompt=9000, completion=20)
    stage = Stage(ScriptedUpstream(FAILED, [PLAIN, used]), *ways, credits=20_000 * PRICE.input)
    assert (await stage.relay(ask(messages=picture, max_tokens=20))).status == 200
    hold, post = stage.log.entries[1:]
    assert hold.kind == "hold" and hold.amount >= 9000 * PRICE.input
    assert (post.kind, post.amount) == ("post", 9000 * PRICE.input + 20 * PRICE.output)
    poor = Stage(ScriptedUpstream([PLAIN, used]), ways[1], ways[0], credits=5000 * PRICE.input)
    assert (await poor.relay(ask(messages=picture, max_tokens=20))).headers["x-findtoken-provider"] == "one"


# Who stays in a plan


async def test_auto_is_not_refused_for_its_dearest_model(autojump_clock: MockClock) -> None:
    """$0.04 pay for the cheap one of the catalogue, whatever else stands in it."""
    catalogue = channel("one", model("cheap"), model("dear", price=dear(10_000)), model("mid", price=dear(10)))
    stage = Stage(ScriptedUpstream(GOOD), catalogue, credits=4 * USD // 100)
    client = await stage.relay(ask(model="auto"))
    assert client.status == 200 and client.headers["x-findtoken-model"] == "cheap"


async def test_a_model_that_cannot_be_paid_is_passed_over_and_none_asked_for_is_a_402(
    autojump_clock: MockClock,
) -> None:
    ways = channel("one", model("dear", price=dear(1000)), model("mid", price=dear(10)), model("cheap"))
    stage = Stage(ScriptedUpstream(GOOD), ways, credits=USD // 100)
    assert (await stage.relay(ask(model="dear", models=["mid", "cheap"]))).headers["x-findtoken-model"] == "cheap"
    poor = Stage(ScriptedUpstream(), ways, credits=USD // 1000, fallback={"dear": ("cheap",), "mid": ("cheap",)})
    client = await poor.relay(ask(model="dear", models=["mid"]))
    assert client.status == 402  # a fallback that could be paid does not count: it was not asked for
    required = float(error_of(client)["message"].rpartition("$")[2])
    assert 0.02 < required < 0.03  # the smaller of the two: 1,024 tokens at 10 times $2, and the prompt


async def test_what_fits_nowhere_is_told_to_the_caller(autojump_clock: MockClock) -> None:
    stage = Stage(ScriptedUpstream(), channel("one", model("m", context=2000), model("n", context=1000)))
    long = [{"role": "user", "content": "word " * 3000}]
    client = await stage.relay(ask(messages=long, models=["n"]))
    said = error_of(client)
    assert (client.status, said["code"], said["param"]) == (400, "context_length_exceeded", "messages")
    assert "2000" in said["message"] and stage.log.rows[0].status == "refused"


async def test_a_clients_cap_past_what_a_model_writes_is_lowered_there_alone(autojump_clock: MockClock) -> None:
    ways = channel("one", model("m", max_output=1000)), channel("two", model("n", max_output=5000))
    stage = Stage(ScriptedUpstream(FAILED, GOOD), *ways, fallback={"m": ("n",)})
    assert (await stage.relay(ask(max_tokens=3000))).status == 200
    assert caps(stage) == [("one", 1000), ("two", 3000)]


async def test_the_hold_is_for_the_cut_alone(autojump_clock: MockClock) -> None:
    """Three tries: the fourth channel is never asked, and nothing is held for its price."""
    ways = [channel(str(n), model("m", price=PRICE if n < 3 else dear(100))) for n in range(4)]
    stage = Stage(ScriptedUpstream(FAILED, FAILED, FAILED), *ways, credits=USD)
    assert (await stage.relay(ask(max_tokens=500))).status == 502
    hold = next(entry for entry in stage.log.entries if entry.kind == "hold")
    assert hold.amount < 600 * PRICE.output and len(stage.upstream.requests) == 3


async def test_a_prompt_too_long_for_three_finds_the_longer_one_behind_the_cut(autojump_clock: MockClock) -> None:
    too_long = status(400, "This model's maximum context length is 8192 tokens")
    ways = [channel(f"c{n}", model("m", context=8192)) for n in range(5)]
    ways.append(channel("long", model("m", context=128_000)))
    stage = Stage(ScriptedUpstream(too_long, GOOD), *ways)
    assert (await stage.relay(ask())).headers["x-findtoken-provider"] == "long"


async def test_what_drops_out_is_replaced_from_behind_the_cut_where_the_hold_pays_for_it(
    autojump_clock: MockClock,
) -> None:
    """Two tries: m and n. n is full when m has failed, so o or p stands in: o is too dear for what is held."""
    ways = (
        channel("one", model("m")),
        channel("two", model("n")),
        channel("three", model("o", price=dear(50))),
        channel("four", model("p")),
    )
    stage = Stage(
        ScriptedUpstream([("wait", 2), *FAILED], [("wait", 5), *GOOD], GOOD), *ways,
        model_rates={"n": Rates(concurrent=1)}, retry=Retry(attempts=2), fallback={"m": ("n", "o", "p")},
    )  # fmt: skip
    second = RecordingClient()
    async with trio.open_nursery() as nursery:

        async def later() -> None:
            await trio.sleep(1)
            await stage.gate.relay(stage.call(ask(model="m")), second)

        nursery.start_soon(later)
        await trio.sleep(2)
        nursery.start_soon(stage.gate.relay, stage.call(ask(model="n")), RecordingClient())
    assert [channel for channel, _ in caps(stage)] == ["one", "two", "four"]
    assert second.headers["x-findtoken-model"] == "p" and second.headers["x-findtoken-attempts"] == "2"
    stage.check()


# What the ledger promises


async def test_a_hold_that_is_cancelled_leaves_none_behind(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gate shields it; a ledger that is cancelled all the same takes it back."""
    stage = Stage(ScriptedUpstream())
    x = Exchange(stage.call(ask()), stage.client, stage.gate.settings, stage.gate.ratios, 0, 0)
    x.key = await stage.gate.authenticate(b"sk-ft_test")
    x.ask = x.call.dialect.read_request(x.call.body)
    stage.gate.planner.plan(x, x.key)
    real = MemoryLedger.hold
    with trio.CancelScope() as scope:

        async def decided(self: MemoryLedger, request: Any) -> Any:
            held = await real(self, request)
            scope.cancel()
            return held

        monkeypatch.setattr(MemoryLedger, "hold", decided)
        await stage.gate.ledger.hold(stage.gate._request(x, x.key))
    assert scope.cancelled_caught
    assert not stage.books.open and [e.kind for e in stage.log.entries] == ["grant", "hold", "void"]


async def test_a_settlement_whose_outcome_is_not_known_shows_neither_cost_nor_balance(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = MemoryLedger.settle

    async def late(self: MemoryLedger, *arguments: Any) -> Any:
        settled = await real(self, *arguments)
        return type(settled)(charged=None, lost=0, balance=None, ticket=settled.ticket)

    monkeypatch.setattr(MemoryLedger, "settle", late)
    stage = Stage(ScriptedUpstream(GOOD))
    client = await stage.relay(ask())
    assert client.status == 200 and json.loads(client.body)["choices"]
    assert not {"x-findtoken-cost", "x-findtoken-balance"} & client.headers.keys()


async def test_an_answer_whose_counting_failed_still_gets_an_answer(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("ftgate.line.charge._measure", broken)
    stage = Stage(ScriptedUpstream(GOOD))
    client = await stage.relay(ask())
    assert client.status == 500 and error_of(client)["code"] == "internal_error"
    row = stage.log.rows[-1]
    assert (row.status, row.http_status, row.cost) == ("error", 500, 0)
    assert stage.log.entries[-1].kind == "void"


async def test_a_call_that_is_cancelled_while_its_attempt_fails_does_not_wait_to_try_again(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Attempts.run

    async def run(self: Attempts, x: Exchange, tried: Tried, index: int) -> Any:
        outcome = await real(self, x, tried, index)
        x.call.cancel("operator")
        return outcome

    monkeypatch.setattr(Attempts, "run", run)
    stage = Stage(ScriptedUpstream(FAILED), retry=Retry(backoff=100, backoff_cap=100))
    began = trio.current_time()
    await stage.relay(ask())
    assert trio.current_time() - began < 1


# Many candidates


def catalogue(models: int, channels: int) -> tuple[Channel, ...]:
    each = models // channels
    return tuple(
        channel(
            f"c{n}", *(model(f"m{n}-{k}", price=dear(1 + (7 * k + n) % 50)) for k in range(each)),
            credentials=(Secret("one"), Secret("two")),
        )
        for n in range(channels)
    )  # fmt: skip


@pytest.mark.parametrize("strategy", ["auto", "cheapest"])
async def test_auto_over_hundreds_of_models_makes_few_candidates(autojump_clock: MockClock, strategy: str) -> None:
    stage = Stage(ScriptedUpstream(GOOD), *catalogue(480, 12), credits=USD)
    client = await stage.relay(ask(model="auto", routing=strategy))
    assert client.status == 200 and client.headers["x-findtoken-model"] == "m0-0"


async def test_a_candidate_is_quoted_once_a_call(autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    quoted: list[str] = []

    def counted(x: Exchange, candidate: Any) -> Any:
        quoted.append(candidate.channel.name)
        return quote(x, candidate)

    monkeypatch.setattr("ftgate.line.planning.quote", counted)
    stage = Stage(ScriptedUpstream(FAILED, GOOD), channel("one", model()), channel("two", model()))
    assert (await stage.relay(ask())).status == 200
    assert sorted(quoted) == ["one", "two"]


async def test_a_call_leaves_nothing_to_the_collector(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was offered and not tried knows the call: as a circle, thousands of them would wait in memory."""
    seen: list[weakref.ref[Exchange]] = []
    real = Attempts.run

    async def run(self: Attempts, x: Exchange, tried: Tried, index: int) -> Any:
        seen.append(weakref.ref(x))
        return await real(self, x, tried, index)

    monkeypatch.setattr(Attempts, "run", run)
    stage = Stage(ScriptedUpstream(GOOD, FAILED, GOOD), *catalogue(60, 4), credits=USD)
    gc.collect()
    gc.disable()
    try:
        assert (await stage.relay(ask(model="auto"))).status == 200
        assert (await stage.relay(ask(model="auto"))).status == 200
        await trio.testing.wait_all_tasks_blocked()
        assert len(seen) == 3 and [one() for one in seen] == [None] * 3
    finally:
        gc.enable()
