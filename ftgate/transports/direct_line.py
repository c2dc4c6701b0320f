"""A connection of the direct transport: HTTP/1.1 spoken straight on the socket.

Rules, beside those of the other transport (sturdy), which hold here too:
- **The socket is asked first.** send() and recv() are called at once, or when there is word that they will not block
  (readiness.py; where that does not run, and for TLS, a poll that costs 0.3 us); only a call that would block waits. A
  TLS connection is an ssl.SSLSocket: the same two calls.
- **Fair.** Whoever finds data ready each time still passes a checkpoint every FAIR_TURNS reads, and sees a cancellation
  at once.
- **What is read is handed on as it came**: what one recv() brought is one piece of the body, not copied again unless it
  was chunked.
- **An upstream may answer before it has read the request.** While a large body goes up and the socket is full, what
  comes down is read: an error ends the sending and is the answer, and the connection is not used again.
"""

import select
import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress

import trio
from trio.lowlevel import checkpoint, checkpoint_if_cancelled, notify_closing, wait_readable, wait_writable

from ftgate.errors import Fault, UpstreamFailed
from ftgate.ports import Sending
from ftgate.readiness import Readiness, Watch
from ftgate.transports import outgoing
from ftgate.transports.incoming import Incoming
from ftgate.transports.outgoing import Origin, Target

READ_BYTES = 65_536
JOIN_BYTES = 16_384  # of the body go with the head in one send: copying them costs less than a second call
FAIR_TURNS = 32
_BLOCKED = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class DirectLine:
    """One connection: its socket, and whether anything came on it in the current call."""

    def __init__(self, origin: Origin, raw: socket.socket) -> None:
        self.origin = origin
        self.reused = False
        self.closed = False
        self.heard = False
        self.began_at = 0.0
        self.idle_until = 0.0
        self._turns = 0
        self._fd = raw.fileno()
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLIN)
        self._readiness: Readiness | None = None
        self.watch: Watch | None = None
        self._at_end = False  # of what the upstream sends; TLS only, as the next
        self._lost: OSError | None = None
        self.incoming: Incoming
        self._unsent: Sequence[bytes | memoryview] = ()
        self._refused = False  # the request
        self._use(raw)

    def __repr__(self) -> str:
        state = (
            "closed" if self.closed
            else "lost" if self._lost is not None
            else "at its end" if self._at_end
            else "refused a request" if self._refused
            else "heard" if self.heard
            else "asked" if self.began_at
            else "connected"
        )  # fmt: skip
        return outgoing.described(self, state)

    def _use(self, raw: socket.socket) -> None:
        self._socket = raw
        self._recv: Callable[[int], bytes] = raw.recv
        self._send = raw.send

    @classmethod
    async def connect(cls, target: Target, trust: ssl.SSLContext, readiness: Readiness | None) -> "DirectLine":
        stream = await outgoing.reach(target.host, target.origin[2])
        raw = socket.socket(fileno=stream.socket.detach())
        raw.setblocking(False)
        line = cls(target.origin, raw)
        if target.origin[0] == b"https":
            try:
                await line._start_tls(trust, target.host)
            except BaseException:  # a cancellation too leaves no connection behind
                line.close()
                raise
        elif readiness is not None:
            with suppress(OSError):  # no more can be watched: the loop's own waits do as well
                line._readiness, line.watch = readiness, readiness.watch(raw)
        return line

    async def _start_tls(self, trust: ssl.SSLContext, host: str) -> None:
        try:
            self._socket.getpeername()  # wrap_socket() loses a socket that is not connected any more
            tls = trust.wrap_socket(
                self._socket, server_hostname=host, do_handshake_on_connect=False, suppress_ragged_eofs=False
            )
            self._use(tls)
            self._recv = self._recv_records
            while True:
                try:
                    tls.do_handshake()
                    return
                except ssl.SSLWantReadError:
                    await wait_readable(self._fd)
                except ssl.SSLWantWriteError:
                    await wait_writable(self._fd)
        except (OSError, ValueError) as exc:  # ssl's errors are OSErrors and ValueErrors
            raise outgoing.handshake_failed(exc) from None

    def _recv_record(self, max_bytes: int) -> bytes:
        try:
            return self._socket.recv(max_bytes)
        except ssl.SSLEOFError:  # an end without a goodbye, which many do; but ssl tells a reset in this way too
            self._socket.getpeername()  # raises OSError after a reset
            return b""

    def _recv_records(self, max_bytes: int) -> bytes:
        """recv() for TLS, which gives one record at a time: as many as are there."""
        if self._at_end:
            return b""
        if self._lost is not None:
            raise self._lost
        records = [self._recv_record(max_bytes)]
        size = len(records[0])
        while records[-1] and size < max_bytes and self._poll.poll(0):
            try:
                records.append(self._recv_record(max_bytes))
            except _BLOCKED:
                break
            except OSError as lost:  # for the next call: the socket tells it only once
                self._lost = lost
                break
            size += len(records[-1])
        self._at_end = not records[
            -1
        ]  # a goodbye behind the last bytes is told of by the next call: the socket may say no more
        return records[0] if len(records) == 1 else b"".join(records)

    async def read(self) -> bytes:
        """What the upstream has sent, once there is something; b"" when it has closed its side. Raises OSError."""
        while True:
            await self._readable()
            try:
                return self._take()
            except ssl.SSLWantWriteError:  # a new key is to be agreed on first
                await wait_writable(self._fd)
            except _BLOCKED:
                continue

    def _take(self) -> bytes:
        """What is there now; b"" at the end. Raises OSError."""
        data = self._recv(READ_BYTES)
        if data:
            self.heard = True
            if self.watch is not None and len(data) == READ_BYTES:
                self.watch.leave()
        return data

    def pass_on(self, take: Callable[[bytes], bool]) -> bool:
        """Give `take` what has come of the body; whether that was all there is to do. Raises OSError and
        UpstreamFailed."""
        try:
            data = self._take()
        except BlockingIOError:
            return True
        incoming = self.incoming
        if not data:
            incoming.end()
            return False
        piece = incoming.feed(data)
        wanted = take(piece) if piece else True
        return wanted and len(data) < READ_BYTES and not (incoming.ended or incoming.broken)

    async def _readable(self) -> None:
        """Wait until a read may find something."""
        watch = self.watch
        if watch is not None and not watch.ready:
            await watch.wait()
        elif (
            watch is None and not (self._at_end or self._lost) and (not self.heard or not self._poll.poll(0))
        ):  # too soon to be heard
            await wait_readable(self._fd)
        else:
            if watch is not None:
                watch.ready = watch.gone
            self._turns += 1
            if self._turns % FAIR_TURNS:
                await checkpoint_if_cancelled()
            else:
                await checkpoint()

    def begin(self, head: bytes, body: bytes, sending: Sending | None, now: float) -> None:
        """Send as much of a request as goes without waiting. `finish` follows. `now` is trio.current_time."""
        assert not self.closed, self
        self.incoming = Incoming()
        self.heard = False
        self.began_at = now
        if sending is not None:
            sending.sent = True  # at once: the gate asks while the head is still awaited
        first = head + body if len(body) <= JOIN_BYTES else head + body[:JOIN_BYTES]
        self._refused = False
        try:
            count = self._send(first)
        except _BLOCKED:
            count = 0
        except OSError:
            self._refused = True  # it may have answered before it closed
            count = len(first)
        self._unsent = (
            (first[count:], memoryview(body)[JOIN_BYTES:])
            if count < len(head) + len(body) and not self._refused
            else ()
        )

    async def finish(self) -> Incoming:
        """Send the rest, and wait for the answer's head. Raises UpstreamFailed; then, and when cancelled, the line is
        to be closed."""
        incoming = self.incoming
        whole = not self._refused
        try:
            for data in self._unsent:
                whole = whole and await self._send_rest(incoming, data)
            while not incoming.headed:
                if came := await self.read():
                    incoming.feed_head(came)
                else:
                    incoming.end()
        except OSError:
            raise UpstreamFailed(Fault.reset, "connection lost while reading", sent=True) from None
        if not whole:
            incoming.keeps = False
        return incoming

    def can_only_wait(self) -> bool:
        """Whether the request has gone up whole, so that its answer is all there is to wait for; and somebody tells of
        that."""
        return self.watch is not None and not self._unsent and not self._refused

    def read_now(self) -> None:
        """Give `incoming` what has come of the answer, if anything has; what is wrong with the connection is found
        again by `finish`. Raises UpstreamFailed for what is no answer."""
        try:
            came = self._take()
        except OSError:
            return
        if came:
            self.incoming.feed_head(came)

    async def _send_rest(self, incoming: Incoming, data: bytes | memoryview) -> bool:
        """Send what the first send did not take, and listen while the socket is full. False when the upstream wants no
        more of it: it has answered with an error, or has closed."""
        turns = 0
        while data:
            try:
                data = data[self._send(data) :]
                turns += 1
                if turns % FAIR_TURNS == 0:
                    await checkpoint()
            except _BLOCKED:
                if incoming.headed:
                    await wait_writable(self._fd)
                    continue
                await self._wait_either()
                try:
                    heard = self._take()
                except _BLOCKED:
                    continue
                if not heard:
                    incoming.end()
                elif incoming.feed_head(heard) and incoming.status >= 300:
                    return False
            except OSError:
                return False
        return True

    async def _wait_either(self) -> None:
        async with trio.open_nursery() as nursery:

            async def readable() -> None:
                await wait_readable(self._fd)
                nursery.cancel_scope.cancel()

            nursery.start_soon(readable)
            await wait_writable(self._fd)
            nursery.cancel_scope.cancel()

    def was_stale(self, failed: UpstreamFailed) -> bool:
        return outgoing.is_stale(failed, reused=self.reused, heard=self.heard, began_at=self.began_at)

    def is_good(self) -> bool:
        return not (self.closed or self._at_end or self._lost or self._poll.poll(0))

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._lost = None  # it knows the frames that saw it
            if self._readiness is not None:
                self._readiness.forget(self._socket)
            notify_closing(self._fd)
            self._socket.close()
            self._use(self._socket)  # lets go of itself
