"""The fast way out: HTTP/1.1 spoken straight on the socket, for channels without a proxy and without HTTP/2.

Its connections are DirectLines, and the rules of sending and reading stand there (direct_line.py). Here are the
requests, their answers, and who uses which connection.
"""

import ssl
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any

import trio

from ftgate.core.routing import Reach
from ftgate.errors import Fault, UpstreamFailed
from ftgate.ports import Answer, Headers, Sending, UpstreamRequest
from ftgate.readiness import Readiness
from ftgate.transports import outgoing
from ftgate.transports.direct_line import DirectLine
from ftgate.transports.incoming import Incoming, unreadable
from ftgate.transports.outgoing import MAX_CONNECTIONS, Channel, Channels, Target

HEADS_KEPT = 1000


class Begun:
    """ports.Begun: a request that went up without waiting, on a kept connection."""

    __slots__ = ("_request", "_sending", "_upstream", "channel", "line")

    def __init__(
        self,
        channel: "_Channel",
        line: DirectLine,
        upstream: "DirectUpstream",
        request: UpstreamRequest,
        sending: Sending,
    ) -> None:
        self.channel, self.line = channel, line
        self._upstream, self._request, self._sending = upstream, request, sending

    async def word(self, until: float) -> Answer | None:
        """As ports.Begun says. A cancelled wait leaves no connection behind, and a further call is an error."""
        line = self.line
        if not line.can_only_wait():
            return None
        assert line.watch is not None
        try:
            await line.watch.wait(until)
            line.read_now()
            if not line.incoming.ended:
                return None
            if line.incoming.encoded:  # all else of a head is looked at as it comes
                outgoing.check_head(line.incoming.status, line.incoming.headers)
            return DirectAnswer(self.channel, line, line.incoming)
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
        return self._upstream.go_on(self._request, self._sending, self)

    def _drop(self) -> None:
        """Close the connection and give the place back."""
        self.line.close()
        self.channel.places.release()


class DirectAnswer:
    """An answer whose head has come (ports.Answer)."""

    __slots__ = ("_channel", "_closed", "_incoming", "_line", "headers", "status", "whole")

    def __init__(self, channel: Channel[DirectLine], line: DirectLine, incoming: Incoming) -> None:
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


class _Channel(Channel[DirectLine]):
    def __init__(self, reach: Reach, trust: ssl.SSLContext, max_connections: int, readiness: Readiness | None) -> None:
        super().__init__(reach, max_connections)
        self._trust = trust
        self._readiness = readiness

    async def new_line(self, target: Target, connect_s: float, *, sent: bool) -> DirectLine:
        """A new connection within `connect_s`. `sent` says whether an earlier one has taken some of the request."""
        try:
            with trio.move_on_after(connect_s):
                return await DirectLine.connect(target, self._trust, self._readiness)
        except UpstreamFailed as failed:
            failed.sent = sent
            raise
        raise outgoing.no_connection(connect_s, sent=sent)


class DirectUpstream(Channels[_Channel]):
    """ports.Upstream straight on sockets, made as outgoing.Channels says. Raises ValueError for a request that wants a
    proxy or HTTP/2."""

    def __init__(self, *, readiness: Readiness | None = None, max_connections: int = MAX_CONNECTIONS) -> None:
        super().__init__(max_connections=max_connections)
        self._readiness = readiness
        self._heads: dict[
            tuple[int, str], tuple[object, bytes]
        ] = {}  # with the headers themselves, so that their ids stay theirs

    def _new_channel(self, reach: Reach, trust: ssl.SSLContext, max_connections: int) -> _Channel:
        if reach.proxy or reach.http2:
            raise ValueError("a proxy or HTTP/2 is not for this transport")
        trust.set_alpn_protocols(["http/1.1"])
        # Many close without TLS's goodbye. OpenSSL would call that an error and send an alert, which the closed peer
        # answers with a reset; whether an answer was cut is told by its framing.
        trust.options |= getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
        return _Channel(reach, trust, max_connections, self._readiness)

    def _head(self, target: Target, request: UpstreamRequest) -> bytes:
        """The request's head. A candidate's headers are always the same object (line/upward.py), which is checked and
        rendered once; one with a key of its caller's own is kept nowhere."""
        if request.brought:
            rendered = _render(target, outgoing.headers(request, target.authority), request.method)
            return b"%b%d\r\n\r\n" % (rendered, len(request.body))
        place = id(request.headers), request.url
        known = self._heads.get(place)
        if known is None:
            if len(self._heads) >= HEADS_KEPT:
                self._heads.clear()
            known = self._heads[place] = request.headers, _render(target, outgoing.headers(request, target.authority))
        return b"%b%d\r\n\r\n" % (known[1], len(request.body))

    def adopt(self, reaches: Mapping[str, Reach]) -> None:
        """As outgoing.Channels says."""
        super().adopt(reaches)
        self._heads.clear()  # the headers of credentials that are gone need not stay in memory

    def begin(self, request: UpstreamRequest, sending: Sending, now: float) -> Begun | None:
        channel = self._channel(request.channel, request.reach)
        target = outgoing.target(request.url)
        head = self._head(target, request)
        if not channel.entered():
            return None
        line = channel.maybe_idle_line(target.origin, now)
        if line is None:
            channel.places.release()
            return None
        line.begin(head, request.body, sending, now)
        return Begun(channel, line, self, request, sending)

    def open(self, request: UpstreamRequest, sending: Sending | None = None) -> Coroutine[Any, Any, Answer]:
        return self.go_on(request, sending)

    async def go_on(self, request: UpstreamRequest, sending: Sending | None, begun: Begun | None = None) -> Answer:
        """As open(), also for a request that has gone up already."""
        channel = begun.channel if begun else self._channel(request.channel, request.reach)
        target = outgoing.target(request.url)
        line: DirectLine | None = None
        sent = False
        head = self._head(target, request)
        if begun is None:
            await channel.enter()
        try:
            line = begun.line if begun else channel.maybe_idle_line(target.origin, trio.current_time())
            while True:
                if line is None:
                    line = await channel.new_line(target, request.connect_s, sent=sent)
                try:
                    if begun is None:
                        line.begin(head, request.body, sending, trio.current_time())
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


def _render(target: Target, headers: Headers, method: bytes = b"POST") -> bytes:
    """A request's head up to its length, which comes last."""
    lines = [b"%b %b HTTP/1.1" % (method, target.path)]
    lines += [b"%b: %b" % header for header in headers if header[0] != b"content-length"]
    lines.append(b"content-length: ")
    return b"\r\n".join(lines)
