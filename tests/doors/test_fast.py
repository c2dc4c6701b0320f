"""The fast door, from outside: real sockets, heads cut anywhere, bytes of which one part may be another request,
clients that leave.

What it does not serve it hands over, so its answers to hostile bytes are those of the Hypercorn door
(test_hypercorn.py). Each test ends with Place.settled(): both doors serve a new client, and nothing is held or
open.
"""

import gc
import logging
import re
import socket
import ssl
from types import SimpleNamespace
from typing import Any

import pytest
import trio

from ftgate.doors import http
from ftgate.doors.answer import Answer
from ftgate.doors.fast import FastDoor, _Connection
from ftgate.doors.heads import Head
from ftgate.doors.wire import Wire
from ftgate.line.call import Call
from ftgate.readiness import SUPPORTED
from tests.doors.doors import PIECE, Client, FailingListener, One, Running, get
from tests.doors.fast import KEY, MAX_BODY, ROUTE, Place, call, chunked, opened, rest
from tests.patience import SOON_S, until

pytestmark = pytest.mark.skipif(not SUPPORTED, reason="the fast door needs epoll")
TLS = pytest.mark.parametrize("tls", [False, True])


def without_ids(answer: bytes) -> list[bytes]:
    return [line for line in answer.split(b"\r\n") if not line.startswith((b"date:", b"x-request-id:"))]


async def all_of(place: Place, *pieces: bytes) -> list[bytes]:
    """What is answered to these pieces, sent one by one, until the door closes."""
    client = await place.connect()
    for piece in pieces:
        await client.write(piece)
        await rest()
    answer = without_ids(await client.read_to_end())
    client.close()
    return answer


# ---- heads and bodies in pieces ----

REQUESTS = {
    "length": call(b"echo me", "Connection: close"),
    "chunks": chunked(b"echo me", "Connection: close"),
    "trailers": chunked(b"echo me", "Connection: close", ending=b"0\r\nX: y\r\n\r\n", extension=b";a=b"),
    "no key": call(b"echo me", "Connection: close").replace(b"sk-right", b"sk-wrong"),
    "not ours": get("/ok", "Connection: close"),
    "in doubt": call(b"echo me", "Connection: close", "Content-Length: 7"),
}


@pytest.mark.parametrize("name", REQUESTS)
async def test_cut_anywhere_a_request_is_the_same(nursery: trio.Nursery, name: str) -> None:
    sent = REQUESTS[name]
    async with opened(nursery) as place:
        expected = await all_of(place, sent)
        assert expected[0].startswith(
            {"no key": b"HTTP/1.1 401 ", "in doubt": b"HTTP/1.1 400 "}.get(name, b"HTTP/1.1 200 ")
        )
        assert place.walked.fast == ([] if name in ("no key", "not ours", "in doubt") else [True])
        if name in ("length", "chunks", "trailers"):
            assert expected[-1] == b"echo me"
        served = len(place.walked.bodies) + len(place.walked.others)
        # A refusal does not wait for the body: then the rest is written to a connection that may be closed already.
        cuts = range(1, sent.index(b"\r\n\r\n") + 4 if name in ("no key", "in doubt") else len(sent))
        for cut in cuts:
            assert [line for line in await all_of(place, sent[:cut], sent[cut:]) if line != b"connection: close"] == [
                line for line in expected if line != b"connection: close"
            ], cut
        assert len(place.walked.bodies) + len(place.walked.others) == served * (1 + len(cuts))
        await place.settled()


@pytest.mark.parametrize("name", ["length", "chunks", "trailers", "not ours"])
@TLS
async def test_byte_by_byte(nursery: trio.Nursery, name: str, tls: bool) -> None:
    sent = REQUESTS[name]
    async with opened(nursery, tls=tls) as place:
        expected = await all_of(place, sent)
        assert await all_of(place, *(sent[at : at + 1] for at in range(len(sent)))) == expected
        await place.settled()


@TLS
async def test_bodies_arrive_whole(nursery: trio.Nursery, tls: bool) -> None:
    async with opened(nursery, tls=tls) as place:
        client = await place.connect()
        for size in (0, 1, 65_536, MAX_BODY):
            body = b"e" * size
            for request in (call(body), chunked(body, size=7_001)):
                await client.write(request)
                assert (await client.answer("POST")).body == body
        assert place.walked.fast == [True] * 8
        await place.settled()


# ---- several requests on a connection ----


@TLS
async def test_pipelined_calls_are_answered_in_order(nursery: trio.Nursery, tls: bool) -> None:
    async with opened(nursery, tls=tls) as place:
        client = await place.connect()
        await client.write(
            call(b"slow") + call(b"stream") + call(b"one") + call(b"two", "Connection: close") + call(b"never")
        )
        await place.walked.wait_started()
        await rest()
        assert place.walked.bodies == [b"slow"]
        place.walked.go_on.set()
        assert (await client.answer("POST")).body == b"slow"
        assert (await client.answer("POST")).body == b"data: x\n\n" * 3 + b"data: [DONE]\n\n"
        assert (await client.answer("POST")).body == b"one"
        assert (await client.answer("POST")).body == b"two"
        assert await client.read_to_end() == b""
        assert place.walked.bodies == [b"slow", b"stream", b"one", b"two"] and all(place.walked.fast)
        await place.settled()


@TLS
async def test_what_is_not_ours_is_handed_over_with_all_that_follows(nursery: trio.Nursery, tls: bool) -> None:
    """Cut at every point of the second request: the third, a call, is the other door's too."""
    first, second, third = (
        call(b"one"),
        get("/page", "Content-Length: 4", method="PUT") + b"body",
        call(b"three", "Connection: close"),
    )
    async with opened(nursery, tls=tls) as place:
        for cut in (0, 1, 3, len(second) // 2, len(second) - 2, len(second), len(second) + 20):
            client = await place.connect()
            together = first + second + third
            await client.write(together[: len(first) + cut])
            assert (await client.answer("POST")).body == b"one"
            await rest()
            await client.write(together[len(first) + cut :])
            assert (await client.answer("PUT")).body == b"page"
            assert (await client.answer("POST")).body == b"three"
            assert await client.read_to_end() == b""
            assert place.walked.bodies == [b"one", b"three"] and place.walked.fast == [True, False]
            assert set(place.walked.routes) == {ROUTE}
            assert place.walked.others == [("/page", b"body")]
            for seen in (place.walked.bodies, place.walked.fast, place.walked.others):
                seen.clear()
        await place.settled()


@pytest.mark.parametrize("cors", [False, True])
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "post", "POSTS"])
async def test_only_a_post_is_a_call(nursery: trio.Nursery, method: str, cors: bool) -> None:
    """On a new connection, whose first bytes are a whole head."""
    async with opened(nursery, cors=cors) as place:
        client = await place.connect()
        await client.write(get(ROUTE, KEY, "Connection: close", method=method))
        said = await client.read_to_end()
        if method == "post":  # as lenient as the other door
            assert said.startswith(b"HTTP/1.1 200 ") and place.walked.fast == [False]
        elif method == "OPTIONS" and cors:
            assert said.startswith(b"HTTP/1.1 204 ") and b"access-control-allow-methods" in said
        else:
            assert said.startswith(b"HTTP/1.1 405 ")
        assert place.walked.bodies == ([b""] if method == "post" else [])
        await place.settled()


@pytest.mark.parametrize("cors", [False, True])
async def test_pages_of_other_origins_may_read_answers_and_refusals(nursery: trio.Nursery, cors: bool) -> None:
    async with opened(nursery, cors=cors) as place:
        client = await place.connect()
        for asked, status in (
            (call(b"hello"), 200),
            (call(b"stream"), 200),
            (call(b"hello").replace(b"sk-right", b"sk-wrong"), 401),
            (call(b"hello", "Content-Encoding: gzip"), 415),
        ):
            await client.write(asked)
            answer = await client.answer("POST")
            assert answer.status == status
            assert (answer.headers.items() >= dict(http.CORS).items()) is cors
        assert place.walked.fast == [True, True]
        client.close()
        await place.settled()


async def test_a_chunked_call_with_another_behind_it(nursery: trio.Nursery) -> None:
    async with opened(nursery) as place:
        client = await place.connect()
        await client.write(chunked(b"one") + call(b"two"))
        assert [(await client.answer("POST")).body for _ in range(2)] == [b"one", b"two"]
        assert place.walked.bodies == [b"one", b"two"]
        await place.settled()


# ---- time ----


@TLS
@pytest.mark.parametrize("start", [b"POST ", call(b"x").partition(b"\r\n")[0] + b"\r\n", b"GET /ok HTTP/1.1\r\n"])
async def test_slow_heads_are_cut_at_the_budget(nursery: trio.Nursery, start: bytes, tls: bool) -> None:
    async with opened(nursery, keep_alive_s=0.4, tls=tls) as place:
        client = await place.connect()
        began = trio.current_time()
        with pytest.raises(trio.BrokenResourceError):
            await client.write(start)
            while trio.current_time() < began + SOON_S:
                await client.write(b"X: y\r\n" if start.endswith(b"\n") else b"/")
                await trio.sleep(0.05)
        # Not before its time; at most a look later, and another budget where it was handed over half read.
        assert 0.35 < trio.current_time() - began < 2.5
        assert place.walked.bodies == []
        await place.settled()


@TLS
async def test_idle_connections_are_closed(nursery: trio.Nursery, tls: bool) -> None:
    async with opened(nursery, keep_alive_s=0.4, tls=tls) as place:
        used, silent = await place.connect(), await place.connect()
        await used.write(call(b"one"))
        assert (await used.answer("POST")).body == b"one"
        await place.running.until_connections(0)
        assert await used.read_to_end() == await silent.read_to_end() == b""
        await place.settled()


def shown(place: Place) -> list[str]:
    """How the connections of both doors say that they stand, the numbers of calls left out."""
    said = [repr(one) for one in (*place.door._open, *place.door.other._open)]
    return [re.sub("req_[0-9a-f]+", "req_N", one) for one in said]


async def test_connections_say_how_they_stand(nursery: trio.Nursery) -> None:
    async with opened(nursery) as place:
        client = await place.connect()
        await rest()
        assert shown(place) == ["<Connection idle, None, None>"]
        await client.write(call(b"slow"))
        await place.walked.wait_started()
        assert shown(place) == ["<Connection busy, <Call req_N openai_chat: running>, <Answer not begun>>"]
        place.walked.go_on.set()
        assert (await client.answer("POST")).status == 200
        await rest()
        assert shown(place) == ["<Connection idle, None, None>"]
        await client.ask("/ok")
        await rest()
        assert shown(place) == ["<Connection handed over, None, None>", "<Connection idle>"]
        assert repr(place.door) == "<FastDoor 1 connections, <HypercornDoor 1 connections>>"
        gone = await place.connect()
        await gone.write(call(b"wait"))
        await rest()
        gone.close()
        await place.walked.wait_gone()
        await place.settled()
        place.door.stop()
        assert "stopping" in repr(place.door) and "stopping" in repr(place.door.other)


async def test_an_answer_is_begun_once_and_ended_once() -> None:
    """A gate that answered twice would make the second answer the next request's."""
    sent: list[bytes] = []

    async def send(data: bytes) -> bool:
        sent.append(data)
        return True

    door: Any = SimpleNamespace(stopping=trio.Event(), constant_headers=b"")
    answer = Answer(door, send, None, Head(call(b"")))
    with pytest.raises(AssertionError, match="not under way"):
        await answer.send(b"x")
    await answer.start(200, [])
    for begin in (answer.start(200, []), answer.answer(200, [], b"y")):
        with pytest.raises(AssertionError, match="twice"):
            await begin
    await answer.send(b"z")
    await answer.end()
    for more in (answer.send(b"x"), answer.end()):
        with pytest.raises(AssertionError, match="not under way"):
            await more
    assert b"".join(sent).endswith(b"\r\n\r\n1\r\nz\r\n0\r\n\r\n") and repr(answer) == "<Answer ended>"


async def test_a_long_call_is_not_cut_by_the_idle_budget(nursery: trio.Nursery) -> None:
    async with opened(nursery, keep_alive_s=0.2) as place:
        client = await place.connect()
        await client.write(call(b"slow"))
        await trio.sleep(0.7)
        place.walked.go_on.set()
        assert (await client.answer("POST")).body == b"slow"
        await place.settled()


async def test_unfinished_handshakes_are_cut_at_the_budget(nursery: trio.Nursery) -> None:
    async with opened(nursery, keep_alive_s=0.4, tls=True) as place:
        streams = [await trio.open_tcp_stream("127.0.0.1", place.running.port) for _ in range(3)]
        await streams[0].send_all(b"GET / HTTP/1.1\r\n\r\n")  # no TLS at all
        await streams[1].send_all(b"\x16\x03\x01\x02\x00\x01")  # half a hello
        await place.settled()
        for stream in streams:
            await stream.aclose()


async def test_a_slow_body_is_refused(nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ftgate.doors.fast.BODY_S", 0.2)
    async with opened(nursery) as place:
        for request in (call(b"half", length=100), chunked(b"half", ending=b"")):
            client = await place.connect()
            await client.write(request)
            answer = await client.answer("POST")
            assert (answer.status, answer.headers[b"connection"]) == (408, b"close")
        assert place.walked.bodies == []
        await place.settled()


# ---- clients that leave or do not read ----

LEAVING = {
    "close": lambda client: client.close(),
    "reset": lambda client: client.reset(),
    "half-close": lambda client: getattr(client.stream, "transport_stream", client.stream).socket.shutdown(
        trio.socket.SHUT_WR
    ),
}


@TLS
@pytest.mark.parametrize("extra", [b"", b"\n", get("/ok"), call(b"next")], ids=["", "a byte", "a page", "a call"])
@pytest.mark.parametrize("how", LEAVING)
@pytest.mark.parametrize("what", [b"wait", b"tokens"])
async def test_leaving_is_seen_at_once(nursery: trio.Nursery, what: bytes, how: str, extra: bytes, tls: bool) -> None:
    async with opened(nursery, tls=tls) as place:
        client = await place.connect()
        await client.write(call(what) + extra)
        await place.walked.wait_started()
        if what == b"tokens":
            assert await client.read()
        await rest_or_a_moment(what)
        assert not place.walked.gone.is_set()
        LEAVING[how](client)
        await place.walked.wait_gone()
        await place.running.until_connections(0)
        assert place.walked.bodies == [what] and place.walked.ended == ["client_gone"]
        await place.settled()


async def rest_or_a_moment(what: bytes) -> None:
    await (trio.sleep(0.02) if what == b"tokens" else rest())


@TLS
async def test_leaving_in_mid_upload_is_no_call(nursery: trio.Nursery, tls: bool) -> None:
    async with opened(nursery, tls=tls) as place:
        for request in (call(b"half", length=50_000), chunked(b"half", ending=b""), call(b"")[:-20]):
            client = await place.connect()
            await client.write(request)
            await rest()
            client.close()
        await place.running.until_connections(0)
        assert place.walked.bodies == []
        await place.settled()


async def stall(place: Place) -> Client:
    client = await place.connect(small_buffer=True)
    await client.write(call(b"flood"))
    await client.stream.receive_some(1024)
    await trio.sleep(0.1)
    assert not place.walked.gone.is_set()
    return client


@TLS
async def test_a_client_that_never_reads_is_dropped(
    nursery: trio.Nursery, tls: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(nursery, write_limit_s=0.5, tls=tls) as place:
        await stall(place)
        await place.walked.wait_gone()
        await place.running.until_connections(0)
        assert place.walked.ended == ["write_timeout"]
        (said,) = [record.getMessage() for record in caplog.records]
        assert said == f"request {place.walked.ids[0]}: the client has not read for 0.5 s and is dropped"
        await place.settled()


@TLS
async def test_leaving_is_seen_in_mid_write(nursery: trio.Nursery, tls: bool) -> None:
    async with opened(nursery, write_limit_s=30, tls=tls) as place:
        (await stall(place)).reset()
        await place.walked.wait_gone()
        await place.running.until_connections(0)
        assert place.walked.ended == ["client_gone"]
        await place.settled()


async def test_a_slow_reader_that_goes_on_is_not_dropped(nursery: trio.Nursery) -> None:
    async with opened(nursery, write_limit_s=0.4) as place:
        client = await place.connect(small_buffer=True)
        await client.write(call(b"flood"))
        until = trio.current_time() + 1.2
        while trio.current_time() < until:
            for _ in range(8):
                assert await client.read()
            await trio.sleep(0.02)
        assert not place.walked.gone.is_set()
        await place.settled()


@TLS
async def test_a_call_that_is_ended_in_mid_write_leaves_its_answer_whole(nursery: trio.Nursery, tls: bool) -> None:
    """What comes behind the piece that was being written (an error event, say) is read as what it is."""
    large, scope = PIECE * 100, trio.CancelScope()

    async def walk(of: Call, answer: Any) -> None:
        await answer.start(200, [])
        with scope:
            await answer.send(large)
            await trio.lowlevel.checkpoint()
        await answer.end(b"the end")

    async with opened(nursery, tls=tls) as place:
        place.intake.walk = walk
        client = await place.connect()
        await client.write(call(b"x"))
        await rest()  # until the client is waited for
        scope.cancel()
        await rest()
        answer = await client.answer("POST")
        assert answer.body == large + b"the end" and scope.cancelled_caught
        place.intake.walk = place.walked.walk
        client.close()
        await place.settled()


@TLS
async def test_cancelling_does_not_wait_for_a_write(nursery: trio.Nursery, tls: bool) -> None:
    async with opened(nursery, write_limit_s=60, tls=tls) as place:
        await stall(place)
        place.running.scope.cancel()
        with trio.fail_after(SOON_S):
            await place.running.returned.wait()


# ---- refusals before the body ----


@TLS
@pytest.mark.parametrize(("lines", "status"), [((KEY,), 413), (("Authorization: Bearer sk-wrong",), 401)])
async def test_a_refusal_reaches_a_client_that_still_uploads(
    nursery: trio.Nursery, lines: tuple[str, ...], status: int, tls: bool
) -> None:
    async with opened(nursery, tls=tls) as place:
        client = await place.connect()
        await client.write(get(ROUTE, *lines, "Content-Length: 4000000000", method="POST"))
        broken = trio.Event()

        async def keep_uploading() -> None:
            try:
                while True:
                    await client.stream.send_all(PIECE)
            except trio.BrokenResourceError:
                broken.set()

        async with trio.open_nursery() as uploading:
            uploading.start_soon(keep_uploading)
            answer = await client.answer("POST")
            assert (answer.status, answer.headers[b"connection"]) == (status, b"close")
            assert await client.read() == b""
            with trio.fail_after(SOON_S):
                await broken.wait()
        await place.settled()


@pytest.mark.parametrize("framing", ["Content-Length: 4", "Transfer-Encoding: chunked"])
async def test_a_body_is_asked_for_only_when_it_is_wanted(nursery: trio.Nursery, framing: str) -> None:
    body = b"echo" if "Length" in framing else b"4\r\necho\r\n0\r\n\r\n"
    async with opened(nursery) as place:
        client = await place.connect()
        for _ in range(2):
            await client.write(get(ROUTE, KEY, framing, "Expect: 100-continue", method="POST"))
            assert await client.read() == b"HTTP/1.1 100 Continue\r\n\r\n"
            await client.write(body)
            assert (await client.answer("POST")).body == b"echo"
        refused = await place.connect()
        await refused.write(get(ROUTE, framing, "Expect: 100-continue", method="POST"))
        said = await refused.read_to_end()
        assert said.startswith(b"HTTP/1.1 401 ") and said.count(b"HTTP/1.1 ") == 1
        await place.settled()


@pytest.mark.parametrize("framing", ["length", "chunks"])
async def test_a_key_is_looked_at_again_when_its_body_took_its_time(nursery: trio.Nursery, framing: str) -> None:
    """It may be disabled by then. A call that came in one go brings the key with it that the door has just seen."""
    keys: list[bool] = []

    async def walk(of: Call, answer: Any) -> None:
        keys.append(of.key is not None)
        assert of.secret == b"sk-right"
        await answer.answer(200, [], of.body)

    request = call(b"hello") if framing == "length" else chunked(b"hello")
    async with opened(nursery) as place:
        place.intake.walk = walk
        client = await place.connect()
        for cut in (len(request), request.index(b"\r\n\r\n") + 4, len(request) - 1):
            for piece in filter(None, (request[:cut], request[cut:])):
                await client.write(piece)
                await rest()
            assert (await client.answer("POST")).body == b"hello"
        assert keys == [framing == "length", False, False]
        place.intake.walk = place.walked.walk
        client.close()
        await place.settled()


async def test_a_chunked_body_past_the_limit_is_refused(nursery: trio.Nursery) -> None:
    async with opened(nursery) as place:
        client = await place.connect()
        await client.write(chunked(b"x" * (MAX_BODY + 1), size=10_000))
        answer = await client.answer("POST")
        assert (answer.status, answer.headers[b"connection"]) == (413, b"close")
        assert place.walked.bodies == []
        await place.settled()


# ---- faults ----


@TLS
@pytest.mark.parametrize("what", [b"boom", b"boom-late", b"exit"])
async def test_a_fault_ends_its_connection_only(
    nursery: trio.Nursery, what: bytes, tls: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(nursery, tls=tls) as place:
        client, bystander = await place.connect(), await place.connect()
        with caplog.at_level(logging.DEBUG):
            await client.write(call(what))
            said = await client.read_to_end()
        assert (b"data: x" in said) == (what == b"boom-late") and not said.endswith(b"0\r\n\r\n")
        logged = [record for record in caplog.records if record.name == "ftgate.door"]
        assert logged and not any("sk-secret" in record.getMessage() or record.exc_info for record in logged)
        await bystander.write(call(b"still here"))
        assert (await bystander.answer("POST")).body == b"still here"
        await place.settled()


@TLS
@pytest.mark.parametrize("end", ["fault", "cancelled"])
async def test_a_cut_stream_to_http_1_0_does_not_look_finished(nursery: trio.Nursery, end: str, tls: bool) -> None:
    async with opened(nursery, tls=tls) as place:
        client = await place.connect()
        if tls:
            client.stream._https_compatible = False
        await client.write(call(b"boom-late" if end == "fault" else b"tokens", version="1.0"))
        assert await client.stream.receive_some()
        if end == "cancelled":
            place.running.scope.cancel()
        with trio.fail_after(SOON_S), pytest.raises(trio.BrokenResourceError):
            while await client.stream.receive_some():
                pass


@TLS
@pytest.mark.parametrize("what", [b"echo", b"stream"])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_close_and_http_1_0_end_with_eof(nursery: trio.Nursery, version: str, what: bytes, tls: bool) -> None:
    async with opened(nursery, tls=tls) as place:
        client = await place.connect()
        if tls:
            client.stream._https_compatible = False  # without a goodbye this would count as cut
        await client.write(call(what, *(["Connection: close"] if version == "1.1" else []), version=version))
        said = b""
        with trio.fail_after(SOON_S):
            while more := await client.stream.receive_some():
                said += more
        assert said.startswith(b"HTTP/1.1 200 ") and b"connection: close\r\n" in said
        assert (b"chunked" in said) == (what == b"stream" and version == "1.1")
        await place.settled()


# ---- accepting and stopping ----


async def test_more_than_max_connections_closes_the_newest(nursery: trio.Nursery) -> None:
    async with opened(nursery, max_connections=2) as place:
        first, second = await place.connect(), await place.connect()
        await second.ask("/ok")  # handed over, and counted still
        assert await (await place.connect()).read_to_end() == b""
        await first.write(call(b"one"))
        assert (await first.answer("POST")).body == b"one"
        assert (await second.ask("/ok")).status == 200
        second.close()
        await place.running.until_connections(1)
        await place.settled()


async def test_a_connection_that_is_not_admitted_is_closed(nursery: trio.Nursery) -> None:
    crowd = One()
    async with opened(nursery, admit=crowd.admit) as place:
        first = await place.connect()
        assert (await first.ask("/ok")).status == 200  # handed over, and counted once
        assert await (await place.connect()).read_to_end() == b""
        first.close()
        await until(lambda: not crowd.open)
        last = await place.connect()
        await last.write(call(b"one"))
        assert (await last.answer("POST")).body == b"one"
        last.close()
        await until(lambda: not crowd.open)
        await place.settled()


@TLS
async def test_stop_closes_idle_connections_at_once(nursery: trio.Nursery, tls: bool) -> None:
    async with opened(nursery, tls=tls) as place:
        used, half, silent, handed = [await place.connect() for _ in range(4)]
        await used.write(call(b"one"))
        await used.answer("POST")
        await half.write(b"POST /v1/ch")
        await handed.ask("/ok")
        await rest()
        place.door.stop()
        with trio.fail_after(SOON_S):
            await place.running.returned.wait()
        for client in (used, half, silent, handed):
            assert await client.read_to_end() == b""
        with pytest.raises((OSError, ssl.SSLError)):
            await place.connect()


@TLS
async def test_stop_lets_running_calls_finish(nursery: trio.Nursery, tls: bool) -> None:
    async with opened(nursery, tls=tls) as place:
        plain, streaming, handed = [await place.connect() for _ in range(3)]
        await handed.ask("/ok")
        await plain.write(call(b"slow") + call(b"never"))
        await streaming.write(call(b"stream on"))
        await handed.write(call(b"slow handed"))
        assert await streaming.read()
        await rest()
        place.door.stop()
        await rest()
        assert not place.running.returned.is_set()
        place.walked.go_on.set()
        for client, body in ((plain, b"slow"), (handed, b"slow handed")):
            answer = await client.answer("POST")
            assert (answer.body, answer.headers[b"connection"]) == (body, b"close")
            assert await client.read_to_end() == b""
        assert (await streaming.read_to_end()).endswith(b"0\r\n\r\n")
        with trio.fail_after(SOON_S):
            await place.running.returned.wait()
        assert b"never" not in place.walked.bodies


async def test_accept_errors_are_logged_and_survived(nursery: trio.Nursery, caplog: pytest.LogCaptureFixture) -> None:
    async with opened(nursery) as place:
        listener: Any = FailingListener((await trio.open_tcp_listeners(0, host="127.0.0.1"))[0])
        door = FastDoor(place.intake, place.door.other, place.door.readiness)
        running = Running(door, [listener], None)
        await nursery.start(running.run)
        await running.check_alive()
        assert [record.name for record in caplog.records] == ["ftgate.door"]
        running.close()
        await place.settled()


async def test_a_head_is_let_go_without_the_collector(nursery: trio.Nursery) -> None:
    """Parser and head must not know each other: circles of thousands of calls a second keep the collector busy."""
    async with opened(nursery) as place:
        client = await place.connect()
        gc.collect()
        gc.disable()
        try:
            for _ in range(20):
                await client.write(call(b"one"))
                assert (await client.answer("POST")).body == b"one"
            assert len([thing for thing in gc.get_objects() if isinstance(thing, Head)]) <= 1  # the last answer's
        finally:
            gc.enable()
        await place.settled()


async def test_what_does_not_go_at_once_goes_first_with_what_is_waited_for() -> None:
    """Pieces that are passed on without waiting, to a client that reads slowly: no byte is lost, doubled or moved."""
    near, far = socket.socketpair()
    stream = trio.SocketStream(trio.socket.from_stdlib_socket(near))
    door: Any = SimpleNamespace(stopping=trio.Event(), constant_headers=b"", keep_alive_s=5, write_limit_s=5)
    connection = _Connection(door, Wire(stream))
    pieces = [b"%d:" % n + b"x" * 9000 + b"\n" for n in range(200)]
    got = b""
    with far:
        far.setblocking(False)

        async def read() -> None:
            nonlocal got
            while len(got) < sum(map(len, pieces)):
                await trio.lowlevel.wait_readable(far)
                got += far.recv(5000)

        async with trio.open_nursery() as nursery:
            waited = 0
            for piece in pieces:
                if not connection.send_now(piece):
                    waited += 1
                    if waited == 1:
                        nursery.start_soon(read)
                    assert await connection.send(b"")
        assert waited > 10 and got == b"".join(pieces)
        connection.wire.close()
        assert connection.send_now(b"x") and connection.gone  # nobody is there: the call is told, nothing is kept
