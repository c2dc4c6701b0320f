"""What the tests of both doors share: raw clients, requests as bytes, a door that runs in the test's nursery."""

import errno
import socket
import ssl
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import h11
import trio
import trustme

from tests.patience import SOON_S, until

PIECE = b"x" * 65_536


class One:
    """Admits one connection at a time."""

    def __init__(self) -> None:
        self.open = 0

    def admit(self, stream: trio.SocketStream) -> Callable[[], None] | None:
        if self.open:
            return None
        self.open = 1
        return self.ended

    def ended(self) -> None:
        self.open = 0


@dataclass
class Answer:
    status: int
    headers: dict[bytes, bytes]
    body: bytes


class Client:
    """A raw connection, and h11's other half to read whole answers from it."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self._h11 = h11.Connection(h11.CLIENT)

    async def write(self, data: bytes) -> None:
        with trio.fail_after(SOON_S):
            await self.stream.send_all(data)

    async def read(self) -> bytes:
        """Some bytes; none at the end, a reset counts as one."""
        with trio.fail_after(SOON_S):
            try:
                return bytes(await self.stream.receive_some(65_536))
            except trio.BrokenResourceError:
                return b""

    async def read_to_end(self) -> bytes:
        data = b""
        with trio.fail_after(SOON_S):
            while more := await self.read():
                data += more
        return data

    async def answer(self, method: str = "GET") -> Answer:
        """The next answer on this connection, whole."""
        if self._h11.our_state is h11.DONE:
            self._h11.start_next_cycle()
        self._h11.send(h11.Request(method=method, target="/", headers=[("host", "x")]))
        self._h11.send(h11.EndOfMessage())
        status, headers, body = 0, {}, b""
        while True:
            event = self._h11.next_event()
            if event is h11.NEED_DATA:
                self._h11.receive_data(await self.read())
            elif isinstance(event, h11.Response):
                status, headers = event.status_code, dict(event.headers)
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                return Answer(status, headers, body)

    async def ask(self, path: str) -> Answer:
        await self.write(get(path))
        return await self.answer()

    def reset(self) -> None:
        transport = getattr(self.stream, "transport_stream", self.stream)
        transport.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.socket.close()

    def close(self) -> None:
        getattr(self.stream, "transport_stream", self.stream).socket.close()


def get(path: str, *headers: str, version: str = "1.1", method: str = "GET") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/{version}", "Host: x", *headers, "", ""]).encode("latin-1")


def post(path: str, body: bytes, *headers: str) -> bytes:
    return get(path, f"Content-Length: {len(body)}", *headers, method="POST") + body


class Running:
    """A door in the test's nursery."""

    def __init__(self, door: Any, listeners: Any, client_context: ssl.SSLContext | None) -> None:
        self.door, self._listeners, self._client_context = door, listeners, client_context
        self.port = listeners[0].socket.getsockname()[1]
        self.scope = trio.CancelScope()
        self.returned = trio.Event()
        self._clients: list[Client] = []

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        with self.scope:
            await self.door.serve(self._listeners, task_status=task_status)
        self.returned.set()

    async def connect(self, small_buffer: bool = False) -> Client:
        with trio.fail_after(SOON_S):
            sock = trio.socket.socket()
            if small_buffer:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            try:
                await sock.connect(("127.0.0.1", self.port))
            except OSError:
                sock.close()
                raise
            stream: Any = trio.SocketStream(sock)
            if self._client_context is not None:
                stream = trio.SSLStream(
                    stream, self._client_context, server_hostname="localhost", https_compatible=True
                )
                await stream.do_handshake()
        self._clients.append(Client(stream))
        return self._clients[-1]

    async def check_alive(self) -> None:
        """A normal request succeeds on a new connection."""
        assert not self.returned.is_set()
        client = await self.connect()
        answer = await client.ask("/ok")
        assert (answer.status, answer.body) == (200, b"fine")
        client.close()

    async def until_connections(self, count: int) -> None:
        await until(lambda: self.door.connections == count)

    def close(self) -> None:
        for client in self._clients:
            client.close()


def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("localhost").configure_cert(server)
    authority.configure_trust(client)
    client.set_alpn_protocols(["h2", "http/1.1"])
    return server, client


class FailingListener:
    """A listener that is out of file descriptors a few times."""

    def __init__(self, listener: trio.SocketListener) -> None:
        self._listener, self.socket, self._failures = (
            listener,
            listener.socket,
            [errno.EMFILE, errno.EMFILE, errno.ENOTCONN],
        )

    async def accept(self) -> trio.SocketStream:
        if self._failures:
            raise OSError(self._failures.pop(), "injected")
        return await self._listener.accept()

    async def __aenter__(self) -> "FailingListener":
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._listener.aclose()
