"""A call that comes back to us: each request upstream names the gateways on its way, and our own id ends it."""

import json
from typing import Any

import pytest
import trio.testing

from tests.fakes.ports import RecordingClient, ScriptedUpstream, Stage, channel
from tests.line.transcript import PLAIN, answer, ask, chat, status

Clock = trio.testing.MockClock


def stage(*scripts: Any, **settings: Any) -> Stage:
    made = Stage(ScriptedUpstream(*scripts), **settings)
    made.gate.gateway = made.gate.attempts.upward.gateway = b"own"
    return made


async def relay(made: Stage, body: bytes, hops: bytes) -> RecordingClient:
    call, client = made.call(body), RecordingClient()
    call.hops = hops
    await made.gate.relay(call, client)
    made.check()
    return client


def sent(made: Stage) -> list[list[bytes]]:
    """The hops of each request that went up."""
    return [
        [value for name, value in request.headers if name == b"x-ftgate-hops"] for request in made.upstream.requests
    ]


@pytest.mark.parametrize("stream", [False, True])
async def test_each_request_names_the_way(stream: bool, autojump_clock: Clock) -> None:
    script = chat("a") if stream else [PLAIN, answer()]
    made = stage(script, script, script)
    for hops in (b"", b"a, b", b"a"):
        assert (await relay(made, ask(stream=stream), hops)).status == 200
    assert sent(made) == [[b"own"], [b"a, b, own"], [b"a, own"]]


@pytest.mark.parametrize(("hops", "words"), [(b"a, own, b", "through this gateway before"), (b"h," * 9, "9 gateways")])
async def test_a_call_that_comes_back_is_ended_at_once(hops: bytes, words: str, autojump_clock: Clock) -> None:
    made = stage([PLAIN, answer()])
    client = await relay(made, ask(), hops)
    error = json.loads(client.body)["error"]
    assert (client.status, error["code"], error["type"]) == (508, "loop_detected", "api_error")
    assert words in error["message"]
    assert made.upstream.requests == [] and made.log.entries == made.log.entries[:1]  # the grant: no hold
    assert trio.current_time() == 0.0


async def test_an_upstream_that_met_a_round_is_not_asked_again(autojump_clock: Clock) -> None:
    made = stage([*status(508, "this call has come through this gateway before")])
    client = await relay(made, ask(), b"")
    assert client.status == 502
    assert len(made.upstream.requests) == 1


async def test_the_next_candidate_is_tried_instead(autojump_clock: Clock) -> None:
    made = Stage(ScriptedUpstream([*status(508)], [PLAIN, answer()]), channel("one"), channel("two"))
    client = await made.relay(ask())
    assert client.status == 200 and client.headers["x-findtoken-attempts"] == "2"
    assert sent(made) == [[], []]  # a gate without an id of its own says nothing
