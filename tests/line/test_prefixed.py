"""Names with Anthropic's prefix, where its protocol is spoken: the same model in every limit, list and restriction."""

import json

import pytest
from trio.testing import MockClock

from ftgate import dialects
from ftgate.core.limits import Rates
from ftgate.ports import Terms
from tests.fakes.ports import ScriptedUpstream, Stage, channel, model
from tests.line.transcript import PLAIN, answer, ask


@pytest.fixture
def prefixed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chat in the place of a dialect with such names."""
    monkeypatch.setattr(dialects, "PREFIXED", frozenset({"openai_chat"}))


def upstream(times: int = 1) -> ScriptedUpstream:
    return ScriptedUpstream(*([PLAIN, answer()] for _ in range(times)))


def asked(stage: Stage) -> list[str]:
    return [json.loads(request.body)["model"] for request in stage.upstream.requests]


async def test_the_model_behind_the_prefix_answers(autojump_clock: MockClock, prefixed: None) -> None:
    stage = Stage(upstream(2), aliases={"old": "m"})
    for name in ("anthropic/m", "anthropic/old"):
        client = await stage.relay(ask(model=name))
        assert (client.status, client.headers["x-findtoken-model"]) == (200, "m")
    assert asked(stage) == ["m-upstream"] * 2
    assert [(row.model, row.served_model) for row in stage.log.rows] == [("anthropic/m", "m"), ("anthropic/old", "m")]


async def test_a_model_s_own_name_wins(autojump_clock: MockClock, prefixed: None) -> None:
    stage = Stage(upstream(2), channel("one", model("m"), model("anthropic/m")))
    for name in ("anthropic/m", "m"):
        assert (await stage.relay(ask(model=name))).headers["x-findtoken-model"] == name


@pytest.mark.parametrize(("models", "status"), [(("m",), 200), (("anthropic/m",), 200), (("n",), 403)])
async def test_restrictions(autojump_clock: MockClock, prefixed: None, models: tuple[str, ...], status: int) -> None:
    ways = channel("one", model("m"), model("n"))
    for stage in (Stage(upstream(), ways, key={"models": models}), Stage(upstream(), ways, terms=Terms(models=models))):
        assert (await stage.relay(ask(model="anthropic/m"))).status == status


async def test_limits(autojump_clock: MockClock, prefixed: None) -> None:
    stage = Stage(upstream(2), model_rates={"m": Rates(requests_per_minute=2)})
    statuses = [(await stage.relay(ask(model=name))).status for name in ("m", "anthropic/m", "anthropic/m", "m")]
    assert statuses == [200, 200, 429, 429]


async def test_fallbacks(autojump_clock: MockClock, prefixed: None) -> None:
    ways = channel("one", model("m"), model("n"))
    stage = Stage(ScriptedUpstream([(500, [])], [PLAIN, answer()]), ways, fallback={"m": ("n",)})
    assert (await stage.relay(ask(model="anthropic/m"))).headers["x-findtoken-model"] == "n"


async def test_an_unknown_name_stays_as_it_was_written(autojump_clock: MockClock, prefixed: None) -> None:
    client = await Stage(upstream()).relay(ask(model="anthropic/nonesuch"))
    assert client.status == 400 and "'anthropic/nonesuch'" in client.body.decode()


async def test_elsewhere_it_is_no_name(autojump_clock: MockClock) -> None:
    client = await Stage(upstream()).relay(ask(model="anthropic/m"))
    assert json.loads(client.body)["error"]["code"] == "model_not_found"
