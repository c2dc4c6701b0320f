"""What depends on the candidate when a call goes up in other words, through the whole line: what an upstream of chat
has sealed goes back to the server that sealed it; how much is to be thought goes to a model that thinks."""

import json
from typing import Any

import pytest

from ftgate.dialects import anthropic_messages
from ftgate.line.call import Call
from tests.fakes.ports import RecordingClient, ScriptedUpstream, Stage, addresses, channel, model
from tests.line.transcript import PLAIN, answer

HI = {"role": "user", "content": "Hi"}
SIGNED = {"google": {"thought_signature": "CvcB"}}
CALL = {"id": "c9", "type": "function", "function": {"name": "look", "arguments": "{}"}, "extra_content": SIGNED}
CALLED = answer(choices=[
    {"index": 0, "finish_reason": "tool_calls", "message": {"role": "assistant", "content": None, "tool_calls": [CALL]}}
])  # fmt: skip


async def asked(stage: Stage, *messages: Any, **fields: Any) -> Any:
    tools = [{"name": "look", "input_schema": {"type": "object"}}]
    body = {"model": "m", "max_tokens": 99, "messages": messages, "tools": tools, **fields}
    client = RecordingClient()
    call = Call(id="req_7", dialect=anthropic_messages, secret=b"sk-ft_test", body=json.dumps(body).encode())
    await stage.gate.relay(call, client)
    assert client.status == 200
    return json.loads(client.body)


@pytest.mark.parametrize(("first", "then", "back"), [
    ("http://one.invalid/v1", "http://one.invalid/v1", True),
    ("http://one.invalid/v1", "http://one.invalid/other", True),
    ("http://one.invalid/v1", "http://two.invalid/v1", False),
    ("http://one.invalid/v1", "http://one.invalid:81/v1", False),
])  # fmt: skip
async def test_a_seal_goes_back_to_its_server(first: str, then: str, *, back: bool, autojump_clock: Any) -> None:
    one, two = (Stage(ScriptedUpstream([PLAIN, said]), channel("one", addresses=addresses(url, "openai_chat")))
                for url, said in ((first, CALLED), (then, answer())))  # fmt: skip
    kept = (await asked(one, HI))["content"]
    assert [block["type"] for block in kept] == ["redacted_thinking", "tool_use"]
    result = {"type": "tool_result", "tool_use_id": "c9", "content": "ok"}
    await asked(two, HI, {"role": "assistant", "content": kept}, {"role": "user", "content": [result]})
    (call,) = json.loads(two.upstream.requests[0].body)["messages"][1]["tool_calls"]
    assert call.get("extra_content") == (SIGNED if back else None)


@pytest.mark.parametrize(("thinks", "effort"), [(True, "low"), (False, None), (None, None)])
async def test_a_budget_goes_to_models_that_think(thinks: Any, effort: Any, autojump_clock: Any) -> None:
    one = channel("one", model(thinks=thinks), addresses=addresses("http://one.invalid", "openai_chat"))
    stage = Stage(ScriptedUpstream([PLAIN, answer()]), one)
    await asked(stage, HI, thinking={"type": "enabled", "budget_tokens": 2000}, max_tokens=9000)
    assert json.loads(stage.upstream.requests[0].body).get("reasoning_effort") == effort
