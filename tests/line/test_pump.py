"""Pieces that pass by without the call's task: the same bytes, money and ends as with it, and it is woken for what is
to be decided.
"""

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from ftgate.core.routing import Timeouts
from ftgate.errors import Fault, UpstreamFailed
from tests.fakes.ports import RecordingClient, ScriptedAnswer, ScriptedUpstream, Stage, channel
from tests.line.transcript import DONE, STREAM, ask, chat, delta, leave, usage

CUT = UpstreamFailed(Fault.incomplete, "cut", sent=True)
WHOLE = chat(*(f"word{n} " for n in range(40)))
SCRIPTS: dict[str, list[Any]] = {
    "whole": WHOLE,
    "in odd pieces": [WHOLE[0], *(b"".join(WHOLE[1:])[at : at + 37] for at in range(0, len(b"".join(WHOLE[1:])), 37))],
    "with pauses": [step for piece in WHOLE for step in (piece, ("wait", 2))][:-1],
    "cut": [*WHOLE[:20], CUT],
    "ended early": WHOLE[:20],
    "an error in it": [*WHOLE[:20], b'data: {"error": {"message": "no"}}\n\n', *WHOLE[20:]],
    "usage behind the end": [STREAM, delta("a"), delta("b"), delta(finish="stop"), DONE, usage(7, 2)],
    "held open behind the end": [STREAM, delta("a"), delta("b", finish="stop"), usage(7, 2), DONE, ("wait", 1000)],
    "stalled": [*WHOLE[:20], ("wait", 1000), *WHOLE[20:]],
}


async def lived(script: list[Any], *, pumps: bool) -> tuple[Any, ...]:
    upstream = ScriptedUpstream(list(script))
    upstream.pumps = pumps
    stage = Stage(upstream, channel("one", timeouts=Timeouts(idle=20)))
    began = trio.current_time()
    client = await stage.relay(ask(stream=True, stream_options={"include_usage": True}))
    row = stage.log.rows[-1]
    money = row.status, row.cost, row.prompt_tokens, row.completion_tokens, row.estimated
    return client.body.replace(b"\n\n", b"\n"), client.ended, money, trio.current_time() - began


@pytest.mark.parametrize("name", SCRIPTS)
async def test_pumped_or_received_it_is_the_same(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    pumped: list[bytes] = []
    real = ScriptedAnswer.pump

    async def pump(self: ScriptedAnswer, take: Any) -> bool:
        return await real(self, lambda piece: (pumped.append(piece), take(piece))[1])

    monkeypatch.setattr(ScriptedAnswer, "pump", pump)
    by_task = await lived(SCRIPTS[name], pumps=False)
    assert not pumped
    by_pump = await lived(SCRIPTS[name], pumps=True)
    assert by_pump[:3] == by_task[:3]
    assert by_pump[3] == pytest.approx(by_task[3], abs=0.2)  # a limit may strike a little early
    assert pumped or name == "usage behind the end"


async def test_a_client_that_reads_slowly_gets_all_of_it_in_order(autojump_clock: MockClock) -> None:
    class Slow(RecordingClient):
        async def send(self, data: bytes) -> None:
            await trio.sleep(30)  # longer than an upstream may be silent: that is not its fault
            await super().send(data)

    stage = Stage(ScriptedUpstream(WHOLE), channel("one", timeouts=Timeouts(idle=20)))
    client = Slow()
    await stage.gate.relay(stage.call(ask(stream=True)), client)
    assert [client.body.index(b"word%d " % n) for n in range(40)] == sorted(
        client.body.index(b"word%d " % n) for n in range(40)
    )
    assert client.ended and client.body.endswith(DONE) and stage.log.rows[-1].status == "ok"


async def test_a_client_that_leaves_between_pieces_stops_the_upstream(autojump_clock: MockClock) -> None:
    stage = Stage(ScriptedUpstream([*WHOLE[:10], ("wait", 10), *WHOLE[10:]]))
    await leave(stage, 5)
    assert trio.current_time() < 6 and stage.log.rows[-1].status == "client_gone"


async def test_a_drain_keeps_its_own_end(autojump_clock: MockClock) -> None:
    """Pieces that go on coming do not lengthen the time that a drained call may take."""
    endless = [step for n in range(400) for step in (delta(f"{n} "), ("wait", 1))]
    stage = Stage(ScriptedUpstream([STREAM, *endless]), channel("one", drain=True, drain_s=60.0))
    await leave(stage, 5)
    assert 64 < trio.current_time() < 66.5
