"""POST /v1/embeddings through the same line: held, failed over and settled like any call, with no output to pay."""

import json
from typing import Any

import pytest
from trio.testing import MockClock

from ftgate.dialects import openai_completions, openai_embeddings
from ftgate.line.call import Call
from tests.fakes.ports import PRICE, RecordingClient, ScriptedUpstream, Stage, channel, model
from tests.line.test_line import error_of
from tests.line.transcript import PLAIN, answer, ask, status

VECTORS = json.dumps(
    {"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": "AAAA"}],
     "usage": {"prompt_tokens": 100, "total_tokens": 100}}
).encode()  # fmt: skip
GOOD = [PLAIN, VECTORS]
TEXTS = json.dumps({"choices": [{"index": n, "text": "Hi", "finish_reason": "stop"} for n in range(5)]}).encode()


def embedder(name: str, *, of: str = "one", **changes: Any) -> Any:
    return channel(of, model(name, kind="embeddings", max_output=None, cap_field=None, **changes))


async def embed(stage: Stage, **fields: Any) -> RecordingClient:
    client = RecordingClient()
    body = json.dumps({"model": "e", "input": "word " * 90, **fields}).encode()
    await stage.gate.relay(Call(id="req_e", dialect=openai_embeddings, secret=b"sk-ft_test", body=body), client)
    stage.check()
    return client


async def test_it_is_held_and_settled_for_its_prompt(autojump_clock: MockClock) -> None:
    stage = Stage(ScriptedUpstream(GOOD), embedder("e"))
    client = await embed(stage, encoding_format="base64")
    assert (client.status, client.body) == (200, VECTORS)
    assert client.headers["x-findtoken-cost"] == "0.0001"
    hold, post = stage.log.entries[1:]
    assert (hold.kind, post.kind, post.amount) == ("hold", "post", 100 * PRICE.input)
    assert 100 * PRICE.input <= hold.amount < 400 * PRICE.input
    row = stage.log.rows[0]
    assert (row.prompt_tokens, row.completion_tokens, row.estimated, row.status) == (100, 0, False, "ok")
    sent = stage.upstream.requests[0]
    assert sent.url == "http://one.invalid/embeddings" and "max_tokens" not in json.loads(sent.body)


async def test_it_fails_over(autojump_clock: MockClock) -> None:
    ways = embedder("e"), embedder("e", of="two")
    stage = Stage(ScriptedUpstream(status(500), GOOD), *ways)
    client = await embed(stage)
    assert client.status == 200 and client.headers["x-findtoken-attempts"] == "2"


async def test_without_a_usage_the_prompt_is_counted(autojump_clock: MockClock) -> None:
    stage = Stage(ScriptedUpstream([PLAIN, b'{"data": [{"embedding": [1]}]}']), embedder("e"))
    assert (await embed(stage)).status == 200
    row = stage.log.rows[0]
    assert row.estimated and 50 <= row.prompt_tokens <= 200 and row.completion_tokens == 0


async def test_who_cannot_pay_is_refused(autojump_clock: MockClock) -> None:
    stage = Stage(ScriptedUpstream(), embedder("e"), credits=10 * PRICE.input)
    client = await embed(stage)
    assert (client.status, error_of(client)["code"]) == (402, "insufficient_credits")


@pytest.mark.parametrize("name", ["m", "auto"])
async def test_a_model_is_of_one_kind(autojump_clock: MockClock, name: str) -> None:
    """Cheap as it is, an embeddings model does not chat, nor does a chat model embed."""
    ways = channel("one", model("e", kind="embeddings", price=model().price), model("m"))
    stage = Stage(ScriptedUpstream([PLAIN, answer()]), ways)
    assert (await stage.relay(ask(model=name))).headers["x-findtoken-model"] == "m"
    client = await stage.relay(ask(model="e"))
    said = error_of(client)
    assert (client.status, said["code"], said["param"]) == (400, "invalid_value", "model")
    assert "embeddings" in said["message"]
    stage = Stage(ScriptedUpstream(GOOD), ways)
    assert (await embed(stage, model="auto")).headers["x-findtoken-model"] == "e"
    assert (await embed(stage, model="m")).status == 400


async def test_a_channel_without_the_address_is_passed_over(autojump_clock: MockClock) -> None:
    chat_only = embedder("e")
    chat_only = type(chat_only)(**{**{f: getattr(chat_only, f) for f in chat_only.__struct_fields__}, "addresses": {}})
    stage = Stage(ScriptedUpstream(GOOD), chat_only, embedder("e", of="two"))
    assert (await embed(stage)).headers["x-findtoken-provider"] == "two"
    stage = Stage(ScriptedUpstream(), chat_only)
    assert (await embed(stage)).status == 501


# A context holds one input, not the sum of all


async def test_many_inputs_may_be_longer_together_than_the_context(autojump_clock: MockClock) -> None:
    vectors = json.dumps({"data": [{"embedding": "AAAA"}], "usage": {"prompt_tokens": 9100}}).encode()
    stage = Stage(ScriptedUpstream([PLAIN, vectors]), embedder("e", context=512))
    assert (await embed(stage, input=["word " * 90] * 100)).status == 200
    row = stage.log.rows[0]
    assert (row.prompt_tokens, row.cost, row.estimated) == (9100, 9100 * PRICE.input, False)
    assert stage.log.entries[1].amount >= 9100 * PRICE.input


async def test_an_input_may_fill_the_context_and_not_pass_it(autojump_clock: MockClock) -> None:
    """Nothing of it need be left for an answer."""
    stage = Stage(ScriptedUpstream(GOOD), embedder("e", context=512))
    assert (await embed(stage, input=[[1] * 512, [1]])).status == 200
    stage = Stage(ScriptedUpstream(), embedder("e", context=512))
    client = await embed(stage, input=[[1] * 513, [1]])
    said = error_of(client)
    assert (client.status, said["code"], said["param"]) == (400, "context_length_exceeded", "input")
    assert "513" in said["message"]


async def test_a_count_past_what_all_inputs_can_be_is_absurd(autojump_clock: MockClock) -> None:
    vectors = json.dumps({"data": [{"embedding": "AAAA"}], "usage": {"prompt_tokens": 1025}}).encode()
    stage = Stage(ScriptedUpstream([PLAIN, vectors]), embedder("e", context=512))
    assert (await embed(stage, input=["word", "word"])).status == 200
    assert stage.log.rows[0].estimated and stage.log.rows[0].prompt_tokens < 10


async def test_several_prompts_leave_each_answer_its_room(autojump_clock: MockClock) -> None:
    stage = Stage(ScriptedUpstream([PLAIN, TEXTS]), channel("one", model("m", context=4000, max_output=3000)))
    client = RecordingClient()
    body = json.dumps({"model": "m", "prompt": [[1] * 900] * 5}).encode()
    await stage.gate.relay(Call(id="req_c", dialect=openai_completions, secret=b"sk-ft_test", body=body), client)
    stage.check()
    assert client.status == 200 and json.loads(stage.upstream.requests[0].body)["max_tokens"] == 3000
    assert stage.log.entries[1].amount == 4500 * PRICE.input + 5 * 3000 * PRICE.output
