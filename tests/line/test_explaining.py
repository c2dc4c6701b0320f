"""A call's route in words."""

from typing import Any

import msgspec
import pytest
import trio.testing

from ftgate.core.limits import Rates
from ftgate.core.pricing import Price
from ftgate.core.retrying import Retry
from ftgate.errors import GateError
from ftgate.ports import Explanation, Key
from tests.fakes.ports import ScriptedUpstream, Stage, addresses, channel, model
from tests.line.transcript import PLAIN, answer, ask, status

Clock = trio.testing.MockClock
CHEAP = model("cheap", price=Price(10, 10, 10, 10, 10))
DEAR = model("dear", price=Price(100, 100, 100, 100, 100))
WAYS = channel("a", CHEAP, DEAR), channel("b", CHEAP, weight=0), channel("c", model("short", context=300))
AUTO = {"simple": ("dear", "cheap"), "complex": ("dear",)}
HARD = [{"role": "user", "content": "Prove that every group of prime order is cyclic."}]


async def explained(stage: Stage, body: bytes, route: str | None = None, **key: Any) -> Explanation:
    """It changes nothing, calls nobody, and says the same again."""
    before = len(stage.upstream.requests), dict(stage.gate.planner.turns), len(stage.log.entries)
    mine: Key = msgspec.structs.replace(stage.gate.keys.key, **key)  # type: ignore[attr-defined]
    found = await stage.gate.explain(mine, body, route)
    assert found == await stage.gate.explain(mine, body, route)
    assert before == (len(stage.upstream.requests), dict(stage.gate.planner.turns), len(stage.log.entries))
    assert not stage.log.rows[before[0] :]
    stage.check()
    return found


def order(found: Explanation) -> list[tuple[str, str]]:
    return [(one.model, one.channel) for one in found.data]


def reasons(found: Explanation) -> dict[tuple[str, str | None], str]:
    return {(out.model, out.channel): out.reason for out in found.left_out}


async def test_auto(autojump_clock: Clock) -> None:
    stage = Stage(ScriptedUpstream(), *WAYS, auto=AUTO)
    found = await explained(stage, ask(model="auto"))
    assert (found.complexity, order(found)) == ("simple", [("cheap", "a"), ("dear", "a")])
    assert found.complexity_why.startswith("simple (")
    cheap, dear = found.data
    assert (cheap.score, dear.score) == (1.0, 0.1) and dear.expected_cost == 10 * cheap.expected_cost > 0
    assert cheap.provider == "a" and (cheap.why, dear.why) == ("the least expected cost", "10.0 times the cost")
    assert reasons(found) == {("cheap", "b"): "its channel has weight 0"}
    hard = await explained(stage, ask(model="auto", messages=HARD))
    assert (hard.complexity, order(hard)) == ("complex", [("dear", "a"), ("cheap", "a")])


async def test_who_is_left_out_and_why(autojump_clock: Clock) -> None:
    stage = Stage(
        ScriptedUpstream(), *WAYS, channel("d", model("e", kind="embeddings")),
        channel("f", CHEAP, addresses=addresses("http://f.invalid", "openai_embeddings")),
        fallback={"dear": ("short", "none")},
    )  # fmt: skip
    found = await explained(
        stage, ask(model="dear", models=["cheap", "e"], messages=[{"role": "user", "content": "word " * 900}])
    )
    assert order(found) == [("dear", "a"), ("cheap", "a")]
    assert [one.why for one in found.data] == ["in the order that was asked for"] * 2
    assert [one.score for one in found.data] == [1.0, 0.5]
    said = reasons(found)
    assert said.pop(("short", "c")).startswith("its context of 300 tokens is too short for about ")
    assert said == {
        ("cheap", "b"): "its channel has weight 0",
        ("e", "d"): "it is a model for embeddings",
        ("cheap", "f"): "openai_chat cannot be put into what its channel speaks",
        ("none", None): "no channel serves it",
    }


async def test_a_key_that_may_not_use_all(autojump_clock: Clock) -> None:
    stage = Stage(ScriptedUpstream(), *WAYS, auto=AUTO)
    found = await explained(stage, ask(model="auto"), models=("cheap",))
    assert order(found) == [("cheap", "a")]
    assert reasons(found)["dear", None] == "this key or its plan may not use it"
    with pytest.raises(GateError, match="may not use the model"):
        await stage.gate.explain(msgspec.structs.replace(stage.gate.keys.key, models=("x",)), ask(model="cheap"))  # type: ignore[attr-defined]


async def test_who_rests_and_who_is_at_a_limit(autojump_clock: Clock) -> None:
    down = [(503, []), b"{}"]
    stage = Stage(
        ScriptedUpstream(*[down] * 3, [PLAIN, answer()]), channel("a", CHEAP), channel("g", DEAR),
        channel("h", model("m")), model_rates={"m": Rates(requests_per_minute=1)}, fallback={"cheap": ("dear", "m")},
    )  # fmt: skip
    await stage.relay(ask(model="cheap"))
    await stage.relay(ask(model="m"))
    for _ in range(5):
        stage.gate.standing.health.circuits.clear()
    found = await explained(stage, ask(model="cheap"))
    assert reasons(found).get(("m", "h"), "").startswith("its model is at its limit for ")
    assert found.data[0].model == "cheap" and found.data[1].why == "a fallback"


async def test_a_channel_at_its_cap_and_one_that_rests(autojump_clock: Clock) -> None:
    down = status(503)
    capped = channel("cap", CHEAP, monthly_cap=0)
    stage = Stage(
        ScriptedUpstream(*[down] * 3), channel("a", DEAR), capped, retry=Retry(attempts=1, backoff=0),
        fallback={"dear": ("cheap",)},
    )  # fmt: skip
    for _ in range(3):
        await stage.relay(ask(model="dear"))
    said = reasons(await explained(stage, ask(model="dear")))
    assert said == {
        ("dear", "a"): "it rests for 5.0 s after failures",
        ("cheap", "cap"): "its channel is at its monthly_cap",
    }


@pytest.mark.parametrize(
    ("fields", "route", "kind"),
    [
        ({"messages": HARD}, None, "chat"),
        ({"messages": HARD, "system": "Be brief", "max_tokens": 5}, None, "chat"),
        ({"messages": HARD, "max_tokens": 5}, "/v1/messages", "chat"),
        ({"input": "Hello"}, None, "chat"),
        ({"prompt": "Hello"}, None, "chat"),
        ({"input": "Hello", "model": "e"}, None, "embeddings"),
    ],
)
async def test_the_body_of_every_route(
    fields: dict[str, Any], route: str | None, kind: str, autojump_clock: Clock
) -> None:
    stage = Stage(ScriptedUpstream(), channel("a", CHEAP, model("e", kind="embeddings")))
    found = await explained(stage, msgspec.json.encode({"model": "cheap", **fields}), route)
    assert order(found) == [("e" if kind == "embeddings" else "cheap", "a")]
    assert (found.complexity is None) == (kind == "embeddings")


@pytest.mark.parametrize(
    ("body", "route", "words"),
    [
        (b"{}", None, "is missing"),
        (b"[]", None, "object"),
        (b'{"model": 5, "input": "x"}', None, "model"),
        (ask(model="unknown"), None, "Unknown model"),
        (ask(), "/v1/nowhere", "is no relay route"),
        (ask(model="cheap", provider_key={"provider": "x", "api_key": "y"}), None, "provider"),
    ],
)
async def test_what_is_refused(body: bytes, route: str | None, words: str, autojump_clock: Clock) -> None:
    stage = Stage(ScriptedUpstream(), *WAYS)
    with pytest.raises(GateError, match=words):
        await stage.gate.explain(stage.gate.keys.key, body, route)  # type: ignore[attr-defined]


async def test_a_catalogue_of_hundreds(autojump_clock: Clock) -> None:
    stage = Stage(ScriptedUpstream(), channel("a", *(model(f"m{n}") for n in range(480))))
    assert len((await explained(stage, ask(model="auto"))).data) == 100
    large = await explained(stage, ask(model="auto", messages=[{"role": "user", "content": "word " * 80_000}]))
    assert large.data == () and len(large.left_out) == 100
