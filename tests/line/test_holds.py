"""Random worlds through the real gate: what is held, which cap goes up and what is charged, against a reckoning of its
own.

The reckoning below knows prices, limits of models and what a caller asks for; of the house's own pricing it uses
nothing but the count of a prompt. Where the house computes a cap, it tries caps.
"""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from ftgate.core import estimate, receipt
from ftgate.core.pricing import Multiplier, Price, Tier
from ftgate.core.retrying import Retry
from ftgate.core.routing import Candidate, Channel, Model
from ftgate.core.secret import Secret
from ftgate.dialects import openai_chat
from ftgate.line.call import Exchange
from ftgate.ports import Terms, UpstreamRequest
from tests.fakes.ports import RecordingClient, ScriptedUpstream, Stage, channel, model
from tests.line.transcript import DONE, PLAIN, STREAM, answer, ask, delta, status, usage

FEWEST_TOKENS = 1024
"""An answer that could not have so many is not begun where the caller asked for no cap."""


@dataclass(frozen=True)
class World:
    """One caller, what it asks for, and the channels before it. `available` is None where nothing bounds it."""

    channels: tuple[Channel, ...]
    fallback: dict[str, tuple[str, ...]]
    multiplier: Multiplier
    credits: int
    metered: bool
    quota: int | None
    tries: int
    names: Sequence[str]
    fields: dict[str, Any]
    answers: int

    @property
    def body(self) -> bytes:
        first, *others = self.names
        return ask(model=first, **({"models": others} if others else {}), **self.fields)

    @property
    def available(self) -> int | None:
        bounds = [bound for bound in (None if self.metered else self.credits, self.quota) if bound is not None]
        return min(bounds, default=None)


def price(rng: random.Random) -> Price:
    def each() -> int:
        return rng.choice([0, 0, 1, 3, 10**5, 10**6, 2 * 10**6, 15 * 10**6, 75 * 10**6])

    if rng.random() < 0.15:
        return Price(0, 0, 0, 0, 0)
    tier = Tier(rng.choice([0, 5, 100, 1000]), *(each() for _ in range(5)))
    tiers = (tier,) if rng.random() < 0.3 else ()
    return Price(*(each() for _ in range(5)), rng.choice([0, 0, 0, 10**9, 10**10]), tiers)


def a_model(rng: random.Random, name: str) -> Model:
    most, context = rng.choice([None, 10, 500, 1000, 4000, 32_000]), rng.choice([None, 300, 2000, 8000, 100_000])
    return model(
        name, price=price(rng), context=context, max_output=min(most, context) if most and context else most,
        cap_field=rng.choice(["max_tokens", "max_tokens", "max_completion_tokens", None]),
        thinking_in_cap=rng.random() < 0.6, image_tokens=rng.choice([None, None, 100, 5000]),
    )  # fmt: skip


def a_channel(rng: random.Random, name: str, models: Sequence[Model]) -> Channel:
    """Some of the models, a few with a price and limits of this channel's own."""
    served = rng.sample(models, rng.randint(1, len(models)))
    own = [
        msgspec.structs.replace(
            one, price=price(rng), image_tokens=rng.choice([None, 100, 20_000]), context=rng.choice([one.context, None])
        )
        if rng.random() < 0.4
        else one
        for one in served
    ]
    return channel(name, *own, credentials=tuple(Secret(f"k{n}") for n in range(rng.choice([1, 1, 2]))))


def a_world(rng: random.Random) -> World:
    models = [a_model(rng, f"m{n}") for n in range(rng.randint(1, 5))]
    channels = tuple(a_channel(rng, f"c{n}", models) for n in range(rng.randint(1, 4)))
    served = sorted({name for way in channels for name in way.models})
    names = rng.sample(served, rng.randint(1, min(3, len(served))))
    fallback = {
        name: tuple(rng.sample(served, rng.randint(0, min(2, len(served))))) for name in names if rng.random() < 0.5
    }
    words: Any = "word " * rng.choice([1, 50, 400, 1500])
    if rng.random() < 0.4:
        image = {"type": "image_url", "image_url": {"url": "https://x.example/y.png"}}
        words = [{"type": "text", "text": words}, *[image] * rng.choice([1, 3])]
    fields: dict[str, Any] = {"messages": [{"role": "user", "content": words}], "stream": rng.random() < 0.5}
    if (cap := rng.choice([None, None, None, 1, 100, 3000, 50_000])) is not None:
        fields[rng.choice(["max_tokens", "max_completion_tokens"])] = cap
    if (answers := rng.choice([1, 1, 1, 2, 5])) > 1:
        fields["n"] = answers
    if len(names) > 1:
        fields["routing"] = rng.choice(["auto", "cheapest"])
    return World(
        channels=channels, fallback=fallback, credits=rng.choice([0, 10**5, 10**8, 10**9, 10**10, 3 * 10**10, 10**12]),
        multiplier=rng.choice([Multiplier(), Multiplier(3, 2), Multiplier(1, 3), Multiplier(0, 1), Multiplier(7, 10)]),
        metered=rng.random() < 0.3, quota=rng.choice([None, None, 0, 10**6, 10**9, 10**11]), tries=rng.randint(1, 4),
        names=["auto"] if rng.random() < 0.15 else names, fields=fields, answers=answers,
    )  # fmt: skip


# ---- the reckoning ----


@dataclass(frozen=True)
class Reckoned:
    """What a candidate may cost by hand: for this world's call, in units, with the plan's multiplier."""

    world: World
    model: Model

    @property
    def prompt(self) -> int:
        read = openai_chat.read_request(self.world.body)
        return (read.prompt + estimate.tokens(read.images * (self.model.image_tokens or estimate.IMAGE_TOKENS))).bound

    @property
    def limit(self) -> int:
        return self.model.output_limit(self.prompt)

    @property
    def asked(self) -> int | None:
        """The caller's own cap, at most what the model can."""
        caps = [cap for name in ("max_tokens", "max_completion_tokens") if (cap := self.world.fields.get(name))]
        return min(*caps, self.model.max_output or caps[0]) if caps else None

    def at(self, cap: int) -> int:
        """With this cap on every answer, in the dearest class of tokens, in the dearest tier that may count."""
        written = cap if self.model.cap_field is not None else self.limit  # a cap that does not bind is none
        thought = 0 if self.model.thinking_in_cap else self.limit
        tiers = [self.model.price, *(tier for tier in self.model.price.tiers if self.prompt > tier.above)]
        units = self.model.price.per_request + max(
            self.prompt * max(tier.input, tier.cached, tier.cache_write, tier.cache_write_1h)
            + self.world.answers * (written + thought) * tier.output
            for tier in tiers
        )
        return -(-units * self.world.multiplier.numerator // self.world.multiplier.denominator)

    @property
    def bends(self) -> bool:
        """Whether a smaller cap than the model's own would make it cheaper, and the caller asked for none."""
        return self.asked is None and self.model.cap_field is not None and self.at(self.limit) > self.at(0)

    @property
    def whole(self) -> int:
        return self.at(self.limit if self.asked is None else self.asked)

    @property
    def least(self) -> int:
        return self.at(min(FEWEST_TOKENS, self.limit)) if self.bends else self.whole

    def holds(self, available: int) -> int:
        """What one may hold of it: all that it can cost, within half of what is there, but what it costs at least."""
        budget = min(self.whole, max(available // 2, self.least))
        if not self.bends:
            return self.whole
        low, high = 0, self.limit
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self.at(middle) <= budget else (low, middle - 1)
        return self.at(low)


class Random(ScriptedUpstream):
    """Fails now and then; else answers with a usage that the call's limits allow, mostly the largest."""

    def __init__(self, world: World, rng: random.Random) -> None:
        super().__init__()
        self.world, self.rng = world, rng

    def script(self, request: UpstreamRequest) -> list[Any]:
        rng, body = self.rng, json.loads(request.body)
        chance = rng.random()
        if chance < 0.35:
            return list(status(rng.choice([500, 429, 401, 503])))
        if chance < 0.45:
            return list(status(400, "maximum context length is 10 tokens"))
        way = next(way for way in self.world.channels if way.name == request.channel)
        said = Reckoned(self.world, next(one for one in way.models.values() if one.upstream == body["model"]))
        most = self.world.answers * (body.get("max_tokens") or body.get("max_completion_tokens") or said.limit)
        prompt = rng.choice([said.prompt, max(said.prompt // 2, 1), 1])
        completion = max(most if rng.random() < 0.6 else rng.randint(0, most), 1)
        cached = {"prompt_tokens_details": {"cached_tokens": rng.choice([0, prompt, prompt // 2])}}
        if body.get("stream"):
            return [STREAM, delta("Hi"), delta(finish="stop"), usage(prompt, completion, **cached), DONE]
        counts = {"prompt_tokens": prompt, "completion_tokens": completion, **cached}
        return [PLAIN, answer("Hi", usage=counts)]


@dataclass
class Seen:
    """What a call came to."""

    client: RecordingClient
    stage: Stage
    exchange: Exchange | None = None
    offered: Sequence[Candidate] = ()
    kept: Sequence[Candidate] = ()  # those whose price the hold covers


async def lived(world: World, rng: random.Random) -> Seen:
    stage = Stage(
        Random(world, rng), *world.channels, credits=world.credits, metered=world.metered, quota=world.quota,
        retry=Retry(attempts=world.tries, backoff=0), terms=Terms(multiplier=world.multiplier), fallback=world.fallback,
    )  # fmt: skip
    seen = Seen(RecordingClient(), stage)
    offers, hold = stage.gate.planner.offers, stage.gate.ledger.hold

    def offered(x: Exchange) -> Any:
        seen.exchange = x
        return offers(x)

    async def held(request: Any) -> Any:
        answered = await hold(request)
        assert seen.exchange is not None
        seen.offered = [offer.way for offer in seen.exchange.offered]
        seen.kept = [seen.offered[place] for place in getattr(answered, "kept", ())]
        return answered

    stage.gate.planner.offers = offered  # type: ignore[method-assign]
    stage.gate.ledger.hold = held  # type: ignore[method-assign]
    seen.client = await stage.relay(world.body)
    return seen


# ---- what must be ----


def check_refused(world: World, seen: Seen) -> None:
    """Nobody is told that credits are missing who could pay one of the models that were asked for."""
    if seen.client.status != 402:
        return
    assert world.available is not None and seen.offered
    for way in seen.offered:
        if way.model.name in world.names or "auto" in world.names:
            assert Reckoned(world, way.model).least > world.available, way.model


def check_hold(world: World, seen: Seen, held: int) -> None:
    """The first that can be paid are kept, as many as may be tried, the last of them at another channel if there is
    one, and one behind them whose context is longer; the hold is for the dearest of them."""
    if world.available is None:
        assert held == 0
        return
    paid = [way for way in seen.offered if Reckoned(world, way.model).least <= world.available]
    before = {way.channel.name for way in paid[: world.tries - 1]}
    if len(before) == 1:
        paid[world.tries - 1 :] = sorted(paid[world.tries - 1 :], key=lambda way: way.channel.name in before)
    assert seen.kept[: world.tries] == paid[: world.tries]
    for way in (more := seen.kept[world.tries :]):
        contexts = [other.model.context or 0 for other in seen.kept[: world.tries]]
        assert way in paid and len(more) == 1 and (way.model.context or 0) > max(contexts)
    said = [Reckoned(world, way.model) for way in seen.kept]
    assert held == max(one.holds(world.available) for one in said) <= world.available


def check_cap(world: World, said: Reckoned, sent: dict[str, Any], held: int) -> None:
    """The caller's own cap goes up, or the largest that the hold pays; none where none is needed."""
    caps = [sent[name] for name in ("max_tokens", "max_completion_tokens") if name in sent]
    assert len(caps) <= 1
    cap = caps[0] if caps else None
    if said.asked is not None:
        assert cap == said.asked or (said.model.cap_field is None and cap in (None, said.asked))
    elif world.available is None or said.model.price.free or said.model.cap_field is None:
        assert cap is None
    else:
        assert cap is not None and min(FEWEST_TOKENS, said.limit) <= cap <= said.limit
        assert said.at(cap) <= held
        assert cap == said.limit or not said.bends or said.at(cap + 1) > held, "smaller than need be"


def check(world: World, seen: Seen) -> None:
    stage = seen.stage
    (row,) = stage.log.rows
    assert seen.client.status != 500 and row.lost == 0
    assert receipt.wrong(row) is None
    if seen.exchange is None or seen.exchange.held is None:
        assert row.cost == 0 and not stage.upstream.requests
        check_refused(world, seen)
        return
    held = seen.exchange.held.amount  # of the quota, where only that bounds it: then the account's entry is of none
    check_hold(world, seen, held)
    for request in stage.upstream.requests:
        sent = json.loads(request.body)
        way = next(way for way in world.channels if way.name == request.channel)
        one = next(one for one in way.models.values() if one.upstream == sent["model"])
        check_cap(world, Reckoned(world, one), sent, held)
    assert world.available is None or row.cost <= held or row.estimated


@settings(max_examples=250, deadline=None)
@given(st.randoms(use_true_random=False))
def test_what_is_held_capped_and_charged_is_what_a_reckoning_by_hand_says(rng: random.Random) -> None:
    world = a_world(rng)
    check(world, trio.run(lived, world, rng, clock=MockClock(autojump_threshold=0)))


def test_the_worlds_are_of_every_kind() -> None:
    """Else the check above may have had nothing to look at."""
    statuses, capped, kept = set(), 0, 0
    for seed in range(150):
        rng = random.Random(seed)
        world = a_world(rng)
        seen = trio.run(lived, world, rng, clock=MockClock(autojump_threshold=0))
        check(world, seen)
        statuses.add(seen.client.status)
        kept = max(kept, len(seen.kept))
        capped += any(
            "max_tokens" in json.loads(request.body) and "max_tokens" not in world.fields
            for request in seen.stage.upstream.requests
        )
    assert {200, 400, 402, 502, 503} <= statuses and capped > 10 and kept > 2
