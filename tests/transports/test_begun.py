"""A call that is begun on a kept connection and whose answer is waited for without a scope: whatever comes, in whatever
pieces, it is the same answer as by `open`, and whatever goes wrong, no connection and no place is left behind."""

import os
import random
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing

from ftgate.errors import Fault, UpstreamFailed
from ftgate.ports import Sending, UpstreamRequest
from ftgate.readiness import SUPPORTED, TICK_S
from ftgate.transports.outgoing import ChannelCounts
from tests.fakes.upstream import FakeUpstream, Script
from tests.patience import AT_ONCE_S, SOON_S, until
from tests.transports.test_direct import Steps
from tests.transports.transports import (
    Make,
    TogetherUpstream,
    call,
    making,
    open_files,
    raw_upstream,
    read,
    request,
    reset,
    tls_server,
)

pytestmark = pytest.mark.skipif(not SUPPORTED, reason="there is no epoll here")

FREE = ChannelCounts(in_use=0, waiting=0, idle=0)
KEPT = ChannelCounts(in_use=0, waiting=0, idle=1)


@pytest.fixture
async def transport() -> AsyncIterator[Make]:
    async with making("watched") as make:
        yield make


def length(body: bytes, *headers: bytes, status: int = 200) -> bytes:
    lines = [b"HTTP/1.1 %d X" % status, *headers, b"content-length: %d" % len(body)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def chunked(*pieces: bytes) -> bytes:
    framed = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (*pieces, b"")]
    return b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + b"".join(framed)


class Pieces:
    """An upstream that answers with lists of pieces, one list a request; each piece is sent when everybody waits, or an
    event has happened; "wait" sends nothing, "close" and "rst" end the connection at once. After the last list it says
    nothing more."""

    def __init__(self, *answers: Sequence[Any]) -> None:
        self.answers = [list(answer) for answer in answers]
        self.asked: list[int] = []  # the connection of each request
        self.bodies: list[bytes] = []
        self.connections = self.left = 0
        self.url = ""

    async def serve(self, stream: Any) -> None:
        number = self.connections
        self.connections += 1
        try:
            while await self._asked(stream, number):
                if not self.answers:
                    continue
                for piece in self.answers.pop(0):
                    if piece in ("close", "rst"):
                        if piece == "rst":
                            reset(stream)
                        return
                    if isinstance(piece, trio.Event):
                        await piece.wait()
                        continue
                    await calm()
                    if piece != "wait":
                        await stream.send_all(piece)
        except trio.BrokenResourceError:
            pass
        self.left += 1

    async def _asked(self, stream: Any, number: int) -> bool:
        """Reads a request. False when the peer has left."""
        data = b""
        while (end := data.find(b"\r\n\r\n") + 4) < 4:
            if not (more := await stream.receive_some(65_536)):
                return False
            data += more
        size = end + int(data.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        pieces, count = [data], len(data)
        while count < size:
            pieces.append(await stream.receive_some(1_000_000))
            if not pieces[-1]:
                return False
            count += len(pieces[-1])
        self.asked.append(number)
        self.bodies.append(b"".join(pieces)[end:])
        return True

    async def all_left(self) -> None:
        with trio.fail_after(SOON_S):
            while self.left < self.connections:
                await trio.sleep(0.002)


async def calm() -> None:
    await trio.testing.wait_all_tasks_blocked()


@asynccontextmanager
async def warm(upstream: Any, *answers: Sequence[Any]) -> AsyncIterator[Pieces]:
    """An upstream to which one connection is kept, and which answers the requests to come so."""
    pieces = Pieces([length(b"warm")], *answers)
    async with raw_upstream(pieces.serve) as pieces.url:
        assert await call(upstream, request(pieces.url)) == (200, b"warm")
        assert counts(upstream) == KEPT
        yield pieces


def counts(upstream: Any) -> ChannelCounts:
    found: ChannelCounts = upstream.counts()["c"]
    return found


def begin(upstream: Any, url: str, **more: Any) -> Any:
    sending = Sending()
    begun = upstream.begin(request(url, **more), sending, trio.current_time())
    assert begun is not None and sending.sent
    assert counts(upstream).in_use == 1
    return begun


async def word(begun: Any, within_s: float = SOON_S) -> Any:
    with trio.fail_after(SOON_S + 1):
        return await begun.word(trio.current_time() + within_s)


async def rest_of(begun: Any) -> tuple[int, bytes]:
    """The answer of a call of which there was no word."""
    with trio.fail_after(SOON_S):
        answer = await begun.open()
        try:
            return answer.status, await read(answer)
        finally:
            await answer.aclose()


async def fault_of(waiting: Any) -> Fault:
    with pytest.raises(UpstreamFailed) as failed:
        await waiting
    assert failed.value.sent
    return failed.value.fault


# ---- whole at once ----


@pytest.mark.parametrize(
    ("answer", "status", "body", "kept"),
    [
        (length(b"hi"), 200, b"hi", True),
        (length(b""), 200, b"", True),
        (chunked(b"h", b"i"), 200, b"hi", True),
        (length(b"x" * 30_000), 200, b"x" * 30_000, True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", True),
        (b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" * 3 + length(b"hi"), 200, b"hi", True),
        (length(b"no", b"retry-after: 7", status=429), 429, b"no", True),
        (length(b"no", status=500), 500, b"no", True),
        (length(b"hi", b"content-encoding: identity"), 200, b"hi", True),
        (length(b"hi", b"connection: close"), 200, b"hi", False),
        (length(b"hi") + b"x", 200, b"hi", False),
        (length(b"hi") + length(b"you"), 200, b"hi", False),
        (chunked(b"hi") + b"\r\n", 200, b"hi", False),
    ],
    ids=[
        "length", "empty", "chunks", "large", "204", "interim", "429", "500", "identity",
        "close", "byte after", "answer after", "line after",
    ],
)  # fmt: skip
async def test_an_answer_that_comes_whole(transport: Make, answer: bytes, status: int, body: bytes, kept: bool) -> None:
    upstream = transport()
    async with warm(upstream, [answer], [length(b"next")]) as pieces:
        found = await word(begin(upstream, pieces.url))
        assert (found.status, found.whole) == (status, body)
        assert (b"retry-after", b"7") in found.headers or status != 429
        assert counts(upstream).in_use == 1, "the place is held until the answer is closed"
        assert await read(found) == body
        await found.aclose()
        await found.aclose()
        assert counts(upstream) == (KEPT if kept else FREE)
        assert await call(upstream, request(pieces.url)) == (200, b"next")
        assert pieces.asked == [0, 0, 0 if kept else 1]


async def test_what_is_sent_is_what_open_sends(transport: Make) -> None:
    async with TogetherUpstream().serving() as fake:
        upstream = transport()
        own = ((b"authorization", b"Bearer k"), (b"x-own", b"1"))
        await call(upstream, request(fake.url, headers=own))
        answer = await word(begin(upstream, fake.url, headers=own))
        assert b"Hello, world" in answer.whole
        await answer.aclose()
        first, second = fake.requests
        assert (first.method, first.path, first.headers, first.body) == (
            second.method,
            second.path,
            second.headers,
            second.body,
        )
        assert second.connection is first.connection and len(fake.connections) == 1


# ---- in pieces ----


@pytest.mark.parametrize(
    "answer", [length(b"hello"), chunked(b"hel", b"lo"), b"HTTP/1.1 100 Continue\r\n\r\n" + length(b"hello")]
)
async def test_an_answer_in_two_pieces_cut_anywhere(transport: Make, answer: bytes) -> None:
    upstream = transport()
    cuts = range(1, len(answer))
    async with warm(upstream, *([answer[:at], answer[at:]] for at in cuts)) as pieces:
        for at in cuts:
            begun = begin(upstream, pieces.url)
            assert await word(begun) is None, f"cut at {at}"
            assert await rest_of(begun) == (200, b"hello"), f"cut at {at}"
            assert counts(upstream) == KEPT
        assert set(pieces.asked) == {0}


async def test_an_answer_in_the_smallest_pieces(transport: Make) -> None:
    upstream, answer = transport(), chunked(b"hel", b"lo")
    async with warm(upstream, [answer[at : at + 1] for at in range(len(answer))]) as pieces:
        begun = begin(upstream, pieces.url)
        assert await word(begun) is None
        assert await rest_of(begun) == (200, b"hello")
        assert counts(upstream) == KEPT


@pytest.mark.parametrize("frame", [length, chunked])
async def test_an_answer_of_many_reads(transport: Make, frame: Any) -> None:
    """More than one read brings, and all of it there at once: what the first left is not forgotten."""
    body = random.Random(3).randbytes(3_000_000)
    upstream = transport()
    async with warm(upstream, [frame(body)]) as pieces:
        begun = begin(upstream, pieces.url)
        assert await word(begun) is None
        assert await rest_of(begun) == (200, body)
        assert pieces.asked == [0, 0] and counts(upstream) == KEPT


@pytest.mark.parametrize("size", [999, 1000, 1001, 2000, 2001])
async def test_an_answer_of_just_a_full_read(transport: Make, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it is there at the first read; of what that leaves nobody tells."""
    monkeypatch.setattr("ftgate.transports.direct_line.READ_BYTES", 1000)
    upstream = transport()
    body = bytes(size - len(length(bytes(900))) + 900)
    async with warm(upstream, [length(body)], [length(b"next")]) as pieces:
        begun = begin(upstream, pieces.url)
        found = await word(begun)
        assert (found is not None) is (size <= 1000)
        if found is None:
            assert await rest_of(begun) == (200, body)
        else:
            assert found.whole == body
            await found.aclose()
        assert await call(upstream, request(pieces.url)) == (200, b"next")
        assert set(pieces.asked) == {0}


async def test_a_body_that_ends_with_its_connection(transport: Make) -> None:
    upstream = transport()
    async with warm(upstream, [b"HTTP/1.1 200 OK\r\n\r\nhi", "wait", "close"]) as pieces:
        begun = begin(upstream, pieces.url)
        assert await word(begun) is None, "its end is not known yet"
        assert await rest_of(begun) == (200, b"hi")
        assert counts(upstream) == FREE


# ---- where nothing is begun ----


async def test_without_a_kept_connection_nothing_is_begun(transport: Make) -> None:
    async with FakeUpstream().serving() as fake:
        upstream, sending = transport(), Sending()
        assert upstream.begin(request(fake.url), sending, trio.current_time()) is None
        assert counts(upstream) == FREE and not sending.sent
        assert fake.connections == []


async def test_without_a_free_place_nothing_is_begun(transport: Make) -> None:
    upstream, sending = transport(max_connections=1), Sending()
    async with warm(upstream, [length(b"hi")]) as pieces:
        places = upstream._channels["c"].places
        places.acquire_nowait()
        assert upstream.begin(request(pieces.url), sending, trio.current_time()) is None
        assert counts(upstream) == ChannelCounts(in_use=1, waiting=0, idle=1) and not sending.sent
        places.release()
        answer = await word(begin(upstream, pieces.url))
        assert upstream.begin(request(pieces.url), Sending(), trio.current_time()) is None, "now its own is taken"
        await answer.aclose()
        assert counts(upstream) == KEPT


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/x", "http://[::1/x"])
async def test_what_cannot_be_sent_takes_no_place(transport: Make, url: str) -> None:
    upstream = transport()
    with pytest.raises(UpstreamFailed) as failed:
        upstream.begin(request(url), Sending(), trio.current_time())
    assert not failed.value.sent
    async with warm(upstream) as pieces:
        with pytest.raises(UpstreamFailed):
            upstream.begin(request(pieces.url, headers=((b"a b", b"v"),)), Sending(), trio.current_time())
        assert counts(upstream) == KEPT


@pytest.mark.parametrize("tls", [False, True])
async def test_a_connection_that_nobody_watches_is_opened_on(tls: bool, tmp_path: Any) -> None:
    server, ca_file = tls_server(tmp_path)
    fake = FakeUpstream(ssl_context=server if tls else None)
    async with fake.serving(), making("watched" if tls else "direct") as transport:
        upstream = transport(ca_file=ca_file)
        await call(upstream, request(fake.url))
        begun = begin(upstream, fake.url)
        begun.wake()
        begun.lower(0)
        assert await word(begun) is None
        assert (await rest_of(begun))[0] == 200
        assert len(fake.connections) == 1 and counts(upstream) == KEPT


# ---- connections that break ----


async def test_a_kept_connection_that_was_closed_is_not_begun_on(transport: Make) -> None:
    upstream = transport()
    async with FakeUpstream(default=Script(close_idle_after_s=0.0)).serving() as fake:
        await call(upstream, request(fake.url))
        await fake.until(lambda: not fake.open_connections)
        await calm()
        assert upstream.begin(request(fake.url), Sending(), trio.current_time()) is None
        assert counts(upstream) == FREE


@pytest.mark.parametrize("how", ["close", "rst"])
async def test_a_close_that_crosses_the_request_is_tried_again(transport: Make, how: str) -> None:
    upstream = transport()
    async with warm(upstream, [how], [length(b"hi")]) as pieces:
        begun = begin(upstream, pieces.url)
        assert await word(begun) is None
        assert await rest_of(begun) == (200, b"hi")
        assert pieces.asked == [0, 0, 1]
        assert counts(upstream) == KEPT


async def test_it_is_tried_again_once_only(transport: Make) -> None:
    upstream = transport()
    async with warm(upstream, ["rst"], ["rst"], [length(b"never")]) as pieces:
        begun = begin(upstream, pieces.url)
        assert await word(begun) is None
        assert await fault_of(rest_of(begun)) is Fault.reset
        assert pieces.asked == [0, 0, 1]
        assert counts(upstream) == FREE


async def test_a_slow_break_is_not_tried_again(transport: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ftgate.transports.outgoing.STALE_S", 0)
    upstream = transport()
    async with warm(upstream, ["rst"], [length(b"never")]) as pieces:
        begun = begin(upstream, pieces.url)
        assert await word(begun) is None
        assert await fault_of(rest_of(begun)) is Fault.reset
        assert pieces.asked == [0, 0]
        assert counts(upstream) == FREE


@pytest.mark.parametrize("before", [b"HTTP/1.1 2", b"HTTP/1.1 100 Continue\r\n\r\n", length(b"hello")[:-6]])
@pytest.mark.parametrize("at_once", [False, True])
async def test_a_break_after_the_first_byte_is_not_tried_again(transport: Make, before: bytes, at_once: bool) -> None:
    upstream = transport()
    async with warm(upstream, [before, "rst"] if at_once else [before, "wait", "rst"], [length(b"never")]) as pieces:
        begun = begin(upstream, pieces.url)
        assert await word(begun) is None
        assert await fault_of(rest_of(begun)) is Fault.reset
        assert pieces.asked == [0, 0]
        assert counts(upstream) == FREE


@pytest.mark.parametrize("answer", [length(b"hello")[:-1], chunked(b"hello")[:-2]])
async def test_a_body_that_is_cut(transport: Make, answer: bytes) -> None:
    upstream = transport()
    async with warm(upstream, [answer, "close"]) as pieces:
        begun = begin(upstream, pieces.url)
        assert await word(begun) is None
        assert await fault_of(rest_of(begun)) is Fault.incomplete
        assert counts(upstream) == FREE and pieces.connections == 1


# ---- what is no answer ----

NONE: dict[str, tuple[bytes, Fault]] = {
    "another protocol": (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", Fault.protocol),
    "no status": (b"HTTP/1.1 abc\r\n\r\n", Fault.protocol),
    "two lengths": (length(b"hi", b"content-length: 3"), Fault.protocol),
    "bare line feeds": (b"HTTP/1.1 200 OK\ncontent-length: 2\n\nhi", Fault.protocol),
    "101": (b"HTTP/1.1 101 X\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", Fault.protocol),
    "compressed": (length(b"hi", b"content-encoding: gzip"), Fault.encoding),
    "compressed chunks": (chunked(b"hi").replace(b"\r\n\r\n", b"\r\ncontent-encoding: br\r\n\r\n", 1), Fault.encoding),
}


@pytest.mark.parametrize("pieces_of_it", [1, 2])
@pytest.mark.parametrize("name", NONE)
async def test_what_is_no_answer_is_refused(transport: Make, name: str, pieces_of_it: int) -> None:
    answer, fault = NONE[name]
    upstream = transport()
    async with warm(upstream, [answer] if pieces_of_it == 1 else [answer[:2], answer[2:]]) as pieces:
        before = open_files()
        begun = begin(upstream, pieces.url)
        if pieces_of_it == 1 or name == "another protocol":  # which two bytes show
            assert await fault_of(word(begun)) is fault
        else:
            assert await word(begun) is None
            assert await fault_of(rest_of(begun)) is fault
        assert counts(upstream) == FREE
        await pieces.all_left()
        assert open_files() == before - 2
        assert pieces.asked == [0, 0]


async def test_a_body_that_cannot_be_read_on(transport: Make) -> None:
    upstream = transport()
    async with warm(upstream, [chunked(b"hi")[:-5] + b"zz\r\n"]) as pieces:
        begun = begin(upstream, pieces.url)
        assert await word(begun) is None
        answer = await begun.open()
        assert answer.whole is None and await answer.receive() == b"hi"
        assert await fault_of(answer.receive()) is Fault.protocol
        await answer.aclose()
        assert counts(upstream) == FREE


async def test_an_endless_head(transport: Make) -> None:
    upstream = transport()
    async with warm(upstream, [b"HTTP/1.1 200 OK\r\nx: " + b"a" * 300_000]) as pieces:
        begun = begin(upstream, pieces.url)
        assert await word(begun) is None
        assert await fault_of(rest_of(begun)) is Fault.too_large
        assert counts(upstream) == FREE


@pytest.mark.parametrize(
    "unasked", [length(b"unasked"), b"x", b"\r\n", b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n"]
)
async def test_what_comes_unasked_is_never_the_next_answer(transport: Make, unasked: bytes) -> None:
    upstream = transport()
    async with warm(upstream, [length(b"one"), unasked], [length(b"two")]) as pieces:
        answer = await word(begin(upstream, pieces.url))
        assert answer.whole == b"one"
        await answer.aclose()
        (line,) = upstream._channels["c"].idle
        with trio.fail_after(SOON_S):
            while not line.watch.ready:
                await trio.sleep(0.001)
        assert upstream.begin(request(pieces.url), Sending(), trio.current_time()) is None
        assert await call(upstream, request(pieces.url)) == (200, b"two")
        assert pieces.asked == [0, 0, 1] and counts(upstream) == KEPT


async def test_what_comes_unasked_is_seen_though_the_loop_has_not_looked(transport: Make) -> None:
    upstream = transport()
    ends: list[Any] = []

    async def serve(stream: Any) -> None:
        ends.append(stream.socket)
        await pieces.serve(stream)

    pieces = Pieces([length(b"warm")])
    async with raw_upstream(serve) as url:
        await call(upstream, request(url))
        await calm()
        with socket.socket(fileno=os.dup(ends[0].fileno())) as end:
            assert end.send(length(b"unasked")) > 0
        assert upstream.begin(request(url), Sending(), trio.current_time()) is None
        assert counts(upstream) == FREE


# ---- large requests ----


@pytest.mark.parametrize("size", [16_384, 16_385, 100_000, 20_000_000])
async def test_requests_that_do_not_go_in_one_send(transport: Make, size: int) -> None:
    upstream = transport()
    body = random.Random(size).randbytes(size)
    async with warm(upstream, [length(b"one")], [length(b"two")]) as pieces:
        for said in (b"one", b"two"):
            begun = begin(upstream, pieces.url, body=body)
            answer = await word(begun)
            assert (answer is None) is (size > 16_384), "what has not gone up is to be sent by open"
            if answer is None:
                assert await rest_of(begun) == (200, said)
            else:
                assert answer.whole == said
                await answer.aclose()
        assert pieces.bodies[1:] == [body, body]
        assert set(pieces.asked) == {0} and counts(upstream) == KEPT


async def test_a_refusal_of_a_large_request_while_it_goes_up(transport: Make) -> None:
    async def serve(stream: Any) -> None:
        assert await Pieces()._asked(stream, 0)
        await stream.send_all(length(b"warm"))
        assert await stream.receive_some(1000)
        await stream.send_all(length(b"big", status=413))
        await trio.sleep_forever()

    upstream = transport()
    async with raw_upstream(serve) as url:
        await call(upstream, request(url))
        begun = begin(upstream, url, body=bytes(20_000_000))
        assert await word(begun) is None
        assert await rest_of(begun) == (413, b"big")
        assert counts(upstream) == FREE


# ---- ends from outside ----


async def waiting_for(
    upstream: Any, pieces: Pieces, nursery: trio.Nursery, until: float
) -> tuple[Any, list[Any], trio.CancelScope]:
    """A begun call, a task that waits for its word, and its scope."""
    begun, said, scope = begin(upstream, pieces.url), [], trio.CancelScope()

    async def wait() -> None:
        with scope:
            said.append(await begun.word(until))

    nursery.start_soon(wait)
    await calm()
    assert said == []
    return begun, said, scope


async def test_cancelled_while_it_waits(transport: Make, nursery: trio.Nursery) -> None:
    upstream = transport()
    async with warm(upstream) as pieces:
        before = open_files()
        _, said, scope = await waiting_for(upstream, pieces, nursery, trio.current_time() + SOON_S)
        scope.cancel()
        await calm()
        assert scope.cancelled_caught and said == []
        assert counts(upstream) == FREE
        await pieces.all_left()
        assert open_files() == before - 2


async def test_cancelled_before_it_waits(transport: Make) -> None:
    upstream = transport()
    async with warm(upstream, [length(b"hi")]) as pieces:
        with trio.CancelScope() as scope:
            scope.cancel()
            await begin(upstream, pieces.url).word(trio.current_time() + SOON_S)
        assert scope.cancelled_caught and counts(upstream) == FREE
        await pieces.all_left()


async def test_cancelled_when_its_answer_was_told(transport: Make, nursery: trio.Nursery) -> None:
    """The answer is not lost."""
    upstream = transport()
    async with warm(upstream) as pieces:
        begun, said, scope = await waiting_for(upstream, pieces, nursery, trio.current_time() + SOON_S)
        begun.line._recv = lambda size: length(b"hi")
        begun.line.watch.wake()
        scope.cancel()
        await calm()
        assert [answer.whole for answer in said] == [b"hi"]
        await said[0].aclose()
        assert counts(upstream) == KEPT


async def test_woken_it_can_still_be_opened(transport: Make, nursery: trio.Nursery) -> None:
    upstream, go_on = transport(), trio.Event()
    async with warm(upstream, [go_on, length(b"hi")]) as pieces:
        begun, said, _ = await waiting_for(upstream, pieces, nursery, trio.current_time() + SOON_S)
        begun.wake()
        await calm()
        assert said == [None] and counts(upstream).in_use == 1
        go_on.set()
        assert await rest_of(begun) == (200, b"hi")
        assert counts(upstream) == KEPT and pieces.asked == [0, 0]


@pytest.mark.parametrize("first", ["answer", "wake"])
async def test_woken_and_answered_in_the_same_turn(transport: Make, nursery: trio.Nursery, first: str) -> None:
    """What has come whole is the answer, whoever woke."""
    upstream = transport()
    async with warm(upstream) as pieces:
        begun, said, _ = await waiting_for(upstream, pieces, nursery, trio.current_time() + SOON_S)
        begun.line._recv = lambda size: length(b"hi")
        for what in ("wake", "answer") if first == "wake" else ("answer", "wake"):
            (begun.wake if what == "wake" else begun.line.watch.wake)()
        await calm()
        assert [answer.whole for answer in said] == [b"hi"]
        await said[0].aclose()
        assert counts(upstream) == KEPT


@pytest.mark.parametrize("lowered", [False, True])
async def test_its_time_is_up(transport: Make, nursery: trio.Nursery, lowered: bool) -> None:
    """Then it can be opened, in a scope whose time is up as well: that closes the connection."""
    upstream = transport()
    async with warm(upstream) as pieces:
        began = trio.current_time()
        begun, said, _ = await waiting_for(upstream, pieces, nursery, began + (100 if lowered else 0.05))
        if lowered:
            begun.lower(began + 0.05)
            begun.lower(began + 50)  # lowers nothing
        with trio.fail_after(SOON_S):
            while not said:
                await trio.sleep(0.005)
        assert said == [None]
        assert 0.05 <= trio.current_time() - began < 0.05 + TICK_S + AT_ONCE_S
        assert counts(upstream).in_use == 1
        with trio.CancelScope(deadline=began + 0.05) as timer:
            await begun.open()
        assert timer.cancelled_caught and counts(upstream) == FREE
        await pieces.all_left()


async def test_a_limit_that_has_passed_does_not_outlive_its_call(transport: Make) -> None:
    upstream = transport()
    async with warm(upstream, [length(b"one")], [length(b"two")]) as pieces:
        answer = await word(begin(upstream, pieces.url), 0.05)
        await answer.aclose()
        await trio.sleep(0.05 + 2 * TICK_S)
        (line,) = upstream._channels["c"].idle
        assert not line.watch.ready, "nobody wakes an idle connection"
        answer = await word(begin(upstream, pieces.url))
        assert answer.whole == b"two"
        await answer.aclose()


async def test_cancelled_at_every_step(transport: Make) -> None:
    """As the gate does it: begin, word, and open where there was none."""
    scripts = {"whole": Script(head_delay_s=0.001), "m": Script(head_delay_s=0.001, first_delay_s=0.001)}
    async with TogetherUpstream(scripts).serving() as fake:
        upstream = transport()
        for model in scripts:
            for at in range(1, 100):
                await call(upstream, request(fake.url, model))
                ended = False
                with trio.CancelScope() as scope:
                    steps = Steps(trio.lowlevel.current_task(), at, scope.cancel)
                    trio.lowlevel.add_instrument(steps)
                    try:
                        ended = b"Hello" in await as_the_gate_does(upstream, request(fake.url, model))
                    finally:
                        trio.lowlevel.remove_instrument(steps)
                assert ended or scope.cancelled_caught
                assert counts(upstream) == (KEPT if ended else FREE), f"cancelled at step {at}"
                with trio.fail_after(SOON_S):
                    await fake.until(lambda ended=ended: len(fake.open_connections) == int(ended))
                if ended and steps.count < at:
                    break
            assert 1 < at < 99


async def as_the_gate_does(upstream: Any, message: UpstreamRequest) -> bytes:
    begun = upstream.begin(message, Sending(), trio.current_time())
    answer = await begun.word(trio.current_time() + SOON_S) if begun is not None else None
    if answer is not None:
        whole: bytes = answer.whole
        await answer.aclose()
        return whole
    answer = await (upstream.open(message) if begun is None else begun.open())
    try:
        return await read(answer)
    finally:
        await answer.aclose()


async def test_thousands_of_them_leave_nothing(transport: Make) -> None:
    """Calls that are cancelled, that break, that come in pieces, on a few places; in the end all of them are free."""
    dice = random.Random(41)
    scripts = {
        "whole": Script(head_delay_s=0.002),
        "pieces": Script(head_delay_s=0.001, first_delay_s=0.001),
        "breaks": Script(drop="rst"),
        "cut": Script(cut_after=1),
        "garbage": Script(raw_response=b"no HTTP at all\r\n\r\n"),
        "stale": Script(close_idle_after_s=0.0),
        "no": Script(status=503),
    }
    ended = begun = running = 0
    async with TogetherUpstream(scripts).serving() as fake:
        upstream = transport(max_connections=8)
        before = open_files()

        async def one(model: str, patience_s: float) -> None:
            nonlocal ended, begun, running
            begun += bool(upstream._channels and upstream._channels["c"].idle)
            with trio.move_on_after(patience_s):
                try:
                    body = await as_the_gate_does(upstream, request(fake.url, model))
                except UpstreamFailed as failed:
                    assert model in ("breaks", "cut", "garbage", "stale"), (model, failed)
                else:
                    assert (b"Hello" in body and f'"{model}"'.encode() in body) or (
                        model == "no" and b"scripted 503" in body
                    )
                    ended += 1
            running -= 1

        def few() -> bool:
            return running < 4

        async with trio.open_nursery() as nursery:
            for index in range(1500):
                model = dice.choice([*scripts, "whole", "whole", "pieces"])
                nursery.start_soon(one, model, dice.choice([dice.uniform(0, 0.006), 5, 5]))
                running += 1
                if index % 10 == 9:  # now and then a connection is idle, however slow the machine is
                    await until(few)
        assert ended > 400 and begun > 200
        counted = counts(upstream)
        assert (counted.in_use, counted.waiting) == (0, 0)
        await fake.until(lambda: len(fake.open_connections) == counts(upstream).idle or upstream.close_idle())
        assert open_files() == before + 2 * counts(upstream).idle
