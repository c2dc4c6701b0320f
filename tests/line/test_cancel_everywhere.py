"""Cancel at the k-th step of a call, for every k, in every way a call can be ended: the hold is always settled, once,
and for at least what the client got.

A *step* is one run of the call's task between two awaits. The instrument strikes just before the k-th; the cancellation
is delivered at the next await that can take it. k grows until the call ends before it: so every await has been struck.
"""

import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import trio
import trio.testing
from trio.lowlevel import Task

from ftgate.core.money import parse_price
from ftgate.dialects import anthropic_messages, openai_completions, openai_responses
from ftgate.errors import Fault, UpstreamFailed
from ftgate.line.call import Call
from ftgate.store.ledger import MemoryLedger
from tests.fakes.ports import RecordingClient, ScriptedUpstream, Stage, addresses, channel
from tests.line.transcript import PLAIN, WAYS, answer, ask, chat, delta, status

IN, OUT = parse_price("1"), parse_price("2")


class Strike(trio.abc.Instrument):
    """Calls `blow` before the k-th step of one task."""

    def __init__(self, k: int, blow: Callable[[], None]) -> None:
        self.left = k
        self.blow = blow
        self.task: Task | None = None

    def before_task_step(self, task: Task) -> None:
        if task is self.task:
            self.left -= 1
            if self.left == 0:
                self.blow()


class Caller(NamedTuple):
    """How a call is asked in a dialect other than chat's: where the prompt stands and what else must be said; what of
    an answer is text, and what ends a whole stream."""

    dialect: Any
    prompt: str
    more: dict[str, Any]
    text: bytes
    end: bytes

    def body(self, chat: bytes) -> bytes:
        fields = json.loads(chat)
        said = fields.pop("messages")
        return json.dumps(
            {**fields, **self.more, self.prompt: said if self.prompt == "messages" else said[0]["content"]}
        ).encode()


FAILED = UpstreamFailed(Fault.reset, "reset", sent=True)
SCRIPTS = {
    "plain": (ask(), [[PLAIN, answer()]]),
    "plain in pieces": (ask(), [[PLAIN, answer()[:20], ("wait", 1), answer()[20:]]]),
    "stream": (ask(stream=True), [chat("a", "b", "c")]),
    "stream with usage": (ask(stream=True, stream_options={"include_usage": True}), [chat("a", "b", "c")]),
    "fail over": (ask(), [[FAILED], [*status(500)], [PLAIN, answer()]]),
    "fail over in a stream": (ask(stream=True), [[FAILED], [*status(503)], chat("a", "b")]),
    "all fail": (ask(), [[*status(500)], [*status(500)], [*status(500)]]),
    "broken stream": (ask(stream=True), [[*chat("a", "b")[:4], UpstreamFailed(Fault.incomplete, "cut", sent=True)]]),
    "in-band error": (ask(stream=True), [[*chat("a")[:3], b'data: {"error":{"message":"no"}}\n\n']]),
    "late first token": (ask(stream=True), [[chat()[0], ("wait", 1000)], chat("a")]),
    "a pause": (ask(stream=True), [[*chat("a", "b")[:3], ("wait", 5), *chat("a", "b")[3:]]]),
}
RECEIVED = ", each piece received"
"""Streams whose pieces are not pumped."""
SCRIPTS |= {name + RECEIVED: SCRIPTS[name] for name in ("stream", "broken stream", "in-band error", "a pause")}
CALLERS: dict[str, Caller] = {
    ", translated for completions": Caller(openai_completions, "prompt", {}, rb'"text":"([^"]*)"', b"[DONE]"),
    ", translated for messages": Caller(
        anthropic_messages, "messages", {"max_tokens": 100}, rb'"text":"([^"]*)"', b"event: message_stop"
    ),
    ", translated for responses": Caller(
        openai_responses, "input", {}, rb'"delta":"([^"]*)"', b"event: response.completed"
    ),
}
"""The same scripts for callers of other dialects, where the channels only chat."""
SCRIPTS |= {
    name + caller: SCRIPTS[name]
    for name in ("plain", "stream", "fail over in a stream", "broken stream", "in-band error", "a pause")
    for caller in CALLERS
}


async def struck(
    script: str, way: str, k: int, *, drain: bool = False, metered: bool = False, immediate: bool = False
) -> bool:
    """Play a script and strike at step k; False when the call ended before it came to that."""
    body, steps = SCRIPTS[script]
    upstream = ScriptedUpstream(*[list(attempt) for attempt in steps])
    upstream.pumps = not script.endswith(RECEIVED)
    caller = next((its for name, its in CALLERS.items() if script.endswith(name)), None)
    spoken = ("openai_chat",) if caller else ()
    ways = [
        channel(name, drain=drain, addresses=addresses(f"http://{name}.invalid", *spoken))
        for name in ("one", "two", "three")
    ]
    stage = Stage(upstream, *ways, metered=metered)
    if immediate:  # as it is in real life; the Stage's own ledger waits within its decisions, as one elsewhere would
        stage.gate.ledger = stage.gate.attempts.ledger = MemoryLedger(stage.books, stage.log, stage.gate.clock)
    call = stage.call(body)
    if caller:
        body = caller.body(body)
        call = Call(id="req_t", dialect=caller.dialect, secret=b"sk-ft_test", body=body)
    client = RecordingClient()
    outer = trio.CancelScope()
    strike = Strike(k, lambda: WAYS[way](call, outer))

    async def run() -> None:
        strike.task = trio.lowlevel.current_task()
        with outer:
            await stage.gate.relay(call, client)

    trio.lowlevel.add_instrument(strike)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
    finally:
        trio.lowlevel.remove_instrument(strike)
    stage.check()
    check_paid(stage, client, body, caller)
    return strike.left <= 0


def check_paid(stage: Stage, client: RecordingClient, body: bytes, caller: Caller | None) -> None:
    """Whoever got content pays its prompt and at least a token a piece; a whole answer pays exactly its usage."""
    pieces = client.body.count(b'"content": "') - client.body.count(b'"content": ""')
    if caller:
        pieces = len(b"".join(re.findall(caller.text, client.body)))  # each text of these scripts is one letter
    cost = sum(row.cost for row in stage.log.rows)
    if client.status != 200:
        assert not pieces
        return
    if b'"stream": true' not in body:
        said = json.loads(client.body)["usage"] if client.body else {"prompt_tokens": 10, "completion_tokens": 2}
        prompt, output = (said.get(f"{a}_tokens", said.get(f"{b}_tokens")) for a, b in SIDES)
        assert cost == prompt * IN + output * OUT
    elif (caller.end if caller else b"[DONE]") in client.body:
        assert cost == 10 * IN + pieces * OUT
        assert not stage.log.rows[-1].estimated
    else:
        assert cost >= IN + OUT or not pieces


SIDES = ("prompt", "input"), ("completion", "output")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("script", SCRIPTS)
async def test_every_await(script: str, way: str, autojump_clock: trio.testing.MockClock) -> None:
    k = 1
    while await struck(script, way, k):
        k += 1
    assert k > 8, "the call took too few steps to have been cancelled anywhere that matters"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("script", SCRIPTS)
async def test_every_await_with_a_ledger_that_decides_at_once(
    script: str, way: str, autojump_clock: trio.testing.MockClock
) -> None:
    k = 1
    while await struck(script, way, k, immediate=True):
        k += 1
    assert k > 5


@pytest.mark.parametrize("script", ["plain", "stream", "fail over in a stream", "broken stream"])
async def test_every_await_while_draining(script: str, autojump_clock: trio.testing.MockClock) -> None:
    k = 1
    while await struck(script, "client_gone", k, drain=True):
        k += 1
    assert k > 8


@pytest.mark.parametrize("script", ["plain", "stream"])
async def test_every_await_of_a_metered_call(script: str, autojump_clock: trio.testing.MockClock) -> None:
    k = 1
    while await struck(script, "client_gone", k, metered=True):
        k += 1
    assert k > 8


def test_the_strike_reaches_the_middle_of_a_stream() -> None:
    """The test above would be worth nothing if it never struck after content: count that it does."""

    async def main() -> int:
        hits = 0
        k = 1
        while True:
            upstream = ScriptedUpstream([*chat("a", "b", "c")])
            stage = Stage(upstream)
            call, client, outer = stage.call(ask(stream=True)), RecordingClient(), trio.CancelScope()
            strike = Strike(k, call.client_gone)

            async def run(
                strike: Strike = strike, stage: Stage = stage, call: Call = call, client: RecordingClient = client
            ) -> None:
                strike.task = trio.lowlevel.current_task()
                await stage.gate.relay(call, client)

            trio.lowlevel.add_instrument(strike)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(run)
            trio.lowlevel.remove_instrument(strike)
            if strike.left > 0:
                return hits
            row = stage.log.rows[-1] if stage.log.rows else None
            hits += bool(row and row.status == "client_gone" and 0 < row.completion_tokens < 4 and row.estimated)
            k += 1
            assert outer is not None

    assert trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0)) >= 3


def test_delta_is_what_check_paid_counts() -> None:
    assert delta("x").count(b'"content": "') == 1
