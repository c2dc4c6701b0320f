"""Many random streams at once through a running gateway that keeps connections alive, over real sockets: whatever the
upstream and the client do, what arrives is the beginning of what was sent, whole events, an end that says how it ended,
and no keepalive where it would break an event.
"""

import json
import math
import random
import socket
import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trio

from ftgate.core.money import parse_price
from ftgate.house.house import DATABASE
from ftgate.store.verify import verify_ledger
from tests.fakes.upstream import Script, prompt_tokens
from tests.walk.gateway import HELLO, Gateway, running, written

SEEDS = range(4)
CALLS = 60
KEEPALIVE_S = 0.05
PAUSE_S = 3 * KEEPALIVE_S
WHOLE_S = 60.0
"""How long a stream may take beside all the others, on a machine that has other work too; it only makes one that hangs
fail."""
LINE = b": keepalive\n"
IN, OUT = parse_price("1"), parse_price("2")


@dataclass(frozen=True)
class Planned:
    """What the upstream sends of one stream, and what its client does."""

    script: Script
    asks_usage: bool
    version: str
    reads: str  # all, slowly, leaves, resets, half
    leaves_at: float  # bytes of the answer

    @property
    def pauses(self) -> bool:
        """Whether the upstream is silent between two writes for longer than the client is to hear nothing."""
        sent = self.script.cut_after or len(self.script.content)
        return self.script.piece_delay_s >= PAUSE_S and sent > self.script.events_per_write == 1


@dataclass
class Got:
    """What came of it."""

    head: bytes
    body: bytes
    left: bool

    @property
    def request_id(self) -> str:
        return next(line[14:] for line in self.head.decode().split("\r\n") if line.lower().startswith("x-request-id: "))


def planned(rng: random.Random) -> Planned:
    number = rng.choice([1, 5, 50, 200])
    least, most = rng.choice([(1, 20), (1, 20), (100, 2000), (10_000, 60_000)])
    if most > 2000:
        number = min(number, 10)
    delay = rng.choice([0.0, 0.0, 0.001, PAUSE_S])
    if delay == PAUSE_S:
        number = min(number, 4)
    cut_after = rng.randint(1, number) if number > 1 and rng.random() < 0.25 else None
    script = Script(
        content=tuple(f"<{place}>" + "x" * rng.randint(least, most) for place in range(number)),
        first_delay_s=rng.choice([0.0, 0.0, PAUSE_S]), piece_delay_s=delay, done=rng.random() < 0.9,
        framing=rng.choice(["chunked", "chunked", "close", "length"]), crlf=rng.random() < 0.2,
        cut_after=cut_after, cut=rng.choice(["close", "rst"]), events_per_write=rng.choice([1, 1, 3, 50]),
        write_size=rng.choice([None, None, 7, 1000]) if most <= 20 else None,
    )  # fmt: skip
    reads = rng.choice([*["all"] * 5, "slowly", "leaves", "resets", "half"])
    return Planned(
        script, rng.random() < 0.3, rng.choice(["1.0", "1.1", "1.1", "1.1"]), reads,
        rng.randint(1, 3000) if reads in {"leaves", "resets", "half"} else math.inf,
    )  # fmt: skip


async def called(gateway: Gateway, key: str, model: str, plan: Planned) -> Got:
    """One call on a connection of its own."""
    fields = {"stream_options": {"include_usage": True}} if plan.asks_usage else {}
    body = json.dumps({"model": model, "messages": HELLO, "stream": True, **fields}).encode()
    head = f"POST /v1/chat/completions HTTP/{plan.version}\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
    head += f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    port = int(gateway.url.rpartition(":")[2])
    data, left, leaves_at = b"", False, plan.leaves_at
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(head.encode() + body)
        with trio.fail_after(WHOLE_S), suppress(trio.BrokenResourceError):
            while piece := await stream.receive_some(1000 if plan.reads == "slowly" else 65_536):
                data += piece
                if plan.reads == "slowly":
                    await trio.sleep(0.002)
                if len(data) < leaves_at:
                    continue
                left, leaves_at = True, math.inf
                if plan.reads == "half":  # it says no more, and reads on
                    await stream.send_eof()
                    continue
                if plan.reads == "resets":
                    stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                break
    start, _, rest = data.partition(b"\r\n\r\n")
    return Got(start, rest, left)


def dechunked(body: bytes) -> tuple[bytes, bool]:
    """What whole and begun chunks bring, and whether the last one came."""
    out = b""
    while (end := body.find(b"\r\n")) >= 0:
        size = int(body[:end], 16)
        if not size:
            return out, body[end:] == b"\r\n\r\n"
        out += body[end + 2 : end + 2 + size]
        assert body[end + 2 + size : end + 4 + size] in (b"\r\n", b"\r", b""), "a chunk of another size"
        body = body[end + 4 + size :]
    return out, False


def check(plan: Planned, got: Got) -> tuple[bool, int]:
    """Whether it ended with [DONE], and how many keepalives it heard."""
    assert b" 200 " in got.head.partition(b"\r\n")[0] or got.left
    chunked = b"chunked" in got.head.lower()
    body, ended = dechunked(got.body) if chunked else (got.body, True)
    events = body.replace(b"\r\n", b"\n").split(b"\n\n")
    texts, failed, done = [], False, False
    for event in events[:-1]:
        lines = [line for line in event.split(b"\n") if not line.startswith(b":")]
        assert lines, f"a comment that is an event by itself: {event!r}"
        for line in lines:
            assert not done, "something behind the end"
            if line == b"data: [DONE]":
                done = True
                continue
            said: Any = json.loads(line.removeprefix(b"data: "))
            failed = failed or "error" in said
            texts += [
                choice["delta"]["content"] for choice in said.get("choices", ()) if choice["delta"].get("content")
            ]
    assert tuple(texts) == plan.script.content[: len(texts)]
    if not got.left:
        assert ended and events[-1] == b"" and done != failed
        assert done or plan.script.cut_after is not None
    assert not done or (tuple(texts) == plan.script.content and not failed)
    return done, body.count(LINE)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
async def test_streams_arrive_as_they_were_sent(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    plans = {f"s{number}": planned(rng) for number in range(CALLS)}
    prices = {"input": "1", "output": "2", "context": "1000000", "max_output": "100000"}
    models = {f"channel.models.{model}.{name}": value for model in plans for name, value in prices.items()}
    given = {"server.keepalive": str(KEEPALIVE_S), "limits.requests_per_second": "0"}
    scripts = {model: plan.script for model, plan in plans.items()}
    got: dict[str, Got] = {}
    async with running(tmp_path, written(given, models), scripts) as gateway:
        key = await gateway.account("1000000")

        async def one(model: str) -> None:
            got[model] = await called(gateway, key, model, plans[model])

        async with trio.open_nursery() as nursery:
            for model in plans:
                nursery.start_soon(one, model)
        await gateway.stop()
    ends = {model: check(plan, got[model]) for model, plan in plans.items()}
    for model, plan in plans.items():
        assert ends[model][1] > 0 or got[model].left or not plan.pauses, f"{model} heard nothing in its pauses"
    assert verify_ledger(gateway.data / DATABASE)["ok"] is True
    with closing(sqlite3.connect(gateway.data / DATABASE)) as database:
        rows = database.execute("SELECT model, status, cost, completion_tokens, estimated FROM requests").fetchall()
    assert sorted(model for model, *_ in rows) == sorted(plans)
    for model, status, cost, tokens, estimated in rows:
        pieces = len(plans[model].script.content)
        if ends[model][0] and not got[model].left:
            exact = prompt_tokens({"messages": HELLO}) * IN + pieces * OUT
            assert (status, cost, tokens, estimated) == ("ok", exact, pieces, 0)
        assert tokens > 0 or got[model].left
    assert 10 < sum(done for done, _ in ends.values()) < CALLS and sum(heard for _, heard in ends.values()) > 10
