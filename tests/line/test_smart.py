"""Calls that go where they cost the least or are answered the soonest."""

import json

import pytest
import trio
import trio.testing

from ftgate.core.pricing import Price
from ftgate.core.routing import Model
from tests.fakes.ports import ScriptedUpstream, Stage, channel, model
from tests.line.transcript import DONE, PLAIN, STREAM, answer, ask, delta, usage

Clock = trio.testing.MockClock
GOOD = [PLAIN, answer()]


def priced(name: str, input: int, output: int) -> Model:
    return model(name, price=Price(input, output, input, input, input))


READS, WRITES = priced("reads", 100, 9000), priced("writes", 2000, 1000)
"""One is cheap for a long prompt, one for a long answer; the sums of their prices say nothing of that."""


async def chosen(stage: Stage, **fields: object) -> str:
    client = await stage.relay(ask(**fields))
    assert client.status == 200
    return client.headers["x-findtoken-model"]


@pytest.mark.parametrize(
    ("prompt", "cap", "best"),
    [("word " * 2000, 20, "reads"), ("Hello", 2000, "writes"), ("word " * 1000, 2000, "writes"), ("Hello", 1, "reads")],
)
async def test_cheapest_is_of_this_call(prompt: str, cap: int, best: str, autojump_clock: Clock) -> None:
    stage = Stage(ScriptedUpstream(GOOD, GOOD), channel("one", READS, WRITES))
    said = [{"role": "user", "content": prompt}]
    for names in (["reads", "writes"], ["writes", "reads"]):
        asked = await chosen(stage, model=names[0], models=names, routing="cheapest", messages=said, max_tokens=cap)
        assert asked == best


async def test_what_answers_are_long_is_learned(autojump_clock: Clock) -> None:
    long = [PLAIN, answer("word " * 3000, completion=3000)]
    stage = Stage(ScriptedUpstream(*[long] * 3, GOOD), channel("one", READS, WRITES))
    said = [{"role": "user", "content": "word " * 5000}]
    asked = {"model": "reads", "models": ["writes"], "routing": "cheapest", "messages": said}
    seen = [await chosen(stage, **asked) for _ in range(4)]
    assert seen == ["reads", "reads", "reads", "writes"]


def streamed(first_s: float) -> list[object]:
    return [STREAM, ("sleep", first_s), delta("Hi"), delta(finish="stop"), usage(10, 2), DONE]


AUTO = {"simple": ("near", "far"), "medium": ("far",)}
TWO = (channel("a", priced("near", 10, 10)), channel("b", priced("far", 20, 20)))


async def test_auto_takes_the_cheapest_that_is_quick_enough(autojump_clock: Clock) -> None:
    scripts = [streamed(3.0), streamed(0.5), streamed(0.5)]
    stage = Stage(ScriptedUpstream(*scripts), *TWO, auto=AUTO, first_token_target=2.0)
    seen = [await streaming(stage) for _ in range(3)]
    assert seen == ["near", "far", "far"]  # the first was late, and that is known now


async def test_auto_takes_the_quickest_where_none_is_quick_enough(autojump_clock: Clock) -> None:
    scripts = [streamed(4.0), streamed(3.0), streamed(3.0)]
    stage = Stage(ScriptedUpstream(*scripts), *TWO, auto=AUTO, first_token_target=2.0)
    assert [await streaming(stage) for _ in range(3)] == ["near", "far", "far"]


async def streaming(stage: Stage) -> str:
    client = await stage.relay(ask(model="auto", stream=True))
    assert client.status == 200
    return client.headers["x-findtoken-model"]


async def test_auto_keeps_to_the_grade_and_then_goes_on(autojump_clock: Clock) -> None:
    ways = channel("a", priced("small", 90, 90), priced("big", 10, 10))
    stage = Stage(ScriptedUpstream(GOOD, GOOD), ways, auto={"simple": ("small",), "complex": ("big",)})
    hard = [{"role": "user", "content": "Prove that every group of prime order is cyclic."}]
    assert await chosen(stage, model="auto") == "small"
    assert await chosen(stage, model="auto", messages=hard) == "big"


async def test_fastest(autojump_clock: Clock) -> None:
    scripts = [streamed(4.0), streamed(1.0), streamed(1.0), streamed(1.0)]
    stage = Stage(ScriptedUpstream(*scripts), *TWO)
    for asked, name in ((["near"], "near"), (["far"], "far"), (["near", "far"], "far"), (["near", "far"], "far")):
        client = await stage.relay(ask(model=asked[0], models=asked, routing="fastest", stream=True))
        assert client.headers["x-findtoken-model"] == name


async def test_who_rests_is_passed_over_whatever_it_costs(autojump_clock: Clock) -> None:
    down = [(503, []), b"{}"]
    stage = Stage(ScriptedUpstream(down, GOOD, down, GOOD, down, GOOD, GOOD), *TWO)
    asked = {"model": "near", "models": ["far"], "routing": "cheapest"}
    assert [await chosen(stage, **asked) for _ in range(4)] == ["far"] * 4
    assert [json.loads(request.body)["model"] for request in stage.upstream.requests][-1] == "far-upstream"
    assert len(stage.upstream.requests) == 7


async def test_a_single_way_is_remembered_and_not_ranked(autojump_clock: Clock) -> None:
    stage = Stage(ScriptedUpstream(GOOD, GOOD, GOOD), *TWO, auto={"simple": ("near",)})
    await chosen(stage, model="near", routing="cheapest")
    assert len(stage.gate.planner.planned) == 1
    several = Stage(ScriptedUpstream(GOOD), *TWO, auto=AUTO)
    await chosen(several, model="auto")
    assert not several.gate.planner.planned
