"""Hypercorn's HTTP/1.1, stricter: what a second reader could take for another request is refused, upgrades are ignored,
and the client is listened to while it is answered. The rules stand in hypercorn.py.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import cast

import h11
import trio
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.events import Body, EndBody, Request, Response
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.h11 import STREAM_ID, H11Protocol
from hypercorn.protocol.http_stream import HTTPStream

from ftgate.doors.connections import MAX_HEADERS
from ftgate.doors.heads import Chunks

MAX_AHEAD = 65_536
"""Bytes of further requests taken in while one is answered."""

_HEAD_END = re.compile(rb"\n\r?\n")
_FRAMING = re.compile(rb"(?i)\n(?:content-length|transfer-encoding):([^\n]*)")
_BARE_LF = re.compile(rb"(?<!\r)\n")
_FOLD = re.compile(rb"\n[ \t]")
_CHUNKED_HEAD = b"POST / HTTP/1.1\r\nHost: any\r\nTransfer-Encoding: chunked\r\n\r\n"
_ABSOLUTE_FORM = re.compile(rb"(?i)^https?://[^/?]*(/?)")
_UPGRADES = frozenset({b"upgrade", b"http2-settings"})


class Http11(H11Protocol):
    """Hypercorn's HTTP/1.1 with stricter heads and chunks, no upgrades, and ears open while a request is answered."""

    receive: Callable[[], Awaitable[bytes]]
    gone = False  # the reader has seen the end of the connection and closes it
    answering = ""  # the id of the request whose answer was begun last
    _refused = False
    _turn: trio.CancelScope | None = None
    _chunks: Chunks | None = None  # of the request that is coming

    @property
    def upload_unfinished(self) -> bool:
        return self._refused or self.connection.their_state is h11.SEND_BODY

    @property
    def answer_unfinished(self) -> bool:
        return self.connection.our_state in {h11.SEND_BODY, h11.ERROR}

    @property
    def http_1_0(self) -> bool:
        return cast(h11.Connection, self.connection).their_http_version == b"1.0"

    async def handle(self, event: Event) -> None:
        # After a request that closes the connection, h11 holds further bytes for an error; they are to be ignored.
        if isinstance(event, RawData):
            if self._is_deaf():
                return
            if self._is_odd(event.data):
                await self._refuse(400)
                return
        await super().handle(event)

    async def ask_for_body(self) -> None:
        """Tell a client that waits for it to send the body."""
        if self.connection.they_are_waiting_for_100_continue:
            await self._send_h11_event(h11.InformationalResponse(status_code=100, headers=[]))

    async def stream_send(self, event: StreamEvent) -> None:
        if isinstance(event, Response):
            said = (value.decode("latin-1") for name, value in event.headers if name.lower() == b"x-request-id")
            self.answering = next(said, "")
        if isinstance(event, Response) and self.connection.their_state is h11.SEND_BODY:
            event = replace(event, headers=[*event.headers, (b"connection", b"close")])
        await super().stream_send(event)

    def _is_deaf(self) -> bool:
        return self._refused or self.connection.their_state in {h11.MUST_CLOSE, h11.CLOSED, h11.ERROR}

    def _is_odd(self, data: bytes) -> bool:
        """Whether `data` goes on a chunked body as it may not: with bare line feeds or sizes past all bounds, h11 would
        wait for more, or see an end where another reader sees none."""
        chunks = self._chunks
        if chunks is None:
            return False
        chunks.feed(data)
        chunks.pieces.clear()  # h11 has them
        if chunks.done:
            self._chunks = None
        return chunks.broken and not chunks.done

    async def _handle_events(self) -> None:
        while not self._is_deaf():
            try:
                if self.connection.their_state is h11.IDLE:
                    _check_head(self.connection.trailing_data[0], self.config.h11_max_incomplete_size)
                event = self.connection.next_event()
                if isinstance(event, h11.Request):
                    _check_version(event)
                    if any(name == b"transfer-encoding" for name, _ in event.headers):  # h11 takes none but chunked
                        self._chunks = Chunks(_CHUNKED_HEAD)
                        if self._is_odd(self.connection.trailing_data[0]):
                            raise h11.RemoteProtocolError("odd chunks")
            except h11.RemoteProtocolError as error:
                await self._refuse(error.error_status_hint)
                return
            if isinstance(event, h11.Request):
                await self.send(Updated(idle=False))
                await self._create_stream(event)
            elif event is h11.PAUSED:
                await self._await_turn()
                if self.connection.their_state is not h11.IDLE:
                    return
            elif event is h11.NEED_DATA or isinstance(event, h11.ConnectionClosed) or self.stream is None:
                return
            elif isinstance(event, h11.Data):
                await self.stream.handle(Body(stream_id=STREAM_ID, data=bytes(event.data)))
            elif isinstance(event, h11.EndOfMessage):
                await self.stream.handle(EndBody(stream_id=STREAM_ID))

    async def _refuse(self, status: int) -> None:
        self._refused = True
        await self._close_stream()  # first, so that an app at work on this request can no longer write in between
        if self.connection.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            await self._send_error_response(status)
        await self.send(Closed())

    async def _await_turn(self) -> None:
        """Keep what comes after a request until its answer is done; the client's leaving is seen meanwhile."""
        ahead = 0
        with trio.CancelScope() as turn:
            self._turn = turn
            while ahead <= MAX_AHEAD:
                data = await self.receive()
                if not data:
                    break
                ahead += len(data)
                self.connection.receive_data(data)
        self.gone = not turn.cancel_called

    async def _maybe_recycle(self) -> None:
        await super()._maybe_recycle()
        if self._turn is not None:
            self._turn.cancel()

    async def _create_stream(self, request: h11.Request) -> None:
        self.stream = HTTPStream(
            self.app,
            self.config,
            self.context,
            self.task_group,
            self.ssl,
            self.client,
            self.server,
            self.stream_send,
            STREAM_ID,
        )
        await self.stream.handle(
            Request(
                stream_id=STREAM_ID,
                headers=[(name, value) for name, value in request.headers if name not in _UPGRADES],
                http_version=request.http_version.decode("ascii"),
                method=request.method.decode("ascii").upper(),
                raw_path=_ABSOLUTE_FORM.sub(b"/", request.target),
                state=self.connection_state,
            )
        )
        self.keep_alive_requests += 1


def _check_head(received: bytes, max_bytes: int) -> None:
    """Refuse a complete head that is too long or whose body's length could be read in two ways; h11 lets these pass."""
    end = _HEAD_END.search(received)
    if end is None:
        return
    if end.end() > max_bytes:
        raise h11.RemoteProtocolError("head too long", error_status_hint=431)
    if received.count(b"\n", 0, end.end()) > MAX_HEADERS + 2:  # with the request line and the empty one
        raise h11.RemoteProtocolError("too many headers", error_status_hint=431)
    framing = _FRAMING.findall(received, 0, end.end())
    odd = _FOLD.search(received, 0, end.end()) or _BARE_LF.search(received, 0, end.end())
    if len(framing) > 1 or (framing and b"," in framing[0]) or odd:
        raise h11.RemoteProtocolError("ambiguous head")


def _check_version(request: h11.Request) -> None:
    if request.http_version not in {b"1.0", b"1.1"}:
        raise h11.RemoteProtocolError("not HTTP/1", error_status_hint=505)
    if request.http_version == b"1.0" and any(name == b"transfer-encoding" for name, _ in request.headers):
        raise h11.RemoteProtocolError("chunks in HTTP/1.0")
