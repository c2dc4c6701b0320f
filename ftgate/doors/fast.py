"""The fast door: owns the listening sockets and serves relay calls over HTTP/1.1 straight into the gate.

It serves only what it understands without a doubt: a POST to a relay route whose head is plain HTTP/1.1 (or 1.0). At
the first request that is anything else (another method or route, an escape in its path, a head that two readers could
read in two ways, one that is too long) it hands the connection for good, with every byte read so far, to the Hypercorn
door, which serves or refuses it by its own rules. So there is one place that refuses, and both doors give the same
answers.

- A head counts when httptools accepts it in its strict mode (no bare LF, no folded line, no Content-Length twice or
  beside Transfer-Encoding), and shows exactly one Host, which HTTP/1.1 wants. The only transfer coding is `chunked`, in
  HTTP/1.1.
- One task a connection and none a call. Sockets are used without waiting first and awaited only when they are not
  ready; a request begins with a wait, so that nobody keeps the loop to himself.
- What comes, and a client that leaves, is seen by one epoll of our own over all connections (readiness.py): nothing is
  read to see a client leave, whatever it has sent after its request. A half-close counts as leaving.
- Requests behind the one that is answered stay in the kernel's buffer, or in ours when they came with it, and are
  served in order.
- Time, refusals, writes and last words as in hypercorn.py: one budget for handshake, head and idle time; a write
  is never cut by a cancellation (but by that of `serve`) and never stalls for longer than the write limit; a refusal
  before the whole upload closes after lingering; an answer that breaks off is never sold as finished.
"""

import logging
import socket
import ssl
from contextlib import suppress
from email.utils import formatdate
from http import HTTPStatus
from math import inf

import trio

from ftgate.dialects.talk import Dialect
from ftgate.doors.answer import Answer
from ftgate.doors.connections import (
    CANCELLATIONS,
    LINGER_S,
    RESET_ON_CLOSE,
    STALLED,
    WRITE_SLICE,
    Admit,
    accept,
    everybody,
    log_faults,
)
from ftgate.doors.heads import UNREADABLE, Chunks, Head, plain_path
from ftgate.doors.http import new_request_id
from ftgate.doors.hypercorn import HypercornDoor
from ftgate.doors.intake import BODY_S, Intake, Room
from ftgate.doors.wire import GONE, SecureWire, Wire
from ftgate.errors import GateError
from ftgate.line.call import Call
from ftgate.readiness import Readiness

log = logging.getLogger("ftgate.door")

SWEEP_S = 0.25
"""How often idle connections are looked at; none is closed before its time, some so much later."""
READS_BEFORE_REST = 16
"""Pieces of a body read in a row before others get their turn."""

_REASONS = {status.value: status.phrase.encode() for status in HTTPStatus}


class FastDoor:
    """Serves relay calls to the connections it accepts, and hands the others to `other`. `readiness` runs as long as it
    serves. Seconds and counts as HypercornDoor's."""

    def __init__(
        self, intake: Intake, other: HypercornDoor, readiness: Readiness, *, keep_alive_s: float = 5.0,
        write_limit_s: float = 30.0,
        max_connections: int = 10_000,
        admit: Admit = everybody,
        max_head_bytes: int = 32_768, ssl_context: ssl.SSLContext | None = None,
    ) -> None:  # fmt: skip
        self.intake = intake
        self.other = other
        self.keep_alive_s = keep_alive_s
        self.write_limit_s = write_limit_s
        self.max_connections = max_connections
        self.admit = admit
        self.max_head_bytes = max_head_bytes
        self.ssl_context = ssl_context
        self.stopping = trio.Event()
        self.readiness = readiness
        self.constant_headers = b""
        self._open: set[_Connection] = set()
        self._full = False
        self.swept_at = trio.current_time()
        self._set_date()

    @property
    def connections(self) -> int:
        """How many connections are open now, those handed on too."""
        return len(self._open)

    def __repr__(self) -> str:
        return f"<FastDoor {len(self._open)} connections{', stopping' * self.stopping.is_set()}, {self.other}>"

    async def serve(
        self, listeners: list[trio.SocketListener], *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Accept until `stop()`, then close listeners and idle connections, and return when the busy ones have
        finished."""
        async with trio.open_nursery() as service:
            service.start_soon(self._sweep)
            service.start_soon(self._cut_when_cancelled)
            async with trio.open_nursery() as connections:
                async with trio.open_nursery() as accepting:
                    for listener in listeners:
                        accepting.start_soon(accept, listener, connections, self._serve_guarded, self.admit)
                    task_status.started()
                    await self.stopping.wait()
                    accepting.cancel_scope.cancel()
            service.cancel_scope.cancel()

    def stop(self) -> None:
        """Begin a graceful stop: nothing new is accepted, idle connections end now, running answers are their
        connection's last."""
        self.stopping.set()
        self.other.stop()
        for connection in self._open:
            connection.end_if_idle()

    async def _serve_guarded(self, stream: trio.SocketStream) -> None:
        """The barrier: what one connection raises stays in it."""
        if len(self._open) >= self.max_connections:
            if not self._full:
                log.warning("more than %d connections, the newest are closed", self.max_connections)
            self._full = True
            stream.socket.close()
            return
        self._full = False
        connection = _Connection(self, SecureWire(stream, self.ssl_context) if self.ssl_context else Wire(stream))
        self._open.add(connection)
        try:
            connection.wire.watch = self.readiness.watch(connection.wire.socket, connection.hung_up)
            with connection.scope:
                await connection.run()
        except* CANCELLATIONS:
            raise
        except* BaseException as faults:  # SystemExit too: no request can end the process
            log_faults("connection", faults)
        finally:
            connection.close()
            self._open.discard(connection)

    async def _sweep(self) -> None:
        while True:
            await trio.sleep(SWEEP_S)
            self.swept_at = now = trio.current_time()
            self._set_date()
            for connection in self._open:
                if connection.until <= now:
                    connection.end_if_idle()

    async def _cut_when_cancelled(self) -> None:
        """Writes are shielded; the end of `serve` does not wait for them."""
        try:
            await trio.sleep_forever()
        finally:
            for connection in self._open:
                connection.cut()

    def _set_date(self) -> None:
        """The headers that all answers have, made once for many."""
        headers = [*self.intake.extra_headers, (b"date", formatdate(usegmt=True).encode())]
        self.constant_headers = b"".join(b"%s: %s\r\n" % header for header in headers)


class _HandOver(Exception):
    """This connection is for the other door, with all bytes that were read and not served: `already_read`."""

    def __init__(self, already_read: bytes) -> None:
        super().__init__()
        self.already_read = already_read


class _Left(Exception):
    """The client went before its request was whole."""


class _Connection:
    """One connection and the call on it."""

    def __init__(self, door: FastDoor, wire: Wire) -> None:
        self.door = door
        self.wire = wire
        self.scope = trio.CancelScope()
        self.until = (
            trio.current_time() + door.keep_alive_s
        )  # when it is closed unless something happens; inf while it is busy
        self.busy = False
        self.gone = False  # nothing can be sent any more
        self.left = False  # the client has hung up
        self.call: Call | None = None
        self.answer: Answer | None = None
        self._asked = ""  # the id of the request that was served last
        self._writing: trio.CancelScope | None = None
        self._closed = self._handed_over = False
        self._kept = b""  # what did not go at once, and goes first

    def __repr__(self) -> str:
        state = (
            "closed" if self._closed
            else "handed over" if self._handed_over
            else "gone" if self.gone
            else "left" if self.left
            else "busy" if self.busy
            else "idle"
        )  # fmt: skip
        return f"<Connection {state}, {self.call}, {self.answer}>"

    def end_if_idle(self) -> None:
        """Close the connection, unless it is busy or its next request has just arrived."""
        if not self.busy and (self.until <= trio.current_time() or not self.wire.readable()):
            self.scope.cancel()

    def cut(self) -> None:
        """End a write in progress, and begin no other."""
        self._lose("shutdown")
        if self._writing is not None:
            self._writing.cancel()

    async def run(self) -> None:
        try:
            try:
                await self.wire.begin()
            except GONE:
                return
            data: bytes | None = b""
            while data is not None and not self.gone and (data or not self.door.stopping.is_set()):
                data = await self._serve_next(data)
        except _HandOver as handed:
            self.door.readiness.forget(self.wire.socket)
            self.busy = self._handed_over = True
            self.until = inf
            await self.door.other.serve_connection(self.wire.stream(), handed.already_read)

    async def _serve_next(self, data: bytes) -> bytes | None:
        """Read and serve one request that begins with `data`. What came after it; None when the connection is at its
        end."""
        self.busy = False
        self.until = self.door.swept_at + SWEEP_S + self.door.keep_alive_s  # to the sweep: every request passes here
        if data:
            await trio.lowlevel.checkpoint()
        end = data.find(b"\r\n\r\n")
        while end < 0:
            if (data and not data.startswith(b"POST /"[: len(data)])) or len(data) > self.door.max_head_bytes:
                raise _HandOver(data)
            more = await self.wire.receive(wait=True)
            if not more:
                return None
            before, data = len(data), data + more
            end = data.find(b"\r\n\r\n", before - 3 if before > 3 else 0)
            if end < 0 and b"\n\n" in data:  # a head that ends as none may
                raise _HandOver(data)
        end += 4
        self.busy, self.until = True, inf
        raw = data[:end] if end < len(data) else data
        try:
            head = Head(raw)
        except UNREADABLE:
            raise _HandOver(data) from None
        ours = (
            raw.startswith(b"POST %s HTTP/1." % head.target) and len(raw) <= self.door.max_head_bytes and head.clear()
        )
        intake = self.door.intake
        route = intake.route("POST", plain_path(head.target)) if ours else ""
        dialect = intake.dialect_of(route)
        if dialect is None:
            raise _HandOver(data)
        return await self._serve(head, raw, route, dialect, data[end:])

    async def _serve(self, head: Head, raw: bytes, route: str, dialect: Dialect, data: bytes) -> bytes | None:
        intake = self.door.intake
        chunks = _chunks(raw, data) if head.chunked else None
        request_id = self._asked = new_request_id()
        self.answer = answer = Answer(self.door, self.send, self.send_now if self.wire.immediate else None, head)
        room = Room(intake)
        try:
            try:
                secret, key = await intake.admit(head.headers, self.wire.peer)
                hops, forwarded, brought = intake.check_head(dialect, head.headers)
                whole = len(data) >= head.length and not head.chunked  # then the gate need not look at the key again
                if whole:  # as nearly all are
                    room.take(head.length)
                    body, data = (data, b"") if len(data) == head.length else (data[: head.length], data[head.length :])
                else:
                    body, data = await self._body(head, chunks, raw + data if chunks else data, room)
            except GateError as error:
                answer.unread = head.chunked or len(data) < head.length
                data = data[head.length :]
                await answer.answer(*dialect.error(error, request_id))
            else:
                self.call = call = Call(
                    id=request_id,
                    dialect=dialect,
                    secret=secret,
                    body=body,
                    key=key if whole else None,
                    route=route,
                    hops=hops,
                    forwarded=forwarded,
                    brought=brought,
                )
                if self.left:
                    call.client_gone()
                await intake.way_of(route)(call, answer)
        except _Left:
            return None
        finally:
            self.call = None
            if answer.ended:  # it knows the head, and an idle connection must not hold a caller's keys
                self.answer = None
            room.free()
        if answer.kept and not self.gone and not self.left:
            return data
        if answer.ended and answer.unread:
            await self._linger()
        elif answer.ended and not self.gone:
            self.door.readiness.forget(self.wire.socket)  # before the goodbye closes it
            with trio.CancelScope(shield=True, deadline=trio.current_time() + self.door.write_limit_s) as self._writing:
                await self.wire.goodbye()
        return None

    async def _body(self, head: Head, chunks: Chunks | None, data: bytes, room: Room) -> tuple[bytes, bytes]:
        """The request's body that did not come whole with its head, and what came after it. `data` came already, of a
        chunked request its head too. Raises GateError, _Left, _HandOver."""
        with trio.move_on_after(BODY_S):
            waits = head.expects and (chunks.empty if chunks else not data)
            if waits and not await self.send(b"HTTP/1.1 100 Continue\r\n\r\n"):
                raise _Left
            return await (self._chunked(chunks, data, room) if chunks else self._measured(head.length, data, room))
        raise self.door.intake.too_slow()

    async def _measured(self, length: int, data: bytes, room: Room) -> tuple[bytes, bytes]:
        pieces, left, reads = [data], length - len(data), 0
        room.take(len(data))
        while left > 0:
            data = await self._more(reads := reads + 1)
            room.take(min(len(data), left))
            left -= len(data)
            pieces.append(data)
        if left < 0:
            pieces[-1], data = data[:left], data[left:]
        else:
            data = b""
        return b"".join(pieces), data

    async def _chunked(self, chunks: Chunks, came: bytes, room: Room) -> tuple[bytes, bytes]:
        """What cannot be read as chunks, or has another request right behind it, goes to the other door as it came."""
        kept, reads, taken = [came], 0, 0
        while True:
            room.take(chunks.size - taken)
            taken = chunks.size
            if chunks.broken or chunks.more:
                raise _HandOver(b"".join(kept))
            if chunks.done:
                return b"".join(chunks.pieces), b""
            kept.append(await self._more(reads := reads + 1))
            chunks.feed(kept[-1])

    async def _more(self, reads: int) -> bytes:
        if reads % READS_BEFORE_REST == 0:
            await trio.lowlevel.checkpoint()
        data = await self.wire.receive(wait=False)
        if not data:
            raise _Left
        return data

    async def send(self, data: bytes) -> bool:
        """Whether all of it has gone. Cannot be cancelled, and ends within the write limit."""
        if self.gone:
            return False
        if self._kept:
            data, self._kept = self._kept + data, b""
        if not data:
            return True
        try:
            sent = self.wire.send_now(data)
            if sent < len(data):
                await self._send_rest(memoryview(data)[sent:])
        except OSError:
            self._lose()
        return not self.gone

    def send_now(self, data: bytes) -> bool:
        """Whether all of it has gone; the rest goes first with the next `send`."""
        assert not self._kept, "what did not go at once was not waited for"
        if self.gone:
            return True
        try:
            sent = self.wire.send_now(data)
        except OSError:
            self._lose()
            return True
        self._kept = data[sent:] if sent < len(data) else b""
        return not self._kept

    async def _send_rest(self, data: memoryview) -> None:
        with trio.CancelScope(shield=True) as self._writing:
            for start in range(0, len(data), WRITE_SLICE):
                self._writing.deadline = trio.current_time() + self.door.write_limit_s
                await self.wire.send_rest(data[start : start + WRITE_SLICE])
        if self._writing.cancelled_caught and not self.gone:
            if not self.left:
                log.warning(STALLED, self._asked, self.door.write_limit_s)
            self._lose("client_gone" if self.left else "write_timeout")
        self._writing = None

    def _lose(self, why: str = "client_gone") -> None:
        self.gone = True
        if self.call is not None:
            self.call.client_gone(why)

    def hung_up(self) -> None:
        """The client has closed the connection, or its side of it."""
        self.left = True
        if self.call is not None:
            self.call.client_gone()
            if self._writing is not None:
                self._writing.cancel()

    async def _linger(self) -> None:
        """Stop sending and discard what still comes: closing with unread bytes resets the connection and can destroy
        the answer."""
        self.busy, self.until = False, trio.current_time() + LINGER_S
        with suppress(OSError):
            self.wire.socket.shutdown(socket.SHUT_WR)
        while await self.wire.receive(wait=True):
            pass

    def close(self) -> None:
        if self._closed or self._handed_over:
            return
        self._closed = True
        self.door.readiness.forget(self.wire.socket)
        if self.answer is not None and self.answer.begun and not self.answer.ended and self.answer.head.http_1_0:
            with suppress(OSError):  # the end of the connection would be the end of the answer
                self.wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self.wire.close()


def _chunks(head: bytes, data: bytes) -> Chunks:
    """A chunked body's beginning. Raises _HandOver when it is broken already: no key makes that right."""
    chunks = Chunks(head)
    chunks.feed(data)
    if chunks.broken:
        raise _HandOver(head + data)
    return chunks
