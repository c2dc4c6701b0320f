"""The httpx transport against the fake upstream and raw sockets (RELIABILITY.md F8, F9, F16, F23-F26, F40).

Everything here runs on real sockets at 127.0.0.1. Times are the socket's: when the upstream saw its peer leave.
"""

import json
import math
import random
import re
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.events
import pytest
import trio
import trustme

from ftgate.edge import httpx_transport
from ftgate.edge.httpx_transport import HEAD_LIMIT, ChannelCounts, ChannelOptions, HttpxAnswer, HttpxUpstream
from ftgate.errors import Fault, UpstreamFailed
from ftgate.ports import UpstreamRequest
from tests.fakes.upstream import FakeUpstream, Script


def request(url: str, model: str = "m", *, headers: tuple[tuple[bytes, bytes], ...] = (), **more: Any) -> UpstreamRequest:
    connect_s = more.pop("connect_s", 2.0)
    channel = more.pop("channel", "c")
    body = more.pop("body", None)
    if body is None:
        body = json.dumps({"model": model, "messages": [{"role": "user", "content": "hello"}], **more}).encode()
    path = "" if url.count("/") > 2 else "/v1/chat/completions"
    sent = ((b"content-type", b"application/json"), *headers)
    return UpstreamRequest(channel=channel, url=url + path, headers=sent, body=body, connect_s=connect_s)


MADE: list[HttpxUpstream] = []


@pytest.fixture(autouse=True)
async def _closing_what_was_made() -> AsyncIterator[None]:
    yield
    while MADE:
        await MADE.pop().aclose_all()


def transport(max_connections: int = 1000, **options: Any) -> HttpxUpstream:
    MADE.append(HttpxUpstream({"c": ChannelOptions(**options)}, max_connections=max_connections))
    return MADE[-1]


async def read(answer: Any) -> bytes:
    pieces = []
    while piece := await answer.receive():
        pieces.append(piece)
    return b"".join(pieces)


async def call(upstream: HttpxUpstream, message: UpstreamRequest) -> tuple[int, bytes]:
    with trio.fail_after(10):
        answer = await upstream.open(message)
        try:
            return answer.status, await read(answer)
        finally:
            await answer.aclose()


async def failure(upstream: HttpxUpstream, message: UpstreamRequest) -> UpstreamFailed:
    with pytest.raises(UpstreamFailed) as caught:
        await call(upstream, message)
    return caught.value


def in_use(upstream: HttpxUpstream) -> int:
    return upstream.counts()["c"].in_use


async def read_request(stream: trio.SocketStream) -> None:
    """Reads until the end of request()'s body, which may come in several segments."""
    seen = b""
    while not seen.endswith(b'"hello"}]}'):
        data = await stream.receive_some(65536)
        assert data
        seen += data


@asynccontextmanager
async def raw_upstream(serve: Callable[[trio.SocketStream], Any]) -> AsyncIterator[str]:
    """A server that is nothing but `serve(stream)`, for what HTTP has no word for."""

    async def serve_and_close(stream: trio.SocketStream) -> None:
        async with stream:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await serve(stream)

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, serve_and_close, listeners)
        yield f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()


# ---- answers ----


async def test_plain_answer() -> None:
    async with FakeUpstream().serving() as fake:
        upstream = transport()
        answer = await upstream.open(request(fake.url, headers=((b"authorization", b"Bearer k"),)))
        assert isinstance(answer, HttpxAnswer)
        assert answer.status == 200
        assert (b"content-type", b"application/json") in answer.headers
        assert in_use(upstream) == 1
        body = await read(answer)
        assert await answer.receive() == b""
        await answer.aclose()
        await answer.aclose()
        assert json.loads(body)["choices"][0]["message"]["content"] == "Hello, world"
        assert upstream.counts()["c"] == ChannelCounts(in_use=0, waiting=0, idle=1)
        seen = fake.requests[0]
        assert (seen.method, seen.path) == ("POST", "/v1/chat/completions")
        assert seen.header("authorization") == "Bearer k"
        assert seen.header("accept-encoding") == "identity"
        assert seen.header("host") == fake.url.removeprefix("http://")
        assert seen.header("content-length") == str(len(seen.body))
        await upstream.aclose_all()


async def test_stream_comes_piece_by_piece() -> None:
    async with FakeUpstream({"m": Script(piece_delay_s=0.03)}).serving() as fake:
        upstream = transport()
        answer = await upstream.open(request(fake.url, stream=True))
        pieces = []
        while piece := await answer.receive():
            pieces.append(piece)
        await answer.aclose()
        assert len(pieces) >= 3
        assert b"".join(pieces).endswith(b"data: [DONE]\n\n")


async def test_callers_own_headers_win() -> None:
    async with FakeUpstream().serving() as fake:
        upstream = transport()
        own = ((b"Accept-Encoding", b"br"), (b"Host", b"example.test"), (b"Content-Length", b"1"), (b"Transfer-Encoding", b"chunked"))
        await call(upstream, request(fake.url, headers=own))
        seen = fake.requests[0]
        assert [value for name, value in seen.headers if name == "accept-encoding"] == ["br"]
        assert [value for name, value in seen.headers if name == "host"] == ["example.test"]
        assert [value for name, value in seen.headers if name == "content-length"] == [str(len(seen.body))]
        assert seen.header("transfer-encoding") is None


@pytest.mark.parametrize("status", [204, 302, 400, 429, 500])
async def test_any_status_is_an_answer(status: int) -> None:
    script = Script(status=status, location="http://169.254.169.254/" if status == 302 else None)
    async with FakeUpstream({"m": script}).serving() as fake:
        upstream = transport()
        assert (await call(upstream, request(fake.url)))[0] == status
        assert len(fake.requests) == 1


async def test_connections_are_reused() -> None:
    async with FakeUpstream().serving() as fake:
        upstream = transport()
        for index in range(20):
            await call(upstream, request(fake.url, stream=index % 2 == 0))
        assert len(fake.connections) == 1
        await upstream.aclose_all()
        await fake.until(lambda: not fake.open_connections)


async def test_connection_close_is_honoured() -> None:
    async with FakeUpstream(default=Script(keep_alive=False)).serving() as fake:
        upstream = transport()
        for _ in range(3):
            assert (await call(upstream, request(fake.url)))[0] == 200
        assert len(fake.connections) == 3
        assert upstream.counts()["c"].idle == 0


async def test_close_delimited_body_ends_without_complaint() -> None:
    # HTTP has no mark for its end: the gate must see a finish_reason (F16).
    async with FakeUpstream({"m": Script(framing="close", cut_after=2)}).serving() as fake:
        status, body = await call(transport(), request(fake.url, stream=True))
        assert status == 200
        assert b"[DONE]" not in body


async def test_early_answer_while_the_body_is_still_going_up() -> None:
    async with FakeUpstream(default=Script(early=True, status=400)).serving() as fake:
        status, body = await call(transport(), request(fake.url, body=b"x" * 300_000))
        assert status == 400
        assert b"scripted 400" in body


async def test_calls_wait_for_a_place() -> None:
    async with FakeUpstream({"m": Script(head_delay_s=0.05)}).serving() as fake:
        upstream = transport(max_connections=2)
        async with trio.open_nursery() as nursery:
            for _ in range(6):
                nursery.start_soon(call, upstream, request(fake.url))
            await fake.until(lambda: len(fake.requests) == 2)
            assert upstream.counts()["c"].waiting == 4
        assert len(fake.requests) == 6
        assert len(fake.connections) == 2


# ---- failures before the head ----


async def test_connection_refused() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound but not listening: nobody else gets this port
        failed = await failure(transport(), request(f"http://127.0.0.1:{unused.getsockname()[1]}"))
    assert (failed.fault, failed.sent) == (Fault.connect, False)
    assert "refused" in failed.detail


async def test_unknown_name() -> None:
    upstream = transport()
    failed = await failure(upstream, request("http://no-such-host.invalid"))
    assert (failed.fault, failed.sent) == (Fault.dns, False)
    assert in_use(upstream) == 0


async def test_connect_limit() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        try:
            for one in waiting:  # never accepted: the backlog is full and further SYNs are dropped
                one.setblocking(False)
                one.connect_ex(full.getsockname())
            await trio.sleep(0.05)
            upstream, began = transport(), time.monotonic()
            failed = await failure(upstream, request(f"http://127.0.0.1:{full.getsockname()[1]}", connect_s=0.2))
            assert (failed.fault, failed.sent) == (Fault.connect, False)
            assert 0.15 < time.monotonic() - began < 0.6
            assert in_use(upstream) == 0
        finally:
            for one in waiting:
                one.close()


async def test_connect_limit_holds_for_a_tls_handshake_that_hangs() -> None:
    async with raw_upstream(lambda stream: trio.sleep_forever()) as url:
        failed = await failure(transport(), request(url.replace("http:", "https:"), connect_s=0.2))
    assert (failed.fault, failed.sent) == (Fault.connect, False)


async def test_connect_limit_ends_with_the_connection() -> None:
    async with FakeUpstream({"m": Script(head_delay_s=0.4)}).serving() as fake:
        assert (await call(transport(), request(fake.url, connect_s=0.2)))[0] == 200


@pytest.mark.parametrize("drop", ["close", "rst"])
async def test_reset_before_the_head(drop: Any) -> None:
    async with FakeUpstream({"m": Script(drop=drop)}).serving() as fake:
        upstream = transport()
        failed = await failure(upstream, request(fake.url))
        assert (failed.fault, failed.sent) == (Fault.reset, True)
        assert len(fake.requests) == 1, "a new connection's break is not tried again"
        assert in_use(upstream) == 0


async def test_half_a_head_is_a_reset() -> None:
    async with FakeUpstream({"m": Script(raw_response=b"HTTP/1.1 200 OK\r\ncontent-le")}).serving() as fake:
        assert (await failure(transport(), request(fake.url))).fault is Fault.reset


@pytest.mark.parametrize(
    ("response", "fault"),
    [
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", Fault.protocol),
        (b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n", Fault.protocol),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!", Fault.protocol),
        (b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n", Fault.protocol),
        (b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", Fault.protocol),
        (b"HTTP/1.1 200 OK\r\nx: " + b"a" * 300_000, Fault.too_large),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * (HEAD_LIMIT // 25 + 10), Fault.too_large),
    ],
    ids=["not http", "negative length", "two lengths", "no colon", "101", "endless header", "1xx flood"],
)
async def test_unreadable_heads(response: bytes, fault: Fault) -> None:
    async with FakeUpstream({"m": Script(raw_response=response)}).serving() as fake:
        upstream = transport()
        failed = await failure(upstream, request(fake.url))
        assert (failed.fault, failed.sent) == (fault, True)
        assert in_use(upstream) == 0
        await fake.until(lambda: not fake.open_connections)


async def test_interim_answers_are_passed_over() -> None:
    response = b"HTTP/1.1 103 Early Hints\r\n\r\n" * 3 + b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"
    async with FakeUpstream({"m": Script(raw_response=response)}).serving() as fake:
        assert await call(transport(), request(fake.url)) == (200, b"hi")


@pytest.mark.parametrize("value", [b"a\r\nx: y", b"a\nb", b"\x00", "clé".encode(), b"\xff"])
async def test_header_values_that_http_cannot_carry(value: bytes) -> None:
    async with FakeUpstream().serving() as fake:
        upstream = transport()
        failed = await failure(upstream, request(fake.url, headers=((b"authorization", b"Bearer secret" + value),)))
        assert (failed.fault, failed.sent) == (Fault.protocol, False)
        assert "secret" not in str(failed)
        assert fake.connections == []
        assert (await call(upstream, request(fake.url)))[0] == 200


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/x", "http:///x", "http://é.test/x", "http://a b/x", "http://[::1/x", "nothing/a/b/c"])
async def test_addresses_that_are_none(url: str) -> None:
    failed = await failure(transport(), request(url))
    assert (failed.fault, failed.sent) == (Fault.protocol, False)


@pytest.mark.parametrize("name", [b"a b", b"", b"x:", b"x\r\n"])
async def test_header_names_that_http_cannot_carry(name: bytes) -> None:
    assert (await failure(transport(), request("http://127.0.0.1:1", headers=((name, b"v"),)))).sent is False


# ---- failures after the head ----


@pytest.mark.parametrize("framing", ["chunked", "length"])
@pytest.mark.parametrize("cut", ["close", "rst"])
@pytest.mark.parametrize("stream", [True, False])
async def test_cut_body(framing: Any, cut: Any, stream: bool) -> None:
    async with FakeUpstream({"m": Script(framing=framing, cut_after=2, cut=cut, piece_delay_s=0.01)}).serving() as fake:
        upstream = transport()
        failed = await failure(upstream, request(fake.url, stream=stream))
        assert (failed.fault, failed.sent) == (Fault.incomplete, True)
        assert upstream.counts()["c"].idle == in_use(upstream) == 0


async def test_only_the_ending_lacks() -> None:
    async with FakeUpstream({"m": Script(cut_after="end")}).serving() as fake:
        assert (await failure(transport(), request(fake.url, stream=True))).fault is Fault.incomplete


async def test_bad_chunk_size() -> None:
    raw = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\nzz\r\n"
    async with FakeUpstream({"m": Script(raw_response=raw)}).serving() as fake:
        assert (await failure(transport(), request(fake.url))).fault in (Fault.protocol, Fault.incomplete)


async def test_after_a_cut_the_answer_does_not_look_ended() -> None:
    async with FakeUpstream({"m": Script(cut_after=1)}).serving() as fake:
        answer = await transport().open(request(fake.url, stream=True))
        for _ in range(2):
            with pytest.raises(UpstreamFailed, match="incomplete"):
                await read(answer)
        await answer.aclose()


@pytest.mark.parametrize("stream", [True, False])
async def test_compressed_answer_is_refused(stream: bool) -> None:
    async with FakeUpstream({"m": Script(gzip=True)}).serving() as fake:
        upstream = transport()
        failed = await failure(upstream, request(fake.url, stream=stream))
        assert (failed.fault, failed.sent) == (Fault.encoding, True)
        assert in_use(upstream) == 0
        await fake.until(lambda: not fake.open_connections)


async def test_identity_encoding_is_no_encoding() -> None:
    async with FakeUpstream({"m": Script(headers=(("content-encoding", "Identity"),))}).serving() as fake:
        assert (await call(transport(), request(fake.url)))[0] == 200


# ---- stale connections (F23) ----


async def test_idle_connection_closed_by_the_upstream_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ftgate.edge.httpx_transport.STALE_S", 0)  # no second try: it must be seen before use
    async with FakeUpstream(default=Script(close_idle_after_s=0.0)).serving() as fake:
        upstream = transport()
        for _ in range(5):
            assert (await call(upstream, request(fake.url)))[0] == 200
            await fake.until(lambda: not fake.open_connections)
        assert len(fake.requests) == 5


async def test_close_that_crosses_the_next_request() -> None:
    # The upstream reads the second request on the kept connection and closes: on the wire, a close that crossed it.
    async with FakeUpstream({"m": Script(fail_first=(1, 0))}).serving() as fake:
        upstream = transport()
        await call(upstream, request(fake.url, "warm"))
        assert (await call(upstream, request(fake.url)))[0] == 200
        assert [seen.connection.number for seen in fake.requests] == [0, 0, 1]
        assert in_use(upstream) == 0


async def test_crossing_close_is_retried_once_only() -> None:
    async with FakeUpstream({"m": Script(drop="close")}).serving() as fake:
        upstream = transport()
        async with trio.open_nursery() as nursery:
            for _ in range(3):  # three kept connections: the second try must not take another of them
                nursery.start_soon(call, upstream, request(fake.url, "warm"))
        failed = await failure(upstream, request(fake.url))
        assert (failed.fault, failed.sent) == (Fault.reset, True)
        assert len([seen for seen in fake.requests if seen.model == "m"]) == 2


async def test_failed_second_try_still_says_sent() -> None:
    async def serve_once() -> None:
        stream = await listener.accept()
        await listener.aclose()  # the second try is refused
        async with stream:
            await read_request(stream)
            await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            await read_request(stream)

    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
    upstream = transport()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_once)
        assert await call(upstream, request(url)) == (200, b"")
        failed = await failure(upstream, request(url))
    assert (failed.fault, failed.sent) == (Fault.connect, True)


async def test_slow_break_of_a_kept_connection_is_not_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ftgate.edge.httpx_transport.STALE_S", 0.05)
    async with FakeUpstream({"m": Script(head_delay_s=0.15, drop="close")}).serving() as fake:
        upstream = transport()
        await call(upstream, request(fake.url, "warm"))
        assert (await failure(upstream, request(fake.url))).fault is Fault.reset
        assert len(fake.requests) == 2


async def test_break_after_a_response_byte_is_not_retried() -> None:
    async with FakeUpstream({"m": Script(raw_response=b"HTTP/1.1 2")}).serving() as fake:
        upstream = transport()
        await call(upstream, request(fake.url, "warm"))
        assert (await failure(upstream, request(fake.url))).fault is Fault.reset
        assert len(fake.requests) == 2


async def test_bytes_after_an_answer_are_never_the_next_answer() -> None:
    async def serve(stream: trio.SocketStream) -> None:
        await read_request(stream)
        one = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n"
        await stream.send_all(one + b"one" + one + b"two")  # in one segment: the second lies in the parser, not in the socket
        await trio.sleep_forever()

    async with raw_upstream(serve) as url:
        upstream = transport()
        assert await call(upstream, request(url)) == (200, b"one")
        failed = await failure(upstream, request(url))
        assert failed.fault is Fault.protocol


# ---- leaving ----


def seen_gone(fake: FakeUpstream) -> bool:
    return bool(fake.requests) and not fake.open_connections


@pytest.mark.parametrize("stream", [True, False])
async def test_cancelled_before_the_head(stream: bool) -> None:
    async with FakeUpstream({"m": Script(head_delay_s=math.inf)}).serving() as fake:
        upstream = transport()
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(call, upstream, request(fake.url, stream=stream))
                await fake.until(lambda: fake.requests)
                left = time.monotonic()
                scope.cancel()
        await fake.until(lambda: seen_gone(fake))
        assert fake.connections[0].closed_by_peer_at is not None
        assert fake.connections[0].closed_by_peer_at - left < 0.25
        assert in_use(upstream) == 0


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("reading", [True, False])
async def test_cancelled_in_the_body(reading: bool, tls: bool, tmp_path: Path) -> None:
    server, ca_file = tls_server(tmp_path)
    fake = FakeUpstream({"m": Script(hang_after=2)}, ssl_context=server if tls else None)
    async with fake.serving():
        upstream = transport(ca_file=ca_file)
        with trio.CancelScope() as scope:
            answer = await upstream.open(request(fake.url, stream=True))
            try:
                assert await answer.receive()
                if reading:
                    scope.deadline = trio.current_time() + 0.05
                    while await answer.receive():
                        pass
                scope.cancel()
            finally:
                left = time.monotonic()
                await answer.aclose()
        assert time.monotonic() - left < 0.1, "closing waits for nobody"
        await fake.until(lambda: seen_gone(fake))
        assert fake.connections[0].closed_by_peer_at is not None
        assert fake.connections[0].closed_by_peer_at - left < 0.25
        assert upstream.counts()["c"].idle == in_use(upstream) == 0


async def test_closed_with_unread_pieces_in_hand() -> None:
    async with FakeUpstream({"m": Script(repeat=300, events_per_write=50)}).serving() as fake:
        upstream = transport()
        answer = await upstream.open(request(fake.url, stream=True))
        assert await answer.receive()
        await trio.sleep(0.05)
        left = time.monotonic()
        await answer.aclose()
        await fake.until(lambda: seen_gone(fake))
        assert time.monotonic() - left < 0.25
        assert upstream.counts()["c"].idle == 0


async def test_peer_that_reads_nothing_does_not_hold_the_close_up() -> None:
    async with raw_upstream(lambda stream: trio.sleep_forever()) as url:
        upstream = transport()
        with trio.move_on_after(0.2) as scope:
            await call(upstream, request(url, body=b"x" * 20_000_000))
        assert scope.cancelled_caught
        assert trio.current_time() - scope.deadline < 0.25
        assert in_use(upstream) == 0


async def test_cancelled_while_connecting_or_waiting_for_a_place() -> None:
    async with raw_upstream(lambda stream: trio.sleep_forever()) as url:
        upstream = transport(max_connections=1)
        with trio.move_on_after(0.1):
            async with trio.open_nursery() as nursery:
                for _ in range(3):
                    nursery.start_soon(call, upstream, request(url.replace("http:", "https:")))
        assert upstream.counts()["c"] == ChannelCounts(in_use=0, waiting=0, idle=0)


async def test_cancelled_receive_ends_the_answer() -> None:
    async with FakeUpstream({"m": Script(hang_after=1)}).serving() as fake:
        answer = await transport().open(request(fake.url, stream=True))
        with trio.move_on_after(0.1):
            while await answer.receive():
                pass
        with pytest.raises(UpstreamFailed, match="given up"):
            await answer.receive()
        await answer.aclose()


async def test_thousands_of_cancelled_calls_leave_nothing() -> None:
    """F40. httpcore's own pool fails this (#1093)."""
    dice = random.Random(40)
    scripts = {"slow": Script(head_delay_s=0.004, piece_delay_s=0.001)}
    async with FakeUpstream(scripts).serving() as fake:
        upstream = transport(max_connections=5)
        ended = 0

        async def one(stream: bool, patience_s: float) -> None:
            nonlocal ended
            with trio.move_on_after(patience_s) as scope:
                await call(upstream, request(fake.url, "slow", stream=stream))
            ended += not scope.cancelled_caught

        async with trio.open_nursery() as nursery:
            for index in range(2000):
                nursery.start_soon(one, index % 2 == 0, dice.uniform(0, 0.010))
                if index % 20 == 19:
                    await trio.sleep(0.002)
        assert upstream.counts()["c"].in_use == upstream.counts()["c"].waiting == 0
        with trio.fail_after(2):
            assert (await call(upstream, request(fake.url)))[0] == 200
        assert in_use(upstream) == 0
        assert len(fake.connections) > 50, "the calls got as far as the upstream"
        await fake.until(lambda: len(fake.open_connections) == upstream.counts()["c"].idle)
        assert upstream.counts()["c"].idle <= 5


async def test_idle_connections_are_closed_without_new_traffic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(httpx_transport, "KEEP_IDLE_S", 0.5)
    async with FakeUpstream().serving() as fake:
        upstream = transport()
        for _ in range(2):
            assert (await call(upstream, request(fake.url)))[0] == 200
        upstream.close_idle()
        assert upstream.counts()["c"].idle == 1, "one that is still good is kept"
        await trio.sleep(0.6)
        answer = await upstream.open(request(fake.url, stream=True))
        upstream.close_idle()
        assert upstream.counts()["c"].idle == 0
        with trio.fail_after(1):
            await fake.until(lambda: len(fake.open_connections) == 1)
        assert b"[DONE]" in await read(answer)  # one in use is left alone
        await answer.aclose()
        assert upstream.counts()["c"] == ChannelCounts(in_use=0, waiting=0, idle=1)


# ---- TLS ----


def tls_server(directory: Path, name: str = "127.0.0.1") -> tuple[ssl.SSLContext, str]:
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(server)
    ca_file = directory / "ca.pem"
    authority.cert_pem.write_to_path(ca_file)
    return server, str(ca_file)


async def test_tls_with_its_own_authority(tmp_path: Path) -> None:
    server, ca_file = tls_server(tmp_path)
    async with FakeUpstream(ssl_context=server).serving() as fake:
        upstream = transport(ca_file=ca_file)
        for _ in range(3):
            assert (await call(upstream, request(fake.url, stream=True)))[0] == 200
        assert len(fake.connections) == 1


async def test_tls_unknown_authority(tmp_path: Path) -> None:
    server, _ = tls_server(tmp_path)
    async with FakeUpstream(ssl_context=server).serving() as fake:
        upstream = transport()
        failed = await failure(upstream, request(fake.url))
        assert (failed.fault, failed.sent) == (Fault.tls, False)
        assert fake.requests == []
        assert in_use(upstream) == 0
        await fake.until(lambda: not fake.open_connections)


async def test_tls_wrong_name(tmp_path: Path) -> None:
    server, ca_file = tls_server(tmp_path, "elsewhere.test")
    async with FakeUpstream(ssl_context=server).serving() as fake:
        failed = await failure(transport(ca_file=ca_file), request(fake.url))
        assert (failed.fault, failed.sent) == (Fault.tls, False)


async def test_tls_against_a_plain_port() -> None:
    async with FakeUpstream().serving() as fake:
        failed = await failure(transport(), request(fake.url.replace("http:", "https:")))
        assert (failed.fault, failed.sent) == (Fault.tls, False)


async def test_trust_stores_are_shared(tmp_path: Path) -> None:
    _, ca_file = tls_server(tmp_path)
    names = {"a": None, "b": None, "c": ca_file, "d": ca_file}
    upstream = HttpxUpstream({name: ChannelOptions(ca_file=file) for name, file in names.items()})
    for name in names:
        await failure(upstream, request("http://127.0.0.1:1", channel=name))
    assert len(upstream._trust) == 2


# ---- HTTP/2 ----


async def h2_upstream(stream: trio.abc.Stream, hang: bool) -> None:
    """Answers each call with two DATA frames; with `hang`, never ends them."""
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    connection.initiate_connection()
    await stream.send_all(connection.data_to_send())
    while data := await stream.receive_some(65536):
        for event in connection.receive_data(bytes(data)):
            if isinstance(event, h2.events.StreamEnded):
                connection.send_headers(event.stream_id, [(":status", "200"), ("content-type", "text/plain")])
                connection.send_data(event.stream_id, b"one")
                connection.send_data(event.stream_id, b"two", end_stream=not hang)
        await stream.send_all(connection.data_to_send())


@pytest.mark.parametrize("hang", [False, True])
async def test_http2_one_call_per_connection(hang: bool, tmp_path: Path) -> None:
    server, ca_file = tls_server(tmp_path)
    server.set_alpn_protocols(["h2"])
    opened: list[trio.SocketStream] = []
    closed: list[float] = []

    async def serve(tcp: trio.SocketStream) -> None:
        opened.append(tcp)
        tls = trio.SSLStream(tcp, server, server_side=True, https_compatible=True)
        try:
            await h2_upstream(tls, hang)
        finally:
            closed.append(time.monotonic())

    async with raw_upstream(serve) as url:
        upstream = transport(ca_file=ca_file, http2=True)
        answers = [await upstream.open(request(url.replace("http:", "https:"))) for _ in range(2)]
        assert len(opened) == 2
        if not hang:
            assert [await read(answer) for answer in answers] == [b"onetwo"] * 2
            for answer in answers:
                await answer.aclose()
            assert upstream.counts()["c"] == ChannelCounts(in_use=0, waiting=0, idle=2)
            assert await call(upstream, request(url.replace("http:", "https:"))) == (200, b"onetwo")
            assert len(opened) == 2
        else:
            assert await answers[0].receive() == b"one"
            left = time.monotonic()
            await answers[0].aclose()
            with trio.fail_after(1):
                while not closed:
                    await trio.sleep(0.002)
            assert closed[0] - left < 0.25
            assert (await answers[1].receive()).startswith(b"one"), "the other call goes on"
            await answers[1].aclose()


# ---- proxies ----


async def http_proxy(stream: trio.SocketStream) -> None:
    """CONNECT only; `refuse` in the user name refuses, `hang` never answers."""
    head = b""
    while b"\r\n\r\n" not in head:
        head += await stream.receive_some(65536)
    method, target, _ = head.split(b" ", 2)
    assert method == b"CONNECT"
    user = re.search(rb"Proxy-Authorization: Basic (\S+)", head)
    if user and user[1] == b"cmVmdXNlOng=":
        await stream.send_all(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")
        return
    if user and user[1] == b"aGFuZzp4":
        await trio.sleep_forever()
    host, _, port = target.rpartition(b":")
    async with await trio.open_tcp_stream(host.decode(), int(port)) as other:
        await stream.send_all(b"HTTP/1.1 200 OK\r\n\r\n")
        async with trio.open_nursery() as nursery:

            async def pump(one: trio.SocketStream, two: trio.SocketStream) -> None:
                try:
                    while data := await one.receive_some(65536):
                        await two.send_all(data)
                except trio.BrokenResourceError:
                    pass
                nursery.cancel_scope.cancel()

            nursery.start_soon(pump, stream, other)
            nursery.start_soon(pump, other, stream)


async def test_tunnel_through_a_proxy(tmp_path: Path) -> None:
    server, ca_file = tls_server(tmp_path)
    async with raw_upstream(http_proxy) as proxy, FakeUpstream(ssl_context=server).serving() as fake:
        upstream = transport(ca_file=ca_file, proxy=proxy)
        for _ in range(2):
            assert (await call(upstream, request(fake.url, stream=True)))[0] == 200
        assert len(fake.connections) == 1
        for user in ("refuse", "hang"):
            refused = transport(ca_file=ca_file, proxy=proxy.replace("//", f"//{user}:x@"))
            failed = await failure(refused, request(fake.url, connect_s=0.3))
            assert (failed.fault, failed.sent) == (Fault.connect, False)
        await upstream.aclose_all()


async def test_plain_upstream_through_a_proxy() -> None:
    async with FakeUpstream().serving() as fake:
        upstream = transport(proxy=fake.url)  # the fake takes the absolute form for a path
        assert (await call(upstream, request("http://upstream.test")))[0] == 200
        assert fake.requests[0].path == "http://upstream.test/v1/chat/completions"
        assert fake.requests[0].header("host") == "upstream.test"


@pytest.mark.parametrize("proxy", ["ftp://127.0.0.1:1", "127.0.0.1:8080", "http://"])
async def test_bad_proxies_are_told_at_once(proxy: str) -> None:
    with pytest.raises(ValueError, match="proxy"):
        transport(proxy=proxy)


async def test_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with FakeUpstream().serving() as fake:
        assert (await call(transport(), request(fake.url)))[0] == 200


async def test_nothing_of_a_call_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    async with FakeUpstream(default=Script(headers=(("x-echo", "secret"),))).serving() as fake:
        await call(transport(), request(fake.url + "/v1/x?key=secret", headers=((b"x-api-key", b"secret"),)))
    assert "secret" not in caplog.text


async def test_aclose_all_leaves_running_answers_alone() -> None:
    async with FakeUpstream({"m": Script(piece_delay_s=0.02)}).serving() as fake:
        upstream = transport()
        answer = await upstream.open(request(fake.url, stream=True))
        await upstream.aclose_all()
        assert b"[DONE]" in await read(answer)
        await answer.aclose()
        await fake.until(lambda: not fake.open_connections)
        assert upstream.counts()["c"].idle == 0
