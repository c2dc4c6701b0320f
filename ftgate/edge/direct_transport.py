"""The fast way out: HTTP/1.1 spoken straight on the socket, for channels without a proxy and without HTTP/2.

Rules, beside those of the other transport (httpx_transport), which hold here too:
- **The socket is asked first.** send() and recv() are called at once, or when a poll that costs 0.3 us says so; only a call that
  would block waits, which costs 8 us. A TLS connection is an ssl.SSLSocket: the same two calls.
- **Fair.** Whoever finds data ready each time still passes a checkpoint every FAIR_TURNS reads, and sees a cancellation at once.
- **What is read is handed on as it came**: what one recv() brought is one piece of the body, not copied again unless it was
  chunked.
- **Strict.** An answer on whose end two readers could disagree is refused: two lengths or none that is a number, a length beside
  a Transfer-Encoding, a coding other than chunked, folded headers, a bare CR or LF, a NUL. The parser (llhttp) refuses most of it;
  the rest is refused here. A connection is kept only when its answer ended exactly where what was read ended.
- **An upstream may answer before it has read the request.** While a large body goes up and the socket is full, what comes down is
  read: an error ends the sending and is the answer, and the connection is not used again.
"""

import re
import select
import socket
import ssl
from collections.abc import Callable, Mapping

import httptools
import trio
from trio.lowlevel import checkpoint, checkpoint_if_cancelled, notify_closing, wait_readable, wait_writable

from ftgate.edge import outgoing
from ftgate.edge.outgoing import HEAD_LIMIT, MAX_CONNECTIONS, Channel, ChannelOptions, Channels, Origin, Target
from ftgate.errors import Fault, UpstreamFailed
from ftgate.ports import Answer, Headers, Sending, UpstreamRequest

HEADS_KEPT = 1000
READ_BYTES = 65_536
JOIN_BYTES = 16_384  # of the body go with the head in one send: copying them costs less than a second call
FAIR_TURNS = 32
MAX_LENGTH_DIGITS = 18  # of a Content-Length; the parser's own limit is 2**64 - 1

_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: [\t\x20-\x7e\x80-\xff]*)?\r\n")
_LENGTH = re.compile(rb"[0-9]{1,%d}" % MAX_LENGTH_DIGITS)
_BLOCKED = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_UNREADABLE = (httptools.HttpParserError, httptools.HttpParserUpgrade)


def _unreadable() -> UpstreamFailed:
    return UpstreamFailed(Fault.protocol, "not readable as HTTP", sent=True)


class _Events:
    """What the parser has told. It knows nothing of the parser's owner: together they would be a circle of references."""

    __slots__ = ("began", "ended", "headers", "on_body", "pieces")

    def __init__(self) -> None:
        self.headers: Headers = []
        self.pieces: list[bytes] = []
        self.on_body = self.pieces.append
        self.began = 0
        self.ended = False

    def on_message_begin(self) -> None:
        self.began += 1

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value.strip()))

    def on_message_complete(self) -> None:
        self.ended = True


class _Incoming:
    """One answer as it comes, without I/O: feed_head() until it says that the head is whole, then feed() until `ended`."""

    __slots__ = (
        "_barren", "_chunked", "_events", "_head", "_head_bytes", "_left", "_parser", "_tail",
        "broken", "ended", "headed", "headers", "keeps", "piece", "status",
    )  # fmt: skip

    def __init__(self) -> None:
        self.status = 0
        self.headers: Headers = []
        self.headed = False
        self.ended = False
        self.broken = False  # the body cannot be read on; what came before it could
        self.keeps = False  # the connection may be used again once the answer has ended
        self.piece = b""  # of the body, that came with the head
        self._head = b""
        self._head_bytes = 0  # of interim answers
        self._left: int | None = None  # bytes of a body with a length
        self._chunked = False
        self._barren = 0  # bytes in a row that brought nothing of the body: chunk extensions, trailers
        self._tail = b""  # the last bytes that were fed
        self._restart()

    def _restart(self) -> None:
        self._events = _Events()
        self._parser = httptools.HttpResponseParser(self._events)

    def feed_head(self, data: bytes) -> bool:
        """Whether the head is whole now. Interim answers are passed over. Raises UpstreamFailed."""
        while True:
            before = len(self._head)
            head = self._head = self._head + data if before else data
            if self._head_bytes + len(head) > HEAD_LIMIT and head.find(b"\r\n\r\n", 0, HEAD_LIMIT - self._head_bytes) < 0:
                raise UpstreamFailed(Fault.too_large, "the response head passes its limit", sent=True)
            end = head.find(b"\r\n\r\n", max(before - 3, 0)) + 4
            if end < 4:
                self._parse(data)  # for what is no HTTP, which need not come to an end
                return False
            line = _STATUS_LINE.match(head)
            if line is None:
                raise _unreadable()
            self.status = int(line[2])
            if self.status == 101:
                outgoing.check_head(self.status, [])
            self._parse(data[: end - before])
            data = head[end:]
            if self.status >= 200:
                break
            self._head, self._head_bytes = b"", self._head_bytes + end
            self._restart()
            if not data:
                return False
        self._head = b""
        self.headed = True
        self.headers = self._events.headers
        self._events.headers = []  # trailers are read and dropped
        self._frame(http_1_1=line[1] == b"1")
        if data:
            self.piece = self.feed(data)
        return True

    def _parse(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except _UNREADABLE:
            raise _unreadable() from None

    def _frame(self, *, http_1_1: bool) -> None:
        """How the body ends, from the head. Raises UpstreamFailed where that is not plain."""
        length: bytes | None = None
        coding: bytes | None = None
        keeps = http_1_1
        for name, value in self.headers:
            if name == b"content-length":
                if length is not None or not _LENGTH.fullmatch(value):
                    raise _unreadable()
                length = value
            elif name == b"transfer-encoding":
                if coding is not None or value.lower() != b"chunked":
                    raise _unreadable()
                coding = value
            elif name == b"connection":
                keeps = keeps and b"close" not in [token.strip() for token in value.lower().split(b",")]
        if coding is not None and length is not None:
            raise _unreadable()
        if self.status in (204, 304):
            self.ended = True
            self.keeps = keeps and coding is None and length in (None, b"0")  # else a body may follow all the same
        elif coding is not None:
            self.keeps = keeps
            self._chunked = True
        elif length is not None:
            self.keeps = keeps
            self._left = int(length)
            self.ended = self._left == 0

    def feed(self, data: bytes) -> bytes:
        """What `data` brings of the body; it may be nothing. Bytes after the end are dropped, and the connection with them."""
        if self.ended:
            self.keeps = False
            return b""
        if self._chunked:
            return self._feed_chunks(data)
        if self._left is None:
            return data
        if len(data) > self._left:
            self.keeps = False
            data = data[: self._left]
        self._left -= len(data)
        self.ended = self._left == 0
        return data

    def _feed_chunks(self, data: bytes) -> bytes:
        events = self._events
        try:
            self._parser.feed_data(data)
        except _UNREADABLE:
            self.broken = not events.ended  # after the end: bytes that are no part of this answer
            self.keeps = False
        tail = self._tail = data if len(data) > 4 else (self._tail + data)[-5:]
        if events.ended:
            self.ended = True
            # The parser passes over empty lines behind the end, so it is looked at: one empty line, and no further answer.
            whole = tail.endswith(b"\r\n\r\n") and tail[-5:-4] not in (b"\r", b"\n") and events.began == 1
            self.keeps = self.keeps and whole
        pieces = events.pieces
        if not pieces:
            self._barren += len(data)
            if self._barren > HEAD_LIMIT:
                raise UpstreamFailed(Fault.too_large, "a head or line past its limit", sent=True)
            return b""
        self._barren = 0
        piece = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        return piece

    def end(self) -> None:
        """The upstream has closed its side. Raises UpstreamFailed when something lacks."""
        if not self.headed:
            raise UpstreamFailed(Fault.reset, "closed before the response head", sent=True)
        if not self.ended and (self._chunked or self._left is not None):
            raise UpstreamFailed(Fault.incomplete, "the body was cut", sent=True)
        self.ended = True
        self.keeps = False


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
        self._use(raw)

    def _use(self, raw: socket.socket) -> None:
        self._socket = raw
        self._recv: Callable[[int], bytes] = raw.recv
        self._send = raw.send

    @classmethod
    async def connect(cls, target: Target, trust: ssl.SSLContext) -> "_Line":
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
        return line

    async def _start_tls(self, trust: ssl.SSLContext, host: str) -> None:
        try:
            self._socket.getpeername()  # wrap_socket() loses a socket that is not connected any more
            tls = trust.wrap_socket(self._socket, server_hostname=host, do_handshake_on_connect=False, suppress_ragged_eofs=False)
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
        records = [self._recv_record(max_bytes)]
        size = len(records[0])
        while records[-1] and size < max_bytes and self._poll.poll(0):
            try:
                records.append(self._recv_record(max_bytes))
            except OSError:  # nothing more now; what is wrong is told again by the next call
                break
            size += len(records[-1])
        return records[0] if len(records) == 1 else b"".join(records)

    async def read(self) -> bytes:
        """What the upstream has sent, once there is something; b"" when it has closed its side. Raises OSError."""
        waits = not self.heard  # nothing can have come so soon after a request
        while True:
            if not waits and self._poll.poll(0):
                self._turns += 1
                if self._turns % FAIR_TURNS:
                    await checkpoint_if_cancelled()
                else:
                    await checkpoint()
            else:
                await wait_readable(self._fd)
                waits = False
            try:
                data = self._recv(READ_BYTES)
            except ssl.SSLWantWriteError:  # a new key is to be agreed on first
                await wait_writable(self._fd)
                continue
            except _BLOCKED:
                continue
            if data:
                self.heard = True
            return data

    async def exchange(self, head: bytes, body: bytes, sending: Sending | None) -> _Incoming:
        """Send a request and wait for its answer's head. Raises UpstreamFailed; then, and when cancelled, the line is to be closed."""
        incoming = _Incoming()
        self.heard = False
        self.began_at = trio.current_time()
        if sending is not None:
            sending.sent = True  # at once: the gate asks while the head is still awaited
        whole = True
        first = head + body if len(body) <= JOIN_BYTES else head + body[:JOIN_BYTES]
        try:
            try:
                count = self._send(first)
            except _BLOCKED:
                count = 0
            except OSError:
                whole = False  # it may have answered before it closed
            if whole and count < len(head) + len(body):
                whole = await self._send_rest(incoming, first[count:]) and await self._send_rest(incoming, memoryview(body)[JOIN_BYTES:])
            while not incoming.headed:
                if data := await self.read():
                    incoming.feed_head(data)
                else:
                    incoming.end()
        except OSError:
            raise UpstreamFailed(Fault.reset, "connection lost while reading", sent=True) from None
        if not whole:
            incoming.keeps = False
        return incoming

    async def _send_rest(self, incoming: _Incoming, data: bytes | memoryview) -> bool:
        """Send what the first send did not take, and listen while the socket is full. False when the upstream wants no more of
        it: it has answered with an error, or has closed."""
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
                    heard = self._recv(READ_BYTES)
                except _BLOCKED:
                    continue
                self.heard = self.heard or bool(heard)
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
        return not self.closed and not self._poll.poll(0)

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            notify_closing(self._fd)
            self._socket.close()
            self._use(self._socket)  # lets go of itself


class DirectAnswer:
    """An answer whose head has come (ports.Answer)."""

    __slots__ = ("_channel", "_closed", "_incoming", "_line", "headers", "status", "whole")

    def __init__(self, channel: Channel[_Line], line: _Line, incoming: _Incoming) -> None:
        self.status = incoming.status
        self.headers = incoming.headers
        self.whole = incoming.piece if incoming.ended else None
        self._channel, self._line, self._incoming = channel, line, incoming
        self._closed = False

    async def receive(self) -> bytes:
        """As ports.Answer says. A cancelled call ends the answer: the connection is closed, and a further call raises."""
        incoming = self._incoming
        if incoming.piece:
            piece, incoming.piece = incoming.piece, b""
            return piece
        line = self._line
        try:
            while not incoming.ended:
                if incoming.broken:
                    raise _unreadable()
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

    async def aclose(self) -> None:
        if not self._closed:
            self._closed = True
            self._channel.give_back(self._line, clean=self._incoming.ended and self._incoming.keeps)


class _Channel(Channel[_Line]):
    def __init__(self, trust: ssl.SSLContext, max_connections: int) -> None:
        super().__init__(max_connections)
        self._trust = trust

    async def new_line(self, target: Target, connect_s: float, *, sent: bool) -> _Line:
        """A new connection within `connect_s`. `sent` says whether an earlier one has taken some of the request."""
        try:
            with trio.move_on_after(connect_s):
                return await _Line.connect(target, self._trust)
        except UpstreamFailed as failed:
            failed.sent = sent
            raise
        raise outgoing.no_connection(connect_s, sent=sent)


class DirectUpstream(Channels[_Channel]):
    """ports.Upstream straight on sockets, made as outgoing.Channels says. Raises ValueError for a channel with a proxy or HTTP/2."""

    def __init__(self, options: Mapping[str, ChannelOptions], *, max_connections: int = MAX_CONNECTIONS) -> None:
        for name, option in options.items():
            if option.proxy or option.http2:
                raise ValueError(f"channel {name}: a proxy or HTTP/2 is not for this transport")
        super().__init__(options, max_connections=max_connections)
        self._heads: dict[tuple[int, str], tuple[object, bytes]] = {}  # with the headers themselves, so that their ids stay theirs

    def _new_channel(self, options: ChannelOptions, trust: ssl.SSLContext, max_connections: int) -> _Channel:
        trust.set_alpn_protocols(["http/1.1"])
        return _Channel(trust, max_connections)

    def _head(self, target: Target, request: UpstreamRequest) -> bytes:
        """The request's head. A candidate's headers are always the same object (attempt.py), which is checked and rendered once."""
        place = id(request.headers), request.url
        known = self._heads.get(place)
        if known is None:
            if len(self._heads) >= HEADS_KEPT:
                self._heads.clear()
            known = self._heads[place] = request.headers, _render(target, outgoing.headers(request, target.authority))
        return b"%b%d\r\n\r\n" % (known[1], len(request.body))

    async def open(self, request: UpstreamRequest, sending: Sending | None = None) -> Answer:
        channel = self._channel(request.channel)
        target = outgoing.target(request.url)
        head = self._head(target, request)
        await channel.enter()
        line: _Line | None = None
        sent = False
        try:
            line = channel.maybe_idle_line(target.origin)
            while True:
                if line is None:
                    line = await channel.new_line(target, request.connect_s, sent=sent)
                try:
                    incoming = await line.exchange(head, request.body, sending)
                    break
                except UpstreamFailed as failed:
                    if not line.was_stale(failed):
                        raise
                    line.close()
                    line, sent = None, True  # never a second kept one: they tend to be closed together
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
