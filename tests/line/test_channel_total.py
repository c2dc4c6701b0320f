"""A channel's own `timeouts.total`: it counts from the call's start, and only while the call is at that channel."""

import pytest
import trio
import trio.testing

from ftgate.core.routing import Channel, Timeouts
from tests.fakes.ports import ScriptedUpstream, Stage, channel, model
from tests.line.transcript import DONE, PLAIN, STREAM, answer, ask, chat, delta, status

Clock = trio.testing.MockClock
NEVER = ("wait", 10_000)


def way(name: str, total_s: float) -> Channel:
    times = Timeouts(head=5000, answer=5000, first_token=5000, idle=5000, total=total_s)
    return channel(name, model(), timeouts=times)


async def test_a_stream_is_cut_by_it(autojump_clock: Clock) -> None:
    stage = Stage(ScriptedUpstream([STREAM, *[delta("a"), ("wait", 10)] * 20]), way("one", 55))
    client = await stage.relay(ask(stream=True))
    assert trio.current_time() == pytest.approx(55)
    assert b"took longer than 55s in all" in client.body and DONE not in client.body
    assert stage.log.rows[0].status == "timeout" and stage.log.rows[0].cost > 0


async def test_it_may_be_longer_than_that_of_all(autojump_clock: Clock) -> None:
    """A slow box at home."""
    stage = Stage(ScriptedUpstream([("wait", 100), PLAIN, answer()]), way("one", 200), total_s=50)
    assert (await stage.relay(ask())).status == 200


@pytest.mark.parametrize("stream", [False, True])
async def test_the_next_channel_has_the_rest(stream: bool, autojump_clock: Clock) -> None:
    """Before any content it ends the attempt like every other time limit."""
    good = chat("a") if stream else [PLAIN, answer()]
    stage = Stage(ScriptedUpstream([NEVER], [("wait", 20), *good]), way("one", 30), way("two", 60))
    client = await stage.relay(ask(stream=stream))
    assert client.status == 200 and trio.current_time() == pytest.approx(50)
    assert [request.channel for request in stage.upstream.requests] == ["one", "two"]


async def test_it_counts_from_the_calls_start(autojump_clock: Clock) -> None:
    stage = Stage(ScriptedUpstream([NEVER], [NEVER]), way("one", 30), way("two", 60))
    client = await stage.relay(ask())
    assert client.status == 504 and trio.current_time() == pytest.approx(60)
    assert b"every provider timed out" in client.body


async def test_a_channel_whose_time_has_passed_already(autojump_clock: Clock) -> None:
    """It is not asked."""
    stage = Stage(ScriptedUpstream([NEVER], [PLAIN, answer()]), way("a", 30), way("b", 10), way("c", 60))
    client = await stage.relay(ask())
    assert client.status == 200 and client.headers["x-findtoken-attempts"] == "3"
    assert [request.channel for request in stage.upstream.requests] == ["a", "c"]
    assert trio.current_time() == pytest.approx(30)


async def test_between_two_tries_the_calls_own_time_counts(autojump_clock: Clock) -> None:
    """The pause before the next try is at no channel."""
    stage = Stage(ScriptedUpstream([*status(429, retry_after="5")]), way("one", 200), total_s=2)
    assert (await stage.relay(ask())).status == 504
    assert trio.current_time() == pytest.approx(2)


async def test_the_calls_own_time_ends_it_where_the_channels_does(autojump_clock: Clock) -> None:
    """Nobody else is tried then."""
    stage = Stage(ScriptedUpstream([NEVER]), way("one", 30), way("two", 60), total_s=30)
    client = await stage.relay(ask())
    assert client.status == 504 and b"took longer than 30s in all" in client.body
    assert len(stage.upstream.requests) == 1
