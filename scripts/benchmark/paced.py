"""The paced upstream: any number of event streams at any rate, each event stamped with the moment it was sent.

    python -m scripts.benchmark.paced PORT

A streamed chat request names its rate in its prompt (`rate=10`: events a second; 0: one event, then silence). A stream
goes on until `GET /finish`, which ends all of them as a provider does: a finish_reason, the usage, `[DONE]`; the answer
tells the counts. A stamp stands in the content, so that it survives gateways that write events anew: `t=` and 19
digits, CLOCK_MONOTONIC in ns, the same clock for every process of a machine. One task paces all streams with plain
writes, because a task for each would be the limit.
"""

import heapq
import json
import os
import re
import sys
import time
from contextlib import suppress

import trio

TICK_S = 0.001
LIFE_S = 300.0
"""A stream that nobody finishes ends by itself."""
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_GOLDEN = 0.6180339887


def _chunk(*events: object) -> bytes:
    data = b"".join(
        b"data: %b\n\n" % (e if isinstance(e, bytes) else json.dumps(e, separators=(",", ":")).encode()) for e in events
    )
    return b"%x\r\n%b\r\n" % (len(data), data)


def _event(delta: dict[str, str], finish: str | None = None) -> dict[str, object]:
    fields = {"id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": 1767225600, "model": "bench-stream"}
    return {**fields, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


_FIRST = _chunk(_event({"role": "assistant", "content": ""}))
_PIECE = _chunk(_event({"content": "t=" + "0" * 19 + " "})).replace(b"0" * 19, b"%019d")


class Stream:
    """One open answer."""

    def __init__(self, fd: int, rate: int) -> None:
        self.fd = fd
        self.period_ns = 10**9 // rate if rate else 0
        self.sent = 0
        self.backlog = b""
        self.over = trio.CancelScope()  # around the wait for the client's leaving

    def write(self, data: bytes) -> None:
        """Without waiting: what the socket does not take stays here. A client that left ends the stream."""
        data = self.backlog + data
        try:
            self.backlog = data[os.write(self.fd, data) :]
        except BlockingIOError:
            self.backlog = data
        except OSError:
            self.over.cancel()

    def piece(self) -> None:
        self.sent += 1
        self.write(_PIECE % time.monotonic_ns())


class Upstream:
    """All streams and the wheel that turns them."""

    def __init__(self) -> None:
        self.streams: set[Stream] = set()
        self.due: list[tuple[int, int, Stream]] = []
        self.opened = self.events = self.left = 0

    async def turn(self) -> None:
        while True:
            now = time.monotonic_ns()
            while self.due and self.due[0][0] <= now:
                at, number, stream = heapq.heappop(self.due)
                if stream in self.streams:
                    stream.piece()
                    self.events += 1
                    heapq.heappush(self.due, (at + stream.period_ns, number, stream))
            await trio.sleep(TICK_S)

    async def serve(self, connection: trio.SocketStream) -> None:
        data = b""
        with suppress(trio.BrokenResourceError, ValueError):
            while True:
                head, _, data = (await _until(connection, data, b"\r\n\r\n")).partition(b"\r\n\r\n")
                body, data = await _body(connection, head.lower(), data)
                if head.startswith(b"POST"):
                    rate = re.search(rb"rate=(\d+)", body)
                    data += await self.stream(connection, int(rate[1]) if rate else 10)
                else:
                    said = json.dumps(self.finish() if head.startswith(b"GET /finish") else self.counts()).encode()
                    await connection.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(said), said))
        await trio.aclose_forcefully(connection)

    async def stream(self, connection: trio.SocketStream, rate: int) -> bytes:
        """One answer to its end. Bytes that came meanwhile. Raises BrokenResourceError when the client left."""
        await connection.send_all(_HEAD + _FIRST)
        stream = Stream(connection.socket.fileno(), rate)
        self.opened += 1
        stream.piece()
        self.events += 1
        self.streams.add(stream)
        if rate:  # spread evenly, whenever they came
            first = time.monotonic_ns() + int(stream.period_ns * (self.opened * _GOLDEN % 1))
            heapq.heappush(self.due, (first, self.opened, stream))
        more = b""
        try:
            with trio.move_on_after(LIFE_S), stream.over:
                more = await connection.receive_some()
        finally:  # a client may reset it: the number of the socket will be another's
            self.streams.discard(stream)
        if not stream.over.cancel_called or not stream.backlog.endswith(b"0\r\n\r\n"):
            self.left += 1
            raise trio.BrokenResourceError
        await connection.send_all(stream.backlog)
        return bytes(more)

    def finish(self) -> dict[str, int]:
        """End every stream. What was counted since the last time."""
        for stream in self.streams:
            tokens = stream.sent * 12
            usage = {"prompt_tokens": 190, "completion_tokens": tokens, "total_tokens": 190 + tokens}
            end = [_event({}, "stop"), {**_event({}), "choices": [], "usage": usage}, b"[DONE]"]
            stream.backlog += _chunk(*end) + b"0\r\n\r\n"
            stream.over.cancel()
        said = self.counts()
        self.streams.clear()
        self.due.clear()
        self.opened = self.events = self.left = 0
        return said

    def counts(self) -> dict[str, int]:
        return {"open": len(self.streams), "opened": self.opened, "events": self.events, "left": self.left}


async def _until(connection: trio.SocketStream, data: bytes, mark: bytes) -> bytes:
    while mark not in data:
        more = await connection.receive_some()
        if not more:
            raise trio.BrokenResourceError
        data += more
    return data


async def _body(connection: trio.SocketStream, head: bytes, data: bytes) -> tuple[bytes, bytes]:
    """The request's body, and what came after it."""
    if b"transfer-encoding: chunked" in head:
        body, _, data = (await _until(connection, data, b"0\r\n\r\n")).partition(b"0\r\n\r\n")
        return body, data
    found = re.search(rb"content-length: *(\d+)", head)
    size = int(found[1]) if found else 0
    while len(data) < size:
        more = await connection.receive_some()
        if not more:
            raise trio.BrokenResourceError
        data += more
    return data[:size], data[size:]


async def main(port: int) -> None:
    upstream = Upstream()
    listeners = await trio.open_tcp_listeners(port, host="127.0.0.1", backlog=4096)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(upstream.turn)
        nursery.start_soon(trio.serve_listeners, upstream.serve, listeners)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        trio.run(main, int(sys.argv[1]))
