"""What a provider wants of every request reaches it whoever asks; what its own errors mean is known; and a price that
depends on the hour is one price, for the hold, the charge and the row."""

import json
from typing import Any

import msgspec
import pytest
import trio.testing

from ftgate import dialects
from ftgate.core import receipt
from ftgate.core.habits import Bound, Habits
from ftgate.core.money import parse_price
from ftgate.core.pricing import Hours, Price
from ftgate.core.routing import Address
from ftgate.core.verdicts import Verdict
from ftgate.dialects import anthropic_messages, openai_chat, openai_embeddings, openai_responses
from ftgate.line.call import Call
from tests.fakes.ports import RecordingClient, ScriptedUpstream, Stage, channel, model
from tests.line.test_keepalive import Clock
from tests.line.transcript import PLAIN, answer, ask, chat, status

CALLERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "chat": (openai_chat, {"messages": [{"role": "user", "content": "Hi"}]}),
    "messages": (anthropic_messages, {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 9}),
    "responses": (openai_responses, {"input": "Hi"}),
}
HABITS = Habits(
    clamp=(Bound("top_p", 0.01, 0.9),), fill={"reasoning_split": True}, quirks=(lambda fields: fields.pop("user", 0),)
)  # fmt: skip


def wanting(dialect: str, habits: Habits | None = HABITS, **changes: Any) -> Any:
    """A channel that speaks one dialect, with these habits."""
    url = "http://one.invalid" + dialects.ADDRESSES[dialect]
    return channel(
        addresses={dialect: Address(dialect, url, "bearer", dialects.cap_fields(dialect), habits)}, **changes
    )  # fmt: skip


async def sent(caller: str, way: Any, **fields: Any) -> dict[str, Any]:
    dialect, body = CALLERS[caller]
    stage = Stage(ScriptedUpstream([PLAIN, answer()]), way)
    asked = msgspec.json.encode({"model": "m", **body, **fields})
    await stage.gate.relay(
        Call(id="req_7", dialect=dialect, secret=b"sk-ft_test", body=asked), RecordingClient()
    )  # fmt: skip
    stage.check()
    (request,) = stage.upstream.requests
    said: dict[str, Any] = json.loads(request.body)
    return said


@pytest.mark.parametrize("spoken", ["openai_chat", "anthropic_messages"])
@pytest.mark.parametrize("caller", CALLERS)
async def test_a_model_s_own_quirks_come_before_its_address_s(caller: str, spoken: str, autojump_clock: Clock) -> None:
    def own(fields: dict[str, object]) -> None:
        fields["thinking"] = {"type": "disabled"}

    def after(fields: dict[str, object]) -> None:
        fields["seen"] = fields.pop("thinking", None)

    for habits in (HABITS, None):
        body = await sent(caller, wanting(spoken, habits, models={"m": model(quirks=(own,))}))
        assert body["thinking"] == {"type": "disabled"}
    body = await sent(caller, wanting(spoken, Habits(quirks=(after,)), models={"m": model(quirks=(own,))}))
    assert body["seen"] == {"type": "disabled"} and "thinking" not in body


@pytest.mark.parametrize("spoken", ["openai_chat", "anthropic_messages", "openai_responses"])
@pytest.mark.parametrize("caller", CALLERS)
async def test_habits_reach_the_wire(caller: str, spoken: str, autojump_clock: Clock) -> None:
    """Untouched or translated, in any dialect."""
    body = await sent(caller, wanting(spoken), top_p=0.95)
    assert (body["top_p"], body["reasoning_split"]) == (0.9, True)
    body = await sent(caller, wanting(spoken), top_p=0.5)
    assert body["top_p"] == 0.5 and "temperature" not in body
    body = await sent(caller, wanting(spoken, None), top_p=0.95)
    assert body["top_p"] == 0.95 and "reasoning_split" not in body


@pytest.mark.parametrize("caller", CALLERS)
async def test_what_a_model_refuses_stays_here(caller: str, autojump_clock: Clock) -> None:
    way = wanting("openai_chat", None, models={"m": model(drop=("temperature", "top_p"))}, drop_params=("seed",))
    body = await sent(caller, way, temperature=0.5, top_p=0.5)
    assert not body.keys() & {"temperature", "top_p", "seed"} and body["model"] == "m-upstream"
    body = await sent(caller, wanting("openai_chat", None), temperature=0.5, top_p=0.5)
    assert (body["temperature"], body["top_p"]) == (0.5, 0.5)


async def test_a_quirk_changes_the_request(autojump_clock: Clock) -> None:
    assert "user" not in await sent("chat", wanting("openai_chat"), user="u")
    assert (await sent("chat", wanting("openai_chat", None), user="u"))["user"] == "u"


async def test_embeddings_have_habits_too(autojump_clock: Clock) -> None:
    way = wanting("openai_embeddings", Habits(fill={"x": 1}), models={"m": model(kind="embeddings", cap_field=None)})
    vector = {"data": [{"embedding": [0.5], "index": 0}], "usage": {"prompt_tokens": 1, "total_tokens": 1}}
    stage = Stage(ScriptedUpstream([PLAIN, json.dumps(vector).encode()]), way)
    asked = msgspec.json.encode({"model": "m", "input": "Hi"})
    client = RecordingClient()
    await stage.gate.relay(
        Call(id="req_7", dialect=openai_embeddings, secret=b"sk-ft_test", body=asked), client
    )  # fmt: skip
    assert client.status == 200 and json.loads(stage.upstream.requests[0].body)["x"] == 1


# ---- what a provider's own errors mean ----

SAYS: dict[str, tuple[bool, list[Any]]] = {
    "a status": (False, list(status(429, "balance"))),
    "a status before a stream": (True, list(status(429, "balance"))),
    "an error in a 200": (False, [PLAIN, b'{"error":{"message":"balance","type":"T","code":"C"}}']),
    "an error in a stream": (True, [PLAIN, b'data: {"error":{"message":"balance","type":"T","code":"C"}}\n\n']),
}


@pytest.mark.parametrize("name", ["c", "t"])
@pytest.mark.parametrize("way", SAYS)
async def test_an_error_means_what_its_provider_says(name: str, way: str, autojump_clock: Clock) -> None:
    """By its code or its type: here a status of 429 is no rate limit, and no words tell."""
    stream, script = SAYS[way]
    stage = Stage(
        ScriptedUpstream(script, chat("Hi") if stream else [PLAIN, answer()]),
        channel("one", errors={name: Verdict.out_of_credit}), channel("two"),
    )  # fmt: skip
    client = await stage.relay(ask(stream=stream))
    stage.check()
    assert client.status == 200 and [request.channel for request in stage.upstream.requests] == ["one", "two"]
    alone = Stage(ScriptedUpstream(script), channel("one", errors={name: Verdict.caller}))
    assert (await alone.relay(ask(stream=stream))).status == (429 if "status" in way else 400)


async def test_a_code_that_the_provider_does_not_name_is_read_as_ever(autojump_clock: Clock) -> None:
    stage = Stage(
        ScriptedUpstream(list(status(400)), [PLAIN, answer()]),
        channel("one", errors={"other": Verdict.out_of_credit}), channel("two"),
    )  # fmt: skip
    assert (await stage.relay(ask())).status == 400 and len(stage.upstream.requests) == 1


# ---- prices by the hour ----


def price(units: str) -> Price:
    each = parse_price(units)
    return Price(each, each, each, each, each)


NIGHT = Hours(((60, 120),), tuple(range(7)), price("1"))
BY_THE_HOUR = model(price=price("5"), hours=(NIGHT,), max_output=100)


async def charged(at_s: float, *steps: Any, credits: int = 10**12) -> tuple[int, int, str, Any]:
    """What a call that comes at this second is charged and was held for, and its row's price."""
    await trio.sleep(at_s - trio.current_time())
    stage = Stage(
        ScriptedUpstream([*steps, PLAIN, answer(prompt=10, completion=2)]), channel("one", BY_THE_HOUR), credits=credits
    )  # fmt: skip
    client = await stage.relay(ask(max_tokens=50))
    stage.check()
    (row,) = stage.log.rows
    held = next((-entry.amount for entry in stage.log.entries if entry.kind == "hold"), 0)
    assert receipt.wrong(row) is None
    return row.cost, held, row.price, client


@pytest.mark.parametrize(("at_s", "units"), [(3599, 5), (3600, 1), (7199, 1), (7200, 5)])
async def test_the_price_is_that_of_the_moment(at_s: int, units: int, autojump_clock: Clock) -> None:
    cost, _, text, _ = await charged(at_s)
    assert cost == 12 * units * 10**6
    assert text == receipt.price_text(price(str(units)))


@pytest.mark.parametrize(("at_s", "units"), [(3590, 5), (7190, 1)])
async def test_an_answer_that_comes_in_another_hour_costs_what_was_held_for(
    at_s: int, units: int, autojump_clock: Clock
) -> None:
    cost, _, text, _ = await charged(at_s, ("wait", 20))
    assert cost == 12 * units * 10**6 and text == receipt.price_text(price(str(units)))


async def test_what_is_held_is_at_the_price_of_the_hour(autojump_clock: Clock) -> None:
    """A balance that pays the night's price and not the day's."""
    enough = 200 * 10**6
    assert (await charged(3000, credits=enough))[3].status == 402
    assert (await charged(3600, credits=enough))[3].status == 200
