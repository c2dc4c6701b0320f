"""The sturdy way out: upstreams over httpcore, with proxies and HTTP/2. The direct transport is the fast one.

Rules:
- **One call, one connection.** httpcore makes and speaks on connections; keeping them is done here. Its pool leaks
  places when a call is cancelled under contention (httpcore #1093) and scans every connection for each request. A call
  that ends early closes its connection, which is the only way to make an HTTP/1.1 upstream stop; so HTTP/2 is spoken,
  but never shared.
- **Closing never waits.** A connection that is not kept has its TCP socket closed at once, in a plain `def`, without a
  TLS goodbye: nothing is sent any more that could be cut short, and a silent peer could hold the goodbye up.
- Only connecting (DNS, TCP, proxy, TLS) has a time limit here: all the others are the gate's cancel scopes.
- No proxy variable of the environment is read, no redirect is followed, a certificate is always verified (the trust
  store is OpenSSL's default one, so SSL_CERT_FILE counts).
- What goes wrong is told as UpstreamFailed, by one table. Its detail never holds a header's value: that may be a key.

httpcore itself only drops kept connections that are readable before use and does not retry: both are done by outgoing's
rules.
"""

import logging
import math
import ssl
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import unquote, urlsplit

import h11
import httpcore
import trio

from ftgate.core.routing import Reach
from ftgate.errors import Fault, UpstreamFailed
from ftgate.ports import Answer, Headers, Sending, UpstreamRequest
from ftgate.transports import outgoing
from ftgate.transports.outgoing import (
    HEAD_LIMIT,
    MAX_CONNECTIONS,
    Channel,
    ChannelCounts,
    Channels,
    Origin,
    Target,
)

__all__ = ["ChannelCounts", "SturdyAnswer", "SturdyUpstream"]

CLOSE_S = 0.2  # httpcore's book-keeping after the socket is closed; it does not wait for the network

# Read in order. LocalProtocolError is ours (a request that HTTP cannot carry), the others are the upstream's.
_FAULTS: tuple[tuple[type[Exception], Fault, str], ...] = (
    (httpcore.LocalProtocolError, Fault.protocol, "the request cannot be sent as HTTP"),
    (h11.LocalProtocolError, Fault.protocol, "the request cannot be sent as HTTP"),
    (httpcore.UnsupportedProtocol, Fault.protocol, "not an http or https address"),
    (httpcore.ProxyError, Fault.connect, "the proxy refused"),
    (httpcore.ConnectError, Fault.connect, "could not connect"),
    (httpcore.ReadError, Fault.reset, "connection lost while reading"),
    (httpcore.WriteError, Fault.reset, "connection lost while sending"),
    (httpcore.ConnectionNotAvailable, Fault.reset, "the connection was closed"),
    (httpcore.RemoteProtocolError, Fault.protocol, "not readable as HTTP"),
)
_FAILURES = tuple(kind for kind, _, _ in _FAULTS)
_ENDINGS: tuple[type[BaseException], ...] = (StopAsyncIteration, *_FAILURES)


@lru_cache(maxsize=1024)
def _url(raw: bytes) -> httpcore.URL:
    return httpcore.URL(raw)


def _failure(exc: Exception, line: "_Line", *, headed: bool) -> UpstreamFailed:
    """The table's answer to `exc`; `headed` when the response head had come."""
    fault, detail = next((fault, detail) for kind, fault, detail in _FAULTS if isinstance(exc, kind))
    if isinstance(exc, httpcore.RemoteProtocolError):
        if getattr(exc.__cause__, "error_status_hint", 0) == 431:  # h11: a line or head past its buffer
            fault, detail = Fault.too_large, "a head or line past its limit"
        elif line.ended:
            fault, detail = Fault.reset, "closed before the response head"
    if headed and (fault is Fault.reset or line.ended):
        fault, detail = Fault.incomplete, "the body was cut"
    return UpstreamFailed(fault, detail, sent=line.sent)


class _Body:
    """A request's body for httpcore. Its own one is an async generator, which a cancelled send leaves suspended."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def __aiter__(self) -> "_Body":
        return self

    async def __anext__(self) -> bytes:
        body, self._body = self._body, b""
        if not body:
            raise StopAsyncIteration
        return body


class _Wire(httpcore.AsyncNetworkStream):
    """httpcore's view of one TCP or TLS stream: no time limits, no cancel scopes, and the line sees what passes."""

    def __init__(self, line: "_Line", stream: trio.abc.Stream) -> None:
        self._line, self._stream = line, stream

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        line = self._line
        if line.closed:
            raise httpcore.ReadError("closed")
        try:
            data = await self._stream.receive_some(max_bytes)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise httpcore.ReadError("broken") from None
        line.note_read(len(data))
        return bytes(data)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if not buffer:
            return
        self._line.note_write()
        try:
            await self._stream.send_all(buffer)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise httpcore.WriteError("broken") from None

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> "_Wire":
        stream = trio.SSLStream(self._stream, ssl_context, server_hostname=server_hostname, https_compatible=True)
        try:
            await stream.do_handshake()
        except (trio.BrokenResourceError, ssl.SSLError) as exc:
            raise outgoing.handshake_failed(exc.__cause__) from None
        return _Wire(self._line, stream)

    async def aclose(self) -> None:
        self._line.close()

    def get_extra_info(self, info: str) -> Any:
        if info == "ssl_object" and isinstance(self._stream, trio.SSLStream):
            # SSLStream hands attributes it does not know to its SSLObject; httpcore wants only this method of it.
            return self._stream
        if info == "is_readable":
            return self._line.is_readable()
        return None


class _Line(httpcore.AsyncNetworkBackend):
    """One connection: httpcore's object, the socket under it, and what passed in the current call."""

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.connection: httpcore.AsyncConnectionInterface
        self.reused = False
        self.idle_until = 0.0
        self.closed = False
        self.writes = 0
        self.sending: Sending | None = None
        self._socket: trio.socket.SocketType | None = None
        self.begin()

    def __repr__(self) -> str:
        state = (
            "closed" if self.closed
            else "at its end" if self.ended
            else "not connected" if self._socket is None
            else "heard" if self.read_bytes
            else "asked" if self.sent
            else "connected"
        )  # fmt: skip
        return outgoing.described(self, state)

    def begin(self) -> None:
        """A new call starts on this line."""
        self.ended = False  # the upstream has closed its side
        self.read_bytes = 0
        self.head_pending = True
        self._began_at = trio.current_time()
        self._requesting = self.reused
        self._writes_before = self.writes

    def note_write(self) -> None:
        self.writes += 1
        if self.sending is not None and self.sent:
            self.sending.sent = True  # at once: the gate asks while the head is still awaited

    @property
    def sent(self) -> bool:
        return self._requesting and self.writes > self._writes_before

    def request_starts(self) -> None:
        """What was written so far was for a proxy, not the request."""
        self._requesting = True
        self._writes_before = self.writes

    def was_stale(self, failed: UpstreamFailed) -> bool:
        """Whether `failed` looks like an idle connection's close that crossed our request (see outgoing)."""
        return outgoing.is_stale(failed, reused=self.reused, heard=self.read_bytes > 0, began_at=self._began_at)

    def is_good(self) -> bool:
        """As outgoing.Line says: httpcore counts a readable connection as expired."""
        return not self.connection.has_expired() and not self.connection.is_closed()

    def note_read(self, count: int) -> None:
        self.read_bytes += count
        self.ended = count == 0
        if self.head_pending and self.read_bytes > HEAD_LIMIT:
            raise UpstreamFailed(Fault.too_large, "the response head passes its limit", sent=self.sent)

    def is_readable(self) -> bool:
        return self._socket is None or self._socket.is_readable()

    def close(self) -> None:
        self.closed = True
        if self._socket is not None:
            self._socket.close()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Any = None,
    ) -> _Wire:
        stream = await outgoing.reach(host, port)
        self._socket = stream.socket
        return _Wire(self, stream)


class _Channel(Channel[_Line]):
    """One channel, with what makes its connections."""

    def __init__(self, reach: Reach, trust: ssl.SSLContext, max_connections: int) -> None:
        super().__init__(reach, max_connections)
        self._trust = trust
        self._proxy = _proxy(reach.proxy, trust) if reach.proxy else None

    def new_line(self, target: Target) -> _Line:
        line = _Line(target.origin)
        # The pool object is only the factory here: it knows which connection class each kind of proxy needs.
        factory = httpcore.AsyncConnectionPool(
            ssl_context=self._trust,
            proxy=self._proxy,
            http2=self.reach.http2,
            network_backend=line,
        )
        line.connection = factory.create_connection(_url(target.raw).origin)
        return line

    async def exchange(self, line: _Line, request: httpcore.Request, connect_s: float) -> httpcore.Response:
        """Sends `request` on `line`, connecting it first if it is new, and waits for the head. On failure the line is
        closed."""
        line.begin()
        with trio.CancelScope() as connecting:
            if not line.reused:
                connecting.deadline = trio.current_time() + connect_s

                async def watch(event: str, info: Mapping[str, Any]) -> None:
                    # Through a proxy, httpcore speaks a CONNECT of its own first, which belongs to connecting.
                    if event.endswith("send_request_headers.started") and info["request"].method != b"CONNECT":
                        connecting.deadline = math.inf
                        line.request_starts()

                request.extensions = {"trace": watch}
            try:
                response = await line.connection.handle_async_request(request)
            except _FAILURES as exc:
                line.close()
                raise _failure(exc, line, headed=False) from None
            except BaseException:  # a cancellation too leaves no connection behind
                line.close()
                raise
            line.head_pending = False
            if line.read_bytes == 0:
                # Parsed from what was left over of the answer before: that upstream and we disagree where answers end.
                line.close()
                raise UpstreamFailed(Fault.protocol, "an answer that came before its request", sent=True)
            return response
        raise outgoing.no_connection(connect_s, sent=line.sent)


def _proxy(url: str, trust: ssl.SSLContext | None) -> httpcore.Proxy:
    """Raises ValueError for what is not a proxy we can speak to."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https", "socks5", "socks5h") or not parts.hostname:
        raise ValueError("a proxy is an http://, https:// or socks5:// address")
    if parts.scheme.startswith("socks5"):
        try:
            import socksio  # noqa: F401
        except ImportError:
            raise ValueError("a socks5 proxy needs the package socksio") from None
    auth = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
    bare = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    return httpcore.Proxy(bare, auth=auth, ssl_context=trust if parts.scheme == "https" else None)


class SturdyAnswer:
    """An answer whose head has come (ports.Answer)."""

    def __init__(self, channel: _Channel, line: _Line, response: httpcore.Response) -> None:
        self.status: int = response.status
        self.whole: bytes | None = None
        self.headers: Headers = [(name.lower(), value) for name, value in response.headers]
        self._channel, self._line, self._response = channel, line, response
        # The innermost iterator there is, held directly; its one scope of clean-up is its own.
        self._next_piece = response.stream.__aiter__().__anext__  # type: ignore[union-attr]
        self._complete = False
        self._closed = False

    async def receive(self) -> bytes:
        """As ports.Answer says. A cancelled call ends the answer: the connection is closed, and a further call
        raises."""
        try:
            return await self._next_piece()
        except StopAsyncIteration:
            # After a failure or a cancellation the iterator is at its end too, and that must not look like a clean one.
            if self._line.closed and not self._complete:
                raise UpstreamFailed(Fault.incomplete, "the answer was given up", sent=True) from None
            self._complete = True
            return b""
        except _FAILURES as exc:
            raise _failure(exc, self._line, headed=True) from None

    async def pump(self, take: Callable[[bytes], bool]) -> bool:
        """As ports.Answer says: each piece is received."""
        return False

    async def aclose(self) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            if not self._complete:
                self._line.close()
            with trio.CancelScope(deadline=trio.current_time() + CLOSE_S, shield=True):
                if self._complete:
                    await self._response.stream.aclose()  # type: ignore[union-attr]
                else:
                    await self._unwind()
        finally:
            self._channel.give_back(
                self._line, clean=self._complete and not self._line.ended and self._line.connection.is_idle()
            )

    async def _unwind(self) -> None:
        """Run httpcore's generators to their end, which the closed socket makes an error. Left suspended, they would be
        ended by the garbage collector: aclose() of the outer one does not reach the inner ones."""
        try:
            while True:
                await self._next_piece()  # pieces that were already read
                await trio.lowlevel.checkpoint()
        except _ENDINGS:
            pass


class SturdyUpstream(Channels[_Channel]):
    """ports.Upstream over httpcore on Trio, made as outgoing.Channels says."""

    def __init__(self, *, max_connections: int = MAX_CONNECTIONS) -> None:
        # They write addresses with their query, and headers with keys, at INFO and DEBUG.
        for name in ("httpx", "httpcore", "hpack"):
            logging.getLogger(name).setLevel(logging.WARNING)
        super().__init__(max_connections=max_connections)

    def _new_channel(self, reach: Reach, trust: ssl.SSLContext, max_connections: int) -> _Channel:
        return _Channel(reach, trust, max_connections)

    def begin(self, request: UpstreamRequest, sending: Sending, now: float) -> None:
        """As ports.Upstream says: each call is opened."""

    async def open(self, request: UpstreamRequest, sending: Sending | None = None) -> Answer:
        channel = self._channel(request.channel, request.reach)
        target = outgoing.target(request.url)
        headers = outgoing.headers(request, target.authority)
        await channel.enter()
        line: _Line | None = None
        sent = False
        try:
            line = channel.maybe_idle_line(target.origin, trio.current_time())
            while True:
                line = line or channel.new_line(target)
                line.sending = sending
                message = httpcore.Request(
                    request.method, _url(target.raw), headers=headers, content=_Body(request.body)
                )
                try:
                    response = await channel.exchange(line, message, request.connect_s)
                    break
                except UpstreamFailed as failed:
                    failed.sent = sent = failed.sent or sent
                    if not line.was_stale(failed):
                        raise
                    line = None  # never a second kept one: they tend to be closed together
            answer = SturdyAnswer(channel, line, response)
            outgoing.check_head(answer.status, answer.headers)
            return answer
        except BaseException:  # a cancellation too gives its place back
            if line is not None:
                line.close()
            channel.places.release()
            raise
