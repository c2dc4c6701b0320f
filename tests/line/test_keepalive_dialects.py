"""Callers of messages and of responses that wait for a channel that chats: what they hear meanwhile, and how a stream
ends whose head has gone before anybody answered."""

import json
from typing import Any

import msgspec
import pytest
import trio
import trio.testing

from ftgate.dialects import anthropic_messages, openai_responses
from ftgate.line.call import Call
from tests.fakes.ports import ScriptedUpstream, Stage, addresses, channel
from tests.line.test_keepalive import LONG, Clock, Listener
from tests.line.transcript import STREAM, chat, delta, status

PING = b'event: ping\ndata: {"type":"ping"}\n\n'
LINE = b": keepalive\n"
CALLERS: dict[str, tuple[Any, dict[str, Any], bytes]] = {
    "messages": (anthropic_messages, {"max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}, PING),
    "responses": (openai_responses, {"input": "Hi"}, LINE),
}


async def relayed(caller: str, *script: Any) -> Listener:
    dialect, body, _ = CALLERS[caller]
    chats = channel("one", timeouts=LONG, addresses=addresses("http://one.invalid", "openai_chat"))
    on, client = Stage(ScriptedUpstream(list(script)), chats, keepalive_s=15.0), Listener()
    asked = msgspec.json.encode({"model": "m", "stream": True, **body})
    async with trio.open_nursery() as nursery:
        nursery.start_soon(on.gate.keep_alive)
        await on.gate.relay(Call(id="req_7", dialect=dialect, secret=b"sk-ft_test", body=asked), client)
        nursery.cancel_scope.cancel()
    on.check()
    return client


def names(data: bytes) -> list[str]:
    return [line.removeprefix(b"event: ").decode() for line in data.split(b"\n") if line.startswith(b"event: ")]


@pytest.mark.parametrize("caller", CALLERS)
async def test_a_channel_that_is_quiet_before_and_within_its_answer(caller: str, autojump_clock: Clock) -> None:
    """Before the answer's first event too, and never within one."""
    client = await relayed(
        caller, STREAM, delta(""), ("wait", 40), delta("a"), ("wait", 20), delta("b"), *chat()[2:]
    )  # fmt: skip
    line = CALLERS[caller][2]
    heard = [data for _, data in client.heard]
    assert heard[:3] == [b"head", line, line] and heard.count(line) == 3 and client.body.count(line) == 3
    at = heard.index(line, 3)
    assert b'"a"' in heard[at - 1] and heard[at - 1].endswith(b"\n\n") and b'"b"' in heard[at + 1]
    first, last = {"messages": ("message_start", "message_stop"),
                   "responses": ("response.created", "response.completed")}[caller]  # fmt: skip
    told = [name for name in names(client.body) if name != "ping"]
    assert (told[0], told[-1]) == (first, last)
    closing = client.body.split(b"\n\n")[-2]
    assert b" model=m provider=one attempts=1\n" in closing and b"event: " + last.encode() in closing


@pytest.mark.parametrize("caller", CALLERS)
async def test_a_channel_that_refuses_once_the_head_has_gone(caller: str, autojump_clock: Clock) -> None:
    client = await relayed(caller, ("wait", 20), *status(400, "too much"))
    assert client.status == 200 and client.body.startswith(CALLERS[caller][2])
    *_, last = client.body.split(b"\n\n")[:-1]
    said = json.loads(last.split(b"data: ")[1])
    if caller == "messages":
        assert [name for name in names(client.body) if name != "ping"] == ["error"]
        assert (said["error"]["type"], said["error"]["message"]) == ("invalid_request_error", "too much")
        assert said["request_id"] == "req_7"
    else:
        assert names(client.body) == ["response.created", "response.in_progress", "response.failed"]
        assert said["response"]["error"]["message"] == "too much" and said["sequence_number"] == 2
