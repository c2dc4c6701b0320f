"""Tokens counted in place of an answer, with chat in the place of a dialect that has a count."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import trio
from trio.testing import MockClock

from ftgate import dialects
from ftgate.core.limits import Rates
from ftgate.dialects import openai_chat
from ftgate.dialects.counts import Counting, counted
from ftgate.errors import Fault, UpstreamFailed
from ftgate.line import counting
from ftgate.line.counting import Counter
from tests.fakes.ports import RecordingClient, ScriptedUpstream, Stage, addresses, channel, model
from tests.line.test_cancel_everywhere import Strike
from tests.line.transcript import PLAIN, WAYS, answer, ask, status

COUNT = Counting("/count", openai_chat.read_request, drop=("temperature", "max_tokens"), also={"object": "count"})


@pytest.fixture(autouse=True)
def counts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(dialects, "COUNTED", {"openai_chat": COUNT})
    yield


def said(number: object = 42) -> list[Any]:
    return [PLAIN, json.dumps({"input_tokens": number}).encode()]


class Counted:
    """A stage, and who counts there."""

    def __init__(self, *scripts: Any, ways: Any = (), **settings: Any) -> None:
        self.stage = Stage(ScriptedUpstream(*scripts), *ways, **settings)
        self.counter = Counter(self.stage.gate)
        self.asked = self.stage.upstream.requests

    async def count(self, body: bytes, **call: Any) -> RecordingClient:
        client, made = RecordingClient(), self.stage.call(body)
        for name, value in call.items():
            setattr(made, name, value)
        await self.counter.count(made, client)
        self.check()
        return client

    def check(self) -> None:
        """Nothing is held, remembered or charged, and nobody is still asked."""
        self.stage.check()
        assert self.stage.log.rows == [] and self.stage.books.accounts[1].posted == self.stage.credits
        assert self.counter.asking == 0


def shown(client: RecordingClient) -> tuple[int | None, str, int]:
    body = json.loads(client.body)
    assert body.keys() == {"object", "input_tokens"} and client.ended
    return client.status, client.headers["x-findtoken-counted-by"], body["input_tokens"]


ESTIMATE = (200, "estimate", 9)


async def test_the_upstream_s_own_count(autojump_clock: MockClock) -> None:
    made = Counted(said(), ways=[channel(query={"v": "1"}, drop_params=("top_p",))])
    client = await made.count(ask(temperature=1, max_tokens=5, top_p=1, user="u", models=["m"], stream=True))
    assert shown(client) == (200, "upstream", 42)
    assert client.headers["x-request-id"] == "req_0"
    (request,) = made.asked
    assert request.url == "http://one.invalid/chat/completions/count?v=1"
    asked = json.loads(request.body)
    assert asked.pop("messages") == [{"role": "user", "content": "Hello"}]
    assert asked == {"model": "m-upstream", "user": "u", "stream": True}
    assert (b"authorization", b"Bearer sk-upstream") in request.headers
    assert (b"accept", b"application/json") in request.headers


LATER = ("wait", 99.0)
CUT = UpstreamFailed(Fault.incomplete, "cut", sent=True)
BROKEN: dict[str, list[Any]] = {
    "500": [*status(500)],
    "404": [*status(404)],
    "401": [*status(401)],
    "redirect": [(302, [])],
    "nothing": [PLAIN],
    "no JSON": [PLAIN, b"no"],
    "no object": [PLAIN, b"[]"],
    "below zero": said(-1),
    "null": said(None),
    "true": said(True),
    "text": said("7"),
    "half a token": said(1.5),
    "cut": [PLAIN, b'{"input_tokens": ', CUT],
    "nobody there": [UpstreamFailed(Fault.connect, "no", sent=False)],
    "a late head": [LATER, *said()],
    "a late body": [PLAIN, b'{"input_', LATER, b'tokens": 42}'],
    "a late connection": [("connect", 99.0), *said()],
    "endless": [PLAIN, *[b" " * 65_536] * 3, b'{"input_tokens": 42}'],
}


@pytest.mark.parametrize("name", BROKEN)
async def test_else_it_is_estimated(name: str, autojump_clock: MockClock) -> None:
    assert shown(await Counted(BROKEN[name]).count(ask())) == ESTIMATE
    assert trio.current_time() <= counting.UPSTREAM_S


async def test_whoever_cannot_count_is_left_alone_for_a_while(autojump_clock: MockClock) -> None:
    made = Counted([*status(404)], said(7), said(8), ways=[channel("one", model("m"), model("n"))])
    assert shown(await made.count(ask())) == shown(await made.count(ask())) == ESTIMATE
    assert shown(await made.count(ask(model="n"))) == (200, "upstream", 7)  # it may have one for another model
    assert len(made.asked) == 2
    await trio.sleep(counting.ABSENT_S)
    assert shown(await made.count(ask())) == (200, "upstream", 8)


async def test_what_is_remembered_has_an_end(autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "ABSENT_KEPT", 2)
    names = "abcde"
    ways = [channel("one", *map(model, names))]
    made = Counted(*([*status(404)] for _ in names), ways=ways)
    for name in names:
        await made.count(ask(model=name))
    assert len(made.counter.absent) <= 2


async def test_few_are_asked_at_once(autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "AT_ONCE", 2)
    made = Counted(*([("wait", 1.0), *said()] for _ in range(2)))
    clients = [RecordingClient() for _ in range(4)]
    async with trio.open_nursery() as nursery:
        for client in clients:
            nursery.start_soon(made.counter.count, made.stage.call(ask()), client)
    assert sorted(shown(client)[1] for client in clients) == ["estimate"] * 2 + ["upstream"] * 2
    made.check()


async def test_a_channel_without_a_count_is_not_asked(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own dialect decides, not the caller's: a completion that is translated for it is estimated."""
    completions = dialects.ALL["openai_completions"]
    monkeypatch.setattr(dialects, "COUNTED", {"openai_completions": Counting("/count", completions.read_request)})
    made, body = Counted(ways=[channel(addresses=addresses("http://o", "openai_chat"))]), {"model": "m", "prompt": "Hi"}
    client = await made.count(json.dumps(body).encode(), dialect=completions)
    assert client.headers["x-findtoken-counted-by"] == "estimate" and made.asked == []
    client = await made.count(json.dumps({**body, "suffix": "x"}).encode(), dialect=completions)
    assert (client.status, json.loads(client.body)["error"]["param"]) == (400, "suffix")  # as the call itself


async def test_it_is_planned_as_a_call_and_takes_nobody_s_turn(autojump_clock: MockClock) -> None:
    made = Counted(*(said() for _ in range(3)), [PLAIN, answer()], ways=[channel("one"), channel("two")])
    for _ in range(3):
        await made.count(ask())
    assert {request.channel for request in made.asked} == {"one"}
    assert (await made.stage.relay(ask())).headers["x-findtoken-provider"] == "one"


async def test_no_limit_counts_it(autojump_clock: MockClock) -> None:
    rates = Rates(requests_per_minute=1, tokens_per_minute=1)
    made = Counted(*(said() for _ in range(3)), credits=0, rates=rates, model_rates={"m": rates})
    for _ in range(3):
        assert shown(await made.count(ask()))[0] == 200


async def test_a_prompt_that_no_model_has_room_for_is_counted(autojump_clock: MockClock) -> None:
    made = Counted([*status(404)])
    client = await made.count(ask(messages=[{"role": "user", "content": "word " * 50_000}]))
    assert shown(client)[2] > 10_000


@pytest.mark.parametrize(("body", "code"), [
    (b"{", "invalid_json"), (ask(model="nonesuch"), "model_not_found"), (b'{"model": "m"}', "missing_field"),
    (ask(model=""), "missing_field"),
])  # fmt: skip
async def test_what_a_call_would_be_refused_for(body: bytes, code: str, autojump_clock: MockClock) -> None:
    client = await Counted().count(body)
    assert (client.status, json.loads(client.body)["error"]["code"]) == (400, code)


async def test_who_may_not_call_may_not_count(autojump_clock: MockClock) -> None:
    for secret in (None, b"sk-ft_wrong"):
        assert (await Counted().count(ask(), secret=secret)).status == 401
    restricted = Counted(ways=[channel("one", model("m"), model("n"))], key={"models": ("n",)})
    assert (await restricted.count(ask())).status == 403
    closing = Counted()
    closing.stage.gate.closing = True
    assert (await closing.count(ask())).status == 503


async def test_a_count_that_comes_back_is_ended(autojump_clock: MockClock) -> None:
    made = Counted(said())
    made.stage.gate.gateway = made.stage.gate.attempts.upward.gateway = b"own"
    assert (await made.count(ask(), hops=b"a, own")).status == 508
    await made.count(ask(), hops=b"a")
    assert [value for name, value in made.asked[0].headers if name == b"x-ftgate-hops"] == [b"a, own"]


@pytest.mark.parametrize(("why", "status"), [("client_gone", None), ("shutdown", 503)])
async def test_it_can_be_ended(why: str, status: int | None, autojump_clock: MockClock) -> None:
    made, client = Counted([("wait", 3.0), *said()]), RecordingClient()
    call = made.stage.call(ask())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(made.counter.count, call, client)
        await trio.sleep(1.0)
        assert call in made.stage.gate.calls
        if why == "client_gone":
            call.client_gone()
        else:
            call.cancel(why)
    assert client.status == status and trio.current_time() == 1.0
    made.check()


async def cut(way: str, k: int) -> bool:
    """Count, and strike before step k; False when the count ended before it came to that."""
    made, client = Counted([("wait", 1.0), PLAIN, b'{"input_', b'tokens": 42}']), RecordingClient()
    call = made.stage.call(ask())
    with trio.CancelScope() as outer:
        strike = Strike(k, lambda: WAYS[way](call, outer))
        strike.task = trio.lowlevel.current_task()
        trio.lowlevel.add_instrument(strike)
        try:
            await made.counter.count(call, client)
        finally:
            trio.lowlevel.remove_instrument(strike)
    if client.ended and client.status == 200:
        assert shown(client)[1] in ("upstream", "estimate")
    made.check()
    return strike.left <= 0


@pytest.mark.parametrize("way", WAYS)
async def test_it_can_be_ended_at_every_step(way: str, autojump_clock: MockClock) -> None:
    steps = 1
    while await cut(way, steps):
        steps += 1
    assert steps > 5


async def test_one_that_has_left_already_asks_nobody(autojump_clock: MockClock) -> None:
    made, client = Counted(), RecordingClient()
    call = made.stage.call(ask())
    call.client_gone()
    await made.counter.count(call, client)
    assert client.status is None and made.asked == []


async def test_a_bug_costs_one_request(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made = Counted()

    def broken(*_: object, **__: object) -> None:
        raise ValueError("sk-secret")

    monkeypatch.setattr(made.stage.gate.planner, "plan", broken)
    client = await made.count(ask())
    assert client.status == 500 and b"secret" not in client.body
    assert [record.message for record in caplog.records] == ["internal error in call req_0"]


@pytest.mark.parametrize(
    ("body", "tokens"),
    [(b'{"input_tokens": 3, "x": 1}', 3), (b'{"input_tokens": 0}', 0), (b"", None), (b"null", None), (b"{}", None)],
)
def test_what_an_upstream_says(body: bytes, tokens: int | None) -> None:
    assert counted(body) == tokens


def test_a_count_s_own_words() -> None:
    assert COUNT.answer(3) == b'{"object":"count","input_tokens":3}'
    assert msgspec.structs.replace(COUNT, also={}).answer(3) == b'{"input_tokens":3}'
