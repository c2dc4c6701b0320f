"""Two callers through one gate get what each gets alone.

Whatever the gate, its attempts or a transport remember from one call for the next must not be told by the next: not
which models a key or a plan may use, not a credential, not a price. Random worlds (channels with credentials, headers
and models; keys and plans with restrictions and prices; aliases, fallbacks, auto) are called by two callers in turn,
and each call is made again alone, in a fresh gate. Nothing here knows what is kept or under which name.
"""

import json
import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
import trio.testing

from ftgate import dialects
from ftgate.core.books import Entry
from ftgate.core.money import parse_price
from ftgate.core.pace import Pace
from ftgate.core.pricing import Multiplier, Price
from ftgate.core.retrying import Retry
from ftgate.core.routing import Channel, Model, Reach
from ftgate.core.secret import Secret
from ftgate.line.call import Call
from ftgate.ports import Key, Terms, UpstreamRequest
from tests.fakes.ports import Forgetful, RecordingClient, ScriptedUpstream, Stage, addresses, channel
from tests.line.transcript import PLAIN, STREAM, answer, chat
from tests.transports.transports import KINDS, reach_all, tls_server

MODELS = ("red", "green", "blue", "vector")
"""The last one is for embeddings."""
NAMES = (*MODELS, "auto")
CHANGES: Sequence[dict[str, Any]] = (
    {"tools": [{"type": "function", "function": {"name": "f"}}]},
    {"routing": "cheapest"},
    {"temperature": 0.5},
    {"stream": True},
)
SEEDS = range(40)
LIMIT_S = 10.0
EMBEDDED = b'{"data": [{"embedding": [1], "index": 0}], "usage": {"prompt_tokens": 100, "total_tokens": 100}}'
ASKED = 100


@dataclass(frozen=True)
class World:
    """What both callers share, and who they are: for each its key (but for id and account) and its plan's terms."""

    channels: tuple[Channel, ...]
    routes: dict[str, Any]
    keys: tuple[dict[str, Any], ...]
    plans: dict[str, Terms]


@dataclass(frozen=True)
class Got:
    """What one call came to: the client's answer, every request that went up, and the row of the log."""

    status: int | None
    headers: dict[str, str]
    body: bytes
    asked: Sequence[tuple[str, str, tuple[tuple[bytes, bytes], ...], bytes]]
    row: tuple[Any, ...]


class Answering(ScriptedUpstream):
    """Answers each request alike; `hollow` answers hold nothing, so that a call walks through its whole plan."""

    def __init__(self, *, hollow: bool) -> None:
        super().__init__()
        self.hollow = hollow

    def script(self, request: UpstreamRequest) -> list[Any]:
        if self.hollow:
            return [PLAIN, b"{}"]
        if request.url.endswith("/embeddings"):
            return [PLAIN, EMBEDDED]
        if json.loads(request.body).get("stream"):
            return [STREAM, *chat("Hi", prompt=100, completion=10)[1:]]
        return [PLAIN, answer(prompt=100, completion=10)]


class TwoKeys:
    """ports.Keys with one key for each caller."""

    def __init__(self, keys: Sequence[Key]) -> None:
        self.keys = {key.name.encode(): key for key in keys}

    async def find(self, secret: bytes) -> Key | None:
        await trio.lowlevel.checkpoint()
        return self.keys.get(secret)


def world(dice: random.Random, *, in_turn: bool) -> World:
    """With `in_turn` channels share models and have several credentials, so that candidates alternate; else each model
    has mostly one way."""
    left = [*MODELS]
    dice.shuffle(left)
    channels = []
    for number in range(dice.randint(1, 3)):
        apart = not in_turn and dice.random() < 0.8
        names = [left.pop() for _ in range(min(len(left), dice.randint(1, 2)))] if apart else dice.sample(MODELS, 2)
        if names:
            channels.append(_channel(dice, number, names, in_turn=in_turn))
    served = sorted({name for channel in channels for name in channel.models})
    some = partial(_some, dice)
    routes: dict[str, Any] = {
        "aliases": {"crimson": dice.choice(served), **({"blue": "red"} if "blue" not in served else {})},
        "fallback": {name: tuple(some(served)) for name in some(served)},
        "auto": {grade: tuple(some(served)) for grade in some(["simple", "medium", "complex"])},
    }
    models = [(), _models(dice)]
    plans = {
        plan: Terms(multiplier=Multiplier(*dice.choice([(1, 1), (3, 2), (2, 1)])), models=models[number])
        for number, plan in enumerate(dice.sample(["default", "other"], 2))
    }
    models = [(), (), _models(dice)]
    keys = tuple(
        {"plan": dice.choice(["default", "other"]), "metered": dice.random() < 0.2, "models": dice.choice(models)}
        for _ in range(2)
    )
    return World(tuple(channels), routes, keys, plans)


def _some(dice: random.Random, values: Sequence[str]) -> list[str]:
    return dice.sample(list(values), dice.randint(0, len(values)))


def _models(dice: random.Random) -> tuple[str, ...]:
    """A restriction."""
    return tuple(dice.sample([*NAMES, "crimson", "r*"], dice.randint(1, 3)))


def _channel(dice: random.Random, number: int, names: Sequence[str], *, in_turn: bool) -> Channel:
    name = f"c{number}"
    models = []
    for model in names:
        prices = [parse_price(str(dice.randint(1, 9))) for _ in range(5)]
        kind: dict[str, Any] = {"kind": "embeddings", "cap_field": None} if model == "vector" else {"max_output": 1000}
        models.append(Model(model, f"{model}-at-{name}", Price(*prices), context=10**6, **kind))
    auth = dice.choice(["bearer", "x-api-key"])
    ways = addresses(f"http://{dice.choice(['x', 'y'])}.invalid/v1", *(() if dice.random() < 0.8 else ("openai_chat",)))
    return channel(
        name, *models, provider=dice.choice(["p", "q"]),
        addresses={dialect: msgspec.structs.replace(way, auth=auth) for dialect, way in ways.items()},
        credentials=tuple(Secret(f"sk-{name}-{n}") for n in range(dice.randint(1, 3) if in_turn else 1)),
        priority=0 if in_turn else number, weight=dice.randint(1, 2) if in_turn else 1,
        headers=dice.choice([{}, {"x-project": name}]), stream_usage=dice.random() < 0.7,
        drop_params=dice.choice([(), ("temperature",)]),
    )  # fmt: skip


Asked = tuple[int, str, bytes]
"""Who calls, in which dialect, with which request."""


def calls(dice: random.Random) -> list[Asked]:
    """Few different requests, which differ little, so that what one leaves behind is met by another."""
    bodies: list[dict[str, Any]] = []
    for name in dice.sample([*NAMES, "crimson", "nobody"], 2):
        body = {"model": name, "messages": [{"role": "user", "content": "Hello"}], "input": "Hello"}
        if dice.random() < 0.5:
            body["models"] = [name, *dice.sample(NAMES, 2)]
        bodies += [body, *({**body, **dice.choice(CHANGES)} for _ in range(2))]
    made = []
    for _ in range(16):
        kind, body = dice.choice(["openai_chat", "openai_chat", "openai_embeddings"]), dice.choice(bodies)
        left_out = ("input",) if kind == "openai_chat" else ("messages", "stream", "tools", "temperature")
        said = {field: value for field, value in body.items() if field not in left_out}
        made.append((dice.randint(0, 1), kind, json.dumps(said).encode()))
    return made


class Unlearned(Pace):
    """How fast upstreams are is learned from everybody's calls, and meant to be."""

    def learn(self, *args: object, **more: object) -> None:
        pass


class Gateway:
    """A fresh gate in this world."""

    def __init__(self, world: World, *, hollow: bool) -> None:
        self.upstream = Answering(hollow=hollow)
        self.stage = stage = Stage(self.upstream, *world.channels, retry=Retry(attempts=100, backoff=0), **world.routes)
        keys = []
        for number, key in enumerate(world.keys):
            account = 10 + number
            stage.books.open_account(account, metered=key["metered"])
            stage.books.open_key(account, limit=None)
            granted = stage.books.grant(account, 10**18, ref=f"grant_{account}", at_us=0)
            assert isinstance(granted, Entry)
            keys.append(
                Key(
                    id=account, account=account, name=str(number), prefix="sk-ft_", active=True, account_active=True,
                    **key,
                )
            )  # fmt: skip
        stage.gate.keys = TwoKeys(keys)
        stage.gate.live.gate = msgspec.structs.replace(stage.gate.settings, plans=world.plans)
        stage.gate.standing.health = Forgetful()
        stage.gate.standing.pace = Unlearned()
        self.made = 0

    async def call(self, who: int, kind: str, body: bytes) -> Got:
        self.made += 1
        asked, rows = len(self.upstream.requests), len(self.stage.log.rows)
        call = Call(id=f"req_{self.made}", dialect=dialects.ALL[kind], secret=str(who).encode(), body=body)
        client = RecordingClient()
        await self.stage.gate.relay(call, client)
        (row,) = self.stage.log.rows[rows:]
        requests = tuple((r.channel, r.url, r.headers, r.body) for r in self.upstream.requests[asked:])
        return Got(client.status, client.headers, client.body.replace(call.id.encode(), b"ID"), requests, (
            row.account, row.model, row.served_model, row.channel, row.status, row.error_code, row.cost, row.attempts,
        ))  # fmt: skip


def run(world: World, calls: Sequence[Asked], *, hollow: bool) -> list[Got]:
    async def main() -> list[Got]:
        gateway = Gateway(world, hollow=hollow)
        return [await gateway.call(*asked) for asked in calls]

    return trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def alone(world: World, calls: Sequence[Asked], *, hollow: bool) -> list[Got]:
    """Each call in a gate of its own."""
    return [got for asked in calls for got in run(world, [asked], hollow=hollow)]


@pytest.mark.parametrize("seed", SEEDS)
def test_answers_prices_and_refusals(seed: int) -> None:
    """Where no candidates alternate, everything is the same, but for the number of the call and what is left."""
    dice = random.Random(seed)
    shared, made = world(dice, in_turn=False), calls(dice)
    assert [*map(told, run(shared, made, hollow=False))] == [*map(told, alone(shared, made, hollow=False))]


def told(got: Got) -> tuple[Any, ...]:
    headers = {
        name: value for name, value in got.headers.items() if name not in {"x-request-id", "x-findtoken-balance"}
    }
    return got.status, headers, re.sub(rb" balance=\S+", b"", got.body), got.asked, got.row


@pytest.mark.parametrize("seed", SEEDS)
def test_every_candidate_that_is_tried(seed: int) -> None:
    """Where candidates alternate, a call whose answers are all hollow still goes to the same ones, in some order."""
    dice = random.Random(seed)
    shared, made = world(dice, in_turn=True), calls(dice)
    assert [*map(tried, run(shared, made, hollow=True))] == [*map(tried, alone(shared, made, hollow=True))]


def tried(got: Got) -> tuple[Any, ...]:
    return got.status, sorted(got.asked), got.row[-1], got.row[5]


def test_the_worlds_are_worth_trying() -> None:
    """Among them are answers, refusals of every kind, several tries, and plans that differ for the same words."""
    statuses: set[int | None] = set()
    attempts: set[int] = set()
    differ = 0
    for seed in SEEDS:
        dice = random.Random(seed)
        shared, made = world(dice, in_turn=False), calls(dice)
        got = run(shared, made, hollow=False)
        statuses |= {one.status for one in got}
        attempts |= {one.row[-1] for one in got}
        said = {call: one.row for call, one in zip(made, got, strict=True)}
        differ += sum(said.get((0, *what), ())[1:6] != said.get((1, *what), ())[1:6] for _, *what in made)
    assert statuses == {200, 400, 403, 501} and attempts == {0, 1} and differ > len(SEEDS)
    tries = {got.row[-1] for seed in SEEDS for got in run(*_turning(seed), hollow=True)}
    assert {1, 2, 3, 4, 5, 6} <= tries


def _turning(seed: int) -> tuple[World, list[Asked]]:
    dice = random.Random(seed)
    return world(dice, in_turn=True), calls(dice)


# The transports


async def sent(upstream: Any, requests: Iterable[UpstreamRequest], port: int, seen: list[bytes]) -> list[bytes]:
    """What one transport sends for each of these requests."""
    try:
        for request in requests:
            with trio.fail_after(LIMIT_S):
                got = await upstream.open(msgspec.structs.replace(request, url=request.url.replace("PORT", str(port))))
                await got.aclose()
    finally:
        await upstream.aclose_all()
    taken = list(seen)
    seen.clear()
    return taken


def asked(dice: random.Random, shared: Sequence[tuple[tuple[bytes, bytes], ...]]) -> UpstreamRequest:
    """Headers are the same object again and again, as a candidate's are, or made for this request alone."""
    own = ((b"content-type", b"application/json"), (b"authorization", b"Bearer sk-%d" % dice.randint(0, 5)))
    return UpstreamRequest(
        channel=dice.choice("ab"),
        url=f"http://{dice.choice(['127.0.0.1:PORT/v1', 'localhost:PORT/v1', '127.0.0.1:PORT/v2'])}/chat/completions",
        headers=dice.choice(shared) if dice.random() < 0.3 else own,
        body=b"{%b}" % (b" " * dice.randint(0, 9)),
        connect_s=LIMIT_S,
    )


@pytest.mark.parametrize("kind", ["direct", "httpx"])
async def test_what_a_transport_sends(kind: str, tmp_path: Path) -> None:
    """A transport that has been used sends what a fresh one would."""
    seen: list[bytes] = []

    async def serve(stream: trio.SocketStream) -> None:
        data = b""
        while not data.endswith(b"}"):
            data += await stream.receive_some(65_536)
        seen.append(data)
        await stream.send_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}")

    own = Reach(Path(tls_server(tmp_path)[1]).read_text())  # a short list is read quickly

    def fresh() -> Any:
        upstream = KINDS[kind]()
        reach_all(upstream, own)
        return upstream

    dice = random.Random(1)
    shared = [((b"x-api-key", b"sk-%d" % number), (b"accept", b"*/*")) for number in range(3)]
    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
        port = listener.socket.getsockname()[1]
        state = dice.getstate()
        together = await sent(fresh(), (asked(dice, shared) for _ in range(ASKED)), port, seen)
        dice.setstate(state)
        alone = [(await sent(fresh(), [asked(dice, shared)], port, seen))[0] for _ in range(ASKED)]
        nursery.cancel_scope.cancel()
    assert together == alone and len(set(together)) > ASKED // 2
