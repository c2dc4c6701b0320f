"""What only the httpx transport does: HTTP/2, proxies, and its way with bytes after an answer. The rest is in
test_transports.py."""

import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import pytest
import trio

from ftgate.errors import Fault
from ftgate.transports.outgoing import ChannelCounts
from tests.fakes.upstream import FakeUpstream
from tests.transports.transports import (
    Make,
    call,
    failure,
    making,
    raw_upstream,
    read,
    read_request,
    request,
    tls_server,
)


@pytest.fixture
async def transport() -> AsyncIterator[Make]:
    async with making("httpx") as make:
        yield make


async def test_bytes_after_an_answer_are_never_the_next_answer(transport: Make) -> None:
    async def serve(stream: trio.SocketStream) -> None:
        await read_request(stream)
        one = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n"
        await stream.send_all(
            one + b"one" + one + b"two"
        )  # in one segment: the second lies in the parser, not in the socket
        await trio.sleep_forever()

    async with raw_upstream(serve) as url:
        upstream = transport()
        assert await call(upstream, request(url)) == (200, b"one")
        failed = await failure(upstream, request(url))
        assert failed.fault is Fault.protocol


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
async def test_http2_one_call_per_connection(transport: Make, hang: bool, tmp_path: Path) -> None:
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


async def test_tunnel_through_a_proxy(transport: Make, tmp_path: Path) -> None:
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


async def test_plain_upstream_through_a_proxy(transport: Make) -> None:
    async with FakeUpstream().serving() as fake:
        upstream = transport(proxy=fake.url)  # the fake takes the absolute form for a path
        assert (await call(upstream, request("http://upstream.test")))[0] == 200
        assert fake.requests[0].path == "http://upstream.test/v1/chat/completions"
        assert fake.requests[0].header("host") == "upstream.test"


@pytest.mark.parametrize("proxy", ["ftp://127.0.0.1:1", "127.0.0.1:8080", "http://"])
async def test_bad_proxies_are_never_asked(transport: Make, proxy: str) -> None:
    with pytest.raises(ValueError, match="proxy"):
        await transport(proxy=proxy).open(request("http://127.0.0.1:1"))
