"""What the tests of the transports share: the transports by name, calls, and servers that are less than an upstream.

Everything runs on real sockets at 127.0.0.1. Times are the socket's: when the upstream saw its peer leave.
"""

import json
import os
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import trio
import trustme

from ftgate.core.routing import Reach
from ftgate.errors import UpstreamFailed
from ftgate.ports import UpstreamRequest
from ftgate.readiness import SUPPORTED, Readiness
from ftgate.transports.direct import DirectUpstream
from ftgate.transports.sturdy import SturdyUpstream
from tests.fakes.upstream import FakeUpstream

DIRECT = ["direct", *["watched"] * SUPPORTED]
"""The direct transport by the loop's own waits, and on a Readiness that runs."""
KINDS: dict[str, Any] = {"httpx": SturdyUpstream, **dict.fromkeys(DIRECT, DirectUpstream)}


class Pumped:
    """An answer (ports.Answer) each piece of whose body is pumped, where that can be done."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self.answer, name)

    async def receive(self) -> bytes:
        pieces: list[bytes] = []

        def take(piece: bytes) -> bool:
            pieces.append(piece)
            return False

        await self.answer.pump(take)
        return b"".join(pieces) or await self.answer.receive()


class PumpedUpstream(DirectUpstream):
    """The direct transport on a Readiness, its bodies pumped."""

    async def _open(self, *arguments: Any) -> Any:
        return Pumped(await super()._open(*arguments))


if SUPPORTED:
    KINDS["pumped"] = PumpedUpstream

Make = Callable[..., Any]
"""Makes a transport with one channel, `c`: make(max_connections, **options of the channel)."""


def reach(ca_file: str | None = None, **options: Any) -> Reach:
    return Reach(Path(ca_file).read_text() if ca_file else None, **options)


def reach_all(upstream: Any, reach: Reach) -> None:
    """From now on every request goes out so, whatever it says itself."""
    channel = upstream._channel
    upstream._channel = lambda name, _: channel(name, reach)


@asynccontextmanager
async def making(kind: str) -> AsyncIterator[Make]:
    """A Make whose transports are closed at the end."""
    made: list[Any] = []
    more: dict[str, Any] = {}

    def make(max_connections: int = 1000, **options: Any) -> Any:
        upstream = KINDS[kind](max_connections=max_connections, **more)
        reach_all(upstream, reach(**options))
        made.append(upstream)
        return upstream

    if kind not in {"watched", "pumped"}:
        yield make
        for one in made:
            await one.aclose_all()
        return
    async with watching() as readiness:
        more["readiness"] = readiness
        yield make
        for one in made:
            await one.aclose_all()
        assert not readiness._watched, "a connection was left behind"


@asynccontextmanager
async def watching() -> AsyncIterator[Readiness]:
    """A Readiness that runs."""
    readiness = Readiness()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(readiness.run)
        yield readiness
        nursery.cancel_scope.cancel()
    readiness.close()


def request(
    url: str, model: str = "m", *, headers: tuple[tuple[bytes, bytes], ...] = (), **more: Any
) -> UpstreamRequest:
    connect_s = more.pop("connect_s", 2.0)
    channel = more.pop("channel", "c")
    body = more.pop("body", None)
    if body is None:
        body = json.dumps({"model": model, "messages": [{"role": "user", "content": "hello"}], **more}).encode()
    path = "" if url.count("/") > 2 else "/v1/chat/completions"
    sent = ((b"content-type", b"application/json"), *headers)
    return UpstreamRequest(channel=channel, url=url + path, headers=sent, body=body, connect_s=connect_s)


async def read(answer: Any) -> bytes:
    pieces = []
    while piece := await answer.receive():
        pieces.append(piece)
    return b"".join(pieces)


async def call(upstream: Any, message: UpstreamRequest) -> tuple[int, bytes]:
    with trio.fail_after(10):
        answer = await upstream.open(message)
        try:
            return answer.status, await read(answer)
        finally:
            await answer.aclose()


async def failure(upstream: Any, message: UpstreamRequest) -> UpstreamFailed:
    with pytest.raises(UpstreamFailed) as caught:
        await call(upstream, message)
    return caught.value


def in_use(upstream: Any) -> int:
    return upstream.counts()["c"].in_use


async def read_request(stream: trio.SocketStream) -> None:
    """Reads until the end of request()'s body, which may come in several segments."""
    seen = b""
    while not seen.endswith(b'"hello"}]}'):
        data = await stream.receive_some(65536)
        assert data
        seen += data


@asynccontextmanager
async def raw_upstream(serve: Callable[[Any], Any], ssl_context: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """A server that is nothing but `serve(stream)`, for what HTTP has no word for. With `ssl_context` it speaks TLS."""

    async def serve_and_close(tcp: trio.SocketStream) -> None:
        async with tcp:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                if ssl_context is None:
                    await serve(tcp)
                else:
                    await serve(trio.SSLStream(tcp, ssl_context, server_side=True, https_compatible=True))

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, serve_and_close, listeners)
        yield f"http{'s' if ssl_context else ''}://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()


def reset(stream: Any) -> None:
    """Close the stream's socket with an RST."""
    tcp = stream.transport_stream if isinstance(stream, trio.SSLStream) else stream
    tcp.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    tcp.socket.close()


def open_files() -> int:
    return len(os.listdir("/dev/fd"))


class _Gathered(trio.abc.SendStream):
    """Keeps what is sent."""

    def __init__(self) -> None:
        self.data = b""

    async def send_all(self, data: Any) -> None:
        self.data += data

    async def wait_send_all_might_not_block(self) -> None:
        """It never does."""

    async def aclose(self) -> None:
        """Nothing is open."""


class TogetherUpstream(FakeUpstream):
    """Sends an answer whose script knows no delay in its body in one go, head and all, as most upstreams do with a
    short one."""

    async def _answer_scripted(self, stream: Any, seen: Any, script: Any) -> None:
        if script.first_delay_s or script.piece_delay_s or script.hang_after is not None:
            await super()._answer_scripted(stream, seen, script)
            return
        gathered: Any = _Gathered()
        try:
            await super()._answer_scripted(gathered, seen, script)
        finally:
            await stream.send_all(gathered.data)


def seen_gone(fake: FakeUpstream) -> bool:
    return bool(fake.requests) and not fake.open_connections


def tls_server(directory: Path, name: str = "127.0.0.1") -> tuple[ssl.SSLContext, str]:
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(server)
    ca_file = directory / "ca.pem"
    authority.cert_pem.write_to_path(ca_file)
    return server, str(ca_file)
