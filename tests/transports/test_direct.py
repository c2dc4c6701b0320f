"""What is special to the direct transport: its strictness, its sockets, its fairness. The rest is in
test_transports.py.

The table of answers is run without I/O: whole, one byte at a time, and cut at every point, each with the same outcome.
"""

import gc
import hashlib
import socket
import ssl
import threading
import time
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
import trio

from ftgate.core.routing import Reach
from ftgate.errors import Fault, UpstreamFailed
from ftgate.readiness import Watch
from ftgate.transports.direct import DirectUpstream
from ftgate.transports.direct_line import FAIR_TURNS, DirectLine
from ftgate.transports.incoming import Incoming, _Events, unreadable
from ftgate.transports.outgoing import HEAD_LIMIT, ChannelCounts
from tests.fakes.upstream import FakeUpstream, Script
from tests.patience import SOON_S
from tests.transports.transports import (
    DIRECT,
    Make,
    call,
    failure,
    in_use,
    making,
    open_files,
    raw_upstream,
    read,
    read_request,
    request,
    reset,
    seen_gone,
    tls_server,
)  # fmt: skip


@pytest.fixture(params=DIRECT)
async def transport(request: pytest.FixtureRequest) -> AsyncIterator[Make]:
    async with making(request.param) as make:
        yield make


# ---- answers as bytes ----

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
HI = b"2\r\nhi\r\n"


class Got(NamedTuple):
    """What became of an answer: its body as far as it came, then a fault, or None and whether the connection may be
    kept."""

    body: bytes
    fault: Fault | None = None
    keeps: bool = False


def kept(body: bytes = b"hi") -> Got:
    return Got(body, None, True)


def closed(body: bytes = b"hi") -> Got:
    return Got(body, None, False)


def refused(body: bytes = b"", fault: Fault = Fault.protocol) -> Got:
    return Got(body, fault)


def take(pieces: Iterable[bytes]) -> Got:
    """Feed `pieces` as a connection would, and then its end."""
    incoming, body = Incoming(), b""
    try:
        for piece in pieces:
            if incoming.headed:
                body += incoming.feed(piece)
            elif incoming.feed_head(piece):
                body += incoming.piece
            if incoming.broken:
                return Got(body, Fault.protocol)
        if not incoming.ended:
            incoming.end()
    except UpstreamFailed as failed:
        return Got(body, failed.fault)
    return Got(body, None, incoming.keeps)


def lengths(value: bytes) -> bytes:
    return OK + b"content-length:" + value + b"\r\n\r\nhi"


ANSWERS: dict[str, tuple[bytes, Got]] = {
    # plain ones
    "length": (lengths(b" 2"), kept()),
    "no length at all": (OK + b"\r\nhi", closed()),
    "no length, nothing": (OK + b"\r\n", closed(b"")),
    "length 0": (OK + b"content-length: 0\r\n\r\n", kept(b"")),
    "chunked": (CHUNKED + HI + b"3\r\nyou\r\n0\r\n\r\n", kept(b"hiyou")),
    "chunked, no chunk": (CHUNKED + b"0\r\n\r\n", kept(b"")),
    "chunk extension": (CHUNKED + b"2;a=b;c=\"d\"\r\nhi\r\n0;x\r\n\r\n", kept()),
    "trailers": (CHUNKED + HI + b"0\r\nx: y\r\nConnection: z\r\n\r\n", kept()),
    "interim answers": (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: "
    b"x\r\n\r\n" + lengths(b" 2"), kept()),
    "interim, then nothing": (b"HTTP/1.1 100 Continue\r\n\r\n", refused(fault=Fault.reset)),
    "no reason": (b"HTTP/1.1 200\r\ncontent-length: 2\r\n\r\nhi", kept()),
    "empty reason": (b"HTTP/1.1 200 \r\ncontent-length: 2\r\n\r\nhi", kept()),
    "reason in UTF-8": ("HTTP/1.1 200 Schön\r\ncontent-length: 2\r\n\r\nhi".encode(), kept()),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", kept(b"")),
    "304": (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 0\r\n\r\n", kept(b"")),
    # not to be used again
    "close": (OK + b"connection: close\r\ncontent-length: 2\r\n\r\nhi", closed()),
    "Close in a list": (OK + b"connection: x, Close\r\ncontent-length: 2\r\n\r\nhi", closed()),
    "close after keep-alive": (OK + b"connection: keep-alive\r\nconnection: close\r\ncontent-length: "
    b"2\r\n\r\nhi", closed()),
    "chunked and close": (OK + b"connection: close\r\ntransfer-encoding: "
    b"chunked\r\n\r\n" + HI + b"0\r\n\r\n", closed()),
    "1.0": (b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nhi", closed()),
    "1.0 keep-alive": (b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nhi", closed()),
    "1.0 chunked": (b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + HI + b"0\r\n\r\n", closed()),
    "204 with a length": (b"HTTP/1.1 204 No Content\r\ncontent-length: 2\r\n\r\nhi", closed(b"")),
    "204 chunked": (b"HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", closed(b"")),
    "204 with a length to come": (b"HTTP/1.1 204 No Content\r\ncontent-length: 2\r\n\r\n", closed(b"")),
    "204 with chunks to come": (b"HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked\r\n\r\n", closed(b"")),
    "bytes after a length": (lengths(b" 2") + b"x", closed()),
    "an answer after a length": (lengths(b" 2") + lengths(b" 2"), closed()),
    "an empty line after a length": (lengths(b" 2") + b"\r\n", closed()),
    "bytes after a length 0": (OK + b"content-length: 0\r\n\r\nx", closed(b"")),
    "bytes after chunks": (CHUNKED + HI + b"0\r\n\r\nx", closed()),
    "an answer after chunks": (CHUNKED + HI + b"0\r\n\r\n" + CHUNKED + b"0\r\n\r\n", closed()),
    "part of an answer after chunks": (CHUNKED + HI + b"0\r\n\r\nHTT", closed()),
    "an empty line after chunks": (CHUNKED + HI + b"0\r\n\r\n\r\n", closed()),
    "a line feed after chunks": (CHUNKED + HI + b"0\r\n\r\n\n", closed()),
    "a carriage return after chunks": (CHUNKED + HI + b"0\r\n\r\n\r", closed()),
    "empty lines after trailers": (CHUNKED + HI + b"0\r\nx: y\r\n\r\n\r\n\r\n", closed()),
    "an answer after 204": (b"HTTP/1.1 204 No Content\r\n\r\n" + lengths(b" 2"), closed(b"")),
    # cut
    "half a head": (b"HTTP/1.1 200 OK\r\ncontent-le", refused(fault=Fault.reset)),
    "nothing": (b"", refused(fault=Fault.reset)),
    "short of its length": (OK + b"content-length: 3\r\n\r\nhi", refused(b"hi", Fault.incomplete)),
    "no last chunk": (CHUNKED + HI, refused(b"hi", Fault.incomplete)),
    "half a chunk": (CHUNKED + b"3\r\nhi", refused(b"hi", Fault.incomplete)),
    "no last line": (CHUNKED + HI + b"0\r\n", refused(b"hi", Fault.incomplete)),
    # two lengths, or one that is none
    "two lengths": (OK + b"content-length: 2\r\ncontent-length: 3\r\n\r\nhi", refused()),
    "the same length twice": (OK + b"content-length: 2\r\nContent-Length: 2\r\n\r\nhi", refused()),
    "lengths in a list": (lengths(b" 2, 2"), refused()),
    "negative": (lengths(b" -2"), refused()),
    "signed": (lengths(b" +2"), refused()),
    "hexadecimal": (lengths(b" 0x2"), refused()),
    "two words": (lengths(b" 2 2"), refused()),
    "empty length": (lengths(b" "), refused()),
    "length of 2**64 - 1": (lengths(b" 18446744073709551615"), refused()),
    "length past 2**64": (lengths(b" 99999999999999999999999"), refused()),
    "length with a vertical tab": (lengths(b" \x0b2"), refused()),
    "length and chunked": (OK + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", refused()),
    "chunked and length": (OK + b"transfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n0\r\n\r\n", refused()),
    # codings
    "Chunked ": (OK + b"transfer-encoding: Chunked \r\n\r\n" + HI + b"0\r\n\r\n", kept()),
    "gzip": (OK + b"transfer-encoding: gzip\r\n\r\nhi", refused()),
    "gzip, chunked": (OK + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", refused()),
    "chunked, gzip": (OK + b"transfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n", refused()),
    "chunked twice": (OK + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", refused()),
    "identity": (OK + b"transfer-encoding: identity\r\n\r\nhi", refused()),
    "xchunked": (OK + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n", refused()),
    "empty coding": (OK + b"transfer-encoding: \r\n\r\n0\r\n\r\n", refused()),
    "chunked by a vertical tab": (OK + b"transfer-encoding: \x0bchunked\r\n\r\n0\r\n\r\n", refused()),
    # lines
    "folded header": (OK + b"x: a\r\n b\r\ncontent-length: 2\r\n\r\nhi", refused()),
    "folded first header": (OK + b" x: a\r\ncontent-length: 2\r\n\r\nhi", refused()),
    "bare line feeds": (b"HTTP/1.1 200 OK\ncontent-length: 2\n\nhi", refused()),
    "a bare line feed": (OK + b"x: a\ncontent-length: 2\r\n\r\nhi", refused()),
    "a bare carriage return": (OK + b"x: a\rcontent-length: 2\r\n\r\nhi", refused()),
    "a line feed in the reason": (b"HTTP/1.1 200 O\nK: x\r\ncontent-length: 2\r\n\r\nhi", refused()),
    "NUL in a value": (OK + b"x: a\0b\r\ncontent-length: 2\r\n\r\nhi", refused()),
    "NUL in a name": (OK + b"x\0: a\r\ncontent-length: 2\r\n\r\nhi", refused()),
    "NUL in the reason": (b"HTTP/1.1 200 O\0K\r\ncontent-length: 2\r\n\r\nhi", refused()),
    "space before the colon": (OK + b"content-length : 2\r\n\r\nhi", refused()),
    "no name": (OK + b": x\r\ncontent-length: 2\r\n\r\nhi", refused()),
    "no colon": (OK + b"x\r\ncontent-length: 2\r\n\r\nhi", refused()),
    # status lines
    "an empty line first": (b"\r\n" + lengths(b" 2"), refused()),
    "0.9": (b"HTTP/0.9 200 OK\r\ncontent-length: 2\r\n\r\nhi", refused()),
    "2.0": (b"HTTP/2.0 200 OK\r\ncontent-length: 2\r\n\r\nhi", refused()),
    "ICE": (b"ICE/1.0 200 OK\r\ncontent-length: 2\r\n\r\nhi", refused()),
    "RTSP": (b"RTSP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi", refused()),
    "another protocol": (b"SSH-2.0-OpenSSH_9.6\r\n", refused()),
    "status 99": (b"HTTP/1.1 099 OK\r\ncontent-length: 2\r\n\r\nhi", refused()),
    "status of two digits": (b"HTTP/1.1 20 OK\r\ncontent-length: 2\r\n\r\nhi", refused()),
    "status of four digits": (b"HTTP/1.1 2000 OK\r\ncontent-length: 2\r\n\r\nhi", refused()),
    "101": (b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nhi", refused()),
    "an upgrade that is none": (OK + b"upgrade: x\r\nconnection: upgrade\r\ncontent-length: 2\r\n\r\nhi", kept()),
    # chunks
    "chunk size with 0x": (CHUNKED + HI + b"0x2\r\nhi\r\n0\r\n\r\n", refused(b"hi")),
    "signed chunk size": (CHUNKED + b"+2\r\nhi\r\n0\r\n\r\n", refused()),
    "negative chunk size": (CHUNKED + b"-2\r\nhi\r\n0\r\n\r\n", refused()),
    "space after the chunk size": (CHUNKED + b"2 \r\nhi\r\n0\r\n\r\n", refused()),
    "no chunk size": (CHUNKED + b"\r\nhi\r\n0\r\n\r\n", refused()),
    "huge chunk size": (CHUNKED + b"fffffffffffffffff\r\nhi", refused()),
    "line feed after the chunk size": (CHUNKED + b"2\nhi\r\n0\r\n\r\n", refused()),
    "line feed after the chunk": (CHUNKED + b"2\r\nhi\n0\r\n\r\n", refused(b"hi")),
    "nothing after the chunk": (CHUNKED + b"2\r\nhi0\r\n\r\n", refused(b"hi")),
    "line feed in a chunk extension": (CHUNKED + b"2;a\nb\r\nhi\r\n0\r\n\r\n", refused()),
    "folded trailer": (CHUNKED + HI + b"0\r\nx: y\r\n z\r\n\r\n", refused(b"hi")),
    "line feed in a trailer": (CHUNKED + HI + b"0\r\nx: y\n\r\n", refused(b"hi")),
}  # fmt: skip


@pytest.mark.parametrize("name", list(ANSWERS))
def test_answers_whole_and_in_parts(name: str) -> None:
    data, expected = ANSWERS[name]
    assert take([data] if data else []) == expected
    assert take(data[at : at + 1] for at in range(len(data))) == expected
    for at in range(1, len(data)):
        assert take([data[:at], data[at:]]) == expected, f"cut at {at}: {data[:at]!r}"


@pytest.mark.parametrize("name", [name for name, (_, got) in ANSWERS.items() if got.fault is Fault.protocol])
def test_nothing_more_need_come_for_a_refusal(name: str) -> None:
    """An upstream that speaks something else and then waits must not hold the call until its time limit."""
    data, _ = ANSWERS[name]
    incoming = Incoming()
    with pytest.raises(UpstreamFailed) as failed:
        if incoming.feed_head(data):
            assert incoming.broken
            raise unreadable()
    assert failed.value.fault is Fault.protocol


def test_what_is_kept_of_a_head() -> None:
    incoming = Incoming()
    assert incoming.feed_head(
        OK + b"X-One:  a b \t\r\nx-one:\r\nSet-Cookie: \xfc\r\ntransfer-encoding: chunked\r\n\r\n" + HI
    )
    assert incoming.headers == [
        (b"x-one", b"a b"),
        (b"x-one", b""),
        (b"set-cookie", b"\xfc"),
        (b"transfer-encoding", b"chunked"),
    ]
    assert incoming.piece == b"hi"
    assert incoming.feed(b"0\r\nx-trailer: 1\r\n\r\n") == b""
    assert incoming.ended and incoming.keeps
    assert len(incoming.headers) == 4, "a trailer is no header"


def test_chunks_that_come_together_are_one_piece() -> None:
    incoming = Incoming()
    assert incoming.feed_head(CHUNKED)
    assert incoming.feed(HI * 20) == b"hi" * 20
    data = b"x" * 1000
    assert incoming.feed(b"3e8\r\n" + data[:300]) == data[:300]
    assert incoming.feed(data[300:] + b"\r\n" + HI) == data[300:] + b"hi"


@pytest.mark.parametrize("step", [1000, 65_536])
@pytest.mark.parametrize(
    "endless",
    [CHUNKED + HI + b"0\r\nx: ", CHUNKED + HI + b"0\r\nx: y\r\nz: ", CHUNKED + HI + b"2;"],
    ids=["trailer", "second trailer", "chunk extension"],
)
def test_what_brings_nothing_has_an_end(endless: bytes, step: int) -> None:
    incoming = Incoming()
    assert incoming.feed_head(endless)
    with pytest.raises(UpstreamFailed) as failed:
        for _ in range(2 * HEAD_LIMIT // step):
            assert incoming.feed(b"a" * step) == b""
    assert failed.value.fault is Fault.too_large


def test_what_brings_something_now_and_then_has_none() -> None:
    incoming = Incoming()
    assert incoming.feed_head(CHUNKED)
    for _ in range(2 * HEAD_LIMIT // 1000):
        assert incoming.feed(b"2;" + b"a" * 1000) == b""
        assert incoming.feed(b"\r\nhi\r\n") == b"hi"


@pytest.mark.parametrize("step", [1000, 65_536, 2 * HEAD_LIMIT])
def test_head_limit(step: int) -> None:
    for size, too_large in ((HEAD_LIMIT - 100, False), (HEAD_LIMIT + 1, True)):
        head = OK + b"content-length: 2\r\nx: "
        data = head + b"a" * (size - len(head) - 4) + b"\r\n\r\nhi"
        for before in (b"", b"HTTP/1.1 100 Continue\r\n\r\n"):
            got = take((before + data)[at : at + step] for at in range(0, len(before + data), step))
            assert got == (refused(fault=Fault.too_large) if too_large else kept())


def test_a_large_body_that_came_with_its_head_is_no_large_head() -> None:
    body = b"x" * 2 * HEAD_LIMIT
    assert take([OK + b"content-length: %d\r\n\r\n" % len(body) + body]) == kept(body)


# ---- connections ----


async def test_bytes_after_an_answer_are_never_the_next_answer(transport: Make) -> None:
    async def serve(stream: trio.SocketStream) -> None:
        await read_request(stream)
        one = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n"
        await stream.send_all(one + b"one" + one + b"two")
        await trio.sleep_forever()

    async with raw_upstream(serve) as url:
        upstream = transport()
        for _ in range(3):
            assert await call(upstream, request(url)) == (200, b"one")
            assert upstream.counts()["c"].idle == 0


@pytest.mark.parametrize(
    "name", ["length", "chunked", "204", "close", "1.0", "bytes after chunks", "no last chunk", "negative"]
)
async def test_the_table_on_a_socket(transport: Make, name: str) -> None:
    data, expected = ANSWERS[name]

    async def serve(stream: trio.SocketStream) -> None:
        await read_request(stream)
        await stream.send_all(data)
        if expected.fault is not Fault.protocol and not expected.keeps:
            return
        await trio.sleep_forever()

    async with raw_upstream(serve) as url:
        upstream = transport()
        if expected.fault is None:
            assert (await call(upstream, request(url)))[1] == expected.body
        else:
            assert (await failure(upstream, request(url))).fault is expected.fault
        assert upstream.counts()["c"] == ChannelCounts(in_use=0, waiting=0, idle=int(expected.keeps))


@pytest.mark.parametrize("options", [{"proxy": "http://127.0.0.1:1"}, {"http2": True}])
async def test_channels_that_are_the_other_transports(options: dict[str, Any]) -> None:
    asked = msgspec.structs.replace(request("http://127.0.0.1:1"), reach=Reach(**options))
    with pytest.raises(ValueError, match="not for this transport"):
        await DirectUpstream().open(asked)


async def test_a_wrong_byte_late_in_a_body_comes_after_what_was_right(transport: Make) -> None:
    async def serve(stream: trio.SocketStream) -> None:
        await read_request(stream)
        await stream.send_all(CHUNKED + HI + HI + b"zz\r\n")
        await trio.sleep_forever()

    async with raw_upstream(serve) as url:
        upstream = transport()
        answer = await upstream.open(request(url))
        assert await answer.receive() == b"hihi"
        for fault in (Fault.protocol, Fault.protocol):
            with pytest.raises(UpstreamFailed) as failed:
                await answer.receive()
            assert failed.value.fault is fault
        await answer.aclose()
        assert upstream.counts()["c"] == ChannelCounts(in_use=0, waiting=0, idle=0)


# ---- fairness and leaving ----


@contextmanager
def pouring(ssl_context: ssl.SSLContext | None = None) -> Iterator[str]:
    """An upstream in a thread of its own, whose one answer never ends and always has more."""

    def pour() -> None:
        with suppress(OSError):
            connection, _ = listener.accept()
            with ssl_context.wrap_socket(connection, server_side=True) if ssl_context else connection as stream:
                stream.recv(65536)
                stream.sendall(OK + b"\r\n")
                while True:
                    stream.sendall(bytes(100_000))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=pour, daemon=True)
        thread.start()
        yield f"http{'s' if ssl_context else ''}://127.0.0.1:{listener.getsockname()[1]}"
    thread.join(5)
    assert not thread.is_alive()


class Always:
    """A poll that always finds data, as with an upstream that is faster than we are."""

    def __init__(self, poll: Any) -> None:
        self.real = poll

    def poll(self, timeout: int) -> Any:
        return self.real.poll(5000)


class AlwaysReady(Watch):
    """A watch of the same kind."""

    ready = property(lambda self: True, lambda self, value: None)  # type: ignore[assignment]


def never_wait(line: Any) -> None:
    """Let `line` find data whenever it looks."""
    line._poll = Always(line._poll)
    if line.watch is not None:
        line.watch = AlwaysReady(line.watch.tell)
        line._recv = lambda size, recv=line._recv: recv(size) if line._poll.poll(0) else b""


class Steps(trio.abc.Instrument):
    """Counts the steps of a task, and does something after the one asked for."""

    def __init__(self, task: trio.lowlevel.Task, at: int = 0, then: Callable[[], None] = lambda: None) -> None:
        self.task, self.at, self.then, self.count = task, at, then, 0

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        if task is self.task:
            self.count += 1
            if self.count == self.at:
                self.then()


@pytest.mark.parametrize("tls", [False, True])
async def test_a_fast_upstream_does_not_keep_the_others_waiting(transport: Make, tls: bool, tmp_path: Path) -> None:
    server, ca_file = tls_server(tmp_path)
    with pouring(server if tls else None) as url:
        answer = await transport(ca_file=ca_file).open(request(url))
        never_wait(answer._line)
        steps = Steps(trio.lowlevel.current_task())
        trio.lowlevel.add_instrument(steps)
        for _ in range(10 * FAIR_TURNS):
            assert await answer.receive()
        trio.lowlevel.remove_instrument(steps)
        await answer.aclose()
        assert 9 <= steps.count <= 11


async def test_a_cancelled_scope_is_noticed_though_data_is_there(transport: Make) -> None:
    with pouring() as url:
        upstream = transport()
        answer = await upstream.open(request(url))
        never_wait(answer._line)
        with trio.CancelScope() as scope:
            scope.cancel()
            await answer.receive()
            await answer.receive()  # the first may have come with the head
        await answer.aclose()
        assert scope.cancelled_caught
        with pytest.raises(UpstreamFailed, match="given up"):
            await answer.receive()
        assert upstream.counts()["c"] == ChannelCounts(in_use=0, waiting=0, idle=0)


@pytest.mark.parametrize("kind", ["plain", "tls", "large", "large tls", "kept"])
async def test_cancelled_at_every_step(transport: Make, kind: str, tmp_path: Path) -> None:
    """Cancel after the k-th step of a call, for every k: the socket is closed at once, and nothing holds a place."""
    server, ca_file = tls_server(tmp_path)
    tls = "tls" in kind
    body = b"x" * 6_000_000 if "large" in kind else None
    script = Script(head_delay_s=0.002, piece_delay_s=0.001, content=("a", "b"))
    fake = FakeUpstream({"m": script}, default=script, ssl_context=server if tls else None)
    async with fake.serving():
        upstream = transport(ca_file=ca_file)
        before = open_files()
        for at in range(1, 400):
            if kind == "kept":
                await call(upstream, request(fake.url))
            ended = False
            with trio.CancelScope() as scope:
                steps = Steps(trio.lowlevel.current_task(), at, scope.cancel)
                trio.lowlevel.add_instrument(steps)
                try:
                    answer = await upstream.open(request(fake.url, stream=True, body=body))
                    try:
                        await read(answer)
                        ended = True
                    finally:
                        await answer.aclose()
                finally:
                    trio.lowlevel.remove_instrument(steps)
            idle = upstream.counts()["c"].idle
            assert upstream.counts()["c"] == ChannelCounts(in_use=0, waiting=0, idle=idle)
            assert idle == int(ended)
            await upstream_let_go(fake, idle)
            assert open_files() == before + 2 * idle, f"cancelled at step {at}"
            if ended and steps.count < at:
                break
            for line in list(upstream._channels["c"].idle):
                upstream._channels["c"].idle.remove(line)
                line.close()
        else:
            raise AssertionError("never came to its end")
        assert at > 2


async def upstream_let_go(fake: FakeUpstream, count: int) -> None:
    with trio.fail_after(2):
        await fake.until(lambda: len(fake.open_connections) == count)
    await trio.sleep(0.002)


async def test_leaving_closes_without_a_turn_of_the_scheduler(transport: Make) -> None:
    async with FakeUpstream({"m": Script(hang_after=1)}).serving() as fake:
        upstream = transport()
        answer = await upstream.open(request(fake.url, stream=True))
        before = open_files()
        with pytest.raises(StopIteration):
            answer.aclose().send(None)  # runs to its end without a wait
        assert open_files() == before - 1
        await fake.until(lambda: seen_gone(fake))


async def test_closed_while_another_task_receives(transport: Make) -> None:
    async with FakeUpstream({"m": Script(hang_after=1)}).serving() as fake:
        answer = await transport().open(request(fake.url, stream=True))
        with (
            trio.fail_after(2),
            pytest.RaisesGroup(pytest.RaisesExc(UpstreamFailed, match="incomplete"), allow_unwrapped=False),
        ):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(read, answer)
                await trio.sleep(0.05)
                await answer.aclose()


# ---- early answers ----

LARGE = 20_000_000
TOO_LARGE = b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 3\r\n\r\nbig"


async def head_of(stream: Any) -> bytes:
    """Reads a request's head and some of its body."""
    seen = b""
    while b"\r\n\r\n" not in seen:
        data = await stream.receive_some(65536)
        assert data
        seen += data
    return seen.partition(b"\r\n\r\n")[2]


async def drink(stream: Any, seen: bytes, size: int = LARGE) -> bytes:
    """Reads a body to its end; its digest."""
    digest, count = hashlib.sha256(seen), len(seen)
    while count < size:
        data = await stream.receive_some(1_000_000)
        assert data
        digest.update(data)
        count += len(data)
    return digest.hexdigest().encode()


async def answers_and_waits(stream: Any) -> None:
    await head_of(stream)
    await stream.send_all(TOO_LARGE)
    await trio.sleep_forever()


async def answers_slowly(stream: Any) -> None:
    await head_of(stream)
    await trio.sleep(0.05)
    for at in range(len(TOO_LARGE)):
        await stream.send_all(TOO_LARGE[at : at + 1])
        await trio.sleep(0.001)
    await trio.sleep_forever()


async def answers_and_closes(stream: Any) -> None:
    """With unread bytes in its hands: what goes out is an RST."""
    await head_of(stream)
    await stream.send_all(TOO_LARGE)
    await trio.sleep(0.05)


async def answers_and_resets(stream: Any) -> None:
    await head_of(stream)
    await trio.sleep(0.05)  # the sender stands at a full socket
    await stream.send_all(TOO_LARGE)
    reset(stream)


Serve = Callable[[Any], Awaitable[None]]


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("serve", [answers_and_waits, answers_slowly, answers_and_closes, answers_and_resets])
async def test_an_early_refusal_of_a_large_body_is_the_answer(
    transport: Make, serve: Serve, tls: bool, tmp_path: Path
) -> None:
    server, ca_file = tls_server(tmp_path)
    async with raw_upstream(serve, server if tls else None) as url:
        upstream, began = transport(ca_file=ca_file), time.monotonic()
        assert await call(upstream, request(url, body=bytes(LARGE))) == (413, b"big")
        assert time.monotonic() - began < SOON_S
        assert upstream.counts()["c"] == ChannelCounts(in_use=0, waiting=0, idle=0), "the request never ended"


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("early", ["interim", "head", "nothing"])
async def test_what_comes_early_and_is_no_refusal_does_not_stop_the_sending(
    transport: Make, early: str, tls: bool, tmp_path: Path
) -> None:
    server, ca_file = tls_server(tmp_path)
    body = hashlib.sha256(b"seed").digest() * (LARGE // 32)

    async def serve(stream: Any) -> None:
        for _ in range(2):
            seen = await head_of(stream)
            await trio.sleep(0.05)
            head = OK + b"content-length: 64\r\n\r\n"
            if early == "interim":
                await stream.send_all(b"HTTP/1.1 100 Continue\r\n\r\n")
            elif early == "head":
                await stream.send_all(head)
            await trio.sleep(0.05)
            digest = await drink(stream, seen)
            await stream.send_all(digest if early == "head" else head + digest)
        await trio.sleep_forever()

    async with raw_upstream(serve, server if tls else None) as url:
        upstream = transport(ca_file=ca_file)
        for _ in range(2):
            assert await call(upstream, request(url, body=body)) == (200, hashlib.sha256(body).hexdigest().encode())
            assert upstream.counts()["c"].idle == 1


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("how", ["close", "rst", "half", "half a head"])
async def test_an_upstream_that_goes_while_a_large_body_comes(
    transport: Make, how: str, tls: bool, tmp_path: Path
) -> None:
    server, ca_file = tls_server(tmp_path)

    async def serve(stream: Any) -> None:
        await head_of(stream)
        await trio.sleep(0.05)
        if how == "rst":
            reset(stream)
        elif how == "half a head":
            await stream.send_all(TOO_LARGE[:20])
        elif how == "half":
            tcp = stream.transport_stream if tls else stream
            await tcp.send_eof()
            await trio.sleep_forever()

    async with raw_upstream(serve, server if tls else None) as url:
        upstream = transport(ca_file=ca_file)
        failed = await failure(upstream, request(url, body=bytes(LARGE)))
        assert (failed.fault, failed.sent) == (Fault.reset, True)
        assert in_use(upstream) == 0


def with_send(monkeypatch: pytest.MonkeyPatch, sending: Callable[[Any, bytes], int]) -> None:
    """New connections send by `sending(the socket's own send, data)`, 20 ms after they were made."""
    connect = DirectLine.connect

    async def connected(*where: Any) -> Any:
        line = await connect(*where)
        own = line._send
        line._send = lambda data: sending(own, data)
        await trio.sleep(0.02)
        return line

    monkeypatch.setattr(DirectLine, "connect", connected)


async def test_an_answer_at_the_door(transport: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given before the request, and the socket reset: the request cannot be sent, the answer can be read."""

    async def serve(stream: trio.SocketStream) -> None:
        await stream.send_all(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\nfull")
        reset(stream)

    failed: list[OSError] = []

    def sending(own: Callable[[bytes], int], data: bytes) -> int:
        try:
            return own(data)
        except OSError as exc:
            failed.append(exc)
            raise

    with_send(monkeypatch, sending)
    async with raw_upstream(serve) as url:
        assert await call(transport(), request(url)) == (503, b"full")
    assert failed


async def test_a_large_body_that_cannot_be_sent_to_its_end(transport: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0

    def sending(own: Callable[[bytes], int], data: bytes) -> int:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise BrokenPipeError
        return own(data[:10_000])

    with_send(monkeypatch, sending)
    async with raw_upstream(answers_and_waits) as url:
        upstream = transport()
        assert await call(upstream, request(url, body=bytes(100_000))) == (413, b"big")
        assert upstream.counts()["c"].idle == 0


async def test_a_large_body_that_is_taken_in_bits_lets_others_in(
    transport: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_send(monkeypatch, lambda own, data: own(data[:1000]))
    body = bytes(range(256)) * 1000
    async with FakeUpstream().serving() as fake:
        upstream = transport()
        await call(upstream, request(fake.url))
        steps = Steps(trio.lowlevel.current_task())
        trio.lowlevel.add_instrument(steps)
        await call(upstream, request(fake.url, body=body))
        trio.lowlevel.remove_instrument(steps)
        assert fake.requests[1].body == body
        assert steps.count > len(body) / 1000 / FAIR_TURNS


# ---- TLS ----


async def test_what_is_said_in_the_handshake(transport: Make, tmp_path: Path) -> None:
    server, ca_file = tls_server(tmp_path, "localhost")
    server.set_alpn_protocols(["h2", "http/1.1"])
    said: list[Any] = []
    server.sni_callback = lambda _socket, name, _context: said.append(name)

    async def serve(stream: trio.SSLStream[trio.SocketStream]) -> None:
        await read_request(stream)
        said.append(stream.selected_alpn_protocol())
        await stream.send_all(lengths(b" 2"))

    async with raw_upstream(serve, server) as url:
        assert await call(transport(ca_file=ca_file), request(url.replace("127.0.0.1", "localhost"))) == (200, b"hi")
    assert said == ["localhost", "http/1.1"]


async def test_tls_1_2_will_do(transport: Make, tmp_path: Path) -> None:
    server, ca_file = tls_server(tmp_path)
    server.maximum_version = ssl.TLSVersion.TLSv1_2
    async with FakeUpstream(ssl_context=server).serving() as fake:
        assert (await call(transport(ca_file=ca_file), request(fake.url)))[0] == 200


@pytest.mark.parametrize("tls", [False, True])
async def test_nothing_waits_for_the_garbage_collector(transport: Make, tls: bool, tmp_path: Path) -> None:
    """A TLS connection is 50 KB, and a parser some hundred bytes that the collector does not see."""
    server, ca_file = tls_server(tmp_path)
    async with FakeUpstream(ssl_context=server if tls else None).serving() as fake:
        upstream = transport(ca_file=ca_file)
        answer = await upstream.open(request(fake.url, stream=True))
        line = weakref.ref(answer._line)
        gc.collect()
        gc.disable()
        try:
            await read(answer)
            await answer.aclose()
            del answer
            assert not [thing for thing in gc.get_objects() if isinstance(thing, (Incoming, _Events))]
            await upstream.aclose_all()
            assert line() is None
        finally:
            gc.enable()


async def test_many_records_are_one_piece(transport: Make, tmp_path: Path) -> None:
    server, ca_file = tls_server(tmp_path)
    go = trio.Event()

    async def serve(stream: Any) -> None:
        await read_request(stream)
        await stream.send_all(CHUNKED)
        await go.wait()
        for _ in range(50):
            await stream.send_all(HI)
        await trio.sleep_forever()

    async with raw_upstream(serve, server) as url:
        answer = await transport(ca_file=ca_file).open(request(url))
        go.set()
        await trio.sleep(0.05)
        assert await answer.receive() == b"hi" * 50
        await answer.aclose()
