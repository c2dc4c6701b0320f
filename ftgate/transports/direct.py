"""The fast way out: HTTP/1.1 spoken straight on the socket, for channels without a proxy and without HTTP/2.

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
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import trio
from trio.lowlevel import checkpoint, checkpoint_if_cancelled, notify_closing, wait_readable, wait_writable

from ftgate.errors import Fault, UpstreamFailed
from ftgate.ports import Answer, Headers, Sending, UpstreamRequest
from ftgate.readiness import Readiness, Watch
from ftgate.transports import outgoing
from ftgate.transports.incoming import Incoming, unreadable
from ftgate.transports.outgoing import MAX_CONNECTIONS, Channel, ChannelOptions, Channels, Origin, Target

HEADS_KEPT = 1000
READ_BYTES = 65_536
JOIN_BYTES = 16_384  # of the body go with the head in one send: copying them costs less than a second call
FAIR_TURNS = 32
_BLOCKED = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class _Line:
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
    async def connect(cls, target: Target, trust: ssl.SSLContext, readiness: Readiness | None) -> "_Line":
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

    def begin(self, head: bytes, body: bytes, sending: Sending | None) -> None:
        """Send as much of a request as goes without waiting. `finish` follows."""
        assert not self.closed, self
        self.incoming = Incoming()
        self.heard = False
        self.began_at = trio.current_time()
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


class Begun:
    """ports.Begun: a request that went up without waiting, on a kept connection."""

    __slots__ = ("_channel", "_go_on", "line")

    def __init__(
        self, channel: Channel[_Line], line: _Line, go_on: Callable[["Begun"], Coroutine[Any, Any, Answer]]
    ) -> None:
        self._channel, self.line, self._go_on = channel, line, go_on

    async def word(self, until: float) -> Answer | None:
        """As ports.Begun says. A cancelled wait leaves no connection behind, and a further call is an error."""
        line = self.line
        if not line.can_only_wait():
            return None
        assert line.watch is not None
        try:
            await line.watch.wait_until(until)
            line.read_now()
            if not line.incoming.ended:
                return None
            outgoing.check_head(line.incoming.status, line.incoming.headers)
            return DirectAnswer(self._channel, line, line.incoming)
        except BaseException:  # a cancellation too gives its place back
            self._drop()
            raise

    def lower(self, until: float) -> None:
        if self.line.watch is not None:
            self.line.watch.until = min(self.line.watch.until, until)

    def wake(self) -> None:
        if self.line.watch is not None:
            self.line.watch.wake()

    def open(self) -> Coroutine[Any, Any, Answer]:
        return self._go_on(self)

    def _drop(self) -> None:
        """Close the connection and give the place back."""
        self.line.close()
        self._channel.places.release()


class DirectAnswer:
    """An answer whose head has come (ports.Answer)."""

    __slots__ = ("_channel", "_closed", "_incoming", "_line", "headers", "status", "whole")

    def __init__(self, channel: Channel[_Line], line: _Line, incoming: Incoming) -> None:
        self.status = incoming.status
        self.headers = incoming.headers
        self.whole = incoming.piece if incoming.ended else None
        self._channel, self._line, self._incoming = channel, line, incoming
        self._closed = False

    async def receive(self) -> bytes:
        """As ports.Answer says. A cancelled call ends the answer: the connection is closed, and a further call
        raises."""
        incoming = self._incoming
        if incoming.piece:
            piece, incoming.piece = incoming.piece, b""
            return piece
        line = self._line
        try:
            while not incoming.ended:
                if incoming.broken:
                    raise unreadable()
                if line.closed:
                    raise UpstreamFailed(Fault.incomplete, "the answer was given up", sent=True)
                if not (data := await line.read()):
                    incoming.end()
                elif piece := incoming.feed(data):
                    return piece
            return b""
        except (OSError, trio.ClosedResourceError):
            line.close()
            raise UpstreamFailed(Fault.incomplete, "the body was cut", sent=True) from None
        except BaseException:  # a cancelled answer is given up
            line.close()
            raise

    async def pump(self, take: Callable[[bytes], bool]) -> bool:
        """As ports.Answer says."""
        incoming, line = self._incoming, self._line
        if line.watch is None or line.closed or incoming.piece or incoming.ended or incoming.broken:
            return False
        try:
            await line.watch.pump(partial(line.pass_on, take))
        except OSError:
            line.close()
            raise UpstreamFailed(Fault.incomplete, "the body was cut", sent=True) from None
        except BaseException:  # a cancelled answer is given up
            line.close()
            raise
        return True

    async def aclose(self) -> None:
        if not self._closed:
            self._closed = True
            del self._line.incoming
            self._channel.give_back(self._line, clean=self._incoming.ended and self._incoming.keeps)


class _Channel(Channel[_Line]):
    def __init__(self, trust: ssl.SSLContext, max_connections: int, readiness: Readiness | None) -> None:
        super().__init__(max_connections)
        self._trust = trust
        self._readiness = readiness

    async def new_line(self, target: Target, connect_s: float, *, sent: bool) -> _Line:
        """A new connection within `connect_s`. `sent` says whether an earlier one has taken some of the request."""
        try:
            with trio.move_on_after(connect_s):
                return await _Line.connect(target, self._trust, self._readiness)
        except UpstreamFailed as failed:
            failed.sent = sent
            raise
        raise outgoing.no_connection(connect_s, sent=sent)


class DirectUpstream(Channels[_Channel]):
    """ports.Upstream straight on sockets, made as outgoing.Channels says. Raises ValueError for a channel with a proxy
    or HTTP/2."""

    def __init__(
        self,
        options: Mapping[str, ChannelOptions],
        *,
        readiness: Readiness | None = None,
        max_connections: int = MAX_CONNECTIONS,
    ) -> None:
        for name, option in options.items():
            if option.proxy or option.http2:
                raise ValueError(f"channel {name}: a proxy or HTTP/2 is not for this transport")
        super().__init__(options, max_connections=max_connections)
        self._readiness = readiness
        self._heads: dict[
            tuple[int, str], tuple[object, bytes]
        ] = {}  # with the headers themselves, so that their ids stay theirs

    def _new_channel(self, options: ChannelOptions, trust: ssl.SSLContext, max_connections: int) -> _Channel:
        trust.set_alpn_protocols(["http/1.1"])
        # Many close without TLS's goodbye. OpenSSL would call that an error and send an alert, which the closed peer
        # answers with a reset; whether an answer was cut is told by its framing.
        trust.options |= getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
        return _Channel(trust, max_connections, self._readiness)

    def _head(self, target: Target, request: UpstreamRequest) -> bytes:
        """The request's head. A candidate's headers are always the same object (attempt.py), which is checked and
        rendered once."""
        place = id(request.headers), request.url
        known = self._heads.get(place)
        if known is None:
            if len(self._heads) >= HEADS_KEPT:
                self._heads.clear()
            known = self._heads[place] = request.headers, _render(target, outgoing.headers(request, target.authority))
        return b"%b%d\r\n\r\n" % (known[1], len(request.body))

    def begin(self, request: UpstreamRequest, sending: Sending) -> Begun | None:
        channel = self._channel(request.channel)
        target = outgoing.target(request.url)
        head = self._head(target, request)
        if not channel.entered():
            return None
        line = channel.maybe_idle_line(target.origin)
        if line is None:
            channel.places.release()
            return None
        line.begin(head, request.body, sending)
        return Begun(channel, line, partial(self._open, request, sending))

    def open(self, request: UpstreamRequest, sending: Sending | None = None) -> Coroutine[Any, Any, Answer]:
        return self._open(request, sending)

    async def _open(self, request: UpstreamRequest, sending: Sending | None, begun: Begun | None = None) -> Answer:
        channel = self._channel(request.channel)
        target = outgoing.target(request.url)
        line: _Line | None = None
        sent = False
        head = self._head(target, request)
        if begun is None:
            await channel.enter()
        try:
            line = begun.line if begun else channel.maybe_idle_line(target.origin)
            while True:
                if line is None:
                    line = await channel.new_line(target, request.connect_s, sent=sent)
                try:
                    if begun is None:
                        line.begin(head, request.body, sending)
                    incoming = await line.finish()
                    break
                except UpstreamFailed as failed:
                    if not line.was_stale(failed):
                        raise
                    line.close()
                    line, begun, sent = None, None, True  # never a second kept one: they tend to be closed together
            outgoing.check_head(incoming.status, incoming.headers)
            return DirectAnswer(channel, line, incoming)
        except BaseException:  # a cancellation too gives its place back
            if line is not None:
                line.close()
            channel.places.release()
            raise


def _render(target: Target, headers: Headers) -> bytes:
    """A request's head up to its length, which comes last."""
    lines = [b"POST %b HTTP/1.1" % target.path]
    lines += [b"%b: %b" % header for header in headers if header[0] != b"content-length"]
    lines.append(b"content-length: ")
    return b"\r\n".join(lines)
