"""A door made of Hypercorn's HTTP/1.1 parts, hardened: whatever a client does ends at most its own connection.

Stock Hypercorn 0.18 on Trio can be ended by one request in several ways, goes deaf to clients that leave, and waits for
ever for clients that do not read. So only its HTTP/1.1 state machine (`H11Protocol`, `HTTPStream`, both on h11) is used
here; the connection around it is ours. Their inner names are used, so the version is pinned and the tests of this file
are its regression tests. Nothing of Hypercorn is patched, and each connection has its own objects: a connection that
another door has begun can be handed to `serve_connection`, with the bytes read from it so far.

The rules, and why:

- HTTP/1.1 (and 1.0) only. No h2, h2c, h2 preface or WebSocket: an upgrade is ignored, because every known way to end
  the process comes through one of them.
- A head that two readers could frame differently (Content-Length twice or as a list, beside Transfer-Encoding, folded
  or bare line ends, chunks in HTTP/1.0) is refused with 400 and the connection closed.
- One budget, `keep_alive_s`, for a TLS handshake, for a whole request head and for the idle time between two requests.
- The connection is read even while nothing more may come, so that a client that leaves is seen within
  milliseconds, whatever bytes it sent after its request. Read-ahead is bounded: body that the app does not take stops
  the reading, more than MAX_AHEAD bytes of further requests end the connection. A half-close counts as leaving.
- A write is never cut in the middle by the app's cancellation (the peer would get a broken stream) and never lasts
  longer than `write_limit_s` for each 64 KiB: after that the client is dropped. Once the client is gone, `receive()`
  says http.disconnect, as often as asked, and `send()` does nothing.
- An answer that ends before its request was uploaded says Connection: close; we stop sending at once and discard what
  still comes for LINGER_S, because closing with unread bytes resets the connection, and a reset can destroy the answer.
- An answer that breaks off is never sold as finished: no last chunk, no TLS goodbye, and a reset in HTTP/1.0, where the
  end of the connection is the end of the answer (proxies often speak 1.0 to us).
- 100 Continue is sent when the app first asks for the body, so a refusal needs no upload.
- Cancelling `serve` or `serve_connection` cuts everything at once, writes in progress too. Last words are sent before
  that.
- An exception ends its connection and is logged by type and place, never by message or header: both can hold keys.
"""

import logging
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from math import inf
from typing import Any, cast

import trio
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState
from hypercorn.utils import parse_socket_addr

from ftgate.doors.connections import (
    CANCELLATIONS,
    LINGER_S,
    MAX_RECEIVE,
    RESET_ON_CLOSE,
    STALLED,
    WRITE_SLICE,
    Admit,
    App,
    Message,
    accept,
    everybody,
    log_faults,
)
from ftgate.doors.strict import Http11

log = logging.getLogger("ftgate.door")

Stream = trio.SocketStream | trio.SSLStream[trio.SocketStream]

MAX_UNREAD_BODY = 262_144  # bytes of body that wait for the app before reading stops

_GONE = (trio.BrokenResourceError, trio.ClosedResourceError)


class HypercornDoor:
    """Serves an ASGI app over HTTP/1.1 to the connections it accepts and to those it is handed.

    `app` sees only `http` scopes, never lifespan. `keep_alive_s` and `write_limit_s` are in seconds, see the rules
    above. Above `max_connections` the newest connection is closed at once. With `ssl_context` the accepted connections
    speak TLS; the context is told to offer http/1.1 and nothing else.
    """

    def __init__(
        self,
        app: App,
        *,
        keep_alive_s: float = 5.0,
        write_limit_s: float = 30.0,
        max_connections: int = 10_000,
        admit: Admit = everybody,
        max_head_bytes: int = 32_768,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        if ssl_context is not None:
            ssl_context.set_alpn_protocols(["http/1.1"])
        self.app = app
        self.keep_alive_s = keep_alive_s
        self.write_limit_s = write_limit_s
        self.max_connections = max_connections
        self.admit = admit
        self.stopping = trio.Event()
        self.config = Config()
        self.config.accesslog = None
        self.config.errorlog = None
        self.config.include_server_header = False
        self.config.h11_max_incomplete_size = max_head_bytes
        self.context = WorkerContext(None)
        self.context.terminated = cast(Any, self.stopping)  # the protocol only asks is_set()
        self._ssl_context = ssl_context
        self._open: set[_Connection] = set()
        self._full = False

    @property
    def connections(self) -> int:
        """How many connections are open now."""
        return len(self._open)

    def __repr__(self) -> str:
        return f"<HypercornDoor {len(self._open)} connections{', stopping' * self.stopping.is_set()}>"

    async def serve(
        self, listeners: list[trio.SocketListener], *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Accept until `stop()`, then close listeners and idle connections, and return when the busy ones have
        finished."""
        async with trio.open_nursery() as connections:
            async with trio.open_nursery() as accepting:
                for listener in listeners:
                    accepting.start_soon(accept, listener, connections, self._serve_accepted, self.admit)
                task_status.started()
                await self.stopping.wait()
                accepting.cancel_scope.cancel()

    def stop(self) -> None:
        """Begin a graceful stop: nothing new is accepted, idle connections end now, running answers are their
        connection's last."""
        self.stopping.set()
        self.config.keep_alive_max_requests = 0  # so that answers not yet begun say Connection: close
        for connection in self._open:
            connection.close_if_idle()

    async def serve_connection(self, stream: Stream, already_read: bytes = b"") -> None:
        """Serve one connection to its end. `already_read` are bytes that came from it before. Raises nothing but a
        cancellation."""
        await self._serve_guarded(stream, already_read, None)

    async def _serve_accepted(self, stream: trio.SocketStream) -> None:
        await self._serve_guarded(stream, b"", self._ssl_context)

    async def _serve_guarded(self, stream: Stream, already_read: bytes, ssl_context: ssl.SSLContext | None) -> None:
        """The barrier: what one connection raises stays in it."""
        transport = stream.transport_stream if isinstance(stream, trio.SSLStream) else stream
        connection = None
        try:
            if len(self._open) >= self.max_connections:
                if not self._full:
                    log.warning("more than %d connections, the newest are closed", self.max_connections)
                self._full = True
                return
            self._full = False
            if ssl_context is not None:
                stream = trio.SSLStream(transport, ssl_context, server_side=True)
            connection = _Connection(self, stream, transport)
            self._open.add(connection)
            await connection.run(already_read)
        except* CANCELLATIONS:
            raise
        except* BaseException as faults:  # SystemExit too: no request can end the process
            log_faults("connection", faults)
        finally:
            transport.socket.close()
            if connection is not None:
                self._open.discard(connection)


class _Connection:
    """One connection: its reader, its writes, its clock, and the tasks of the app on it (Hypercorn's TCPServer,
    anew)."""

    def __init__(self, door: HypercornDoor, stream: Stream, transport: trio.SocketStream) -> None:
        self._door = door
        self._stream = stream
        self._transport = transport
        self._send_lock = trio.Lock()
        self._busy = False  # a request is being answered: the clock stands still
        self._draining = False  # we have said all; what still comes is discarded
        self._clock = trio.CancelScope(deadline=trio.current_time() + door.keep_alive_s)

    def __repr__(self) -> str:
        state = "draining" if self._draining else "busy" if self._busy else "idle"
        return f"<Connection {state}{', writing' * self._send_lock.locked()}>"

    async def run(self, already_read: bytes) -> None:
        socket = self._transport.socket
        try:
            client = parse_socket_addr(socket.family, socket.getpeername())
            server = parse_socket_addr(socket.family, socket.getsockname())
        except OSError:
            return  # reset before we looked
        with suppress(OSError):  # a Unix socket has no such option
            self._transport.setsockopt(trio.socket.IPPROTO_TCP, trio.socket.TCP_NODELAY, True)
        secure = isinstance(self._stream, trio.SSLStream)
        door = self._door
        async with trio.open_nursery() as self._nursery:
            self._protocol = Http11(
                cast(Any, door.app), door.config, door.context, cast(Any, self), ConnectionState(cast(Any, {})), secure,
                client, server,
                self.send,
            )  # fmt: skip
            self._protocol.receive = self.receive
            self._nursery.start_soon(self._watch_clock)
            if await self._shake_hands():
                await self._read(already_read)
            self._busy = False
            self._clock.cancel()

    def close_if_idle(self) -> None:
        if not self._busy:
            self._clock.cancel()

    async def _watch_clock(self) -> None:
        # The only place that closes the socket under the others, which wakes every task that waits on it, shielded or
        # not: when the clock has run out, when the reader has ended, and when the connection is cancelled.
        try:
            while True:
                with self._clock:
                    await trio.sleep_forever()
                if not self._busy:
                    return
                self._clock = trio.CancelScope()  # a request arrived in the very moment: it is answered
        finally:
            self._close_socket()

    def _close_socket(self) -> None:
        if self._protocol.answer_unfinished and self._protocol.http_1_0:
            with suppress(OSError):  # closed before
                self._transport.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, RESET_ON_CLOSE)
        self._transport.socket.close()

    async def _shake_hands(self) -> bool:
        if isinstance(self._stream, trio.SSLStream):
            try:
                await self._stream.do_handshake()
            except _GONE:
                return False
        self._set_idle()
        return True

    def _set_idle(self) -> None:
        self._busy = False
        self._clock.deadline = trio.current_time() + self._door.keep_alive_s

    async def _read(self, data: bytes) -> None:
        while True:
            if data and not self._draining:
                await self._protocol.handle(RawData(data))
            stopped = self._door.stopping.is_set() and not self._busy and not self._draining
            if stopped or self._protocol.gone:
                break
            data = await self.receive()
            if not data:
                break
        await self._protocol.handle(Closed())

    async def receive(self) -> bytes:
        """The next bytes, or none when nothing can come any more."""
        try:
            return bytes(await self._stream.receive_some(MAX_RECEIVE))
        except _GONE:
            return b""

    async def send(self, event: Event) -> None:
        """What the protocol wants done. Cannot be cancelled but by closing the socket, and ends within the write
        limit."""
        if isinstance(event, RawData):
            await self._write(event.data)
        elif isinstance(event, Closed):
            await self._finish()
            await self._protocol.handle(Closed())
        elif isinstance(event, Updated):
            if event.idle:
                self._set_idle()
            else:
                self._busy = True
                self._clock.deadline = inf

    async def _write(self, data: bytes) -> None:
        gone = False
        with trio.CancelScope(shield=True) as scope:
            async with self._send_lock:
                view = memoryview(data)
                try:
                    for start in range(0, len(view), WRITE_SLICE):
                        scope.deadline = trio.current_time() + self._door.write_limit_s
                        await self._stream.send_all(view[start : start + WRITE_SLICE])
                except _GONE:
                    gone = True
        if scope.cancelled_caught:
            log.warning(STALLED, self._protocol.answering or "(none)", self._door.write_limit_s)
        if gone or scope.cancelled_caught:
            self._close_socket()
            await self._protocol.handle(Closed())

    async def _finish(self) -> None:
        linger = self._protocol.upload_unfinished
        with trio.CancelScope(shield=True, deadline=trio.current_time() + self._door.write_limit_s):
            async with self._send_lock:
                with suppress(*_GONE):
                    if linger:
                        await self._transport.send_eof()
                    elif not self._protocol.answer_unfinished:
                        await self._stream.aclose()  # over TLS this says goodbye first
        if not linger:
            self._close_socket()
        elif not self._draining:
            self._draining = True
            self._busy = False
            self._clock.deadline = trio.current_time() + LINGER_S

    async def spawn_app(self, app: Any, config: Config, scope: Any, send: Callable[[Any], Awaitable[None]]) -> Any:
        """Called by Hypercorn's stream for each request; what it gets back takes the messages for the app."""
        inbox = _Inbox()
        self._nursery.start_soon(self._run_app, scope, inbox, send)
        return inbox.put

    async def _run_app(self, scope: Message, inbox: "_Inbox", stream_send: Callable[[Any], Awaitable[None]]) -> None:
        suppressed_body = scope["method"] == "HEAD"

        async def receive() -> Message:
            if not inbox.closed:
                await self._protocol.ask_for_body()
            return await inbox.get()

        async def send(message: Message) -> None:
            if inbox.closed or suppressed_body:  # nothing is written, so nothing else would let other tasks run
                await trio.lowlevel.checkpoint()
            else:
                await trio.lowlevel.checkpoint_if_cancelled()
            if not inbox.closed:
                await stream_send(message)

        try:
            await self._door.app(scope, receive, send)
        except* CANCELLATIONS:
            raise
        except* BaseException as faults:  # whatever the app raises costs its own request
            log_faults("app", faults)
        await stream_send(None)  # answers 500 if nothing was sent, cuts the connection if the answer is not finished


class _Inbox:
    """What the app has still to receive: a bounded piece of the body, or that the client is gone (or has its
    answer)."""

    def __init__(self) -> None:
        self.closed = False
        self._body = bytearray()
        self._complete = False
        self._end_told = False
        self._changed = trio.lowlevel.ParkingLot()

    async def put(self, message: Message) -> None:
        """Take a message; wait while too much body lies here. A disconnect never waits, and is told before unread
        body."""
        if message["type"] == "http.disconnect":
            self.closed = True
        else:
            self._body += message["body"]
            self._complete = not message["more_body"]
        self._changed.unpark_all()
        while len(self._body) > MAX_UNREAD_BODY and not self.closed:
            await self._changed.park()

    async def get(self) -> Message:
        while not (self.closed or self._body or (self._complete and not self._end_told)):
            await self._changed.park()
        if self.closed:
            await trio.lowlevel.checkpoint()
            return {"type": "http.disconnect"}
        body = bytes(self._body)
        self._body.clear()
        self._end_told = self._complete
        self._changed.unpark_all()
        return {"type": "http.request", "body": body, "more_body": not self._complete}
