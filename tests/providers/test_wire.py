"""What the shipped providers want, on the wire: from the catalogue's file through a config and the gate to what goes
up, whoever asks."""

import json
from typing import Any

import msgspec
import pytest

from ftgate import config
from ftgate.line.call import Call
from tests.config.reading import load
from tests.fakes.ports import RecordingClient, ScriptedUpstream, Stage
from tests.line.test_keepalive import Clock
from tests.line.test_provider_habits import CALLERS
from tests.line.transcript import PLAIN, answer

FUNCTION = {"name": "f", "description": "F", "parameters": {"type": "object", "properties": {}}}
HISTORY: dict[str, dict[str, Any]] = {
    "chat": {
        "messages": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": None, "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "c1", "content": "1"},
        ],
        "tools": [{"type": "function", "function": FUNCTION}],
    },
    "messages": {
        "messages": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "f", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "1"}]},
        ],
        "tools": [{"name": "f", "input_schema": {"type": "object", "properties": {}}}],
        "max_tokens": 99,
    },
    "responses": {
        "input": [
            {"role": "user", "content": "Hi"},
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "1"},
        ],
        "tools": [{"type": "function", **FUNCTION}],
    },
}  # fmt: skip
"""A conversation with a call in it, whose thinking nobody kept."""


async def sent(
    provider: str, caller: str, more: str = "", *, name: str = "", **fields: Any
) -> tuple[Any, dict[str, str]]:
    """The body and the headers that go up in chat's words, from a config with this provider."""
    text = f'[[channel]]\nname = "one"\nprovider = "{provider}"\nkeys = ["sk-1-secret"]\n{more}'
    (way,) = load(text).routes.channels
    way = msgspec.structs.replace(way, addresses={"openai_chat": way.addresses["openai_chat"]})
    stage = Stage(ScriptedUpstream([PLAIN, answer()]), way, credits=10**14)
    dialect, body = CALLERS[caller]
    asked = {"model": name or next(iter(way.models)), **body, **fields}
    call = Call(id="req_7", dialect=dialect, secret=b"sk-ft_test", body=json.dumps(asked).encode())
    client = RecordingClient()
    await stage.gate.relay(call, client)
    stage.check()
    (request,) = stage.upstream.requests
    assert client.status == 200, client.body
    headers = {key.decode(): value.decode() for key, value in request.headers}
    assert headers["authorization"] == "Bearer sk-1-secret"
    return json.loads(request.body), headers


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize(("provider", "asked", "goes_up"), [
    ("zhipu", {"top_p": 1, "temperature": 1}, {"top_p": 0.99, "temperature": 0.99}),
    ("zhipu", {"temperature": 0}, {"temperature": 0.01}),
    ("zai", {"temperature": 0.5}, {"temperature": 0.5}),
    ("dashscope", {"top_p": 1, "temperature": 1}, {"top_p": 0.99, "temperature": 1}),
    ("minimax", {"temperature": 0}, {"temperature": 0.01, "reasoning_split": True}),
    ("baichuan", {"temperature": 1}, {"temperature": 1}),
    ("moonshot", {"temperature": 0.5, "top_p": 0.5}, {}),
    ("siliconflow", {"temperature": 1, "top_p": 1}, {"temperature": 1, "top_p": 1}),
])  # fmt: skip
async def test_numbers_within_bounds(
    provider: str, asked: dict[str, Any], goes_up: dict[str, Any], caller: str, autojump_clock: Clock
) -> None:
    body, _ = await sent(provider, caller, **asked)
    names = ("top_p", "temperature", "reasoning_split")
    assert {name: body[name] for name in names if name in body} == goes_up


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize(("provider", "blank"), [("deepseek", True), ("moonshot", True), ("zhipu", False)])
async def test_turns_with_calls_get_their_blank_thought(
    provider: str, blank: bool, caller: str, autojump_clock: Clock
) -> None:
    body, _ = await sent(provider, caller, **HISTORY[caller])
    (turn,) = [message for message in body["messages"] if message["role"] == "assistant"]
    assert turn["tool_calls"] and (turn.get("reasoning_content") == " ") is blank


@pytest.mark.parametrize("caller", CALLERS)
async def test_headers_of_a_provider(caller: str, autojump_clock: Clock) -> None:
    assert (await sent("openrouter", caller))[1]["x-openrouter-title"] == "ftgate"
    own = 'headers = { X-OpenRouter-Title = "mine" }\n'
    assert (await sent("openrouter", caller, own))[1]["x-openrouter-title"] == "mine"


async def test_thinking_cannot_be_bought_at_the_price_without(autojump_clock: Clock) -> None:
    body, _ = await sent("dashscope", "chat", name="qwen-plus", enable_thinking=True, thinking_budget=9, seed=1)
    assert body.keys().isdisjoint({"enable_thinking", "thinking_budget"}) and body["seed"] == 1
    body, _ = await sent("dashscope", "chat", name="qwen3.8-max", enable_thinking=True)
    assert body["enable_thinking"] is True


async def test_what_baichuan_does_not_know_stays_here(autojump_clock: Clock) -> None:
    body, _ = await sent("baichuan", "chat", frequency_penalty=0.5, presence_penalty=0.5)
    assert "frequency_penalty" not in body and body["presence_penalty"] == 0.5


async def test_an_endpoints_id_goes_up_as_it_is(autojump_clock: Clock) -> None:
    more = '[channel.models."ep-20260101-abc"]\nlike = "doubao-seed-2-1-pro-260628"\n'
    assert (await sent("volcengine", "chat", more, name="ep-20260101-abc"))[0]["model"] == "ep-20260101-abc"


def test_a_refusing_model_of_anthropics_names_what_it_refuses() -> None:
    models = config.provider("anthropic").models
    assert models["claude-opus-5"].drop == ("temperature", "top_p", "top_k") and not models["claude-haiku-4-5"].drop
