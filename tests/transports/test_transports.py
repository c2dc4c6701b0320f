"""The transports against the fake upstream and raw sockets (RELIABILITY.md F8, F9, F16, F23-F26, F40): one suite, the
same answers. What only one of them does is in test_sturdy.py and test_direct.py."""

import json
import math
import random
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from ftgate.core.routing import Reach
from ftgate.errors import Fault, UpstreamFailed
from ftgate.ports import Sending
from ftgate.transports.outgoing import HEAD_LIMIT, ChannelCounts
from tests.fakes.upstream import FakeUpstream, Script
from tests.patience import AT_ONCE_S
from tests.transports.transports import (
    KINDS,
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


@pytest.fixture(params=list(KINDS))
async def transport(request: pytest.FixtureRequest) -> AsyncIterator[Make]:
    async with making(request.param) as make:
        yield make


# ---- answers ----


async def test_plain_answer(transport: Make) -> None:
    async with FakeUpstream().serving() as fake:
        upstream = transport()
        answer = await upstream.open(request(fake.url, headers=((b"authorization", b"Bearer k"),)))
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


async def test_stream_comes_piece_by_piece(transport: Make) -> None:
    async with FakeUpstream({"m": Script(piece_delay_s=0.03)}).serving() as fake:
        upstream = transport()
        answer = await upstream.open(request(fake.url, stream=True))
        pieces = []
        while piece := await answer.receive():
            pieces.append(piece)
        await answer.aclose()
        assert len(pieces) >= 3
        assert b"".join(pieces).endswith(b"data: [DONE]\n\n")


async def test_callers_own_headers_win(transport: Make) -> None:
    async with FakeUpstream().serving() as fake:
        upstream = transport()
        own = (
            (b"Accept-Encoding", b"br"),
            (b"Host", b"example.test"),
            (b"Content-Length", b"1"),
            (b"Transfer-Encoding", b"chunked"),
        )
        await call(upstream, request(fake.url, headers=own))
        seen = fake.requests[0]
        assert [value for name, value in seen.headers if name == "accept-encoding"] == ["br"]
        assert [value for name, value in seen.headers if name == "host"] == ["example.test"]
        assert [value for name, value in seen.headers if name == "content-length"] == [str(len(seen.body))]
        assert seen.header("transfer-encoding") is None


@pytest.mark.parametrize("status", [204, 302, 400, 429, 500])
async def test_any_status_is_an_answer(transport: Make, status: int) -> None:
    script = Script(status=status, location="http://169.254.169.254/" if status == 302 else None)
    async with FakeUpstream({"m": script}).serving() as fake:
        upstream = transport()
        assert (await call(upstream, request(fake.url)))[0] == status
        assert len(fake.requests) == 1


async def test_connections_are_reused(transport: Make) -> None:
    async with FakeUpstream().serving() as fake:
        upstream = transport()
        for index in range(20):
            await call(upstream, request(fake.url, stream=index % 2 == 0))
        assert len(fake.connections) == 1
        await upstream.aclose_all()
        await fake.until(lambda: not fake.open_connections)


async def test_connections_and_pools_say_how_they_stand(transport: Make) -> None:
    async with FakeUpstream({"slow": Script(piece_delay_s=0.05)}).serving() as fake:
        upstream = transport(max_connections=1)
        name, there = type(upstream).__name__, f"to {fake.url}"
        assert repr(upstream) == f"<{name} not used yet>"
        answer = await upstream.open(request(fake.url, "slow", stream=True))
        assert repr(answer._line) == f"<Line {there}, new, heard>"
        assert repr(upstream) == f"<{name} c <Channel 1 in use, 0 waiting, 0 kept>>"
        await read(answer)
        await answer.aclose()
        (line,) = upstream._channel("c", Reach()).idle
        assert repr(upstream) == f"<{name} c <Channel 0 in use, 0 waiting, 1 kept>>"
        answer = await upstream.open(request(fake.url, "slow", stream=True))
        assert answer._line is line and repr(line) == f"<Line {there}, kept, heard>"
        await answer.aclose()  # early, which closes it
        assert repr(line) == f"<Line {there}, kept, closed>"
        await upstream.aclose_all()
        assert repr(upstream) == f"<{name} c <Channel 0 in use, 0 waiting, 0 kept, keeps none any more>>"
        with pytest.raises(ValueError):  # a place that nobody has cannot be given back
            upstream._channel("c", Reach()).places.release()


async def test_connection_close_is_honoured(transport: Make) -> None:
    async with FakeUpstream(default=Script(keep_alive=False)).serving() as fake:
        upstream = transport()
        for _ in range(3):
            assert (await call(upstream, request(fake.url)))[0] == 200
        assert len(fake.connections) == 3
        assert upstream.counts()["c"].idle == 0


async def test_close_delimited_body_ends_without_complaint(transport: Make) -> None:
    # HTTP has no mark for its end: the gate must see a finish_reason (F16).
    async with FakeUpstream({"m": Script(framing="close", cut_after=2)}).serving() as fake:
        status, body = await call(transport(), request(fake.url, stream=True))
        assert status == 200
        assert b"[DONE]" not in body


async def test_early_answer_while_the_body_is_still_going_up(transport: Make) -> None:
    async with FakeUpstream(default=Script(early=True, status=400)).serving() as fake:
        status, body = await call(transport(), request(fake.url, body=b"x" * 300_000))
        assert status == 400
        assert b"scripted 400" in body


async def test_calls_wait_for_a_place(transport: Make) -> None:
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


async def test_connection_refused(transport: Make) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound but not listening: nobody else gets this port
        failed = await failure(transport(), request(f"http://127.0.0.1:{unused.getsockname()[1]}"))
    assert (failed.fault, failed.sent) == (Fault.connect, False)
    assert "refused" in failed.detail


async def test_unknown_name(transport: Make) -> None:
    upstream = transport()
    failed = await failure(upstream, request("http://no-such-host.invalid"))
    assert (failed.fault, failed.sent) == (Fault.dns, False)
    assert in_use(upstream) == 0


async def test_connect_limit(transport: Make) -> None:
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
            assert 0.15 < time.monotonic() - began < 0.2 + AT_ONCE_S
            assert in_use(upstream) == 0
        finally:
            for one in waiting:
                one.close()


async def test_connect_limit_holds_for_a_tls_handshake_that_hangs(transport: Make) -> None:
    async with raw_upstream(lambda stream: trio.sleep_forever()) as url:
        failed = await failure(transport(), request(url.replace("http:", "https:"), connect_s=0.2))
    assert (failed.fault, failed.sent) == (Fault.connect, False)


async def test_connect_limit_ends_with_the_connection(transport: Make) -> None:
    async with FakeUpstream({"m": Script(head_delay_s=0.4)}).serving() as fake:
        assert (await call(transport(), request(fake.url, connect_s=0.2)))[0] == 200


@pytest.mark.parametrize("drop", ["close", "rst"])
async def test_reset_before_the_head(transport: Make, drop: Any) -> None:
    async with FakeUpstream({"m": Script(drop=drop)}).serving() as fake:
        upstream = transport()
        failed = await failure(upstream, request(fake.url))
        assert (failed.fault, failed.sent) == (Fault.reset, True)
        assert len(fake.requests) == 1, "a new connection's break is not tried again"
        assert in_use(upstream) == 0


async def test_half_a_head_is_a_reset(transport: Make) -> None:
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
async def test_unreadable_heads(transport: Make, response: bytes, fault: Fault) -> None:
    async with FakeUpstream({"m": Script(raw_response=response)}).serving() as fake:
        upstream = transport()
        failed = await failure(upstream, request(fake.url))
        assert (failed.fault, failed.sent) == (fault, True)
        assert in_use(upstream) == 0
        await fake.until(lambda: not fake.open_connections)


async def test_interim_answers_are_passed_over(transport: Make) -> None:
    response = b"HTTP/1.1 103 Early Hints\r\n\r\n" * 3 + b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"
    async with FakeUpstream({"m": Script(raw_response=response)}).serving() as fake:
        assert await call(transport(), request(fake.url)) == (200, b"hi")


@pytest.mark.parametrize("value", [b"a\r\nx: y", b"a\nb", b"\x00", "clé".encode(), b"\xff"])
async def test_header_values_that_http_cannot_carry(transport: Make, value: bytes) -> None:
    async with FakeUpstream().serving() as fake:
        upstream = transport()
        failed = await failure(upstream, request(fake.url, headers=((b"authorization", b"Bearer secret" + value),)))
        assert (failed.fault, failed.sent) == (Fault.protocol, False)
        assert "secret" not in str(failed)
        assert fake.connections == []
        assert (await call(upstream, request(fake.url)))[0] == 200


@pytest.mark.parametrize(
    "url", ["ftp://127.0.0.1/x", "http:///x", "http://é.test/x", "http://a b/x", "http://[::1/x", "nothing/a/b/c"]
)
async def test_addresses_that_are_none(transport: Make, url: str) -> None:
    failed = await failure(transport(), request(url))
    assert (failed.fault, failed.sent) == (Fault.protocol, False)


@pytest.mark.parametrize("name", [b"a b", b"", b"x:", b"x\r\n"])
async def test_header_names_that_http_cannot_carry(transport: Make, name: bytes) -> None:
    assert (await failure(transport(), request("http://127.0.0.1:1", headers=((name, b"v"),)))).sent is False


# ---- failures after the head ----


@pytest.mark.parametrize("framing", ["chunked", "length"])
@pytest.mark.parametrize("cut", ["close", "rst"])
@pytest.mark.parametrize("stream", [True, False])
async def test_cut_body(transport: Make, framing: Any, cut: Any, stream: bool) -> None:
    async with FakeUpstream({"m": Script(framing=framing, cut_after=2, cut=cut, piece_delay_s=0.01)}).serving() as fake:
        upstream = transport()
        failed = await failure(upstream, request(fake.url, stream=stream))
        assert (failed.fault, failed.sent) == (Fault.incomplete, True)
        assert upstream.counts()["c"].idle == in_use(upstream) == 0


async def test_only_the_ending_lacks(transport: Make) -> None:
    async with FakeUpstream({"m": Script(cut_after="end")}).serving() as fake:
        assert (await failure(transport(), request(fake.url, stream=True))).fault is Fault.incomplete


async def test_bad_chunk_size(transport: Make) -> None:
    raw = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\nzz\r\n"
    async with FakeUpstream({"m": Script(raw_response=raw)}).serving() as fake:
        assert (await failure(transport(), request(fake.url))).fault in (Fault.protocol, Fault.incomplete)


@pytest.mark.parametrize("tls", [False, True])
async def test_a_reset_is_no_clean_end(transport: Make, tls: bool, tmp_path: Path) -> None:
    """Also where the body has no length, and where the reset came together with the last bytes."""
    server, ca_file = tls_server(tmp_path)

    async def serve(stream: Any) -> None:
        await read_request(stream)
        await stream.send_all(b"HTTP/1.1 200 OK\r\n\r\nhi")
        await stream.send_all(b"you")
        reset(stream)

    async with raw_upstream(serve, server if tls else None) as url:
        answer = await transport(ca_file=ca_file).open(request(url))
        await trio.sleep(0.05)
        assert (await answer.receive())[:2] == b"hi"
        with pytest.raises(UpstreamFailed, match="incomplete"):
            while await answer.receive():
                pass
        await answer.aclose()


async def test_after_a_cut_the_answer_does_not_look_ended(transport: Make) -> None:
    async with FakeUpstream({"m": Script(cut_after=1)}).serving() as fake:
        answer = await transport().open(request(fake.url, stream=True))
        for _ in range(2):
            with pytest.raises(UpstreamFailed, match="incomplete"):
                await read(answer)
        await answer.aclose()


@pytest.mark.parametrize("stream", [True, False])
async def test_compressed_answer_is_refused(transport: Make, stream: bool) -> None:
    async with FakeUpstream({"m": Script(gzip=True)}).serving() as fake:
        upstream = transport()
        failed = await failure(upstream, request(fake.url, stream=stream))
        assert (failed.fault, failed.sent) == (Fault.encoding, True)
        assert in_use(upstream) == 0
        await fake.until(lambda: not fake.open_connections)


async def test_identity_encoding_is_no_encoding(transport: Make) -> None:
    async with FakeUpstream({"m": Script(headers=(("content-encoding", "Identity"),))}).serving() as fake:
        assert (await call(transport(), request(fake.url)))[0] == 200


# ---- stale connections (F23) ----


async def test_idle_connection_closed_by_the_upstream_is_not_used(
    transport: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ftgate.transports.outgoing.STALE_S", 0)  # no second try: it must be seen before use
    async with FakeUpstream(default=Script(close_idle_after_s=0.0)).serving() as fake:
        upstream = transport()
        for _ in range(5):
            assert (await call(upstream, request(fake.url)))[0] == 200
            await fake.until(lambda: not fake.open_connections)
        assert len(fake.requests) == 5


async def test_close_that_crosses_the_next_request(transport: Make) -> None:
    # The upstream reads the second request on the kept connection and closes: on the wire, a close that crossed it.
    async with FakeUpstream({"m": Script(fail_first=(1, 0))}).serving() as fake:
        upstream = transport()
        await call(upstream, request(fake.url, "warm"))
        assert (await call(upstream, request(fake.url)))[0] == 200
        assert [seen.connection.number for seen in fake.requests] == [0, 0, 1]
        assert in_use(upstream) == 0


async def test_crossing_close_is_retried_once_only(transport: Make) -> None:
    async with FakeUpstream({"m": Script(drop="close")}).serving() as fake:
        upstream = transport()
        async with trio.open_nursery() as nursery:
            for _ in range(3):  # three kept connections: the second try must not take another of them
                nursery.start_soon(call, upstream, request(fake.url, "warm"))
        failed = await failure(upstream, request(fake.url))
        assert (failed.fault, failed.sent) == (Fault.reset, True)
        assert len([seen for seen in fake.requests if seen.model == "m"]) == 2


async def test_failed_second_try_still_says_sent(transport: Make) -> None:
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


async def test_slow_break_of_a_kept_connection_is_not_retried(transport: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ftgate.transports.outgoing.STALE_S", 0.05)
    async with FakeUpstream({"m": Script(head_delay_s=0.15, drop="close")}).serving() as fake:
        upstream = transport()
        await call(upstream, request(fake.url, "warm"))
        assert (await failure(upstream, request(fake.url))).fault is Fault.reset
        assert len(fake.requests) == 2


async def test_break_after_a_response_byte_is_not_retried(transport: Make) -> None:
    async with FakeUpstream({"m": Script(raw_response=b"HTTP/1.1 2")}).serving() as fake:
        upstream = transport()
        await call(upstream, request(fake.url, "warm"))
        assert (await failure(upstream, request(fake.url))).fault is Fault.reset
        assert len(fake.requests) == 2


async def test_bytes_that_come_while_idle_are_never_the_next_answer(transport: Make) -> None:
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n"
    spoke = trio.Event()

    async def serve(stream: trio.SocketStream) -> None:
        await read_request(stream)
        await stream.send_all(answer + b"one")
        await trio.sleep(0.02)
        await stream.send_all(answer + b"two")
        spoke.set()
        await trio.sleep_forever()

    async with raw_upstream(serve) as url:
        upstream = transport()
        assert await call(upstream, request(url)) == (200, b"one")
        await spoke.wait()
        assert await call(upstream, request(url)) == (200, b"one")


async def test_a_thousand_calls_on_one_connection(transport: Make) -> None:
    async with FakeUpstream().serving() as fake:
        upstream = transport()
        assert (await call(upstream, request(fake.url)))[0] == 200
        before = open_files()
        for index in range(1000):
            assert (await call(upstream, request(fake.url, stream=index % 8 == 0)))[0] == 200
        assert len(fake.connections) == 1
        assert open_files() == before


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("size", [0, 1, 16_384, 16_385, 5_000_000])
async def test_bodies_of_every_size_both_ways(transport: Make, size: int, tls: bool, tmp_path: Path) -> None:
    server, ca_file = tls_server(tmp_path)
    body = random.Random(size).randbytes(size)
    fake = FakeUpstream(default=Script(raw_body=body, framing="length"), ssl_context=server if tls else None)
    async with fake.serving():
        upstream = transport(ca_file=ca_file)
        for _ in range(2):
            assert await call(upstream, request(fake.url, body=body)) == (200, body)
        assert [seen.body for seen in fake.requests] == [body, body]
        assert len(fake.connections) == 1


@pytest.mark.parametrize("framing", ["chunked", "length", "close"])
async def test_answers_in_the_smallest_pieces(transport: Make, framing: Any) -> None:
    async with FakeUpstream(
        {"whole": Script(framing=framing), "m": Script(framing=framing, write_size=1)}
    ).serving() as fake:
        upstream = transport()
        for stream in (True, False):
            whole = await call(upstream, request(fake.url, "whole", stream=stream))
            assert (await call(upstream, request(fake.url, stream=stream)))[1] == whole[1].replace(b'"whole"', b'"m"')


# ---- leaving ----


@pytest.mark.parametrize("stream", [True, False])
async def test_cancelled_before_the_head(transport: Make, stream: bool) -> None:
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
        assert fake.connections[0].closed_by_peer_at - left < AT_ONCE_S
        assert in_use(upstream) == 0


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("reading", [True, False])
async def test_cancelled_in_the_body(transport: Make, reading: bool, tls: bool, tmp_path: Path) -> None:
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
        assert time.monotonic() - left < AT_ONCE_S, "closing waits for nobody"
        await fake.until(lambda: seen_gone(fake))
        assert fake.connections[0].closed_by_peer_at is not None
        assert fake.connections[0].closed_by_peer_at - left < AT_ONCE_S
        assert upstream.counts()["c"].idle == in_use(upstream) == 0


async def test_closed_with_unread_pieces_in_hand(transport: Make) -> None:
    async with FakeUpstream({"m": Script(repeat=300, events_per_write=50)}).serving() as fake:
        upstream = transport()
        answer = await upstream.open(request(fake.url, stream=True))
        assert await answer.receive()
        await trio.sleep(0.05)
        left = time.monotonic()
        await answer.aclose()
        await fake.until(lambda: seen_gone(fake))
        assert time.monotonic() - left < AT_ONCE_S
        assert upstream.counts()["c"].idle == 0


async def test_peer_that_reads_nothing_does_not_hold_the_close_up(transport: Make) -> None:
    async with raw_upstream(lambda stream: trio.sleep_forever()) as url:
        upstream = transport()
        with trio.move_on_after(0.2) as scope:
            await call(upstream, request(url, body=b"x" * 20_000_000))
        assert scope.cancelled_caught
        assert trio.current_time() - scope.deadline < AT_ONCE_S
        assert in_use(upstream) == 0


async def test_cancelled_while_connecting_or_waiting_for_a_place(transport: Make) -> None:
    async with raw_upstream(lambda stream: trio.sleep_forever()) as url:
        upstream = transport(max_connections=1)
        with trio.move_on_after(0.1):
            async with trio.open_nursery() as nursery:
                for _ in range(3):
                    nursery.start_soon(call, upstream, request(url.replace("http:", "https:")))
        assert upstream.counts()["c"] == ChannelCounts(in_use=0, waiting=0, idle=0)


async def test_cancelled_receive_ends_the_answer(transport: Make) -> None:
    async with FakeUpstream({"m": Script(hang_after=1)}).serving() as fake:
        answer = await transport().open(request(fake.url, stream=True))
        with trio.move_on_after(0.1):
            while await answer.receive():
                pass
        with pytest.raises(UpstreamFailed, match="given up"):
            await answer.receive()
        await answer.aclose()


async def test_whether_anything_was_sent_is_told_at_once(transport: Make) -> None:
    """Also of a call that was cancelled, and never told otherwise again."""
    async with raw_upstream(lambda stream: trio.sleep_forever()) as url:
        upstream = transport()
        for address, sent in ((url.replace("http:", "https:"), False), (url, True)):
            sending = Sending()
            with trio.move_on_after(0.1):
                await upstream.open(request(address), sending)
            assert sending.sent is sent


async def test_thousands_of_cancelled_calls_leave_nothing(transport: Make) -> None:
    """F40. httpcore's own pool fails this (#1093)."""
    dice = random.Random(40)
    scripts = {"slow": Script(head_delay_s=0.004, piece_delay_s=0.001)}
    async with FakeUpstream(scripts).serving() as fake:
        upstream = transport(max_connections=5)

        async def one(stream: bool, patience_s: float) -> None:
            with trio.move_on_after(patience_s):
                await call(upstream, request(fake.url, "slow", stream=stream))

        # Where the machine is slow, more patience is needed for some to get as far as the upstream.
        for patience_s in (0.010, 0.040, 0.160):
            async with trio.open_nursery() as nursery:
                for index in range(2000):
                    nursery.start_soon(one, index % 2 == 0, dice.uniform(0, patience_s))
                    if index % 20 == 19:
                        await trio.sleep(0.002)
            if len(fake.connections) > 2 * 5:
                break
        assert upstream.counts()["c"].in_use == upstream.counts()["c"].waiting == 0
        with trio.fail_after(2):
            assert (await call(upstream, request(fake.url)))[0] == 200
        assert in_use(upstream) == 0
        assert len(fake.connections) > 2 * 5, (
            "the calls got as far as the upstream, and cancelled ones closed their connections"
        )
        await fake.until(lambda: len(fake.open_connections) == upstream.counts()["c"].idle)
        assert upstream.counts()["c"].idle <= 5


async def test_idle_connections_are_closed_without_new_traffic(
    transport: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ftgate.transports.outgoing.KEEP_IDLE_S", 0.5)
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
        assert len(fake.connections) == 2, "the old one was not used again"
        await trio.sleep(0.6)
        upstream.close_idle()
        with trio.fail_after(1):
            await fake.until(lambda: not fake.open_connections)


# ---- TLS ----


async def test_tls_with_its_own_authority(transport: Make, tmp_path: Path) -> None:
    server, ca_file = tls_server(tmp_path)
    async with FakeUpstream(ssl_context=server).serving() as fake:
        upstream = transport(ca_file=ca_file)
        for _ in range(3):
            assert (await call(upstream, request(fake.url, stream=True)))[0] == 200
        assert len(fake.connections) == 1


async def test_tls_unknown_authority(transport: Make, tmp_path: Path) -> None:
    server, _ = tls_server(tmp_path)
    async with FakeUpstream(ssl_context=server).serving() as fake:
        upstream = transport()
        failed = await failure(upstream, request(fake.url))
        assert (failed.fault, failed.sent) == (Fault.tls, False)
        assert fake.requests == []
        assert in_use(upstream) == 0
        await fake.until(lambda: not fake.open_connections)


async def test_tls_wrong_name(transport: Make, tmp_path: Path) -> None:
    server, ca_file = tls_server(tmp_path, "elsewhere.test")
    async with FakeUpstream(ssl_context=server).serving() as fake:
        failed = await failure(transport(ca_file=ca_file), request(fake.url))
        assert (failed.fault, failed.sent) == (Fault.tls, False)


@pytest.mark.parametrize("how", ["close", "rst"])
async def test_tls_handshake_that_breaks(transport: Make, how: str) -> None:
    async def serve(stream: trio.SocketStream) -> None:
        await stream.receive_some(65536)
        if how == "rst":
            reset(stream)

    async with raw_upstream(serve) as url:
        failed = await failure(transport(), request(url.replace("http:", "https:")))
        assert (failed.fault, failed.sent) == (Fault.tls, False)


async def test_tls_against_a_plain_port(transport: Make) -> None:
    async with FakeUpstream().serving() as fake:
        failed = await failure(transport(), request(fake.url.replace("http:", "https:")))
        assert (failed.fault, failed.sent) == (Fault.tls, False)


@pytest.mark.parametrize("kind", ["httpx", "direct"])
async def test_trust_stores_are_shared(kind: str, tmp_path: Path) -> None:
    _, ca_file = tls_server(tmp_path)
    own = Path(ca_file).read_text()
    upstream = KINDS[kind]()
    for name, reach in {"a": Reach(), "b": Reach(), "c": Reach(own), "d": Reach(own)}.items():
        asked = request("http://127.0.0.1:1", channel=name)
        await failure(upstream, msgspec.structs.replace(asked, reach=reach))
    assert len(upstream._trust) == 2
    upstream.adopt({"a": Reach()})
    assert list(upstream._trust) == [None]


async def test_other_settings_leave_connections_of_what_is_the_same(transport: Make) -> None:
    """Adoption is by content: a channel that is reached as before keeps its connections, others lose theirs, and an
    answer that is still coming is read to its end."""
    async with FakeUpstream({"m": Script(piece_delay_s=0.02)}).serving() as fake:
        upstream = transport()
        for name in ("same", "gone"):
            await call(upstream, request(fake.url, channel=name))
        coming = await upstream.open(request(fake.url, channel="gone", stream=True))
        before = len(fake.connections)
        upstream.adopt({"same": Reach()})
        assert {name: counts.idle for name, counts in upstream.counts().items()} == {"same": 1}
        assert b"[DONE]" in await read(coming)
        await coming.aclose()
        await call(upstream, request(fake.url, channel="same"))
        assert len(fake.connections) == before
        await call(upstream, request(fake.url, channel="gone"))
        assert len(fake.connections) == before + 1
        assert upstream.counts()["same"] == ChannelCounts(in_use=0, waiting=0, idle=1)


@pytest.mark.parametrize("kind", ["httpx", "direct"])
async def test_calls_go_on_as_they_are_reached(kind: str, tmp_path: Path) -> None:
    """Two settings of one channel are used in turn: each has its own connections, and none goes the other's way."""
    server, ca_file = tls_server(tmp_path)
    trusting = Reach(Path(ca_file).read_text())
    async with FakeUpstream(ssl_context=server).serving() as fake:
        upstream = KINDS[kind]()
        for _ in range(2):
            asked = request(fake.url)
            await call(upstream, msgspec.structs.replace(asked, reach=trusting))
            assert (await failure(upstream, asked)).fault is Fault.tls
        assert len(fake.connections) == 3  # the trusting one was kept
        upstream.adopt({"c": Reach(trusting.authorities)})
        await call(upstream, msgspec.structs.replace(asked, reach=Reach(trusting.authorities)))
        assert len(fake.connections) == 3
        await upstream.aclose_all()


async def test_environment_is_not_asked(transport: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with FakeUpstream().serving() as fake:
        assert (await call(transport(), request(fake.url)))[0] == 200


async def test_nothing_of_a_call_is_logged(transport: Make, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    async with FakeUpstream(default=Script(headers=(("x-echo", "secret"),))).serving() as fake:
        await call(transport(), request(fake.url + "/v1/x?key=secret", headers=((b"x-api-key", b"secret"),)))
    assert "secret" not in caplog.text


async def test_aclose_all_leaves_running_answers_alone(transport: Make) -> None:
    async with FakeUpstream({"m": Script(piece_delay_s=0.02)}).serving() as fake:
        upstream = transport()
        answer = await upstream.open(request(fake.url, stream=True))
        await upstream.aclose_all()
        assert b"[DONE]" in await read(answer)
        await answer.aclose()
        await fake.until(lambda: not fake.open_connections)
        assert upstream.counts()["c"].idle == 0
