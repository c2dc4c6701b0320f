"""Calls in flight, as the operator sees and ends them, in every protocol."""

import json
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import pytest
import trio
import trio.testing

from ftgate.dialects import anthropic_messages, openai_chat, openai_responses
from ftgate.errors import NotFound
from ftgate.line.call import Call
from ftgate.line.running import Running
from ftgate.ports.site import Doer
from tests.fakes.ports import RecordingClient, ScriptedUpstream, Stage, addresses, channel
from tests.line.transcript import STREAM, answer, delta

Clock = trio.testing.MockClock
TURN = [{"role": "user", "content": "Hello"}]
ASKED: Mapping[str, tuple[ModuleType, dict[str, Any], bytes]] = {
    "chat": (openai_chat, {"messages": TURN}, b"data: [DONE]"),
    "messages": (anthropic_messages, {"messages": TURN, "max_tokens": 50}, b"event: message_stop"),
    "responses": (openai_responses, {"input": "Hello"}, b"response.completed"),
}
"""Each dialect, a request in it, and what only a whole stream ends with."""
BY = Doer(9, "root", "api")


class Noted:
    """ports.operator.Deeds."""

    def __init__(self) -> None:
        self.rows: list[tuple[Any, ...]] = []

    async def note(self, *said: Any, after: Any = None) -> None:
        self.rows.append((*said, after))


class Desk:
    """A line with one call, and an operator who looks at it after five seconds."""

    def __init__(self, dialect: str, script: list[Any], **asked: Any) -> None:
        self.stage = Stage(ScriptedUpstream(script), channel(addresses=addresses("http://one.invalid", "openai_chat")))
        self.deeds = Noted()
        self.running = Running(self.stage.gate, self.deeds)
        spoken, body, self.whole = ASKED[dialect]
        self.client = RecordingClient()
        said = json.dumps({"model": "m", **body, **asked}).encode()
        self.call = Call(id="req_1", dialect=spoken, secret=b"sk-ft_test", body=said)

    async def relay(self, stop: str = "req_1") -> list[Mapping[str, object]]:
        seen: list[Mapping[str, object]] = []

        async def look() -> None:
            await trio.sleep(5)
            seen.extend(self.running.shown())
            await self.running.stop(stop, BY)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(look)
            await self.stage.gate.relay(self.call, self.client)
        self.stage.check()
        return seen


@pytest.mark.parametrize("dialect", ASKED)
async def test_one_that_streams_is_ended_with_an_error(dialect: str, autojump_clock: Clock) -> None:
    desk = Desk(dialect, [STREAM, delta("one two three"), ("wait", 50), delta("never")], stream=True)
    (seen,) = await desk.relay()
    assert trio.current_time() == 5  # at once
    assert seen == {
        "request_id": "req_1", "user": "1", "key": "1", "model": "m", "channel": "one", "stream": True,
        "state": "streaming", "started_at": "1970-01-01T00:00:00.000Z", "age_ms": 5000,
        "completion_tokens": seen["completion_tokens"], "held": seen["held"],
    }  # fmt: skip
    assert seen["completion_tokens"] in (2, 3, 4) and float(str(seen["held"])) > 0
    body = desk.client.body
    assert b"the operator ended this call" in body and desk.whole not in body and desk.client.ended
    row = desk.stage.log.rows[0]
    assert (row.status, row.completion_tokens, row.http_status) == ("operator", seen["completion_tokens"], 200)
    assert row.cost > 0 and row.estimated
    assert desk.deeds.rows == [(BY, "call.stop", "req_1", {"user": "1", "model": "m"})]
    assert desk.running.shown() == []


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("dialect", ASKED)
async def test_one_that_waits_is_refused_and_free(dialect: str, stream: bool, autojump_clock: Clock) -> None:
    desk = Desk(dialect, [("wait", 50), (200, []), answer()], stream=stream)
    (seen,) = await desk.relay()
    assert (seen["state"], seen["completion_tokens"], seen["stream"]) == ("waiting", 0, stream)
    said = json.loads(desk.client.body)["error"]
    assert (desk.client.status, said["type"]) == (503, "api_error")
    assert said.get("code", "stopped") == "stopped" and "retry-after" not in desk.client.headers
    row = desk.stage.log.rows[0]
    assert (row.status, row.cost, row.error_code) == ("operator", 0, "stopped")


async def test_what_is_not_in_flight_cannot_be_ended(autojump_clock: Clock) -> None:
    desk = Desk("chat", [("wait", 7), (200, []), answer()])
    with pytest.RaisesGroup(NotFound):
        await desk.relay("req_2")
    assert desk.deeds.rows == []


async def test_one_that_is_settled_is_over(autojump_clock: Clock) -> None:
    """Its answer waits for the ledger, and comes."""
    desk = Desk("chat", [(200, []), answer()])
    desk.stage.log.stuck = True
    seen: list[object] = []

    async def look() -> None:
        await trio.sleep(1)
        assert desk.stage.gate.calls
        seen.extend(desk.running.shown())
        with pytest.raises(NotFound):
            await desk.running.stop("req_1", BY)
        desk.stage.log.unstick()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(look)
        await desk.stage.gate.relay(desk.call, desk.client)
    assert seen == [] and desk.client.status == 200 and desk.stage.log.rows[0].status == "ok"


async def test_looking_changes_nothing(autojump_clock: Clock) -> None:
    from ftgate.dialects.talk import Meter

    looked, alone = Meter(), Meter()
    for piece in ("Hel", "lo wor", "ld, 你好", " 123"):
        looked.note(piece)
        alone.note(piece)
        assert looked.seen().likely_milli >= 0
    assert looked._parts == alone._parts and looked.seen() == alone.counted()
