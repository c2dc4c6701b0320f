"""What an explanation says is what the next call does: who is named first is asked first and answers; where nobody is
named, nobody is asked. Over many random houses and calls."""

import json
import random
from collections import Counter
from typing import Any

import pytest
import trio
import trio.testing

from ftgate import dialects
from ftgate.core.limits import Rates
from ftgate.core.pricing import Multiplier, Price
from ftgate.core.retrying import Retry
from ftgate.core.routing import Channel, Model
from ftgate.core.secret import Secret
from ftgate.errors import GateError
from ftgate.line.call import Call
from ftgate.ports import Explanation, Terms, UpstreamRequest
from tests.fakes.ports import RecordingClient, ScriptedUpstream, Stage, addresses, channel, model
from tests.line.test_beside import SAID
from tests.line.transcript import PLAIN, status

Clock = trio.testing.MockClock
TEXT = {"choices": [{"text": "Hi", "index": 0, "finish_reason": "stop"}]}
SPEAKS = {
    **SAID,
    "openai_completions": json.dumps({**TEXT, "usage": {"prompt_tokens": 4, "completion_tokens": 1}}).encode(),
}
NAMES = "m0", "m1", "m2", "m3"
SPOKEN = (), (), ("openai_chat",), ("anthropic_messages",), ("openai_chat", "anthropic_messages")
ROUTES = "/v1/chat/completions", "/v1/messages", "/v1/responses", "/v1/completions"
LONG = "What does this say, and why? " * 60
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
SOUND = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}


class Weather(ScriptedUpstream):
    """Answers in whatever dialect it is asked; channels in `down` fail, those in `busy` have no time for a second."""

    def __init__(self) -> None:
        super().__init__()
        self.down: set[str] = set()
        self.busy: set[str] = set()

    def script(self, request: UpstreamRequest) -> list[Any]:
        if request.channel in self.down:
            return list(status(503))
        if request.channel in self.busy:
            return list(status(429, retry_after="3"))
        dialect = next(name for name, end in dialects.ADDRESSES.items() if request.url.endswith(end))
        return [PLAIN, SPEAKS[dialect]]


def a_model(dice: random.Random, name: str) -> Model:
    price = Price(*(dice.choice((0, 10, 50, 10**5, 10**6)) for _ in range(5)))
    return model(
        name, price=price, context=dice.choice((None, 300, 900, 10_000)), max_output=dice.choice((None, 200, 1000)),
        kind=dice.choices(("chat", "embeddings"), (9, 1))[0], thinks=dice.choice((None, True, False)),
    )  # fmt: skip


def a_channel(dice: random.Random, name: str) -> Channel:
    models = [a_model(dice, one) for one in dice.sample(NAMES, dice.randint(1, 3))]
    return channel(
        name, *models, addresses=addresses(f"http://{name}.invalid", *dice.choice(SPOKEN)),
        credentials=tuple(Secret(f"sk-{name}-{n}") for n in range(dice.choice((1, 1, 2, 3)))),
        priority=dice.choice((0, 0, 1)), weight=dice.choice((0, 1, 1, 2)),
        affinity=dice.choice(("off", "off", "key", "prefix")), monthly_cap=dice.choice((None, None, None, 0, 10**6)),
    )  # fmt: skip


def a_house(dice: random.Random) -> Stage:
    some = lambda most: tuple(dice.sample(NAMES, dice.randint(0, most)))  # noqa: E731
    return Stage(
        Weather(), *(a_channel(dice, name) for name in "abcd"[: dice.randint(2, 4)]),
        credits=dice.choice((0, 10**8, 10**10, 10**12, 10**12)), metered=dice.random() < 0.1,
        quota=dice.choice((None, None, None, 10**9)),
        key={"models": dice.choice(((), (), (), (), ("m0", "alias"), ("m*",)))},
        model_rates={name: Rates(requests_per_minute=dice.randint(1, 4)) for name in some(2)},
        retry=Retry(attempts=dice.randint(1, 3), backoff=0), keepalive_s=0,
        terms=Terms(
            multiplier=Multiplier(dice.choice((1, 3)), 2), models=dice.choice(((), (), (), ("m1", "m2"))),
        ),
        aliases={"alias": dice.choice(NAMES)}, fallback={name: some(3) for name in some(2)},
        auto=dice.choice(({}, {"simple": some(3), "medium": some(2), "complex": some(3)})),
        first_token_target=dice.choice((None, 0.5)),
    )  # fmt: skip


def a_call(dice: random.Random) -> tuple[str, bytes]:
    route = dice.choice(ROUTES)
    said: Any = dice.choice(("Hi", LONG, [{"type": "text", "text": "Hi"}, dice.choice((PICTURE, SOUND))]))
    fields: dict[str, Any] = {
        "model": dice.choice((*NAMES, *NAMES, *NAMES, "alias", "auto", "auto", "auto", "unknown"))
    }
    if dice.random() < 0.3:
        fields["models"] = dice.choices((*NAMES, "auto", "alias"), k=dice.randint(0, 3))
    if dice.random() < 0.5:
        fields["routing"] = dice.choice(("auto", "cheapest", "fastest", "fallback"))
    if dice.random() < 0.3:
        fields["user"] = dice.choice(("ann", "bob"))
    if route in ("/v1/responses", "/v1/completions"):
        fields["input" if route == "/v1/responses" else "prompt"] = said if isinstance(said, str) else "Hi"
    else:
        fields["messages"] = [{"role": "user", "content": said if route == ROUTES[0] else str(said)}]
        if route == "/v1/messages" or dice.random() < 0.3:
            fields["max_tokens"] = dice.choice((1, 50, 5000))
        if dice.random() < 0.2:
            fields["tools"] = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
            if route == "/v1/messages":
                fields["tools"] = [{"name": "f", "input_schema": {"type": "object"}}]
    return route, json.dumps(fields).encode()


async def told(stage: Stage, route: str, body: bytes) -> Explanation | GateError:
    try:
        return await stage.gate.explain(stage.gate.keys.key, body, route)  # type: ignore[attr-defined]
    except GateError as refused:
        return refused


async def done(stage: Stage, route: str, body: bytes) -> RecordingClient:
    client = RecordingClient()
    call = Call(
        id=f"req_{next(stage.numbers)}", dialect=dialects.ROUTES[route], secret=b"sk-ft_test", body=body, route=route
    )
    await stage.gate.relay(call, client)
    stage.check()
    return client


async def follow(stage: Stage, dice: random.Random) -> str:
    """Ask and do once, and hold one against the other."""
    upstream: Any = stage.upstream
    route, body = a_call(dice)
    said = await told(stage, route, body)
    assert isinstance(said, GateError) or said == await told(stage, route, body)
    before = len(upstream.requests)
    client = await done(stage, route, body)
    asked = [request.channel for request in upstream.requests[before:]]
    about = route, body, said, client.status, client.body, asked
    if isinstance(said, GateError):
        assert (client.status, asked) == (dialects.ROUTES[route].error(said, "")[0], []), about
        return "refused"
    places = [(one.channel, one.model) for one in said.data]
    assert len(set(places)) == len(places) and not set(places) & {(o.channel, o.model) for o in said.left_out}, about
    if not places:
        assert not asked and client.status != 200, about
        return "nobody"
    assert asked and asked[0] == places[0][0], about
    well = asked[0] not in upstream.down | upstream.busy
    if well:
        assert client.status == 200 and len(asked) == 1, about
        assert client.headers["x-findtoken-model"] == places[0][1], about
    return "answered" if well else "failed"


@pytest.mark.parametrize("seed", range(20))
async def test_who_is_named_first_answers(seed: int, autojump_clock: Clock) -> None:
    dice = random.Random(seed)
    seen: Counter[str] = Counter()
    for _ in range(10):
        stage = a_house(dice)
        upstream: Any = stage.upstream
        for _ in range(12):
            seen[await follow(stage, dice)] += 1
            upstream.down = {name for name in "abcd" if dice.random() < 0.1}
            upstream.busy = {name for name in "abcd" if dice.random() < 0.05}
            await trio.sleep(dice.choice((0, 0.2, 3, 30)))
    assert seen["answered"] > 5, seen
