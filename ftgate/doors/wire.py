"""A client's connection as the fast door uses it: plain TCP on a non-blocking socket, used first and awaited only when
it is not ready; or TLS over trio's own stream, behind the same few words.
"""

import socket
import ssl
from contextlib import suppress

import trio

from ftgate.doors.connections import MAX_RECEIVE
from ftgate.readiness import Watch

GONE = (trio.BrokenResourceError, trio.ClosedResourceError)


def peer_of(end: socket.socket | trio.socket.SocketType) -> str:
    """The address at the other end of a socket; "" where it has none."""
    try:
        name = end.getpeername()
    except OSError:
        return ""
    return str(name[0]) if isinstance(name, tuple) else ""


class Wire:
    """A plain TCP connection, used without waiting first. Its owner gives it its `watch`."""

    watch: Watch
    immediate = True
    """Whether send_now() sends anything."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.socket = socket.socket(fileno=stream.socket.detach())
        self.socket.setblocking(False)
        with suppress(OSError):  # a Unix socket has no such option
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)

    def peer(self) -> str:
        """The address at the other end; "" where it has none."""
        return peer_of(self.socket)

    async def begin(self) -> None:
        """Nothing to shake hands about."""

    async def receive(self, *, wait: bool) -> bytes:
        """The next bytes, b"" when nothing can come any more. With `wait` others get their turn first."""
        if wait:
            await self.watch.wait()
        while True:
            try:
                data = self.socket.recv(MAX_RECEIVE)
            except BlockingIOError:
                await self.watch.wait()
            except OSError:
                return b""
            else:
                if len(data) == MAX_RECEIVE:
                    self.watch.leave()
                return data

    def send_now(self, data: bytes) -> int:
        """As many bytes as go at once. Raises OSError when the peer is gone."""
        try:
            return self.socket.send(data)
        except BlockingIOError:
            return 0

    async def send_rest(self, data: memoryview) -> None:
        """Raises OSError when the peer is gone."""
        while data:
            await trio.lowlevel.wait_writable(self.socket)
            with suppress(BlockingIOError):
                data = data[self.socket.send(data) :]

    def readable(self) -> bool:
        """Whether bytes (or the end) have come that nobody has taken yet."""
        try:
            self.socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True

    async def goodbye(self) -> None:
        """TCP's end says it all."""

    def stream(self) -> trio.SocketStream | trio.SSLStream[trio.SocketStream]:
        """For another door to go on with; this object is done."""
        return trio.SocketStream(trio.socket.from_stdlib_socket(self.socket))

    def close(self) -> None:
        self.socket.close()


class SecureWire(Wire):
    """A TLS connection over trio's own stream."""

    immediate = False

    def __init__(self, stream: trio.SocketStream, context: ssl.SSLContext) -> None:
        super().__init__(stream)
        self._secure = trio.SSLStream(
            trio.SocketStream(trio.socket.from_stdlib_socket(self.socket)), context, server_side=True
        )

    async def begin(self) -> None:
        await self._secure.do_handshake()

    async def receive(self, *, wait: bool) -> bytes:
        try:
            return bytes(await self._secure.receive_some(MAX_RECEIVE))
        except GONE:
            return b""

    def send_now(self, data: bytes) -> int:
        return 0

    async def send_rest(self, data: memoryview) -> None:
        try:
            await self._secure.send_all(data)
        except GONE as gone:
            raise OSError("gone") from gone

    async def goodbye(self) -> None:
        with suppress(*GONE):
            await self._secure.aclose()

    def stream(self) -> trio.SSLStream[trio.SocketStream]:
        return self._secure

    def close(self) -> None:
        self._secure.transport_stream.socket.close()  # wakes whoever waits on it
