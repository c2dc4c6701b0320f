"""TLS's own goodbye (close_notify) in one piece with the answer, while the socket stays open: nobody tells of the end
again."""

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from tests.patience import SOON_S
from tests.transports.transports import KINDS, Make, call, failure, making, raw_upstream, request, tls_server

BODY = b'{"choices": []}'
WHOLE = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(BODY), BODY)
ANSWERS = {"with a length": WHOLE, "to the end": b"HTTP/1.1 200 OK\r\n\r\n" + BODY}


@pytest.fixture(params=list(KINDS))
async def transport(request: pytest.FixtureRequest) -> AsyncIterator[Make]:
    async with making(request.param) as make:
        yield make


class Secure:
    """A server's TLS over a stream, with every record in our hands."""

    def __init__(self, stream: trio.SocketStream, context: ssl.SSLContext) -> None:
        self.stream = stream
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_side=True)

    async def greet(self) -> None:
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self.flush()
                await self._more()
            else:
                return await self.flush()

    async def request(self) -> None:
        seen = b""
        while not seen.endswith(b'"hello"}]}'):
            try:
                seen += self._tls.read(65536)
            except ssl.SSLWantReadError:
                await self._more()

    async def _more(self) -> None:
        data = await self.stream.receive_some(65536)
        assert data
        self._in.write(data)

    def write(self, data: bytes) -> None:
        self._tls.write(data)

    def goodbye(self) -> None:
        with pytest.raises(ssl.SSLWantReadError):  # for the other side's, which is not waited for
            self._tls.unwrap()

    async def flush(self) -> None:
        if self._out.pending:
            await self.stream.send_all(self._out.read())


@pytest.mark.parametrize("ending", list(ANSWERS))
async def test_a_goodbye_behind_the_answer_ends_the_connection(transport: Make, ending: str, tmp_path: Path) -> None:
    server, ca_file = tls_server(tmp_path)
    connections = 0

    async def serve(stream: trio.SocketStream) -> None:
        nonlocal connections
        connections += 1
        secure = Secure(stream, server)
        await secure.greet()
        await secure.request()
        secure.write(ANSWERS[ending])
        secure.goodbye()
        await secure.flush()
        await trio.sleep_forever()

    async with raw_upstream(serve) as url:
        upstream = transport(ca_file=ca_file)
        for number in (1, 2):
            with trio.fail_after(SOON_S):
                status, body = await call(upstream, request(url.replace("http:", "https:")))
            assert (status, body, connections) == (200, BODY, number)


async def test_a_goodbye_in_the_middle_of_an_answer_is_a_cut(transport: Make, tmp_path: Path) -> None:
    server, ca_file = tls_server(tmp_path)

    async def serve(stream: trio.SocketStream) -> None:
        secure = Secure(stream, server)
        await secure.greet()
        await secure.request()
        secure.write(WHOLE[:-5])
        secure.goodbye()
        await secure.flush()
        await trio.sleep_forever()

    async with raw_upstream(serve) as url:
        with trio.fail_after(SOON_S):
            assert (await failure(transport(ca_file=ca_file), request(url.replace("http:", "https:")))).sent
