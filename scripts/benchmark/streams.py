"""The load of event streams: many open answers on one epoll loop, and how late each event comes.

A run opens its streams, at most OPENING at a time, waits until each has had its first event, measures for some seconds,
has the upstream end them all, and reads to the end. Judged is every event that the upstream sent within the measured
time, whenever it came.
"""

import gc
import json
import re
import select
import socket
import time
import urllib.request
from contextlib import suppress
from dataclasses import dataclass

from scripts.benchmark import figures
from scripts.benchmark.wire import Unchunker

OPENING = 64
"""Streams that are being opened at once: less than any server's listen queue."""
STALL_NS = 10**9
"""A stream that hears nothing for longer has stalled."""
STUCK_S = 10.0
"""Without one more stream open, no more are waited for: the subject has reached a limit."""
QUIET_S = 5.0
"""What streams of an earlier run have to be gone."""
_STAMP = re.compile(rb"t=(\d{19})")


@dataclass(frozen=True)
class StreamRun:
    """One run. `opened` had an event, `ended` ended in good order, `lost` events were sent by the upstream and never
    came."""

    wanted: int
    rate: int
    opened: int
    ended: int
    refused: int
    events: int
    lost: int
    stalled: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    opening_s: float


class _Stream:
    """One answer being read."""

    def __init__(self, port: int, request: bytes) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(request)
        self.head: bytes | None = b""  # None once it was read
        self.text = b""
        self.body = Unchunker()
        self.started = self.done = self.refused = self.stalled = False
        self.heard_ns = 0

    def feed(self, data: bytes) -> list[int]:
        """The stamps in what came. Raises ValueError for an answer that is no stream."""
        if self.head is not None:
            self.head += data
            head, mark, data = self.head.partition(b"\r\n\r\n")
            if not mark:
                return []
            if b" 200 " not in head[:16] or b"chunked" not in head.lower():
                self.refused = True
                raise ValueError("no stream")
            self.head = None
        self.text += self.body.feed(data)
        cut = self.text.rfind(b"\n\n") + 2
        if cut < 2:
            return []
        whole, self.text = self.text[:cut], self.text[cut:]
        self.done = self.done or b"data: [DONE]" in whole
        return [int(stamp) for stamp in _STAMP.findall(whole)]


class Run:
    """The loop and what it has heard. Close it at the end."""

    def __init__(self, port: int, request: bytes) -> None:
        self.port, self.request = port, request
        self.epoll = select.epoll()
        self.streams: dict[int, _Stream] = {}
        self.from_ns = self.to_ns = 0
        self.delays_ns: list[int] = []
        self.events = self.opened = self.ended = self.refused = self.stalled = 0

    def open(self) -> None:
        try:
            stream = _Stream(self.port, self.request)
        except OSError:
            self.refused += 1
            return
        self.streams[stream.socket.fileno()] = stream
        self.epoll.register(stream.socket, select.EPOLLIN)

    def hear(self, timeout_s: float) -> None:
        """Read what is there, or wait for it."""
        for fd, _ in self.epoll.poll(timeout_s):
            stream = self.streams[fd]
            try:
                data = stream.socket.recv(65536)
                now = time.monotonic_ns()
                if not data:
                    raise ConnectionResetError
                stamps = stream.feed(data)
            except (OSError, ValueError):
                self.drop(stream)
                continue
            for stamp in stamps:
                self.note(stream, stamp, now)
            if stream.body.ended:
                self.drop(stream)

    def note(self, stream: _Stream, stamp: int, now: int) -> None:
        self.events += 1
        if not stream.started:
            stream.started = True
            self.opened += 1
        if self.from_ns <= stamp and (not self.to_ns or stamp < self.to_ns) and self.from_ns:
            self.delays_ns.append(now - stamp)
        if stream.heard_ns:
            self.look(stream, now)
        stream.heard_ns = now

    def look(self, stream: _Stream, now: int) -> None:
        """Count a stream whose last event within the measured time is too long ago."""
        since = max(stream.heard_ns, self.from_ns)
        if self.from_ns and since < (self.to_ns or now) and now - since > STALL_NS and not stream.stalled:
            stream.stalled = True
            self.stalled += 1

    def drop(self, stream: _Stream) -> None:
        self.ended += stream.done and stream.body.ended
        self.refused += not stream.started
        del self.streams[stream.socket.fileno()]
        stream.socket.close()

    def close(self) -> None:
        for stream in [*self.streams.values()]:
            with suppress(OSError):
                stream.socket.close()
        self.epoll.close()


def open_all(run: Run, count: int, within_s: float) -> float:
    """Open `count` streams and wait for the first event of each. Seconds that took."""
    started = moved = time.monotonic()
    tried = seen = 0
    while (tried < count or run.opened + run.refused < tried) and time.monotonic() - started < within_s:
        if seen != run.opened + run.refused:
            seen, moved = run.opened + run.refused, time.monotonic()
        elif time.monotonic() - moved > STUCK_S:
            break
        while tried < count and tried - run.opened - run.refused < OPENING:
            tried += 1
            run.open()
        run.hear(0.05)
    return time.monotonic() - started


def _tell(upstream_port: int) -> dict[str, int]:
    """Have the upstream end its streams. What it counted."""
    ask = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with ask.open(f"http://127.0.0.1:{upstream_port}/finish", timeout=10) as answer:
        counts: dict[str, int] = json.load(answer)
    return counts


def quiet(upstream_port: int) -> None:
    """Wait until a subject that was overrun has opened the last of its streams, so that the next run does not count
    them."""
    until = time.monotonic() + QUIET_S
    while _tell(upstream_port)["opened"] and time.monotonic() < until:
        time.sleep(0.1)


def finish(run: Run, upstream_port: int, within_s: float) -> int:
    """Have the upstream end its streams and read them out, those too that a subject opens only now. The events it sent
    in all."""
    sent, told, until = _tell(upstream_port)["events"], time.monotonic(), time.monotonic() + within_s
    while run.streams and time.monotonic() < until:
        run.hear(0.05)
        if time.monotonic() - told > 1:
            sent, told = sent + _tell(upstream_port)["events"], time.monotonic()
    return sent


def measure(
    port: int,
    request: bytes,
    upstream_port: int,
    *,
    count: int,
    rate: int,
    seconds: float,
    opening_s: float = 15.0,
    ending_s: float = 15.0,
) -> StreamRun:
    """`count` streams of `rate` events a second through the subject at `port`."""
    quiet(upstream_port)
    run = Run(port, request)
    gc.collect()
    gc.disable()  # a pause of ours would look like a delay
    try:
        took = open_all(run, count, opening_s)
        run.from_ns = time.monotonic_ns()
        until = run.from_ns + int(seconds * 1e9)
        while time.monotonic_ns() < until:
            run.hear(0.05)
        run.to_ns = until
        for stream in run.streams.values():
            if stream.started and rate:
                run.look(stream, until)
        opened = run.opened
        sent = finish(run, upstream_port, ending_s)
    finally:
        gc.enable()
        run.close()
    delays = sorted(run.delays_ns)
    p50, p99, most = (figures.percentile(delays, percent) / 1e6 for percent in (50, 99, 100))
    lost = max(sent - run.events, 0)
    return StreamRun(
        count, rate, opened, run.ended, run.refused, len(delays), lost, run.stalled, p50, p99, most, round(took, 2)
    )
